"""IPv6 extension headers: up to four are walked."""

from scapy.packet import Packet, Raw

from headrace.model import Protocol

from . import services, world
from .case import Case, dropped, echoed, passed, sent
from .packets import (
    destination_options,
    flow,
    fragment6,
    frame,
    hop_by_hop,
    icmp_error,
    ip,
    ip_of,
    ping,
    reply,
    routing,
    tcp,
    transport,
    udp,
)

VIP = services.WEB[6]
MALFORMED, HEADERS = "drop_malformed", "drop_headers"
NO_NEXT_HEADER, AUTHENTICATION, ESP, MOBILITY = 59, 51, 50, 135


def chain(*headers: Packet) -> Packet:
    """An IPv6 packet to the VIP with these before what follows."""
    packet = ip(VIP)
    for header in headers:
        packet = packet / header.copy()
    return packet


def walked() -> list[Case]:
    kinds = {
        "hop-by-hop options": [hop_by_hop()],
        "64 bytes of hop-by-hop options": [hop_by_hop(64)],
        "2,048 bytes of destination options, the most there can be": [destination_options(2048)],
        "a routing header without segments": [routing()],
        "destination options": [destination_options()],
        "an atomic fragment": [fragment6()],
        "hop-by-hop, then destination options": [hop_by_hop(), destination_options()],
        "destination options, then a routing header": [destination_options(), routing()],
        "hop-by-hop options out of their place": [destination_options(), hop_by_hop()],
        "the order of RFC 8200": [hop_by_hop(), destination_options(), routing(), fragment6()],
        "the same header four times": [destination_options()] * 4,
        "an atomic fragment between options": [hop_by_hop(), fragment6(), destination_options()],
    }
    cases: list[Case] = []
    for what, headers in kinds.items():
        cases.extend(
            sent(
                f"IPv6: {what} before {protocol.upper()} is walked to the ports",
                frame(chain(*headers) / transport(protocol)),
                world.WEB,
            )
            for protocol in Protocol
        )
    return cases


def ends() -> list[Case]:
    """Where a chain ends other than at a port."""
    five = [destination_options()] * 5
    cut = {
        "options that start at the end of the packet": frame(ip_of(VIP, 60, plen=0) / tcp()),
        "one byte of options": frame(ip_of(VIP, 60) / Raw(b"\x06")),
        "seven bytes of an 8-byte option header": frame(ip_of(VIP, 60) / Raw(b"\x06" + bytes(6))),
        "options that are longer than the packet": frame(
            ip_of(VIP, 60) / Raw(b"\x06\x05" + bytes(22))
        ),
        "hop-by-hop options that are longer than the packet": frame(
            ip_of(VIP, 0) / Raw(b"\x06\xff" + bytes(22))
        ),
        "seven bytes of a fragment header": frame(ip_of(VIP, 44) / Raw(b"\x06" + bytes(6))),
        "a second header past the packet": frame(
            ip_of(VIP, 0) / Raw(b"\x3c\x00" + bytes(6) + b"\x06\x09" + bytes(6))
        ),
        "options that leave no room for the ports": frame(
            ip_of(VIP, 60) / Raw(b"\x06\x00" + bytes(6) + b"\x00\x50\x00")
        ),
        "options that end in the padding": frame(
            ip_of(VIP, 60, plen=8) / Raw(b"\x06\x01" + bytes(14) + bytes(tcp()))
        ),
    }
    cases = [dropped(f"IPv6: {what}: malformed", packet, MALFORMED) for what, packet in cut.items()]
    cases += [
        dropped("a fifth extension header is one too many", frame(chain(*five) / tcp()), HEADERS),
        dropped(
            "a fifth header is too many though a fragment's is among them",
            frame(chain(hop_by_hop(), fragment6(), *five[:3]) / tcp()),
            HEADERS,
        ),
        dropped("five headers are too many before a ping too", _pinged(*five), HEADERS),
        dropped("nine headers are too many", frame(chain(*five[:4], *five) / udp()), HEADERS),
        passed(
            "five headers on the way to another address are not counted",
            frame(ip("2001:db8::1") / five[0] / five[0] / five[0] / five[0] / five[0] / tcp()),
        ),
    ]
    for what, protocol in {
        "no next header": NO_NEXT_HEADER,
        "an authentication header": AUTHENTICATION,
        "an encrypted packet": ESP,
        "a mobility header": MOBILITY,
    }.items():
        cases.append(
            dropped(
                f"{what} is a protocol that nobody serves",
                frame(ip_of(VIP, protocol) / Raw(bytes(tcp()))),
                "drop_unserved",
            )
        )
        cases.append(
            passed(
                f"{what} is left to the kernel where the VIP says so",
                frame(ip_of(services.PASSING[6], protocol) / Raw(bytes(tcp()))),
                "pass_unserved",
            )
        )
    return cases


def _pinged(*headers: Packet) -> bytes:
    request = ping(VIP)
    return frame(chain(*headers) / request.payload)


def icmp() -> list[Case]:
    error = icmp_error(VIP, 2, 0, reply(VIP))
    return [
        echoed(
            "a ping behind hop-by-hop options is answered, options and all", _pinged(hop_by_hop())
        ),
        echoed("a ping behind four headers is answered", _pinged(*[destination_options()] * 4)),
        echoed("a ping in an atomic fragment is answered in one", _pinged(fragment6())),
        sent(
            "an ICMPv6 error behind options finds its flow",
            frame(chain(hop_by_hop()) / error.payload),
            world.WEB,
            flow=flow(VIP),
        ),
    ]


CASES = [*walked(), *ends(), *icmp()]
