"""A picture of the maps as plain values: what the reference pipeline and `explain` walk."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass

from headrace.model import IPAddress, Path, ServiceKey


@dataclass(frozen=True, slots=True)
class PoolTable:
    """A pool's lookup table: each slot names an endpoint's index."""

    name: str
    slots: Sequence[int]


@dataclass(frozen=True, slots=True)
class EndpointEntry:
    """One endpoint as the data plane has it."""

    address: IPAddress
    path: Path | None


@dataclass(frozen=True, slots=True)
class Tables:
    """Everything a packet's way depends on."""

    hash_keys: tuple[int, ...]
    services: Mapping[ServiceKey, PoolTable]
    endpoints: Mapping[int, EndpointEntry]
    ports: Mapping[int, tuple[bytes, ...]]  # ifindex -> MACs that mean this node

    @property
    def vips(self) -> frozenset[IPAddress]:
        """Every address that some service has."""
        return frozenset(key.vip for key in self.services)
