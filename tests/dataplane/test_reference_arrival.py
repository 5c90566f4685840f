"""The reference, from the wire to the service: link, VIP, lengths, extension headers, look-up."""

import pytest
from scapy.layers.inet import IP, TCP, UDP, IPOption
from scapy.layers.inet6 import (
    IPv6,
    IPv6ExtHdrDestOpt,
    IPv6ExtHdrFragment,
    IPv6ExtHdrHopByHop,
    IPv6ExtHdrRouting,
    PadN,
)
from scapy.layers.l2 import ARP, Dot1AD, Dot1Q, Ether
from scapy.layers.sctp import SCTP
from scapy.packet import Packet, Raw

from headrace.dataplane.reference import Memory, Outcome, process
from headrace.model import ServiceKey, Unserved

from .reference_tables import (
    CLIENT4,
    ETHER,
    INGRESS,
    NOW_S,
    ROUTER_MAC,
    TO4,
    TO6,
    VIP4,
    VIP6,
    assert_leaves,
    run,
    service,
    syn,
    tables,
    verdict,
    wrapped,
)

WEB = tables(service(), service(f"[{VIP6}]:80/tcp"))
TCP80 = TCP(sport=5000, dport=80)
MACS = bytes(ETHER)[:12]


def cut(packet: Packet, size: int) -> bytes:
    """The first bytes of a frame."""
    return bytes(packet)[:size]


@pytest.mark.parametrize(
    "packet",
    [
        pytest.param(ETHER / ARP(pdst=VIP4), id="ARP"),
        pytest.param(cut(syn(), 33), id="an IPv4 header cut short"),
        pytest.param(cut(syn(6), 53), id="an IPv6 header cut short"),
        pytest.param(cut(syn(), 13), id="no whole Ethernet header"),
        pytest.param(cut(ETHER / Dot1Q(vlan=5) / TO4, 17), id="a tag cut short"),
        pytest.param(ETHER / Dot1Q() / Dot1Q() / Dot1Q() / TO4 / TCP80, id="three tags"),
        pytest.param(MACS + b"\x08\x00" + bytes(TO6 / TCP80), id="IPv6 that says IPv4"),
        pytest.param(MACS + b"\x86\xdd" + bytes(TO4 / TCP80), id="IPv4 that says IPv6"),
    ],
)
def test_what_is_no_ip_is_passed(packet: Packet | bytes) -> None:
    frame = bytes(packet)

    assert run(frame, WEB) == Outcome("pass_not_ip", frame, length_bytes=len(frame))


@pytest.mark.parametrize(
    "tags",
    [
        pytest.param([], id="none"),
        pytest.param([Dot1Q(vlan=5)], id="one"),
        pytest.param([Dot1AD(vlan=5, prio=3), Dot1Q(vlan=6)], id="two"),
        pytest.param([Dot1AD(vlan=5), Dot1AD(vlan=6)], id="two of the provider's"),
    ],
)
@pytest.mark.parametrize("inner", [TO4 / TCP80, TO6 / TCP80], ids=["IPv4", "IPv6"])
def test_tags_of_the_way_in_are_not_sent_on(tags: list[Packet], inner: Packet) -> None:
    packet: Packet = ETHER.copy()
    for tag in tags:
        packet /= tag

    tagged, plain = run(packet / inner, WEB), run(ETHER / inner, WEB)

    assert tagged == plain
    assert tagged.verdict == "sent"


@pytest.mark.parametrize(
    ("packet", "length"),
    [
        pytest.param(ETHER / IP(src=CLIENT4, dst="20.20.20.2") / TCP80, 40, id="IPv4"),
        pytest.param(ETHER / IPv6(dst="2001:db8:20::2") / TCP80, 60, id="IPv6"),
        pytest.param(
            ETHER / IP(dst="20.20.20.2", len=9999) / TCP80, 9999, id="a length that cannot be"
        ),
        pytest.param(ETHER / IPv6(dst="::ffff:20.20.20.1") / TCP80, 60, id="a VIP, mapped"),
    ],
)
def test_what_is_for_nobody_here_is_passed(packet: Packet, length: int) -> None:
    frame = bytes(packet)

    assert run(frame, WEB) == Outcome("pass_not_vip", frame, length_bytes=length)


def test_a_frame_for_another_host_is_passed_however_wrong_it_is() -> None:
    other = Ether(dst="02:00:00:00:00:77", src=ROUTER_MAC)

    assert verdict(other / TO4 / TCP80, WEB) == "pass_other_host"
    assert verdict(other / IP(dst=VIP4, ihl=4) / TCP80, WEB) == "pass_other_host"


def test_a_frame_from_an_interface_of_no_known_address_is_passed() -> None:
    outcome = process(bytes(syn()), INGRESS + 256, WEB, Memory(), NOW_S)

    assert outcome.verdict == "pass_other_host"


@pytest.mark.parametrize(
    "packet",
    [
        pytest.param(ETHER / IP(dst=VIP4, ihl=4) / TCP80, id="an IPv4 header of 16 bytes"),
        pytest.param(ETHER / IP(dst=VIP4, ihl=15) / TCP80, id="options beyond the length"),
        pytest.param(ETHER / IP(dst=VIP4, len=19) / TCP80, id="a length within the header"),
        pytest.param(ETHER / IP(dst=VIP4, len=41) / TCP80, id="an IPv4 length beyond the frame"),
        pytest.param(ETHER / IPv6(dst=VIP6, plen=21) / TCP80, id="an IPv6 one"),
        pytest.param(ETHER / IP(dst=VIP4, len=23) / TCP80, id="three bytes of ports, IPv4"),
        pytest.param(ETHER / IPv6(dst=VIP6, plen=3) / TCP80, id="three bytes of ports, IPv6"),
        pytest.param(ETHER / IPv6(dst=VIP6, plen=0, nh=6) / TCP80, id="a payload length of 0"),
        pytest.param(
            ETHER / IPv6(dst=VIP6, nh=60) / b"\x06\x00\x00\x00\x00\x00\x00",
            id="an extension header of seven bytes",
        ),
        pytest.param(
            ETHER / IPv6(dst=VIP6, nh=60) / b"\x06\x02" / bytes(14),
            id="an extension header that runs past the length",
        ),
        pytest.param(
            ETHER / IPv6(dst=VIP6) / IPv6ExtHdrFragment(nh=6) / b"abc",
            id="an atomic fragment with three bytes of ports",
        ),
    ],
)
def test_headers_that_contradict_their_length_are_dropped(packet: Packet) -> None:
    assert verdict(packet, WEB) == "drop_malformed"


def test_ports_without_the_rest_of_their_header_suffice() -> None:
    packet = bytes(ETHER / IP(src=CLIENT4, dst=VIP4, len=24) / TCP80)

    outcome = run(packet, WEB)

    assert outcome.verdict == "sent"
    assert outcome.length_bytes == 24
    assert outcome.packet.endswith(packet[14:])


def test_ipv4_options_are_skipped() -> None:
    packet = ETHER / IP(src=CLIENT4, dst=VIP4, options=[IPOption(b"\x94\x04\0\0")]) / TCP80

    assert_leaves(run(packet, WEB), "sent", wrapped(bytes(packet)[14:]), 77)


@pytest.mark.parametrize(
    "headers",
    [
        pytest.param(IPv6ExtHdrHopByHop(), id="hop by hop"),
        pytest.param(IPv6ExtHdrRouting(addresses=["2001:db8::9"]), id="routing"),
        pytest.param(IPv6ExtHdrFragment(id=9), id="an atomic fragment"),
        pytest.param(
            IPv6ExtHdrHopByHop()
            / IPv6ExtHdrDestOpt(options=[PadN(optdata=bytes(20))])
            / IPv6ExtHdrRouting()
            / IPv6ExtHdrDestOpt(),
            id="four",
        ),
    ],
)
def test_extension_headers_are_walked(headers: Packet) -> None:
    outcome = run(ETHER / TO6 / headers / TCP80, WEB)

    assert outcome.verdict == "sent"
    assert outcome.service == ServiceKey.of_text(f"[{VIP6}]:80/tcp")
    assert outcome.packet.endswith(bytes(TO6 / headers / TCP80))


def test_a_fifth_extension_header_is_too_many_whatever_is_in_it() -> None:
    four = TO6 / IPv6ExtHdrHopByHop() / IPv6ExtHdrDestOpt() / IPv6ExtHdrRouting()
    fifth = IPv6ExtHdrDestOpt() / IPv6ExtHdrDestOpt()

    assert verdict(ETHER / four / fifth / TCP80, WEB) == "drop_headers"
    assert verdict(ETHER / four / IPv6ExtHdrDestOpt(nh=60), WEB) == "drop_headers"


def test_what_no_service_is_for_is_dropped() -> None:
    assert verdict(ETHER / TO4 / TCP(dport=81), WEB) == "drop_unserved"
    assert verdict(ETHER / TO4 / UDP(dport=80), WEB) == "drop_unserved"
    assert verdict(ETHER / TO4 / SCTP(dport=80), WEB) == "drop_unserved"
    assert verdict(ETHER / IP(dst=VIP4, proto=47) / Raw(b"x"), WEB) == "drop_unserved"
    assert verdict(ETHER / IPv6(dst=VIP6, nh=59), WEB) == "drop_unserved"
    assert verdict(ETHER / IP(dst=VIP4, proto=58) / bytes(8), WEB) == "drop_unserved"
    assert verdict(ETHER / IPv6(dst=VIP6, nh=1) / bytes(8), WEB) == "drop_unserved"


def test_what_no_service_is_for_is_passed_if_the_vip_says_so() -> None:
    passing = tables(service(unserved=Unserved.PASS))

    assert verdict(ETHER / TO4 / TCP(dport=81), passing) == "pass_unserved"
    assert verdict(ETHER / IP(dst=VIP4, proto=47) / Raw(b"x"), passing) == "pass_unserved"


def test_a_port_of_its_own_comes_before_any_port() -> None:
    both = tables(service(f"{VIP4}:any/tcp"), service(f"{VIP4}:443/tcp"))

    assert str(run(syn(dport=443), both).service) == f"{VIP4}:443/tcp"
    assert str(run(syn(dport=444), both).service) == f"{VIP4}:any/tcp"


@pytest.mark.parametrize(
    ("address", "port", "expected"),
    [
        pytest.param("20.20.20.1", 80, "20.20.20.1:80/tcp", id="an address before its prefix"),
        pytest.param("20.20.20.1", 81, None, id="whose other services it does not have"),
        pytest.param("20.20.20.2", 81, "20.20.20.0/24:81/tcp", id="the longest prefix"),
        pytest.param("20.20.20.2", 82, None, id="whose shorter one's services it does not have"),
        pytest.param("20.20.21.2", 82, "20.20.0.0/16:82/tcp", id="the shorter prefix"),
    ],
)
def test_a_vip_is_an_address_or_the_longest_prefix(
    address: str, port: int, expected: str | None
) -> None:
    nested = tables(
        service("20.20.20.1:80/tcp"),
        service("20.20.20.0/24:81/tcp"),
        service("20.20.0.0/16:82/tcp"),
    )

    outcome = run(ETHER / IP(src=CLIENT4, dst=address) / TCP(dport=port), nested)

    assert outcome.verdict == ("sent" if expected else "drop_unserved")
    assert (str(outcome.service) if outcome.service else None) == expected


def test_an_ipv6_prefix_holds_the_addresses_in_it_only() -> None:
    prefix = tables(service("[2001:db8:20::/48]:80/tcp"))

    assert run(ETHER / IPv6(dst="2001:db8:20:ffff::9") / TCP80, prefix).verdict == "sent"
    assert run(ETHER / IPv6(dst="2001:db8:21::9") / TCP80, prefix).verdict == "pass_not_vip"
