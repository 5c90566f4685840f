"""Packets that their path cannot carry: the client is told what it can, or they are dropped."""

from dataclasses import replace

from scapy.packet import Raw

from headrace.model import Protocol

from . import services, world
from .case import Case, dropped, sent, told
from .cases_fragments import fragment
from .packets import (
    Fields,
    ad,
    filled,
    flow,
    frame,
    hop_by_hop,
    icmp_error,
    ip,
    q,
    reply,
    sctp,
    tcp,
    transport,
    udp,
)
from .world import FAMILIES, SMALL_MTU, WorldPool

TOO_BIG = "drop_too_big"
WAYS = {
    "ipip in IPv4": ("ipip4", 20),
    "ipip in IPv6": ("ipip6", 40),
    "gue in IPv4": ("gue4", 28),
    "gue in IPv6": ("gue6", 48),
}


def ways(family: int) -> dict[str, tuple[WorldPool, int, int]]:
    """Each way to an endpoint: pool, the port of its service, the bytes that it adds."""
    found = {
        name: (world.SMALL[key], services.SMALL_PORTS[key], added)
        for name, (key, added) in WAYS.items()
    }
    found["l2"] = (world.SMALL_L2[family], services.SMALL_L2_PORT, 0)
    return found


def limits() -> list[Case]:
    """Each family, protocol, way: at the limit it is sent, a byte more is told the limit."""
    cases: list[Case] = []
    for family in FAMILIES:
        vip = services.SMALL[family]
        for name, (pool, port, added) in ways(family).items():
            for protocol, header in (("TCP", tcp), ("UDP", udp), ("SCTP", sctp)):
                room = SMALL_MTU - added
                packet = ip(vip) / header(port)
                what = f"of {protocol} in IPv{family} by {name}"
                cases += [
                    sent(
                        f"{room} bytes {what} just fit a path of {SMALL_MTU}",
                        frame(filled(packet, room)),
                        pool,
                    ),
                    told(
                        f"{room + 1} bytes {what} are answered with {room}",
                        frame(filled(packet, room + 1)),
                        room,
                    ),
                ]
    return cases


def tagged() -> list[Case]:
    """A tag is of the link, and no part of what a path carries."""
    cases: list[Case] = []
    for family in FAMILIES:
        packet = ip(services.SMALL[family]) / tcp(services.SMALL_TAGGED_PORT)
        room = SMALL_MTU - 20
        cases += [
            sent(
                f"IPv{family}: {room} bytes just fit a path of {SMALL_MTU} in a VLAN",
                frame(filled(packet, room)),
                world.SMALL_TAGGED,
            ),
            told(
                f"IPv{family}: {room + 1} bytes do not fit it",
                frame(filled(packet, room + 1)),
                room,
            ),
        ]
    return cases


def answers() -> list[Case]:
    """What is in the answer, whatever was in the question."""
    port = services.SMALL_PORTS["ipip4"]
    cases: list[Case] = []
    for family in FAMILIES:
        vip = services.SMALL[family]
        big = filled(ip(vip) / tcp(port), 1500)
        room = SMALL_MTU - 20
        cases += [
            told(
                f"IPv{family}: the answer to a tagged packet has its tags",
                frame(big, tags=(q(7),)),
                room,
            ),
            told(
                f"IPv{family}: the answer to a packet with two tags has both",
                frame(big, tags=(ad(7), q(8))),
                room,
            ),
            told(
                f"IPv{family}: padding of what is too big is neither quoted nor kept",
                frame(big) + bytes(64),
                room,
            ),
            sent(
                f"IPv{family}: padding does not make a packet too big",
                frame(filled(ip(vip) / tcp(port), room)) + bytes(200),
                world.SMALL["ipip4"],
            ),
            told(
                f"IPv{family}: a large packet that is too big by far",
                frame(filled(ip(vip) / tcp(port), 3400)),
                room,
            ),
            told(
                f"IPv{family}: the answer to a SYN with data",
                frame(filled(ip(vip) / tcp(port, flags="S"), 1500)),
                room,
            ),
            replace(
                dropped(
                    f"IPv{family}: a packet too big beyond the node's limit of answers gets none",
                    frame(big),
                    "drop_answers",
                ),
                answers_per_s=0,
            ),
        ]
    cases += _of_ipv4(port) + _of_ipv6(port)
    return cases


def _of_ipv4(port: int) -> list[Case]:
    vip = services.SMALL[4]
    kinds: dict[str, Fields] = {
        "don't-fragment set": {"flags": "DF"},
        "don't-fragment not set: nothing is fragmented here": {"flags": 0},
        "a TOS byte and a time to live that are not the answer's": {"tos": 0xFF, "ttl": 3},
        "options: they are quoted": {"options": [b"\x07\x07\x04" + bytes(5)]},
        "an identification that is not the answer's": {"id": 0xCAFE},
    }
    return [
        told(
            f"too big in IPv4 with {what}", frame(filled(ip(vip, **fields) / tcp(port), 1500)), 1480
        )
        for what, fields in kinds.items()
    ]


def _of_ipv6(port: int) -> list[Case]:
    vip = services.SMALL[6]
    return [
        told(
            "too big in IPv6 with a traffic class and a flow label that are not the answer's",
            frame(filled(ip(vip, tc=0xFF, fl=0xFFFFF, hlim=3) / tcp(port), 1500)),
            1480,
        ),
        told(
            "too big in IPv6 with options: they are quoted",
            frame(filled(ip(vip) / hop_by_hop() / tcp(port), 1500)),
            1480,
        ),
    ]


def least() -> list[Case]:
    """IPv6 never hears of less than 1,280 bytes."""
    at_least, below = services.LEAST_PORT, services.NARROW_PORT
    vip4, vip6 = services.SMALL[4], services.SMALL[6]
    return [
        sent(
            "1,280 bytes of IPv6 fit a path of 1,320",
            frame(filled(ip(vip6) / tcp(at_least), 1280)),
            world.LEAST,
        ),
        told(
            "1,281 bytes of IPv6 are answered with 1,280, the least",
            frame(filled(ip(vip6) / tcp(at_least), 1281)),
            1280,
        ),
        dropped(
            "an IPv6 client is never told 1,279",
            frame(filled(ip(vip6) / tcp(below), 1280)),
            TOO_BIG,
        ),
        dropped(
            "nor when its packet is large", frame(filled(ip(vip6) / tcp(below), 3000)), TOO_BIG
        ),
        sent(
            "1,279 bytes of IPv6 fit where 1,280 do not",
            frame(filled(ip(vip6) / tcp(below), 1279)),
            world.NARROW,
        ),
        told("an IPv4 client may be told 1,279", frame(filled(ip(vip4) / tcp(below), 1280)), 1279),
    ]


def unanswered() -> list[Case]:
    """Errors about errors and about fragments without ports are not sent."""
    cases: list[Case] = []
    for family in FAMILIES:
        vip = services.SMALL[family]
        port = services.SMALL_PORTS["ipip4"]
        quote = filled(reply(vip, vip_port=port), 1460)
        number = {4: 0x5100, 6: 0x5200}[family]
        head = Raw(bytes(filled(udp(port), 800)))
        first = fragment(vip, 17, head, more=True, ident=number)
        later = fragment(vip, 17, bytes(1464), offset=100, ident=number)
        big_first = fragment(
            vip, 17, Raw(bytes(filled(udp(port), 1464))), more=True, ident=number + 1
        )
        error = icmp_error(vip, {4: 3, 6: 1}[family], 0, quote)
        cases += [
            dropped(
                f"IPv{family}: an ICMP error that is too big gets no answer", frame(error), TOO_BIG
            ),
            dropped(
                f"IPv{family}: a later fragment that is too big gets no answer",
                later,
                TOO_BIG,
                before=(first,),
            ),
            told(f"IPv{family}: a first fragment that is too big is answered", big_first, 1480),
            sent(
                f"IPv{family}: a later fragment at the limit is sent",
                fragment(vip, 17, bytes(1480 - {4: 20, 6: 48}[family]), offset=100, ident=number),
                world.SMALL["ipip4"],
                flow=flow(vip, Protocol.UDP, port),
                before=(first,),
            ),
            dropped(
                f"IPv{family}: that there is no path counts before the size",
                frame(filled(ip(services.DARK[family]) / tcp(), 3000)),
                "drop_no_path",
            ),
        ]
    return cases


def full_frames() -> list[Case]:
    """A full Ethernet frame fits wherever the path is larger than the link it came by."""
    cases: list[Case] = []
    for family in FAMILIES:
        for protocol in Protocol:
            packet = filled(ip(services.WEB[family]) / transport(protocol), 1500)
            cases.append(
                sent(
                    f"1,500 bytes of {protocol.upper()} in IPv{family} fit a larger path",
                    frame(packet),
                    world.WEB,
                )
            )
    return cases


CASES = [*limits(), *tagged(), *answers(), *least(), *unanswered(), *full_frames()]
