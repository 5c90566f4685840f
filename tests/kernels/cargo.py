"""What is carried to a kernel to be tried there."""

from dataclasses import dataclass

from headrace.dataplane import Decapsulation
from tests.packets.case import Case


@dataclass(frozen=True, slots=True)
class EndpointCase:
    """A packet for the endpoint's program, and what must become of it."""

    sentence: str
    packet: bytes
    verdict: str
    expected: bytes


@dataclass(frozen=True, slots=True)
class Cargo:
    """Cases of both programs."""

    balancer: list[Case]
    endpoint: list[EndpointCase]
    known: Decapsulation  # what the endpoint's program unwraps
    has_past: bool  # whether the balancer's slots must have changed owners, some long ago
