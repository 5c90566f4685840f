"""What counts for the choice of an endpoint: all of the flow, its source, its destination port."""

from headrace.model import Affinity, Protocol, Reach

from . import expect, services, world
from .case import Case, sent
from .packets import CLIENT, flow, frame, ip, transport
from .world import FAMILIES

OTHERS = {
    4: ("198.51.100.8", "203.0.114.77", "1.2.3.4"),
    6: ("2001:db8:c::8", "2001:db8:77::7", "fd00::4"),
}


def by_flow() -> list[Case]:
    return [
        sent(
            f"IPv{family}: port {sport} of a client's {protocol.upper()} goes by its own hash",
            frame(ip(services.WEB[family]) / transport(protocol, 80, sport)),
            world.WEB,
        )
        for family in FAMILIES
        for protocol in Protocol
        for sport in (1024, 33333, 65000)
    ]


def by_source() -> list[Case]:
    """The same client is with the same endpoint, whatever its ports and protocol."""
    cases: list[Case] = []
    for family in FAMILIES:
        vip = services.BY_SOURCE[family]
        for protocol in Protocol:
            for sport, dport in ((1024, 80), (33333, 80), (1024, 443)):
                cases.append(
                    sent(
                        f"IPv{family}: a client's {protocol.upper()} from port {sport} to {dport} "
                        "goes where all of its packets go",
                        frame(ip(vip) / transport(protocol, dport, sport)),
                        world.WEB,
                        affinity=Affinity.SOURCE_IP,
                        to=_one_of_source(family),
                    )
                )
        for number, client in enumerate(OTHERS[family], 1):
            cases.append(
                sent(
                    f"IPv{family}: client {number} of some goes by its own address",
                    frame(ip(vip, client) / transport(Protocol.TCP)),
                    world.WEB,
                    affinity=Affinity.SOURCE_IP,
                )
            )
    return cases


def _one_of_source(family: int) -> Reach:
    """The endpoint of the usual client, by its address alone."""
    alone = flow(services.BY_SOURCE[family], Protocol.TCP, 0, 0, CLIENT[family])
    return expect.owner_of(world.WEB, alone, Affinity.SOURCE_IP)


def by_port() -> list[Case]:
    """The same port is with the same endpoint, whoever asks, by whatever protocol."""
    cases: list[Case] = []
    for family in FAMILIES:
        vip = services.BY_PORT[family]
        for dport in (80, 81, 8080):
            for protocol in Protocol:
                for number, client in enumerate((CLIENT[family], OTHERS[family][0]), 1):
                    cases.append(
                        sent(
                            f"IPv{family}: client {number} at {protocol.upper()} port {dport} goes "
                            "by that port",
                            frame(ip(vip, client) / transport(protocol, dport, 1000 + number)),
                            world.WEB,
                            affinity=Affinity.DESTINATION_PORT,
                            to=_one_of_port(family, dport),
                        )
                    )
    return cases


def _one_of_port(family: int, dport: int) -> Reach:
    """The endpoint of a port, whoever asks."""
    alone = flow(services.BY_PORT[family], Protocol.TCP, dport, 0)
    return expect.owner_of(world.WEB, alone, Affinity.DESTINATION_PORT)


CASES = [*by_flow(), *by_source(), *by_port()]
