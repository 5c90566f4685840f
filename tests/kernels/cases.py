"""The packet cases of both programs as plain data, to be carried to another kernel.

To build them takes half a minute in an emulator, to read them a second.
"""

from collections.abc import Iterator
from dataclasses import replace

from scapy.packet import Packet

from tests.dataplane import test_decapsulator as endpoint
from tests.packets import (
    cases_encapsulation,
    cases_extension,
    cases_ipv4,
    cases_ipv6,
    cases_too_big,
)
from tests.packets.every import CASES

from .cargo import Cargo, EndpointCase

_WITHOUT_PAST = (cases_ipv4, cases_ipv6, cases_extension, cases_too_big, cases_encapsulation)
_FEW = 10  # one in so many


def every_case() -> Cargo:
    """All there are."""
    return Cargo(CASES, list(_endpoint_cases()), endpoint.KNOWN, has_past=True)


def few_cases() -> Cargo:
    """Some of each family and encapsulation, on slots that have had one owner only."""
    cases = [case for module in _WITHOUT_PAST for case in module.CASES if not case.before]
    endpoint_cases = list(_endpoint_cases())[::_FEW]
    return Cargo(cases[::_FEW], endpoint_cases, endpoint.KNOWN, has_past=False)


def _endpoint_cases() -> Iterator[EndpointCase]:
    for verdict, name, packet in endpoint.BAD:
        yield _unchanged(name, packet, verdict)
    for name, packet in endpoint.OTHERS.items():
        yield _unchanged(name, packet, "pass_not_tunnel")
    for tags, link in endpoint.LINKS.items():
        for outer, inner in endpoint.PAIRS:
            payload = endpoint.INNERS[inner]
            for kind, packet in (
                ("IP in IP", link / endpoint.outer(outer, inner) / payload),
                ("GUE", link / endpoint.gue(outer, payload)),
            ):
                name = f"IPv{inner} in IPv{outer} by {kind}, {tags}, is unwrapped"
                yield _unwrapped(name, packet, link / payload)
    yield from _congested()


def _congested() -> Iterator[EndpointCase]:
    """Congestion met on the way, in the outer header's last two bits, is told to the endpoint."""
    for family, field in ((4, "tos"), (6, "tc")):
        before, after = (endpoint.INNERS[family].copy() for _ in range(2))
        setattr(before, field, 2)
        setattr(after, field, 3)
        packet = endpoint.ETHER / endpoint.outer4(proto={4: 4, 6: 41}[family], tos=3) / before
        name = f"congestion on the way of IPv{family} in IPv4 is told"
        yield _unwrapped(name, packet, endpoint.ETHER / after)


def _unchanged(name: str, packet: Packet, verdict: str) -> EndpointCase:
    return EndpointCase(name, bytes(packet), verdict, bytes(packet))


def _unwrapped(name: str, packet: Packet, expected: Packet) -> EndpointCase:
    return replace(_unchanged(name, packet, "pass_decapsulated"), expected=bytes(expected))
