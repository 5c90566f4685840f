"""The flows that the data plane knows one by one, as its own map has them."""

import ctypes
import time
from collections.abc import Iterator
from ipaddress import ip_address
from pathlib import Path

import pytest
from scapy.layers.inet import ICMP, IP, TCP, UDP
from scapy.layers.inet6 import ICMPv6PacketTooBig, IPv6
from scapy.layers.l2 import Ether

from headrace.dataplane import Dataplane, layout, libbpf
from headrace.dataplane.maps import HashMap
from headrace.model import Flow, FlowTable, Port, Protocol, ServiceEntry, ServiceKey, Tuning

from .rig import LOOPBACK, OWN_MAC, path, reach, spread

pytestmark = pytest.mark.bpf

VIPS = "20.20.20.1", "2001:db8::1"
CLIENTS = {"20.20.20.1": "1.1.1.1", "2001:db8::1": "2001:db8:1::1"}
REACH = reach(1)
XDP_REDIRECT = 4


@pytest.fixture
def plane(pins: Path) -> Iterator[Dataplane]:
    """A data plane that notes each UDP flow, of both families, to its only endpoint."""
    plane = Dataplane(pins)
    plane.set_ports([Port("lo", LOOPBACK, (OWN_MAC,))])
    plane.put_endpoint(REACH, path(REACH))
    plane.put_pool("dns", [REACH], spread(1), stamp=1)
    for vip in VIPS:
        key = ServiceKey(ip_address(vip), Protocol.UDP, 53)
        plane.put_service(key, ServiceEntry("dns", flow_table=FlowTable.ALWAYS))
    yield plane
    plane.close()


def send(plane: Dataplane, vip: str, source_port: int) -> Flow:
    """Send one packet of a flow; the flow."""
    ip = (IPv6 if ":" in vip else IP)(src=CLIENTS[vip], dst=vip)
    packet = bytes(Ether(dst=OWN_MAC.hex(":")) / ip / UDP(sport=source_port, dport=53))
    libbpf.run_program(plane.program_fd, packet)
    return Flow(Protocol.UDP, ip_address(CLIENTS[vip]), source_port, ip_address(vip), 53)


def test_each_flow_is_told_once_with_its_endpoint_and_how_long_it_is_idle(
    plane: Dataplane,
) -> None:
    begin_s = time.monotonic()
    sent = {send(plane, vip, port) for vip in VIPS for port in (1000, 1001) for _ in range(3)}

    found = plane.remembered_flows(100)

    assert len(found) == len(sent)
    assert {each.flow for each in found} == sent
    assert {each.endpoint for each in found} == {REACH.endpoint}
    assert all(0 <= each.idle_s <= time.monotonic() - begin_s + 1 for each in found)


def test_no_more_notes_are_looked_at_than_asked_for(plane: Dataplane) -> None:
    for port in range(1000, 1020):
        send(plane, VIPS[0], port)

    assert len(plane.remembered_flows(7)) == 7


def test_a_flow_whose_endpoint_is_gone_or_another_by_now_is_not_told(plane: Dataplane) -> None:
    send(plane, VIPS[0], 1000)
    for vip in VIPS:
        plane.remove_service(ServiceKey(ip_address(vip), Protocol.UDP, 53))
    plane.remove_pool("dns")

    plane.remove_endpoint(REACH)
    gone = plane.remembered_flows(100)
    plane.put_endpoint(reach(2), path(reach(2)))  # at the index that is free now

    assert (gone, plane.remembered_flows(100)) == ([], [])


def test_a_key_that_the_data_plane_does_not_write_is_passed_over(plane: Dataplane) -> None:
    flow = send(plane, VIPS[0], 1000)
    notes = HashMap(plane._loader.map_fds["notes"], layout.FlowKey, layout.Note)
    key, note = next(iter(notes.items()))
    odd = layout.FlowKey.from_buffer_copy(bytes(key))
    ctypes.memset(odd.source, 0, 16)  # of neither family

    notes.put(odd, note)

    assert [each.flow for each in plane.remembered_flows(100)] == [flow]


@pytest.mark.parametrize("vip", VIPS)
def test_a_flow_that_goes_on_keeps_its_note(plane: Dataplane, vip: str) -> None:
    plane.set_tuning(Tuning(udp_idle_s=60))
    send(plane, vip, 1000)
    notes = HashMap(plane._loader.map_fds["notes"], layout.FlowKey, layout.Note)
    key, note = next(iter(notes.items()))
    note.seen_s -= 30
    notes.put(key, note)

    send(plane, vip, 1000)

    (known,) = plane.remembered_flows(100)
    assert known.idle_s < 30


def error(vip: str, source_port: int) -> bytes:
    """What a router says of a packet that the VIP sent in a flow."""
    router, client = ("9.9.9.9", "2001:db8:9::9")[":" in vip], CLIENTS[vip]
    kind = (IPv6, IP)[":" not in vip]
    too_big = ICMPv6PacketTooBig(mtu=1400) if ":" in vip else ICMP(type=3, code=4)
    quoted = kind(src=vip, dst=client) / UDP(sport=53, dport=source_port)
    return bytes(Ether(dst=OWN_MAC.hex(":")) / kind(src=router, dst=vip) / too_big / quoted)


@pytest.mark.parametrize("vip", VIPS)
def test_an_error_is_no_packet_of_its_flow_and_leaves_no_note(plane: Dataplane, vip: str) -> None:
    code, _ = libbpf.run_program(plane.program_fd, error(vip, 1000))

    assert code == XDP_REDIRECT
    assert plane.remembered_flows(100) == []


@pytest.mark.parametrize("vip", VIPS)
def test_an_error_leaves_its_flow_as_idle_as_it_was(plane: Dataplane, vip: str) -> None:
    plane.set_tuning(Tuning(udp_idle_s=60))
    send(plane, vip, 1000)
    notes = HashMap(plane._loader.map_fds["notes"], layout.FlowKey, layout.Note)
    key, note = next(iter(notes.items()))
    note.seen_s -= 30
    notes.put(key, note)

    libbpf.run_program(plane.program_fd, error(vip, 1000))

    (known,) = plane.remembered_flows(100)
    assert known.idle_s >= 30


@pytest.mark.parametrize(("idle_s", "is_over"), [(20, False), (60, True)])
def test_a_flow_is_over_once_it_was_idle_for_so_long(
    plane: Dataplane,
    idle_s: int,
    is_over: bool,  # noqa: FBT001 - pytest's
) -> None:
    """Noted at an endpoint that owns no slot of its service."""
    plane.set_tuning(Tuning(udp_idle_s=60))
    send(plane, VIPS[0], 1000)
    notes = HashMap(plane._loader.map_fds["notes"], layout.FlowKey, layout.Note)
    ((key, note),) = notes.items()
    plane.put_endpoint(reach(2), path(reach(2)))
    rows = plane.tables().endpoints
    note.endpoint = next(at for at, row in rows.items() if row.address == reach(2).endpoint)
    note.generation = rows[note.endpoint].generation
    note.seen_s -= idle_s
    notes.put(key, note)

    send(plane, VIPS[0], 1000)

    (known,) = plane.remembered_flows(100)
    assert known.endpoint == (REACH if is_over else reach(2)).endpoint


def test_of_tcp_only_what_opens_a_connection_is_noted(plane: Dataplane) -> None:
    plane.put_endpoint(reach(2), path(reach(2)))
    plane.put_service(ServiceKey(ip_address(VIPS[0]), Protocol.TCP, 53), ServiceEntry("dns"))
    plane.put_pool("dns", [reach(2)], spread(1), stamp=2)  # now its slots are unstable

    counts = []
    for flags in ("A", "SA", "F", "R", "S"):
        ip = IP(src=CLIENTS[VIPS[0]], dst=VIPS[0])
        segment = ip / TCP(sport=1000, dport=53, flags=flags)
        libbpf.run_program(plane.program_fd, bytes(Ether(dst=OWN_MAC.hex(":")) / segment))
        counts.append(len(plane.remembered_flows(100)))

    assert counts == [0, 0, 0, 0, 1]
