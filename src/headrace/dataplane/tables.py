"""A picture of the maps as plain values: what the reference pipeline and `explain` walk."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass

from headrace.model import IPAddress, Path, ServiceEntry, ServiceKey, Tuning


@dataclass(frozen=True, slots=True)
class BlockAge:
    """What happened to a block of 64 slots, in seconds of CLOCK_MONOTONIC."""

    unstable_since_s: int = 0
    changed_s: int = 0
    departed_s: int = 0


@dataclass(frozen=True, slots=True)
class PoolTable:
    """A pool's lookup table."""

    name: str
    words: Sequence[int]  # a slot each: owner, anchor, flags as in layout.h
    ages: Sequence[BlockAge]  # one for 64 slots


@dataclass(frozen=True, slots=True)
class EndpointRow:
    """One endpoint as the data plane has it."""

    address: IPAddress
    path: Path | None
    dscp: int | None = None
    generation: int = 0
    down: bool = False


@dataclass(frozen=True, slots=True)
class ServiceRow:
    """One service and the table that its flows are looked up in."""

    entry: ServiceEntry
    pool: PoolTable


@dataclass(frozen=True, slots=True)
class Tables:
    """Everything a packet's way depends on, but for what packets left behind (`Memory`)."""

    hash_keys: tuple[int, ...]
    services: Mapping[ServiceKey, ServiceRow]
    endpoints: Mapping[int, EndpointRow]
    ports: Mapping[int, tuple[bytes, ...]]  # ifindex -> MACs that mean this node
    server_ids: Mapping[tuple[str, int], int]  # pool and id -> endpoint's index
    tuning: Tuning
