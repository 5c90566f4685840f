"""What the kernel says of links, routes and neighbours, as frozen values."""

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from enum import IntFlag
from typing import NamedTuple

from pyroute2.netlink.rtnl import ndmsg

from headrace.model import IPAddress

XDP_KINDS = frozenset({None, "veth", "tun", "bond"})
"""Kinds of devices that XDP attaches to and can redirect into; None is a physical one.

A device stacked on one of them sees a frame after XDP has, and drops what is redirected to it
without a word.
"""


@dataclass(frozen=True, slots=True)
class TunnelEnds:
    """The settings of a kernel tunnel device; None is the unspecified address."""

    local: IPAddress | None
    remote: IPAddress | None
    parent: int | None = None  # the device that outer packets must leave by, if set
    plain: bool = True  # False: a UDP header (fou, gue) or per-packet addresses (external)


@dataclass(frozen=True, slots=True)
class Link:
    """A network interface."""

    index: int
    name: str
    kind: str | None  # None: a physical device
    mac: bytes | None  # None: not an Ethernet device
    mtu_bytes: int
    up: bool = True  # what the operator asked
    carrier: bool = True
    loopback: bool = False
    master: int | None = None  # the bridge, bond or VRF it belongs to
    parent: int | None = None  # the device a VLAN or macvlan is stacked on
    vlan_id: int | None = None
    vlan_protocol: int | None = None  # the ethertype of a VLAN device's tag
    vlan_filtering: bool = False  # of a bridge
    tunnel: TunnelEnds | None = None

    @property
    def transmits(self) -> bool:
        """Whether XDP_TX is the way back out: on physical devices, but not on veth and the like."""
        return self.kind is None


class NeighbourKey(NamedTuple):
    """What the kernel knows a neighbour by."""

    ifindex: int
    address: IPAddress


class NeighbourState(IntFlag):
    """The kernel's neighbour states (NUD), with the groups that matter here."""

    NONE = ndmsg.NUD_NONE
    INCOMPLETE = ndmsg.NUD_INCOMPLETE
    FAILED = ndmsg.NUD_FAILED
    PERMANENT = ndmsg.NUD_PERMANENT
    FIXED = ndmsg.NUD_PERMANENT | ndmsg.NUD_NOARP
    USABLE = (
        ndmsg.NUD_PERMANENT
        | ndmsg.NUD_NOARP
        | ndmsg.NUD_REACHABLE
        | ndmsg.NUD_STALE
        | ndmsg.NUD_DELAY
        | ndmsg.NUD_PROBE
    )


@dataclass(frozen=True, slots=True)
class Neighbour:
    """An entry of the ARP or neighbour discovery table."""

    key: NeighbourKey
    state: int  # a NeighbourState; an int because a dump may hold thousands
    mac: bytes | None
    managed: bool = False  # the kernel keeps it resolved

    @property
    def usable_mac(self) -> bytes | None:
        """The MAC address that the kernel itself would send to now, or None."""
        return self.mac if self.state & NeighbourState.USABLE else None

    @property
    def fixed(self) -> bool:
        """Whether the operator gave the MAC address, so that nobody asks for it."""
        return bool(self.state & NeighbourState.FIXED)


class FdbKey(NamedTuple):
    """What a bridge's forwarding database is asked by."""

    bridge: int
    mac: bytes


@dataclass(frozen=True, slots=True)
class FdbEntry:
    """The bridge port behind which a MAC address was seen."""

    key: FdbKey
    port: int


@dataclass(frozen=True, slots=True)
class Snapshot:
    """The kernel's tables at one moment, as far as the question needed them."""

    links: Mapping[int, Link]
    neighbours: Mapping[NeighbourKey, Neighbour]
    fdb: Mapping[FdbKey, int]  # the port's index


@dataclass(frozen=True, slots=True)
class Leg:
    """One way a route leaves this node."""

    ifindex: int
    gateway: IPAddress | None = None  # None: the destination is a neighbour
    source: IPAddress | None = None
    mtu_bytes: int | None = None  # of the route, or learned for the destination; None: neither
    encapsulated: bool = False  # the route adds a header of its own (MPLS, SRv6, ...)
    weight: int = 1  # share of a multipath route's flows


@dataclass(frozen=True, slots=True)
class Route:
    """The kernel's answer for one destination."""

    legs: tuple[Leg, ...]  # at least one; several in a multipath route
    stated_source: IPAddress | None = None  # `src` of the routing table's entry


@dataclass(frozen=True, slots=True)
class NoRoute:
    """Why the kernel sends nothing to a destination."""

    reason: str


RouteLookup = Callable[[IPAddress, int | None], Route | NoRoute]
"""The route to an address, by a certain device if an interface index is given."""
