"""UDP: flow tables that are always kept, kept while slots are unstable, or never."""

from dataclasses import replace
from itertools import count

from headrace.model import Protocol

from . import services, world
from .case import Case, sent
from .cases_fragments import fragment
from .packets import flow, frame, icmp_error, ip, reply, udp
from .services import UNSTABLE_PORTS
from .world import FAMILIES, SHORT_IDLE_S, A, B, C

_sports = count(30_000)


def unstable(family: int) -> list[Case]:
    """An unknown flow counts as old for as long as flows live without a packet."""
    vip = services.UNSTABLE[family]
    cases: list[Case] = []
    for pool, whom, what in (
        (world.CHANGED, A, "right after a change goes to the anchor"),
        (world.MOVED, A, "right after two changes goes to the anchor"),
        (world.RETURNED, A, "goes to the anchor, which is the owner again"),
        (world.FALLEN, B, "goes to the owner where the anchor was down"),
        (world.ANCHOR_DOWN, B, "goes to the owner where the anchor fell since"),
    ):
        port, sport = UNSTABLE_PORTS[pool.name], next(_sports)
        packet = frame(ip(vip) / udp(port, sport))
        cases += [
            sent(
                f"IPv{family} UDP, {pool.name}: an unknown flow {what}",
                packet,
                pool,
                to=pool.reaches[whom],
            ),
            sent(
                f"IPv{family} UDP, {pool.name}: and stays there with its second packet",
                packet,
                pool,
                to=pool.reaches[whom],
                before=(packet,),
            ),
        ]
    for pool, whom, what in (
        (world.MOVED, A, "that was noted at the anchor stays through the next change"),
        (world.NOTED_DOWN, A, "that was noted at the anchor does not mind who else is down"),
        (world.ANCHOR_DOWN, B, "that was noted at who fell goes to the owner"),
    ):
        packet = frame(ip(vip) / udp(UNSTABLE_PORTS[pool.name], next(_sports)))
        cases.append(
            sent(
                f"IPv{family} UDP, {pool.name}: a flow {what}",
                packet,
                pool,
                to=pool.reaches[whom],
                early=(packet,),
            )
        )
    return cases + _later(family)


def _later(family: int) -> list[Case]:
    vip, pool = services.UNSTABLE[family], world.LONG_AGO
    port = UNSTABLE_PORTS[pool.name]
    packet = frame(ip(vip) / udp(port, next(_sports)))
    again = frame(ip(vip) / udp(port, next(_sports)))
    late = [
        sent(
            f"IPv{family} UDP: an unknown flow long after a change is new and the owner's",
            packet,
            pool,
            to=pool.reaches[B],
        ),
        sent(
            f"IPv{family} UDP: and it is noted there",
            again,
            pool,
            to=pool.reaches[B],
            before=(again,),
        ),
    ]
    return [replace(case, udp_idle_s=SHORT_IDLE_S) for case in late]


def always(family: int) -> list[Case]:
    """With a flow table that is always kept a flow stays, unstable slot or not."""
    vip, pool, fallen = services.ALWAYS[family], world.ALWAYS, world.ALWAYS_DOWN
    stable = frame(ip(vip) / udp(53, next(_sports)))
    new = frame(ip(vip) / udp(53, next(_sports)))
    down = frame(ip(vip) / udp(54, next(_sports)))
    moved = frame(ip(vip) / udp(55, next(_sports)))
    kind = {4: (3, 3), 6: (1, 4)}[family]
    noted, unknown = next(_sports), next(_sports)

    def error(sport: int) -> bytes:
        quote = reply(vip, Protocol.UDP, vip_port=55, client_port=sport)
        return frame(icmp_error(vip, *kind, quote))

    return [
        sent(
            f"IPv{family} UDP, always: a flow noted while its slot was stable stays",
            stable,
            pool,
            to=pool.reaches[A],
            early=(stable,),
        ),
        sent(
            f"IPv{family} UDP, always: an unknown flow in an unstable slot is the anchor's",
            new,
            pool,
            to=pool.reaches[A],
        ),
        sent(
            f"IPv{family} UDP, always: a flow of an endpoint that fell is the owner's",
            down,
            fallen,
            to=fallen.reaches[C],
            early=(down,),
        ),
        sent(
            f"IPv{family} UDP, always: a flow noted at the anchor stays with it",
            moved,
            world.MOVED,
            to=world.MOVED.reaches[A],
            early=(moved,),
        ),
        sent(
            f"IPv{family} UDP, always: an ICMP error goes where its flow is noted",
            error(noted),
            world.MOVED,
            flow=flow(vip, Protocol.UDP, 55, noted),
            to=world.MOVED.reaches[A],
            early=(frame(ip(vip) / udp(55, noted)),),
        ),
        sent(
            f"IPv{family} UDP, always: an ICMP error for an unknown flow is the anchor's",
            error(unknown),
            world.MOVED,
            flow=flow(vip, Protocol.UDP, 55, unknown),
            to=world.MOVED.reaches[A],
        ),
    ]


def always_in_fragments(family: int) -> list[Case]:
    vip, pool = services.ALWAYS[family], world.ALWAYS
    sport = next(_sports)

    def first(ident: int) -> bytes:
        return fragment(vip, 17, bytes(udp(53, sport)) + bytes(8), more=True, ident=ident)

    early = first(0x7100)
    return [
        sent(
            f"IPv{family} UDP, always: the first fragment of a noted flow goes where that is",
            first(0x7101),
            pool,
            flow=flow(vip, Protocol.UDP, 53, sport),
            to=pool.reaches[A],
            early=(early,),
        ),
        sent(
            f"IPv{family} UDP, always: a later fragment goes where its flow is noted",
            fragment(vip, 17, bytes(8), offset=2, ident=0x7102),
            pool,
            flow=flow(vip, Protocol.UDP, 53, sport),
            to=pool.reaches[A],
            early=(early,),
            before=(first(0x7102),),  # its own first one is known for `LIMIT_FRAGMENT_S` only
        ),
    ]


CASES = [
    case
    for family in FAMILIES
    for of in (unstable, always, always_in_fragments)
    for case in of(family)
]
