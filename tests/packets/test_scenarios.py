"""Scenarios of the trade, each a few packets and what must hold between them.

Those that need another world than the cases' are in `test_changes`.
"""

from collections.abc import Callable
from ipaddress import IPv4Address, IPv6Address, ip_address, ip_network

import pytest
from scapy.packet import Packet

from headrace.model import ConfigError, IPAddress, Protocol, ServiceKey, parse_document

from . import expect, services, world
from .arena import Arena, Seen
from .cases_too_big import ways
from .decapsulator import Arrived, decapsulate
from .every import CASES
from .packets import (
    ROUTER,
    filled,
    frame,
    icmp_error,
    ip,
    marked,
    ping,
    reply,
    tcp,
    transport,
    udp,
)
from .world import FAMILIES, SMALL_MTU, TUNING

pytestmark = pytest.mark.bpf

both_families = pytest.mark.parametrize("family", FAMILIES, ids=["IPv4", "IPv6"])
TOO_BIG = {4: (3, 4), 6: (2, 0)}
ADDRESS: dict[int, Callable[[bytes], IPAddress]] = {4: IPv4Address, 16: IPv6Address}


def send(arena: Arena, packet: bytes) -> Seen:
    """Send a packet both ways, which must agree."""
    seen = arena.kernel(packet)
    outcome = arena.reference(packet)
    assert (seen.verdict, seen.packet.hex()) == (outcome.verdict, outcome.packet.hex())
    return seen


def arrive(arena: Arena, packet: bytes) -> Arrived:
    """What the endpoint gets that a packet is sent to."""
    seen = send(arena, packet)
    assert seen.verdict == "sent"
    return decapsulate(seen.packet, TUNING.gue_port)


def inside(packet: bytes) -> bytes:
    return expect.parsed(packet).packet


def test_a_port_of_an_endpoint_is_refused_for_nothing_is_ever_rewritten(arena: Arena) -> None:
    document = (
        "services: [{{name: web, vip: 20.20.20.1, protocol: tcp, port: 80, "
        "endpoints: [{{address: 56.56.56.1{port}}}]}}]"
    )
    packet = frame(ip(services.WEB[4]) / tcp(80))

    parse_document(document.format(port=""))
    with pytest.raises(ConfigError, match="port"):
        parse_document(document.format(port=", port: 8080"))

    assert arrive(arena, packet).inner == inside(packet)


@both_families
def test_a_client_that_does_as_it_is_told_gets_through(arena: Arena, family: int) -> None:
    for pool, port, added in ways(family).values():
        header = ip(services.SMALL[family]) / tcp(port)

        answer = send(arena, frame(filled(header, SMALL_MTU + 1)))
        told = _told_size(answer.packet)

        assert (answer.verdict, told) == ("answered_too_big", SMALL_MTU - added)
        fitting = frame(filled(header, told))
        assert arrive(arena, fitting).inner == inside(fitting), pool.name


def _told_size(answer: bytes) -> int:
    """The MTU in an error, the last word of the ICMP header."""
    header = expect.parsed(answer)
    at = header.at + {4: 20, 6: 40}[header.family] + 4
    return int.from_bytes(answer[at : at + 4], "big")


@both_families
def test_an_error_about_a_reply_reaches_the_flows_endpoint_unchanged(
    arena: Arena, family: int
) -> None:
    vip = services.WEB[family]
    endpoints = set()
    for sport in range(2000, 2020):
        data = arrive(arena, frame(ip(vip) / tcp(sport=sport)))
        error = frame(icmp_error(vip, *TOO_BIG[family], reply(vip, client_port=sport)))
        arrived = arrive(arena, error)
        assert arrived.outer_destination == data.outer_destination
        assert arrived.inner == inside(error)
        endpoints.add(arrived.outer_destination)

    assert len(endpoints) > 1


@both_families
def test_an_error_about_a_flow_of_no_vip_is_the_kernels(arena: Arena, family: int) -> None:
    node = ip_address({4: "11.11.11.1", 6: "2001:db8::1"}[family])
    packet = frame(icmp_error(node, *TOO_BIG[family], reply(node)))

    seen = send(arena, packet)

    assert (seen.verdict, seen.action, seen.packet) == ("pass_not_vip", "pass", packet)


@both_families
def test_a_vip_without_any_endpoint_is_still_pinged(arena: Arena, family: int) -> None:
    """That its services work is the announcement's to say, not a ping's."""
    vip = services.DARK[family]

    assert send(arena, frame(ip(vip) / tcp())).verdict == "drop_no_path"
    assert send(arena, frame(ping(vip))).verdict == "answered_echo"


@both_families
def test_a_port_that_nobody_serves_is_dropped_and_counted(arena: Arena, family: int) -> None:
    packet = ip(services.WEB[family]) / tcp(8081)

    seen = send(arena, frame(packet))
    own = send(arena, frame(ip({4: "11.11.11.1", 6: "2001:db8::1"}[family]) / tcp(8081)))

    assert seen.counts == {"drop_unserved": (1, len(packet))}
    assert (own.verdict, own.action) == ("pass_not_vip", "pass")


@both_families
def test_a_client_has_one_endpoint_by_source_and_several_by_flow(arena: Arena, family: int) -> None:
    def endpoints(vip: IPAddress) -> set[bytes | None]:
        return {
            arrive(arena, frame(ip(vip) / tcp(sport=sport))).outer_destination
            for sport in (15_402, 15_403, 15_404, 55_001)
        }

    assert len(endpoints(services.BY_SOURCE[family])) == 1
    assert len(endpoints(services.WEB[family])) > 1


@both_families
def test_a_routers_error_takes_the_way_of_its_flow(arena: Arena, family: int) -> None:
    vip = services.HASHED[family]
    for port in services.HASHED_PORTS.values():
        for sport in range(3000, 3008):
            data = arrive(arena, frame(ip(vip) / tcp(port, sport)))
            quote = reply(vip, vip_port=port, client_port=sport)
            error = icmp_error(vip, *TOO_BIG[family], quote, router=ROUTER[family])
            arrived = arrive(arena, frame(error))
            assert arrived.outer_destination == data.outer_destination
            assert arrived.outer_source == data.outer_source


@both_families
def test_a_port_range_is_served_from_its_first_to_its_last(arena: Arena, family: int) -> None:
    vip = services.RANGE[family]

    served = {
        port for port in range(90, 211) if send(arena, frame(ip(vip) / tcp(port))).verdict == "sent"
    }

    assert served == set(range(100, 201))


@both_families
@pytest.mark.parametrize("header", [tcp(), udp()], ids=["TCP", "UDP"])
def test_a_packet_crosses_the_other_family_and_back(
    arena: Arena, family: int, header: Packet
) -> None:
    ways_across = {4: (services.FAR, services.BY_GUE6), 6: (services.WEB, services.BY_GUE4)}
    for vips in ways_across[family]:
        packet = frame(ip(vips[family]) / header)

        arrived = arrive(arena, packet)

        assert arrived.inner == inside(packet)
        assert len(arrived.outer_destination or b"") == {4: 16, 6: 4}[family]


@both_families
def test_congestion_is_told_inside_of_any_mark(arena: Arena, family: int) -> None:
    vip = services.MARKED[family]
    for (outer, dscp), pool in world.MARKED.items():
        port = services.MARK_PORTS[dscp] + outer * 1000
        for ecn in range(4):
            seen = send(arena, frame(marked(vip, 8 << 2 | ecn) / tcp(port)))
            assert expect.parsed(seen.packet).mark == dscp << 2 | ecn, pool.name


@both_families
def test_tcp_and_udp_of_one_port_never_meet(arena: Arena, family: int) -> None:
    vip = services.CROSSED[family]

    by_tcp = {_endpoint(arena, ip(vip) / tcp(sport=sport)) for sport in range(1000, 1030)}
    by_udp = {_endpoint(arena, ip(vip) / udp(sport=sport)) for sport in range(1000, 1030)}

    assert by_tcp == {reach.outer_destination for reach in world.WEB.reaches}
    assert by_udp == {reach.outer_destination for reach in world.FAR.reaches}


def _endpoint(arena: Arena, packet: Packet) -> IPAddress:
    destination = arrive(arena, frame(packet)).outer_destination
    assert destination is not None
    return ADDRESS[len(destination)](destination)


@both_families
def test_an_outer_source_is_in_its_prefix_and_the_flows_own(arena: Arena, family: int) -> None:
    vip = services.HASHED[family]
    prefixes = {4: ip_network("10.240.0.0/16"), 6: ip_network("2001:db8:f0::/112")}
    for (outer, _), port in services.HASHED_PORTS.items():
        sources = []
        for sport in range(4000, 4032):
            packet = frame(ip(vip) / tcp(port, sport))
            one, other = (arrive(arena, packet).outer_source for _ in range(2))
            assert one == other
            assert one is not None
            sources.append(ADDRESS[len(one)](one))
        assert all(source in prefixes[outer] for source in sources)
        assert len(set(sources)) > len(sources) - 3


def test_a_plain_decapsulator_finds_every_packet_that_is_sent(arena: Arena) -> None:
    sent = [case for case in CASES if case.verdict == "sent"]

    for case in sent:
        seen = arena.run_in_kernel(case)
        arrived = decapsulate(seen.packet, TUNING.gue_port)
        assert arrived.inner == inside(case.packet), case.sentence

    assert len(sent) > 400


@both_families
def test_a_service_counts_what_comes_for_it(arena: Arena, family: int) -> None:
    vip = services.SOURCES[family]
    key = ServiceKey(vip, Protocol.TCP, 80)
    refused = {4: "8.8.8.8", 6: "2001:db8:bad::1"}[family]
    packets = [ip(vip), ip(vip, refused)]  # the second is counted though it is dropped
    before = arena.dataplane.service_counts([key])[0]

    for packet in packets:
        send(arena, frame(packet / transport(Protocol.TCP)) + bytes(9))

    after = arena.dataplane.service_counts([key])[0]
    size = len(packets[0] / transport(Protocol.TCP))
    assert (after.packets - before.packets, after.bytes - before.bytes) == (2, 2 * size)
