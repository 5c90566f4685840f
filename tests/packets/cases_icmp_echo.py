"""Pings of a VIP are answered; neighbour discovery is the kernel's; other ICMP is nobody's."""

from dataclasses import replace

from scapy.layers.inet import ICMP
from scapy.layers.inet6 import (
    ICMPv6EchoReply,
    ICMPv6ND_NA,
    ICMPv6ND_NS,
    ICMPv6ND_RA,
    ICMPv6ND_Redirect,
    ICMPv6ND_RS,
)
from scapy.packet import Raw

from headrace.model import IPAddress

from . import services
from .case import Case, dropped, echoed, passed
from .cases_fragments import fragment
from .packets import Fields, fragment6, frame, hop_by_hop, ip, ip_of, ping
from .world import FAMILIES

NUMBER = {4: 1, 6: 58}


def answered() -> list[Case]:
    cases: list[Case] = []
    for family in FAMILIES:
        vip = services.WEB[family]
        for size, what in (
            (0, "nothing"),
            (1, "one byte"),
            (7, "an odd number of bytes"),
            (56, "56 bytes"),
            (1452, "as much as fits 1,500 bytes"),
            (3000, "3,000 bytes"),
        ):
            cases.append(
                echoed(f"IPv{family}: a ping with {what} is answered with it", _ping(vip, size))
            )
        for what, each in {
            "whose VIP has services without a path": services.DARK,
            "of a VIP that any port is served of": services.ANY_PORT,
            "of a VIP whose other packets are the kernel's": services.PASSING,
            "of a VIP whose services allow few clients": services.SOURCES,
            "of an address in a VIP prefix": services.IN_PREFIX,
            "of an address in a longer VIP prefix": services.IN_LONGER,
            "of an exact VIP within a prefix": services.WITHIN_EXACT,
        }.items():
            cases.append(
                echoed(f"IPv{family}: a ping {what} is answered", frame(ping(each[family])))
            )
        hops = {4: "ttl", 6: "hlim"}[family]
        marks = {4: "tos", 6: "tc"}[family]
        headers: dict[str, Fields] = {
            "a ping on its last hop is answered with 64 more": {hops: 1},
            "a ping from next door is answered with 64": {hops: 255},
            "a ping's DSCP and ECN are the answer's": {marks: 0xB9},
        }
        cases.extend(
            echoed(f"IPv{family}: {what}", frame(ping(vip, **fields)))
            for what, fields in headers.items()
        )
        cases.append(
            echoed(
                f"IPv{family}: a ping that the VIP seems to send itself is answered to it",
                frame(ping(vip, client=str(vip))),
            )
        )
    return cases


def _ping(vip: IPAddress, size: int) -> bytes:
    return frame(ping(vip, bytes(number & 0xFF for number in range(size))))


def fields_kept() -> list[Case]:
    vip = services.WEB[4]
    request = ping(vip)
    request[ICMP].code = 9
    edges = {
        "carries over": (0xFFFF, 1),
        "is 0": (0xF7FF, 0),
        "is 0xffff, less one": (0xF7FE, 3),
        "becomes that of nothing but zeros, 0xffff": (0, 0),
    }
    checksum_edges = [
        echoed(
            f"IPv4: a ping whose checksum {what}",
            frame(ip(vip) / ICMP(type=8, id=ident, seq=seq)),
        )
        for what, (ident, seq) in edges.items()
    ]
    return [
        echoed(
            "IPv4: a ping with options is answered with them",
            frame(ping(vip, options=[b"\x07\x07\x04" + bytes(5)])),
        ),
        echoed(
            "IPv4: a ping that may not be fragmented is answered alike",
            frame(ping(vip, flags="DF", id=0x99)),
        ),
        echoed("IPv4: a ping with a code is answered with code 0", frame(request)),
        echoed("IPv6: a flow label of a ping is kept", frame(ping(services.WEB[6], fl=0x12345))),
        *checksum_edges,
    ]


def limited() -> list[Case]:
    """An answer beyond the limit is not given."""
    return [
        replace(
            dropped(
                f"IPv{family}: a ping beyond the node's limit of answers gets none",
                frame(ping(services.WEB[family])),
                "drop_answers",
            ),
            answers_per_s=0,
        )
        for family in FAMILIES
    ]


def cut() -> list[Case]:
    """An ICMP header has 8 bytes."""
    cases: list[Case] = []
    for family in FAMILIES:
        vip = services.WEB[family]
        request = bytes(ping(vip).payload)
        cases.extend(
            dropped(
                f"IPv{family}: {size} bytes of a ping are not one",
                frame(ip_of(vip, NUMBER[family]) / Raw(request[:size])),
                "drop_malformed",
            )
            for size in (0, 1, 4, 7)
        )
        cases.append(
            dropped(
                f"IPv{family}: a ping whose header is completed by padding is not one",
                frame(ip_of(vip, NUMBER[family]) / Raw(request[:7])) + bytes(20),
                "drop_malformed",
            )
        )
    return cases


def others() -> list[Case]:
    kinds = {
        4: {
            "an echo reply": ICMP(type=0),
            "a redirect": ICMP(type=5) / Raw(bytes(28)),
            "a source quench": ICMP(type=4) / Raw(bytes(28)),
            "a timestamp request": ICMP(type=13),
            "a router solicitation": ICMP(type=10),
            "an address mask request": ICMP(type=17),
            "type 135, a neighbour solicitation in IPv6": Raw(b"\x87" + bytes(23)),
            "type 255": ICMP(type=255),
        },
        6: {
            "an echo reply": ICMPv6EchoReply(),
            "type 132, the last before neighbour discovery": Raw(b"\x84" + bytes(23)),
            "type 138, the first behind neighbour discovery": Raw(b"\x8a" + bytes(23)),
        },
    }
    cases: list[Case] = []
    for family, headers in kinds.items():
        for what, header in headers.items():
            cases.append(
                dropped(
                    f"IPv{family}: {what} to a VIP is served by nobody",
                    frame(ip_of(services.WEB[family], NUMBER[family]) / header),
                    "drop_unserved",
                )
            )
            cases.append(
                passed(
                    f"IPv{family}: {what} is the kernel's where the VIP says so",
                    frame(ip_of(services.PASSING[family], NUMBER[family]) / header),
                    "pass_unserved",
                )
            )
    crossed = {4: 58, 6: 1}
    cases += [
        dropped(
            f"IPv{family}: a ping of the other family's ICMP is served by nobody",
            frame(
                ip_of(services.WEB[family], number)
                / Raw(bytes([8 if number == 1 else 128]) + bytes(7))
            ),
            "drop_unserved",
        )
        for family, number in crossed.items()
    ]
    return cases


def neighbours() -> list[Case]:
    """IPv6 neighbour discovery, of whatever VIP."""
    web, verdict = services.WEB[6], "pass_neighbour"
    solicitation = ICMPv6ND_NS(tgt=str(web))
    solicited = ip(web) / solicitation
    cases: list[Case] = []
    for what, header in {
        "a router solicitation": ICMPv6ND_RS(),
        "a router advertisement": ICMPv6ND_RA(),
        "a neighbour solicitation": solicitation,
        "a neighbour advertisement": ICMPv6ND_NA(tgt=str(web)),
        "a redirect": ICMPv6ND_Redirect(tgt=str(web)),
    }.items():
        for whose, vips in {
            "a VIP": services.WEB,
            "a VIP whose other packets are the kernel's": services.PASSING,
            "a VIP whose services allow few clients": services.SOURCES,
            "an address in a VIP prefix": services.IN_PREFIX,
        }.items():
            cases.append(
                passed(
                    f"IPv6: {what} to {whose} is the kernel's",
                    frame(ip(vips[6]) / header.copy()),
                    verdict,
                )
            )
    for what, packet in {
        "behind hop-by-hop options": ip(web) / hop_by_hop() / solicitation,
        "in an atomic fragment": ip(web) / fragment6() / solicitation,
        "that asks whether an address is free": ip(web, "::") / solicitation,
    }.items():
        cases.append(
            passed(f"IPv6: a neighbour solicitation {what} is the kernel's", frame(packet), verdict)
        )
    cases += [
        dropped(
            "IPv6: seven bytes of a neighbour solicitation are not one",
            frame(ip_of(web, 58) / Raw(bytes(solicited.payload)[:7])),
            "drop_malformed",
        ),
        dropped(
            "IPv6: a neighbour solicitation in fragments is dropped (RFC 6980)",
            fragment(web, 58, solicited.payload, more=True, ident=0x3A00),
            "drop_fragment",
        ),
    ]
    return cases


CASES = [*answered(), *fields_kept(), *limited(), *cut(), *others(), *neighbours()]
