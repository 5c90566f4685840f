"""Services that packets find without a function call: always as right as the hash map behind."""

from collections.abc import Callable, Iterator
from pathlib import Path

import pytest
from scapy.layers.inet import IP, TCP
from scapy.layers.inet6 import IPv6
from scapy.layers.l2 import Ether

from headrace.dataplane import Dataplane, encoding, layout, libbpf
from headrace.dataplane.indexes import REST_S
from headrace.dataplane.maps import SharedArray
from headrace.model import Port, ServiceEntry, ServiceKey, Tuning

from .rig import LOOPBACK, OWN_MAC, path, reach, spread

pytestmark = pytest.mark.bpf

V4, V6 = "20.20.20.1:80/tcp", "[2001:db8::1]:80/tcp"
EXACT = [pytest.param(V4, id="IPv4"), pytest.param(V6, id="IPv6")]
WITHOUT = ["20.20.20.1:any/tcp", "20.20.20.0/24:80/tcp", "[2001:db8::/64]:80/tcp"]
ENDPOINTS = {"web": 1, "other": 2}


class Hand:
    """A clock that stands until it is moved."""

    now_s = 1000.0

    def now(self) -> float:
        return self.now_s


@pytest.fixture
def clock() -> Hand:
    return Hand()


def open_plane(pins: Path, now: Callable[[], float]) -> Dataplane:
    plane = Dataplane(pins, now)
    plane.set_ports([Port("lo", LOOPBACK, (OWN_MAC,))])
    plane.set_hash_keys(range(1, 7))
    plane.set_tuning(Tuning())
    for name, number in ENDPOINTS.items():
        plane.put_endpoint(reach(number), path(reach(number)))
        plane.put_pool(name, [reach(number)], spread(1, 251), stamp=1)
    return plane


@pytest.fixture
def plane(pins: Path, clock: Hand) -> Iterator[Dataplane]:
    plane = open_plane(pins, clock.now)
    yield plane
    plane.close()


def shown(pins: Path) -> dict[str, int]:
    """The services that have a shortcut in the kernel, and the index of their pool."""
    seen = {}
    for name, value in (("shortcuts4", layout.Bucket4), ("shortcuts6", layout.Bucket6)):
        buckets = SharedArray(libbpf.open_pin(pins / "maps" / name), value)
        for way in (way for bucket in buckets.values for way in bucket.ways):
            if isinstance(way, layout.Shortcut4) and way.key:
                seen[str(encoding.key_of_shortcut4(way))] = int(way.service.pool)
            elif isinstance(way, layout.Shortcut6) and way.rest:
                seen[str(encoding.key_of_shortcut6(way))] = int(way.service.pool)
    return seen


def served_by(plane: Dataplane, text: str) -> str | None:
    """The pool whose endpoint a segment to a service is sent to; None if it is not sent."""
    key = ServiceKey.of_text(text)
    kind, source = (IPv6, "2001:db8:c::1") if key.vip.version == 6 else (IP, "1.1.1.1")
    segment = kind(src=source, dst=str(key.vip)) / TCP(sport=1000, dport=key.port)
    code, frame = plane.run(bytes(Ether(dst=OWN_MAC.hex(":")) / segment), LOOPBACK)
    if code != 4:
        return None
    outer = Ether(frame)[IP]
    return next(name for name, n in ENDPOINTS.items() if outer.dst == f"31.31.31.{n}")


@pytest.mark.parametrize("text", EXACT)
def test_an_exact_service_has_one(plane: Dataplane, pins: Path, text: str) -> None:
    plane.put_service(ServiceKey.of_text(text), ServiceEntry("web"))

    assert list(shown(pins)) == [text]
    assert served_by(plane, text) == "web"


@pytest.mark.parametrize("text", WITHOUT)
def test_any_port_and_prefixes_do_without(plane: Dataplane, pins: Path, text: str) -> None:
    plane.put_service(ServiceKey.of_text(text), ServiceEntry("web"))

    assert shown(pins) == {}


@pytest.mark.parametrize("text", EXACT)
def test_a_changed_service_is_looked_up_until_its_place_has_rested(
    plane: Dataplane, pins: Path, clock: Hand, text: str
) -> None:
    plane.put_service(ServiceKey.of_text(text), ServiceEntry("web"))

    plane.put_service(ServiceKey.of_text(text), ServiceEntry("other"))
    # The second way of the bucket never held anything: it serves at once.
    assert served_by(plane, text) == "other"
    plane.put_service(ServiceKey.of_text(text), ServiceEntry("web"))
    assert shown(pins) == {}
    assert served_by(plane, text) == "web"

    clock.now_s += REST_S
    plane.settle(3600)
    assert list(shown(pins)) == [text]
    assert served_by(plane, text) == "web"


@pytest.mark.parametrize("text", EXACT)
def test_a_removed_service_has_none(plane: Dataplane, pins: Path, text: str) -> None:
    plane.put_service(ServiceKey.of_text(text), ServiceEntry("web"))

    plane.remove_service(ServiceKey.of_text(text))

    assert shown(pins) == {}
    assert served_by(plane, text) is None


def test_a_full_bucket_leaves_the_rest_to_the_hash_map(plane: Dataplane, pins: Path) -> None:
    crowd = same_bucket(layout.SHORTCUT_WAYS + 1)

    for key in crowd:
        plane.put_service(key, ServiceEntry("web"))

    assert len(shown(pins)) == layout.SHORTCUT_WAYS
    assert {served_by(plane, str(key)) for key in crowd} == {"web"}


def test_who_found_no_room_moves_in_when_there_is_some(
    plane: Dataplane, pins: Path, clock: Hand
) -> None:
    crowd = same_bucket(layout.SHORTCUT_WAYS + 1)
    for key in crowd:
        plane.put_service(key, ServiceEntry("web"))

    plane.remove_service(crowd[0])
    clock.now_s += REST_S
    plane.settle(3600)

    assert set(shown(pins)) == {str(key) for key in crowd[1:]}


@pytest.mark.parametrize("text", EXACT)
def test_the_next_daemon_keeps_what_is_right_and_clears_what_is_not(
    plane: Dataplane, pins: Path, clock: Hand, text: str
) -> None:
    plane.put_service(ServiceKey.of_text(text), ServiceEntry("web"))
    plane.put_service(ServiceKey.of_text("20.20.20.9:80/tcp"), ServiceEntry("web"))
    pool = shown(pins)[text]
    spoil(pins, "20.20.20.9:80/tcp")

    after = Dataplane(pins, clock.now)

    assert shown(pins)[text] == pool
    assert shown(pins).get("20.20.20.9:80/tcp", pool) == pool
    after.close()


def same_bucket(count: int) -> list[ServiceKey]:
    """Services whose shortcuts would all lie in one bucket."""
    wanted = None
    found = []
    for number in range(1_000_000):
        key = ServiceKey.of_text(f"20.{number >> 16}.{number >> 8 & 255}.{number & 255}:80/tcp")
        bucket = encoding.shortcut_bucket(encoding.shortcut_words(key))
        wanted = bucket if wanted is None else wanted
        if bucket == wanted:
            found.append(key)
        if len(found) == count:
            return found
    raise AssertionError("a million keys fill every bucket")


def spoil(pins: Path, text: str) -> None:
    """Make a shortcut say what its service does not, as a daemon killed over it may leave it."""
    buckets = SharedArray(libbpf.open_pin(pins / "maps" / "shortcuts4"), layout.Bucket4)
    words = encoding.shortcut_words(ServiceKey.of_text(text))
    for way in buckets.values[encoding.shortcut_bucket(words)].ways:
        if way.key == words[0]:
            way.service.pool = 77
