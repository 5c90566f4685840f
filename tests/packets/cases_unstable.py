"""Slots that had another owner: SYNs, notes, anchors (TCP and SCTP).

Each case has a source port of its own, so that it sees no other's note.
"""

from itertools import count

from scapy.packet import Packet

from headrace.maglev import slot_of
from headrace.model import Affinity, Protocol

from . import expect, services, world
from .case import Case, sent
from .cases_fragments import fragment
from .packets import flow, frame, icmp_error, ip, ip_of, reply, sctp, sctp_init, tcp, transport
from .services import NEVER, UNSTABLE_PORTS
from .world import FAMILIES, A, B, C, WorldPool

_sports = count(10_000)
_idents = count(0x6200)
CONNECTED = (Protocol.TCP, Protocol.SCTP)


def opening(protocol: Protocol, dport: int, sport: int) -> Packet:
    """The first packet of a connection."""
    return tcp(dport, sport, "S") if protocol is Protocol.TCP else sctp_init(dport, sport)


def middle(protocol: Protocol, dport: int, sport: int) -> Packet:
    return tcp(dport, sport) if protocol is Protocol.TCP else sctp(dport, sport)


def of_new(family: int, protocol: Protocol) -> list[Case]:
    """New connections go to the owner, whatever was before."""
    vip = services.UNSTABLE[family]
    return [
        sent(
            f"IPv{family} {protocol.upper()}, {pool.name}: a new connection goes to the owner",
            frame(ip(vip) / opening(protocol, UNSTABLE_PORTS[pool.name], next(_sports))),
            pool,
        )
        for pool in world.UNSTABLE
    ]


WITHOUT_NOTE = (
    (world.MOVED, A, "an unknown connection goes to the anchor, the owner of two changes ago"),
    (world.CHANGED, A, "an unknown connection goes to the anchor"),
    (world.RETURNED, A, "an unknown connection goes to the anchor, which is the owner again"),
    (world.FALLEN, B, "an unknown connection goes to the owner: who was down is no anchor"),
    (world.ANCHOR_DOWN, B, "an unknown connection goes to the owner: the anchor fell since"),
    (world.NOTED_DOWN, A, "an unknown connection goes to the anchor though another is down"),
    (world.LONG_AGO, A, "an unknown connection goes to the anchor however long ago the change"),
)
WITH_NOTE = (
    (world.CHANGED, B, "a connection that was opened since stays with the owner"),
    (world.RETURNED, A, "a connection that was opened since it returned is its"),
    (world.FALLEN, B, "a connection that was opened since the fall stays"),
    (world.ANCHOR_DOWN, B, "a connection that was opened at the owner stays"),
    (world.LONG_AGO, B, "a connection that was opened long after the change stays"),
    (world.VOID, A, "a note from before the slot was unstable is void"),
)
NOTED_EARLY = (
    (world.MOVED, B, "a connection stays where it was opened, neither anchor nor owner"),
    (world.CHANGED, B, "a connection that was opened at the owner is still there"),
    (world.RETURNED, B, "a connection stays where it was opened though its slot went back"),
    (world.ANCHOR_DOWN, B, "a connection of the owner does not mind that the anchor fell"),
    (world.NOTED_DOWN, C, "a connection of an endpoint that is down goes to the owner"),
)


def of_old(family: int, protocol: Protocol) -> list[Case]:
    """Packets in the middle of a connection."""
    vip = services.UNSTABLE[family]
    name = f"IPv{family} {protocol.upper()}, "
    cases: list[Case] = []
    for pool, whom, what in WITHOUT_NOTE:
        packet = frame(ip(vip) / middle(protocol, UNSTABLE_PORTS[pool.name], next(_sports)))
        to = pool.reaches[whom]
        cases.append(sent(f"{name}{pool.name}: {what}", packet, pool, to=to))
    for pool, whom, what in WITH_NOTE:
        port, sport = UNSTABLE_PORTS[pool.name], next(_sports)
        packet = frame(ip(vip) / middle(protocol, port, sport))
        syn = frame(ip(vip) / opening(protocol, port, sport))
        to = pool.reaches[whom]
        cases.append(sent(f"{name}{pool.name}: {what}", packet, pool, to=to, before=(syn,)))
    for pool, whom, what in NOTED_EARLY:
        port, sport = UNSTABLE_PORTS[pool.name], next(_sports)
        packet = frame(ip(vip) / middle(protocol, port, sport))
        syn = frame(ip(vip) / opening(protocol, port, sport))
        to = pool.reaches[whom]
        cases.append(sent(f"{name}{pool.name}: {what}", packet, pool, to=to, early=(syn,)))
    return cases


def of_another_protocol(family: int) -> list[Case]:
    """What is noted of one protocol says nothing of another's flow with the same ports."""
    vip, pool = services.UNSTABLE[family], world.CHANGED
    port = UNSTABLE_PORTS[pool.name]
    return [
        sent(
            f"IPv{family}: {other.upper()} does not follow the notes of {protocol.upper()}",
            frame(ip(vip) / middle(other, port, sport)),
            pool,
            to=pool.reaches[A],
            before=(frame(ip(vip) / opening(protocol, port, sport)),),
        )
        for protocol, other in (CONNECTED, CONNECTED[::-1])
        for sport in (next(_sports),)
    ]


def of_flags(family: int) -> list[Case]:
    """What opens a connection is a SYN without ACK, or an INIT."""
    vip, pool = services.UNSTABLE[family], world.CHANGED
    port = UNSTABLE_PORTS[pool.name]
    cases: list[Case] = []
    for flags, whom, what in (
        ("S", B, "opens one"),
        ("SEC", B, "opens one that wants ECN"),
        ("SF", B, "opens one, odd as it is"),
        ("SA", A, "opens none"),
        ("A", A, "is in the middle of one"),
        ("R", A, "ends one, where that is"),
        ("F", A, "closes one, where that is"),
        ("PA", A, "carries data of one"),
        ("", A, "is of one, odd as it is"),
    ):
        cases.append(
            sent(
                f"IPv{family}: a segment with flags {flags or 'none'} {what}",
                frame(ip(vip) / tcp(port, next(_sports), flags)),
                pool,
                to=pool.reaches[whom],
            )
        )
    for size in (4, 13):
        sport = next(_sports)
        cut = bytes(tcp(port, sport, "S"))[:size]
        cases.append(
            sent(
                f"IPv{family}: a SYN cut after {size} bytes is not seen to be one",
                frame(ip_of(vip, 6) / cut),
                pool,
                flow=flow(vip, Protocol.TCP, port, sport),
                to=pool.reaches[A],
            )
        )
    sport = next(_sports)
    again = frame(ip(vip) / tcp(UNSTABLE_PORTS["moved"], sport, "S"))
    cases.append(
        sent(
            f"IPv{family}: a connection that is opened anew moves to the owner of now",
            frame(ip(vip) / tcp(UNSTABLE_PORTS["moved"], sport)),
            world.MOVED,
            to=world.MOVED.reaches[C],
            early=(again,),
            before=(again,),
        )
    )
    return cases


def of_others(family: int) -> list[Case]:
    """ICMP errors and later fragments look notes up, as packets in the middle do."""
    vip, pool = services.UNSTABLE[family], world.CHANGED
    port = UNSTABLE_PORTS[pool.name]
    first_sport, second_sport, third_sport = next(_sports), next(_sports), next(_sports)
    kind = {4: (3, 4), 6: (2, 0)}[family]

    def error(sport: int) -> bytes:
        return frame(icmp_error(vip, *kind, reply(vip, vip_port=port, client_port=sport)))

    whole = bytes(tcp(port, third_sport, "S"))
    first = fragment(vip, 6, whole, more=True, ident=0x6100)
    return [
        sent(
            f"IPv{family}: an ICMP error for an unknown connection goes to the anchor",
            error(first_sport),
            pool,
            flow=flow(vip, Protocol.TCP, port, first_sport),
            to=pool.reaches[A],
        ),
        sent(
            f"IPv{family}: an ICMP error for a noted connection goes where that is",
            error(second_sport),
            pool,
            flow=flow(vip, Protocol.TCP, port, second_sport),
            to=pool.reaches[B],
            before=(frame(ip(vip) / tcp(port, second_sport, "S")),),
        ),
        sent(
            f"IPv{family}: an ICMP error leaves no note",
            frame(ip(vip) / tcp(port, first_sport)),
            pool,
            to=pool.reaches[A],
            before=(error(first_sport),),
        ),
        sent(
            f"IPv{family}: a later fragment goes where the SYN before it was noted",
            fragment(vip, 6, b"x" * 8, offset=9, ident=0x6100),
            pool,
            flow=flow(vip, Protocol.TCP, port, third_sport),
            to=pool.reaches[B],
            before=(first,),
        ),
    ]


def of_source_ip(family: int, protocol: Protocol) -> list[Case]:
    """Where ports do not matter a connection's fragments follow its note all the same."""
    vip, pool = services.BY_SOURCE_CHANGED[family], world.CHANGED
    noted, unknown, opened, ident = next(_sports), next(_sports), next(_sports), next(_idents)
    syn = frame(ip(vip) / opening(protocol, 80, noted))

    def first(header: Packet) -> bytes:
        return fragment(vip, protocol.number, header, more=True, ident=ident)

    later = fragment(vip, protocol.number, b"x" * 8, offset=9, ident=ident)
    orphan = fragment(vip, protocol.number, b"x" * 8, offset=9, ident=next(_idents))
    of_noted = first(middle(protocol, 80, noted))
    of_unknown = first(middle(protocol, 80, unknown))
    of_opened = first(opening(protocol, 80, opened))

    def case(what: str, packet: bytes, ports: tuple[int, int], whom: int, *before: bytes) -> Case:
        return sent(
            f"IPv{family} {protocol.upper()}, source-ip: {what}",
            packet,
            pool,
            flow=flow(vip, protocol, *ports),
            affinity=Affinity.SOURCE_IP,
            to=pool.reaches[whom],
            before=before,
        )

    return [
        case("a first fragment goes where its connection is noted", of_noted, (80, noted), B, syn),
        case("a later fragment does after its first", later, (80, noted), B, syn, of_noted),
        case("a later one that comes before its first goes to the anchor", orphan, (0, 0), A, syn),
        case("a first one of an unknown connection does", of_unknown, (80, unknown), A),
        case("and a later one after it", later, (80, unknown), A, of_unknown),
        case("a later one of what opens a connection", later, (80, opened), B, of_opened),
    ]


def of_never(family: int) -> list[Case]:
    """A service without a flow table has no notes and no anchors."""
    vip = services.UNSTABLE[family]
    cases: list[Case] = []
    for protocol in Protocol:
        for pool in (world.MOVED, world.CHANGED, world.RETURNED, world.ANCHOR_DOWN):
            port = UNSTABLE_PORTS[pool.name] + NEVER
            cases.append(
                sent(
                    f"IPv{family} {protocol.upper()}, {pool.name}: without a flow table all goes "
                    "to the owner",
                    frame(ip(vip) / transport(protocol, port, next(_sports))),
                    pool,
                )
            )
        sport = next(_sports)
        packet = frame(ip(vip) / transport(protocol, UNSTABLE_PORTS["moved"] + NEVER, sport))
        cases.append(
            sent(
                f"IPv{family} {protocol.upper()}: without a flow table a flow moves at a change",
                packet,
                world.MOVED,
                early=(packet,),
            )
        )
    return cases


def of_half(family: int) -> list[Case]:
    """Only the slots that changed are unstable."""
    vip, pool = services.UNSTABLE[family], world.HALF
    port = UNSTABLE_PORTS[pool.name]
    cases: list[Case] = []
    for is_changed, what in ((False, "did not change"), (True, "changed")):
        sport = _sport_where(pool, family, is_changed=is_changed)
        cases += [
            sent(
                f"IPv{family}: in a slot that {what} an unknown connection is where it was",
                frame(ip(vip) / tcp(port, sport)),
                pool,
                to=pool.reaches[A],
            ),
            sent(
                f"IPv{family}: in a slot that {what} a new connection is the owner's",
                frame(ip(vip) / tcp(port, sport, "S")),
                pool,
                to=pool.reaches[B if is_changed else A],
            ),
        ]
    return cases


def _sport_where(pool: WorldPool, family: int, *, is_changed: bool) -> int:
    """A client's port whose slot has, or has not, another owner than at first."""
    vip, port = services.UNSTABLE[family], UNSTABLE_PORTS[pool.name]
    for sport in _sports:
        hash32 = expect.hash_of(flow(vip, Protocol.TCP, port, sport))
        slot = slot_of(hash32, world.SLOTS)
        if (pool.tables[0][slot] != pool.tables[1][slot]) is is_changed:
            return sport
    raise AssertionError("half of the slots changed")


CASES = [
    *(
        case
        for family in FAMILIES
        for of in (of_new, of_old, of_source_ip)
        for p in CONNECTED
        for case in of(family, p)
    ),
    *(
        case
        for family in FAMILIES
        for of in (of_another_protocol, of_flags, of_others, of_never, of_half)
        for case in of(family)
    ),
]
