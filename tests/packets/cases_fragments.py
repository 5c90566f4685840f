"""Fragments: a first one has the ports, later ones follow it, or are dropped by name.

Every packet in fragments has an identification of its own, so that no case sees another's.
"""

from itertools import count

from scapy.packet import Packet, Raw

from headrace.model import Affinity, IPAddress, Protocol

from . import services, world
from .case import Case, dropped, passed, sent
from .packets import (
    Fields,
    destination_options,
    flow,
    fragment6,
    frame,
    hop_by_hop,
    icmp_error,
    ip,
    ping,
    reply,
    routing,
    tcp,
    transport,
)
from .world import FAMILIES

LOST = "drop_fragment"
_idents = count(0x4000)


def fragment(
    vip: IPAddress | str,
    protocol: int,
    data: bytes | Packet,
    *,
    offset: int = 0,
    more: bool = False,
    ident: int,
    client: str | None = None,
) -> bytes:
    """One fragment, first (`more`), middle or last; `offset` in units of 8 bytes."""
    payload = Raw(bytes(data))
    if ":" in str(vip):
        header = fragment6(offset, more=more, ident=ident, nh=protocol)
        return frame(ip(vip, client) / header / payload)
    flags = "MF" if more else 0
    return frame(ip(vip, client, proto=protocol, flags=flags, frag=offset, id=ident) / payload)


def first_and_later(
    vip: IPAddress, protocol: Protocol, *, last: bytes = b"x" * 40, dport: int = 80
) -> tuple[bytes, bytes]:
    """The two fragments of one packet."""
    ident = next(_idents)
    first = fragment(vip, protocol.number, transport(protocol, dport), more=True, ident=ident)
    return first, fragment(vip, protocol.number, last, offset=185, ident=ident)


def followed() -> list[Case]:
    """Later fragments of TCP, UDP, SCTP go where the first one went."""
    cases: list[Case] = []
    for family in FAMILIES:
        vip = services.WEB[family]
        for protocol in Protocol:
            name = f"IPv{family}: %s of a {protocol.upper()} packet"
            the_flow = flow(vip, protocol)
            first, later = first_and_later(vip, protocol)
            _, orphan = first_and_later(vip, protocol)
            cases.append(sent(name % "the first fragment", first, world.WEB, flow=the_flow))
            cases.append(dropped(f"{name % 'a later fragment'} without its first", orphan, LOST))
            cases.append(
                sent(
                    f"{name % 'a later fragment'} goes after its first",
                    later,
                    world.WEB,
                    flow=the_flow,
                    before=(first,),
                )
            )
            for size in (1, 2, 3, 8):
                first, later = first_and_later(vip, protocol, last=b"z" * size)
                cases.append(
                    sent(
                        f"{name % f'a last fragment of {size} bytes'} goes after its first",
                        later,
                        world.WEB,
                        flow=the_flow,
                        before=(first,),
                    )
                )
    return cases


def told_apart() -> list[Case]:
    """What makes two fragments those of one packet: addresses, identification, IPv4's protocol."""
    cases: list[Case] = []
    for family in FAMILIES:
        vip, other_vip = services.WEB[family], services.FAR[family]
        stranger = {4: "198.51.100.8", 6: "2001:db8:c::8"}[family]
        others: dict[str, Fields] = {
            "another identification": {"ident": 1},
            "another client": {"client": stranger},
            "another VIP": {"vip": other_vip},
        }
        if family == 4:
            others["another protocol"] = {"protocol": 6}
        for what, fields in others.items():
            ident = next(_idents)
            first = fragment(vip, 17, transport(Protocol.UDP), more=True, ident=ident)
            mine: Fields = {"vip": vip, "protocol": 17, "ident": ident, **fields}
            later = fragment(data=b"x" * 16, offset=10, **mine)
            cases.append(
                dropped(
                    f"IPv{family}: a later fragment with {what} is of another packet",
                    later,
                    LOST,
                    before=(first,),
                )
            )
    ident = 0x12345678
    first = fragment(services.WEB[6], 17, transport(Protocol.UDP), more=True, ident=ident)
    later = fragment(services.WEB[6], 17, b"x" * 16, offset=10, ident=ident ^ 0x10000000)
    cases.append(
        dropped("IPv6: all 32 bits of an identification count", later, LOST, before=(first,))
    )
    cases.append(
        sent(
            "IPv6: a later fragment with another protocol is of its first one's",
            fragment(services.WEB[6], 6, b"x" * 16, offset=10, ident=ident),
            world.WEB,
            flow=flow(services.WEB[6], Protocol.UDP),
            before=(first,),
        )
    )
    return cases


def shapes() -> list[Case]:
    """Middle fragments, order, offsets, fragments that overlap the ports."""
    cases: list[Case] = []
    for family in FAMILIES:
        vip = services.WEB[family]
        the_flow = flow(vip, Protocol.UDP)
        ident = next(_idents)
        first = fragment(vip, 17, transport(Protocol.UDP), more=True, ident=ident)
        for what, offset, more in (
            ("a middle fragment", 5, True),
            ("the fragment at offset 8, right behind the ports", 1, False),
            ("the fragment at offset 2,048", 256, True),
            ("the fragment at the largest offset", 8191, False),
        ):
            cases.append(
                sent(
                    f"IPv{family}: {what} goes after its first",
                    fragment(vip, 17, b"y" * 24, offset=offset, more=more, ident=ident),
                    world.WEB,
                    flow=the_flow,
                    before=(first,),
                )
            )
        ident = next(_idents)
        cases += [
            dropped(
                f"IPv{family}: a first fragment of three bytes has no ports",
                fragment(vip, 17, b"\x9c\x40\x00", more=True, ident=ident),
                "drop_malformed",
            ),
            dropped(
                f"IPv{family}: a first fragment to a port without a service",
                fragment(vip, 17, transport(Protocol.UDP, 81), more=True, ident=next(_idents)),
                "drop_unserved",
            ),
            dropped(
                f"IPv{family}: a later fragment of what nobody serves is not served either",
                first_and_later_unserved(vip)[1],
                "drop_unserved",
                before=(first_and_later_unserved(vip)[0],),
            ),
            passed(
                f"IPv{family}: a fragment for another address is the kernel's",
                fragment(
                    {4: "11.11.11.1", 6: "2001:db8::1"}[family], 17, b"x" * 8, offset=9, ident=1
                ),
            ),
        ]
    return cases


def first_and_later_unserved(vip: IPAddress) -> tuple[bytes, bytes]:
    """Two fragments of a packet to port 81, the same at each call."""
    first = fragment(vip, 17, transport(Protocol.UDP, 81), more=True, ident=0x3999)
    return first, fragment(vip, 17, b"x" * 8, offset=9, ident=0x3999)


def of_icmp() -> list[Case]:
    """A fragment of ICMP is dropped: no other has what is needed, and it is rare."""
    cases: list[Case] = []
    for family, number in ((4, 1), (6, 58)):
        vip = services.WEB[family]
        request, error = ping(vip).payload, icmp_error(vip, {4: 3, 6: 1}[family], 0, reply(vip))
        cases += [
            dropped(
                f"IPv{family}: the first fragment of a ping is not answered",
                fragment(vip, number, request, more=True, ident=next(_idents)),
                LOST,
            ),
            dropped(
                f"IPv{family}: a later fragment of a ping is dropped",
                fragment(vip, number, b"x" * 8, offset=100, ident=next(_idents)),
                LOST,
            ),
            dropped(
                f"IPv{family}: the first fragment of an ICMP error is dropped",
                fragment(vip, number, error.payload, more=True, ident=next(_idents)),
                LOST,
            ),
        ]
    return cases


def portless() -> list[Case]:
    """Where ports do not matter, a fragment needs no other one."""
    cases: list[Case] = []
    for family in FAMILIES:
        vip, mixed = services.BY_SOURCE[family], services.BY_SOURCE_MIXED[family]
        for protocol in Protocol:
            cases.append(
                sent(
                    f"IPv{family}: a later fragment of {protocol.upper()} finds a source-ip "
                    "service without its first",
                    fragment(vip, protocol.number, b"x" * 8, offset=9, ident=next(_idents)),
                    world.WEB,
                    flow=flow(vip, protocol, 0, 0),
                    affinity=Affinity.SOURCE_IP,
                )
            )
            first, later = first_and_later(vip, protocol, dport=443)
            cases.append(
                sent(
                    f"IPv{family}: the first fragment of {protocol.upper()} goes the same way",
                    first,
                    world.WEB,
                    flow=flow(vip, protocol, 443),
                    affinity=Affinity.SOURCE_IP,
                )
            )
            cases.append(
                dropped(
                    f"IPv{family}: two pools behind one VIP make {protocol.upper()} fragments "
                    "need their first",
                    fragment(mixed, protocol.number, b"x" * 8, offset=9, ident=next(_idents)),
                    LOST,
                )
            )
            first, later = first_and_later(mixed, protocol, dport=81)
            cases.append(
                sent(
                    f"IPv{family}: and with their first {protocol.upper()} fragments reach the "
                    "pool of its port",
                    later,
                    world.FAR,
                    flow=flow(mixed, protocol, 81),
                    affinity=Affinity.SOURCE_IP,
                    before=(first,),
                )
            )
    return cases


def atomic() -> list[Case]:
    """An IPv6 fragment that is a whole packet (RFC 6946)."""
    vip = services.WEB[6]
    with_options = ip(vip) / hop_by_hop() / fragment6(more=True, ident=0x777) / tcp()
    late_options = ip(vip) / fragment6(more=True, ident=0x778) / destination_options() / tcp()
    later = fragment(vip, 6, b"x" * 8, offset=9, ident=0x777)
    return [
        sent("an atomic fragment is a packet", frame(ip(vip) / fragment6() / tcp()), world.WEB),
        dropped(
            "an atomic fragment is nobody's first",
            fragment(vip, 6, b"x" * 8, offset=9, ident=0x776),
            LOST,
            before=(frame(ip(vip) / fragment6(ident=0x776) / tcp()),),
        ),
        sent("a first fragment behind hop-by-hop options", frame(with_options), world.WEB),
        sent("a first fragment before destination options", frame(late_options), world.WEB),
        sent(
            "a later fragment finds a first one that had options before it",
            later,
            world.WEB,
            flow=flow(vip),
            before=(frame(with_options),),
        ),
        dropped(
            "a ping in fragments of which the first holds all of it",
            frame(ip(vip) / fragment6(more=True) / ping(vip).payload),
            LOST,
        ),
    ]


def hidden() -> list[Case]:
    """IPv6 fragments whose protocol only the first one shows: options are cut with the data."""
    cases: list[Case] = []
    kinds = {
        0: ("hop-by-hop options", hop_by_hop()),
        43: ("a routing header", routing()),
        44: ("another fragment header", fragment6()),
        60: ("destination options", destination_options()),
    }
    vip, by_source = services.WEB[6], services.BY_SOURCE[6]
    for number, (what, header) in kinds.items():
        name = f"IPv6: a later fragment behind {what}"
        for protocol in Protocol:
            first, later = _behind(header, number, vip, protocol)
            cases.append(
                sent(
                    f"{name} goes after its first, of {protocol.upper()}",
                    later,
                    world.WEB,
                    flow=flow(vip, protocol),
                    before=(first,),
                )
            )
        first, later = _behind(header, number, by_source, Protocol.UDP)
        cases += [
            sent(
                f"{name} goes after its first where ports do not matter",
                later,
                world.WEB,
                flow=flow(by_source, Protocol.UDP),
                affinity=Affinity.SOURCE_IP,
                before=(first,),
            ),
            dropped(
                f"{name} is lost without its first",
                _behind(header, number, vip, Protocol.UDP)[1],
                LOST,
            ),
            dropped(
                f"{name} is lost without its first even where ports do not matter",
                _behind(header, number, by_source, Protocol.UDP)[1],
                LOST,
            ),
        ]
    return cases


def _behind(header: Packet, number: int, vip: IPAddress, protocol: Protocol) -> tuple[bytes, bytes]:
    """The two fragments of one packet that has this header behind the fragment header."""
    ident = next(_idents)
    carried = header.copy() / transport(protocol)
    first = frame(ip(vip) / fragment6(more=True, ident=ident) / carried)
    return first, fragment(vip, number, b"x" * 16, offset=10, ident=ident)


def hidden_otherwise() -> list[Case]:
    """Where such fragments end otherwise than at their first one's service."""
    vip = services.WEB[6]
    unserved, pinged, twice = next(_idents), next(_idents), next(_idents)
    to_81 = destination_options() / tcp(81)
    request = destination_options() / ping(vip).payload
    optioned = ip(vip) / destination_options()
    first = optioned / fragment6(more=True, ident=twice) / destination_options() / tcp()
    cases = [
        sent(
            "IPv6: a later fragment with options before its header and behind it",
            frame(optioned / fragment6(10, ident=twice, nh=60) / Raw(b"x" * 16)),
            world.WEB,
            flow=flow(vip),
            before=(frame(first),),
        ),
        dropped(
            "IPv6: a later fragment behind options of what nobody serves",
            fragment(vip, 60, b"x" * 16, offset=10, ident=unserved),
            "drop_unserved",
            before=(frame(ip(vip) / fragment6(more=True, ident=unserved) / to_81),),
        ),
        dropped(
            "IPv6: a later fragment behind options of a ping",
            fragment(vip, 60, b"x" * 16, offset=10, ident=pinged),
            LOST,
            before=(frame(ip(vip) / fragment6(more=True, ident=pinged) / request),),
        ),
        dropped(
            "IPv6: a later fragment behind options is not the kernel's though the VIP says pass",
            fragment(services.PASSING[6], 60, b"x" * 16, offset=10, ident=next(_idents)),
            LOST,
        ),
    ]
    cases += [
        dropped(
            f"IPv6: a later fragment of protocol {number}, which nobody serves",
            fragment(vip, number, b"x" * 16, offset=10, ident=next(_idents)),
            "drop_unserved",
        )
        for number in (4, 50, 51, 59, 135)
    ]
    return cases


CASES = [
    *followed(),
    *told_apart(),
    *shapes(),
    *of_icmp(),
    *portless(),
    *atomic(),
    *hidden(),
    *hidden_otherwise(),
]
