"""The data plane's maps: what is put is read back, by this daemon and by the next one."""

from collections.abc import Iterator
from dataclasses import replace
from ipaddress import ip_address, ip_network
from pathlib import Path

import pytest
from scapy.layers.inet import IP, TCP
from scapy.layers.l2 import Ether

from headrace.dataplane import Dataplane, libbpf
from headrace.dataplane.dataplane import _FLOWS, _PROGRAM
from headrace.model import Port, Protocol, Reach, ServiceEntry, ServiceKey

from .rig import HOP_MAC, LOOPBACK, OWN_MAC, endpoints_of, path, reach, spread

pytestmark = pytest.mark.bpf

KEY = ServiceKey(ip_address("20.20.20.1"), Protocol.TCP, 8080)
ENTRY = ServiceEntry("web")
REACHES = [reach(1), reach(2), reach(3)]
OTHER_MAC = bytes.fromhex("0200000000cc")


@pytest.fixture
def plane(pins: Path) -> Iterator[Dataplane]:
    plane = Dataplane(pins)
    yield plane
    plane.close()


def serve(plane: Dataplane, slots: int = 65_537) -> None:
    plane.set_ports([Port("lo", LOOPBACK, (OWN_MAC,))])
    plane.set_hash_keys(range(1, 7))
    for each in REACHES:
        plane.put_endpoint(each, path(each))
    plane.put_pool("web", REACHES, spread(3, slots), stamp=7)
    plane.put_service(KEY, ENTRY)


def send(plane: Dataplane, source_port: int = 1000, vip: str = "20.20.20.1") -> Ether:
    inner = IP(src="1.1.1.1", dst=vip) / TCP(sport=source_port, dport=8080)
    packet = bytes(Ether(dst=OWN_MAC.hex(":")) / inner)
    return Ether(libbpf.run_program(plane.program_fd, packet)[1])


def test_what_was_put_is_read_back(plane: Dataplane) -> None:
    serve(plane)

    forwarding = plane.read()

    assert forwarding.hash_keys == (1, 2, 3, 4, 5, 6)
    assert forwarding.endpoints == {each: path(each) for each in REACHES}
    assert forwarding.pools == {"web": 7}
    assert forwarding.services == {KEY: ENTRY}


def test_next_daemon_finds_everything_and_the_counters(plane: Dataplane, pins: Path) -> None:
    serve(plane)
    for port in range(100):
        send(plane, port)
    before = plane.read()
    plane.close()

    successor = Dataplane(pins)

    assert successor.read() == before
    assert successor.service_counts([KEY])[0].packets == 100
    assert sum(successor.endpoint_count(each).packets for each in REACHES) == 100
    assert send(successor)[IP].dst.startswith("31.31.31.")
    successor.close()


@pytest.mark.parametrize("lost", _PROGRAM.maps)
def test_daemon_that_finds_a_map_missing_has_everything_written_again(
    plane: Dataplane, pins: Path, lost: str
) -> None:
    serve(plane)
    answers = {port: send(plane, port)[IP].dst for port in range(50)}
    (pins / "maps" / lost).unlink()
    plane.close()

    successor = Dataplane(pins)

    assert (successor.read().pools.get("web") == 7) == (lost not in _FLOWS)
    serve(successor)
    assert {port: send(successor, port)[IP].dst for port in range(50)} == answers
    assert successor.read().endpoints == {each: path(each) for each in REACHES}
    successor.close()


@pytest.mark.parametrize("lost", _PROGRAM.maps)
def test_program_before_forwards_as_ever_while_a_daemon_fills_new_maps(
    plane: Dataplane, pins: Path, lost: str
) -> None:
    def forwarded() -> list[bytes]:
        return [
            bytes(send(plane, port, vip))
            for vip in ("20.20.20.1", "20.20.21.9")
            for port in range(20)
        ]

    serve(plane)
    plane.put_service(ServiceKey(ip_network("20.20.21.0/24"), Protocol.TCP, 8080), ENTRY)
    before = forwarded()
    (pins / "maps" / lost).unlink()

    successor = Dataplane(pins)
    while_empty = forwarded()
    serve(successor)

    assert (while_empty, forwarded()) == (before, before)
    successor.close()


def test_pins_are_those_of_one_daemon_whenever_it_is_killed(plane: Dataplane, pins: Path) -> None:
    serve(plane)
    (pins / "maps-new").mkdir()
    (pins / "maps" / "notes").rename(pins / "maps-new" / "notes")  # as one killed leaves them

    successor = Dataplane(pins)

    assert not (pins / "maps-new").exists()
    assert {pin.name for pin in (pins / "maps").iterdir()} == set(_PROGRAM.maps)
    successor.close()


def test_pinned_map_of_another_shape_is_made_anew(plane: Dataplane, pins: Path) -> None:
    serve(plane)
    plane.close()
    (pins / "maps" / "answers").rename(pins / "maps" / "settings")  # 8 bytes instead of 64

    successor = Dataplane(pins)

    assert successor.read().hash_keys == (0,) * 6
    serve(successor)
    assert send(successor)[IP].dst.startswith("31.31.31.")
    successor.close()


def test_pins_of_a_daemon_that_lives_on_are_left_alone(plane: Dataplane, pins: Path) -> None:
    serve(plane)
    before = {pin.name: pin.stat().st_ino for pin in (pins / "maps").iterdir()}

    Dataplane(pins).close()

    assert {pin.name: pin.stat().st_ino for pin in (pins / "maps").iterdir()} == before


def test_removing_backward_leaves_nothing(plane: Dataplane) -> None:
    serve(plane)

    plane.remove_service(KEY)
    plane.remove_pool("web")
    for each in REACHES:
        plane.remove_endpoint(each)

    forwarding = plane.read()
    assert (forwarding.endpoints, forwarding.pools, forwarding.services) == ({}, {}, {})
    assert list(plane._services._items()) == []


def test_vip_stays_a_vip_while_another_service_has_it(plane: Dataplane) -> None:
    serve(plane)
    other = ServiceKey(KEY.vip, Protocol.UDP, 53)
    plane.put_service(other, ENTRY)

    plane.remove_service(KEY)

    send(plane)
    counts = {each.name: each.count.packets for each in plane.verdict_counts()}
    assert counts["drop_unserved"] == 1
    assert plane.read().services == {other: ENTRY}


def test_new_next_hop_is_used_by_the_next_packet(plane: Dataplane) -> None:
    serve(plane)
    assert send(plane).dst == HOP_MAC.hex(":")

    for each in REACHES:
        plane.put_endpoint(each, path(each, mac=OTHER_MAC))

    assert send(plane).dst == OTHER_MAC.hex(":")
    assert [h.ifindex != 0 for h in plane._endpoints._hops.values[:4]] == [False, True, True, False]


def test_next_hops_that_nobody_uses_are_handed_out_again(pins: Path) -> None:
    now = 0.0
    plane = Dataplane(pins, now=lambda: now)
    for number in range(3000):
        now = float(2 * number)
        plane.put_endpoint(reach(1), path(reach(1), mtu_bytes=1000 + number))

    assert plane.read().endpoints == {reach(1): path(reach(1), mtu_bytes=3999)}
    plane.close()


def test_endpoint_whose_outer_addresses_change_gets_an_entry_of_its_own(plane: Dataplane) -> None:
    serve(plane)
    old = set(endpoints_of(plane, "web"))
    moved = Reach(REACHES[0].endpoint, ip_address("31.31.31.254"), ip_address("31.31.31.77"))

    plane.put_endpoint(moved, path(moved))
    plane.put_pool("web", [moved, *REACHES[1:]], spread(3), stamp=8)
    plane.remove_endpoint(REACHES[0])

    assert len(set(endpoints_of(plane, "web")) & old) == 2
    sources = {send(plane, port)[IP].src for port in range(50)}
    assert sources == {"31.31.31.253", "31.31.31.254"}


def test_array_of_slots_grows_under_what_is_served(plane: Dataplane, pins: Path) -> None:
    serve(plane)
    answers = {port: send(plane, port)[IP].dst for port in range(200)}

    for number in range(20):
        plane.put_pool(f"pool{number}", REACHES, spread(3), stamp=number)

    assert {port: send(plane, port)[IP].dst for port in range(200)} == answers
    assert len(plane.read().pools) == 21
    before = plane.read()
    plane.close()
    successor = Dataplane(pins)
    assert successor.read() == before
    assert {port: send(successor, port)[IP].dst for port in range(200)} == answers
    successor.close()


def test_table_of_another_size_leaves_the_old_region_to_rest(pins: Path) -> None:
    now = 0.0
    plane = Dataplane(pins, now=lambda: now)
    serve(plane)
    first = plane._pools._pools.values[0].table.first_line

    plane.put_pool("web", REACHES, [*spread(3), 0], stamp=8)
    second = plane._pools._pools.values[0].table.first_line
    plane.put_pool("web", REACHES, spread(3), stamp=9)
    third = plane._pools._pools.values[0].table.first_line
    now = 5.0
    plane.put_pool("web", REACHES, [*spread(3), 0], stamp=10)

    assert len({first, second, third}) == 3
    assert plane._pools._pools.values[0].table.first_line == first
    plane.close()


def test_old_flows_follow_an_endpoint_whose_outer_source_changed(pins: Path) -> None:
    plane = Dataplane(pins)
    before, other = reach(1), reach(2)
    after = replace(before, outer_source=ip_address("31.31.31.99"))
    new_hop = bytes.fromhex("0200000000cc")
    for each in (before, other):
        plane.put_endpoint(each, path(each))
    plane.put_pool("web", [before, other], spread(2), stamp=1)

    plane.put_endpoint(after, path(after, mac=new_hop))
    plane.put_pool("web", [after, other], spread(2), stamp=2)
    plane.remove_endpoint(before)

    paths = [row.path for row in plane.tables().endpoints.values() if row.path]
    assert {(p.outer_source, p.next_hop.destination_mac) for p in paths if p.outer_source} >= {
        (before.outer_source, new_hop),
        (after.outer_source, new_hop),
    }
    assert set(plane.read().endpoints) == {after, other}
    plane.close()
