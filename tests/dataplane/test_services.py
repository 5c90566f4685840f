"""Services, VIPs and sources in the kernel, also after a daemon was killed over them."""

from collections.abc import Callable, Iterator
from ipaddress import ip_network
from pathlib import Path

import pytest
from scapy.layers.inet import IP, TCP
from scapy.layers.inet6 import IPv6
from scapy.layers.l2 import Ether

from headrace.dataplane import Dataplane, libbpf
from headrace.dataplane.sources import Clients
from headrace.model import (
    Affinity,
    FlowTable,
    Port,
    ServiceEntry,
    ServiceKey,
    Tuning,
    Unserved,
)

from .rig import LOOPBACK, OWN_MAC, path, reach, spread

pytestmark = pytest.mark.bpf

POOLS = ("web", "other")
SOURCES = frozenset({ip_network("1.0.0.0/8"), ip_network("2001:db8:c::/48")})
ALL = frozenset({ip_network("0.0.0.0/0"), ip_network("::/0")})
PLAIN = ServiceEntry("web")
BOTH_LISTS = ServiceEntry(
    "web", sources=SOURCES, denied_sources=frozenset({ip_network("1.1.0.0/16")})
)
BY_SOURCE = ServiceEntry("web", affinity=Affinity.SOURCE_IP)


def key(text: str) -> ServiceKey:
    return ServiceKey.of_text(text)


def open_plane(pins: Path, now: Callable[[], float] | None = None) -> Dataplane:
    plane = Dataplane(pins) if now is None else Dataplane(pins, now=now)
    plane.set_ports([Port("lo", LOOPBACK, (OWN_MAC,))])
    plane.set_hash_keys(range(1, 7))
    plane.set_tuning(Tuning())
    plane.put_endpoint(reach(1), path(reach(1)))
    for name in POOLS:
        plane.put_pool(name, [reach(1)], spread(1, 251), stamp=1)
    return plane


@pytest.fixture
def plane(pins: Path) -> Iterator[Dataplane]:
    plane = open_plane(pins)
    yield plane
    plane.close()


def verdict(plane: Dataplane, destination: str, source: str = "1.1.1.1", port: int = 80) -> str:
    """What becomes of a TCP segment."""
    kind = IPv6 if ":" in destination else IP
    segment = kind(src=source, dst=destination) / TCP(sport=1000, dport=port)
    before = {each.name: each.count.packets for each in plane.verdict_counts()}
    libbpf.run_program(plane.program_fd, bytes(Ether(dst=OWN_MAC.hex(":")) / segment))
    after = {each.name: each.count.packets for each in plane.verdict_counts()}
    return next(name for name in after if after[name] != before[name])


ENTRIES = [
    pytest.param("20.20.20.1:80/tcp", PLAIN, id="plain"),
    pytest.param("20.20.20.1:any/sctp", PLAIN, id="any port"),
    pytest.param("[2001:db8::1]:53/udp", ServiceEntry("other", flow_table=FlowTable.ALWAYS)),
    pytest.param("20.20.20.1:443/udp", ServiceEntry("web", quic=True), id="quic"),
    pytest.param("20.20.20.1:80/tcp", ServiceEntry("web", unserved=Unserved.PASS), id="pass"),
    pytest.param("20.20.20.0/24:80/tcp", ServiceEntry("web", sources=SOURCES), id="v4 prefix"),
    pytest.param("20.20.20.1:80/tcp", ServiceEntry("web", denied_sources=SOURCES), id="denied"),
    pytest.param("20.20.20.1:80/tcp", BOTH_LISTS, id="allowed and denied"),
    pytest.param("20.20.20.1:80/tcp", ServiceEntry("web", denied_sources=ALL), id="all denied"),
    pytest.param("[2001:db8::/64]:80/tcp", BY_SOURCE, id="v6 prefix"),
    pytest.param(
        "20.20.20.1:80/tcp", ServiceEntry("web", Affinity.DESTINATION_PORT, FlowTable.NEVER)
    ),
]


@pytest.mark.parametrize(("text", "entry"), ENTRIES)
def test_service_is_read_back_by_us_and_by_the_next_daemon(
    plane: Dataplane, pins: Path, text: str, entry: ServiceEntry
) -> None:
    plane.put_service(key(text), entry)

    assert plane.read().services == {key(text): entry}
    plane.close()
    successor = Dataplane(pins)
    assert successor.read().services == {key(text): entry}
    successor.close()


def test_exact_vip_is_none_any_more_when_its_last_service_goes(plane: Dataplane) -> None:
    for text in ("20.20.20.1:80/tcp", "20.20.20.1:81/tcp"):
        plane.put_service(key(text), PLAIN)
    assert verdict(plane, "20.20.20.2") == "pass_not_vip"

    plane.remove_service(key("20.20.20.1:80/tcp"))
    assert verdict(plane, "20.20.20.1") == "drop_unserved"
    plane.remove_service(key("20.20.20.1:81/tcp"))

    assert verdict(plane, "20.20.20.1", port=81) == "pass_not_vip"
    assert not any(plane._services._filter)


def test_vip_prefix_of_all_addresses_holds_none_of_the_other_family(plane: Dataplane) -> None:
    plane.put_service(key("[::/0]:80/tcp"), PLAIN)
    plane.put_service(key("20.20.20.0/24:81/tcp"), PLAIN)

    assert verdict(plane, "2001:db8::9", "2001:db8::1") == "sent"
    assert verdict(plane, "20.20.20.9") == "drop_unserved"
    assert verdict(plane, "20.20.21.9") == "pass_not_vip"


@pytest.mark.parametrize(
    ("prefix", "inside", "outside"),
    [("20.20.20.0/24", "20.20.20.9", "20.20.21.9"), ("2001:db8::/64", "2001:db8::9", "2001:db9::")],
)
def test_vip_prefix_is_one_until_its_last_service_goes(
    plane: Dataplane, prefix: str, inside: str, outside: str
) -> None:
    service = ServiceKey.of_text(f"[{prefix}]:80/tcp" if ":" in prefix else f"{prefix}:80/tcp")
    client = "2001:db8:c::1" if ":" in prefix else "1.1.1.1"

    plane.put_service(service, PLAIN)
    verdicts = [verdict(plane, each, client) for each in (inside, outside)]
    plane.remove_service(service)

    assert verdicts == ["sent", "pass_not_vip"]
    assert verdict(plane, inside, client) == "pass_not_vip"
    assert not plane._services._vips.has_prefixes4
    assert not plane._services._vips.has_prefixes6


def test_exact_vip_and_prefix_around_it_are_two_vips(plane: Dataplane) -> None:
    plane.put_service(key("20.20.20.0/24:80/tcp"), PLAIN)
    plane.put_service(key("20.20.20.1:81/tcp"), PLAIN)

    assert verdict(plane, "20.20.20.1") == "drop_unserved"
    plane.remove_service(key("20.20.20.1:81/tcp"))
    assert verdict(plane, "20.20.20.1") == "sent"


def test_unserved_holds_for_the_whole_vip(plane: Dataplane) -> None:
    plane.put_service(key("20.20.20.1:80/tcp"), PLAIN)
    plane.put_service(key("20.20.20.1:81/tcp"), ServiceEntry("web", unserved=Unserved.PASS))

    assert verdict(plane, "20.20.20.1", port=9) == "pass_unserved"
    assert {entry.unserved for entry in plane.read().services.values()} == {Unserved.PASS}


def test_only_allowed_sources_are_served(plane: Dataplane) -> None:
    plane.put_service(key("20.20.20.1:80/tcp"), ServiceEntry("web", sources=SOURCES))

    assert verdict(plane, "20.20.20.1", "1.1.1.1") == "sent"
    assert verdict(plane, "20.20.20.1", "2.1.1.1") == "drop_source"


def test_a_service_that_denies_some_serves_all_others(plane: Dataplane) -> None:
    plane.put_service(key("20.20.20.1:80/tcp"), ServiceEntry("web", denied_sources=SOURCES))

    assert verdict(plane, "20.20.20.1", "1.1.1.1") == "drop_source"
    assert verdict(plane, "20.20.20.1", "2.1.1.1") == "sent"


def test_the_longest_prefix_of_both_lists_counts(plane: Dataplane) -> None:
    plane.put_service(key("20.20.20.1:80/tcp"), BOTH_LISTS)

    clients = ["1.2.1.1", "1.1.1.1", "2.1.1.1"]
    assert [verdict(plane, "20.20.20.1", each) for each in clients] == [
        "sent",
        "drop_source",
        "drop_source",
    ]


def test_a_list_that_is_changed_leaves_nothing_of_the_one_before(pins: Path) -> None:
    now = 0.0
    plane = open_plane(pins, lambda: now)
    for entry in (BOTH_LISTS, ServiceEntry("web", denied_sources=SOURCES), PLAIN):
        plane.put_service(key("20.20.20.1:80/tcp"), entry)

    now = 5.0
    plane.settle(30)

    assert list(plane._services._sources._map) == []
    plane.close()


def test_services_with_equal_sources_share_a_list_which_goes_with_the_last(pins: Path) -> None:
    now = 0.0
    plane = open_plane(pins, lambda: now)
    entry = ServiceEntry("web", sources=SOURCES)
    keys = [key(f"20.20.20.1:{port}/tcp") for port in (80, 81)]
    for each in keys:
        plane.put_service(each, entry)
    assert list(plane._services._sources.read().values()) == [Clients(allowed=SOURCES)]

    plane.remove_service(keys[0])
    plane.put_service(keys[1], PLAIN)

    assert plane._services._sources.read(), "a packet may still be reading it"
    now = 5.0
    plane.settle(30)
    assert plane._services._sources.read() == {}
    plane.close()


PORTLESS = [
    pytest.param([BY_SOURCE, BY_SOURCE], True, id="all alike"),
    pytest.param([PLAIN, PLAIN], False, id="ports count"),
    pytest.param([BY_SOURCE, PLAIN], False, id="one by flow"),
    pytest.param([BY_SOURCE, ServiceEntry("other", Affinity.SOURCE_IP)], False, id="two pools"),
    pytest.param(
        [BY_SOURCE, ServiceEntry("web", Affinity.SOURCE_IP, sources=SOURCES)], False, id="sources"
    ),
    pytest.param(
        [BY_SOURCE, ServiceEntry("web", Affinity.SOURCE_IP, FlowTable.NEVER)], False, id="notes"
    ),
]


@pytest.mark.parametrize(("entries", "expected"), PORTLESS)
def test_fragments_are_served_without_ports_where_those_decide_nothing(
    plane: Dataplane, pins: Path, entries: list[ServiceEntry], *, expected: bool
) -> None:
    for port, entry in enumerate(entries, 80):
        plane.put_service(key(f"20.20.20.1:{port}/tcp"), entry)
    later = IP(src="1.1.1.1", dst="20.20.20.1", frag=100, proto=6) / (b"x" * 8)
    packet = bytes(Ether(dst=OWN_MAC.hex(":")) / later)

    def sent(plane: Dataplane) -> bool:
        return libbpf.run_program(plane.program_fd, packet)[1] != packet

    assert sent(plane) == expected
    plane.remove_service(key("20.20.20.1:81/tcp"))
    assert sent(plane) == (entries[0].affinity is Affinity.SOURCE_IP)
    plane.close()
    successor = Dataplane(pins)
    assert sent(successor) == (entries[0].affinity is Affinity.SOURCE_IP)
    successor.remove_service(key("20.20.20.1:80/tcp"))
    assert not sent(successor)
    successor.close()


def test_packets_without_ports_are_counted_for_the_service_with_the_lowest_port(
    plane: Dataplane,
) -> None:
    keys = [key(f"20.20.20.1:{port}/udp") for port in (90, 80)]
    for each in keys:
        plane.put_service(each, BY_SOURCE)
    later = IP(src="1.1.1.1", dst="20.20.20.1", frag=100, proto=17) / (b"x" * 8)

    libbpf.run_program(plane.program_fd, bytes(Ether(dst=OWN_MAC.hex(":")) / later))

    assert [each.packets for each in plane.service_counts(keys)] == [0, 1]


class Clock:
    """Time as a test wants it."""

    now = 0.0

    def __call__(self) -> float:
        return self.now


class KilledError(Exception):
    """What a daemon's death is to these tests."""


BEFORE = {
    key("20.20.20.1:80/tcp"): BY_SOURCE,
    key("20.20.30.0/24:80/tcp"): ServiceEntry("web", sources=SOURCES),
    key("[2001:db8::1]:80/tcp"): ServiceEntry("web", unserved=Unserved.PASS),
}
AFTER = {
    key("20.20.20.1:80/tcp"): BY_SOURCE,
    key("20.20.20.1:81/tcp"): ServiceEntry("other", sources=frozenset({ip_network("1.0.0.0/8")})),
    key("[2001:db8::/64]:80/tcp"): ServiceEntry("web", unserved=Unserved.PASS, sources=SOURCES),
    key("20.20.20.2:80/udp"): BY_SOURCE,
}


def converge(plane: Dataplane, clock: Clock, desired: dict[ServiceKey, ServiceEntry]) -> None:
    """What control does: write what differs, remove what is too much."""
    actual = plane.read().services
    for each, entry in desired.items():
        if actual.get(each) != entry:
            plane.put_service(each, entry)
    for each in actual.keys() - desired.keys():
        plane.remove_service(each)
    clock.now += 10
    plane.settle(30)


def kernel_state(plane: Dataplane) -> object:
    """What the maps of services hold, but for numbers that are handed out."""
    services = plane._services
    return (
        sorted((bytes(k), v.flags, v.affinity, v.flow_table) for k, v in services._items()),
        sorted((bytes(k), v.number) for k, v in services._prefixes.items()),
        bytes(services._filter),
        (plane._services._vips.has_prefixes4, plane._services._vips.has_prefixes6),
        sorted(map(sorted, (map(str, each) for each in services._sources.read().values()))),
    )


def test_daemon_killed_at_any_write_leaves_what_the_next_one_mends(
    pins: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    clock = Clock()
    left = 10**6

    def dying(write: Callable[..., None]) -> Callable[..., None]:
        def call(*arguments: object) -> None:
            nonlocal left
            left -= 1
            if left < 0:
                raise KilledError
            write(*arguments)

        return call

    plane = open_plane(pins, clock)
    converge(plane, clock, AFTER)
    expected = kernel_state(plane)
    monkeypatch.setattr(libbpf, "update", dying(libbpf.update))
    monkeypatch.setattr(libbpf, "delete", dying(libbpf.delete))
    for writes in range(100):
        left = 10**6
        converge(plane, clock, BEFORE)
        left = writes
        try:
            converge(plane, clock, AFTER)
        except KilledError:
            plane.close()
            left = 10**6
            plane = Dataplane(pins, now=clock)
            converge(plane, clock, AFTER)
            assert plane.read().services == AFTER
            assert kernel_state(plane) == expected, f"killed after {writes} writes"
        else:
            break

    assert 15 < writes < 99
    assert kernel_state(plane) == expected
    plane.close()
