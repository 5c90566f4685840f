"""From routes and neighbours to the outer header and the next hop. Pure.

An endpoint is resolved in two steps, because asking a neighbour takes milliseconds: `outer_header`
needs routes only and says which neighbours to ask; `find_path` adds their MAC addresses.
"""

from collections.abc import Iterable, Mapping
from dataclasses import dataclass

from headrace.model import IPAddress, NextHop, Path, Tunnel, Unresolved
from headrace.underlay.memory import KnownMac
from headrace.underlay.snapshot import (
    XDP_KINDS,
    FdbKey,
    Leg,
    Link,
    NeighbourKey,
    NeighbourState,
    NoRoute,
    Route,
    RouteLookup,
    Snapshot,
)

TUNNEL_KINDS = frozenset({"ipip"})
"""Tunnel devices whose outer header the data plane can write in the kernel's place."""


@dataclass(frozen=True, slots=True)
class Outer:
    """The outer header towards an endpoint and the ways that it may leave."""

    destination: IPAddress
    source: IPAddress | None  # None: that of the leg taken
    legs: tuple[Leg, ...]

    def neighbour(self, leg: Leg) -> NeighbourKey:
        """The neighbour that a leg sends to."""
        return NeighbourKey(leg.ifindex, leg.gateway or self.destination)


def outer_header(
    endpoint: IPAddress,
    tunnel: Tunnel | None,
    source: IPAddress | None,
    links: Mapping[int, Link],
    route_to: RouteLookup,
) -> Outer | Unresolved:
    """The outer header of packets to an endpoint.

    A tunnel of the document wins; then a tunnel device that the route leaves by; else the endpoint
    itself is the destination.
    """
    if tunnel is not None:
        return _outer(tunnel.remote, tunnel.local, source, route_to(tunnel.remote, None))
    route = route_to(endpoint, None)
    device = links.get(route.legs[0].ifindex) if isinstance(route, Route) else None
    if device is None or device.tunnel is None:
        return _outer(endpoint, None, source, route)
    return _outer_of_device(device, source, route_to)


def wanted_neighbours(outer: Outer, links: Mapping[int, Link]) -> list[NeighbourKey]:
    """The neighbours of those legs that could carry packets now."""
    return [outer.neighbour(leg) for leg in outer.legs if _leg_problem(leg, links) is None]


def find_path(
    outer: Outer, snapshot: Snapshot, macs: Mapping[NeighbourKey, KnownMac]
) -> Path | Unresolved:
    """The path by the first leg whose neighbour answers.

    A leg whose neighbour is silent, but answered lately, serves while no other leg does.
    """
    attempts = [_leg_path(outer, leg, snapshot, macs) for leg in outer.legs]
    paths = [
        (macs[outer.neighbour(leg)].fresh, attempt)
        for leg, attempt in zip(outer.legs, attempts, strict=True)
        if isinstance(attempt, Path)
    ]
    if not paths:
        return attempts[0]
    return next((path for fresh, path in paths if fresh), paths[0][1])


def wanted_fdb(
    keys: Iterable[NeighbourKey],
    links: Mapping[int, Link],
    macs: Mapping[NeighbourKey, KnownMac],
) -> set[FdbKey]:
    """What to ask the bridges for: the port behind each MAC that is reached through a bridge."""
    return {
        FdbKey(key.ifindex, macs[key].mac)
        for key in keys
        if key in macs and key.ifindex in links and links[key.ifindex].kind == "bridge"
    }


def _outer(
    destination: IPAddress,
    local: IPAddress | None,
    source: IPAddress | None,
    route: Route | NoRoute,
) -> Outer | Unresolved:
    """The header once the destination is known: the source is the first stated one that fits."""
    if isinstance(route, NoRoute):
        return Unresolved(f"{destination} {route.reason}")
    stated = (local, route.stated_source, source)
    fitting = (one for one in stated if one is not None and one.version == destination.version)
    return Outer(destination, next(fitting, None), route.legs)


def _outer_of_device(
    device: Link, source: IPAddress | None, route_to: RouteLookup
) -> Outer | Unresolved:
    """The header that a kernel tunnel device would write."""
    ends = device.tunnel
    if ends is None or device.kind not in TUNNEL_KINDS:
        return Unresolved(
            f"the route leaves by {device.name}, a tunnel of kind {device.kind}; "
            f"only {', '.join(sorted(TUNNEL_KINDS))} is supported"
        )
    if not ends.plain:
        return Unresolved(
            f"the tunnel device {device.name} adds more than an IP header (fou, gue or external); "
            "use a plain one, or name the tunnel in node.tunnels"
        )
    if ends.remote is None:
        return Unresolved(
            f"the tunnel device {device.name} has no remote address; "
            "give it one, or name the tunnel in node.tunnels"
        )
    return _outer(ends.remote, ends.local, source, route_to(ends.remote, ends.parent))


def _leg_path(
    outer: Outer, leg: Leg, snapshot: Snapshot, macs: Mapping[NeighbourKey, KnownMac]
) -> Path | Unresolved:
    """The path by one leg."""
    problem = _leg_problem(leg, snapshot.links)
    if problem is not None:
        return Unresolved(problem)
    device = snapshot.links[leg.ifindex]
    source = outer.source or leg.source
    if source is None or device.mac is None:
        return Unresolved(
            f"{device.name} has no address to send to {outer.destination} from; set node.source"
        )
    known = macs.get(outer.neighbour(leg))
    if known is None:
        return Unresolved(_silence(outer.neighbour(leg), device, snapshot))
    port = _port_towards(device, known.mac, snapshot)
    if isinstance(port, Unresolved):
        return port
    limits = (leg.mtu_bytes, device.mtu_bytes, port.mtu_bytes)
    return Path(
        outer_source=source,
        outer_destination=outer.destination,
        next_hop=NextHop(port.index, source_mac=device.mac, destination_mac=known.mac),
        mtu_bytes=min(limit for limit in limits if limit),
    )


def _leg_problem(leg: Leg, links: Mapping[int, Link]) -> str | None:
    """Why a leg can carry nothing whatever its neighbour says, or None."""
    device = links.get(leg.ifindex)
    if device is None:
        return f"the route leaves by interface {leg.ifindex}, which is gone"
    if leg.encapsulated:
        return (
            f"the route by {device.name} adds a header of its own (encap); "
            "route the endpoint without one"
        )
    return _device_problem(device, links)


def _device_problem(device: Link, links: Mapping[int, Link]) -> str | None:
    """Why packets cannot be sent by a device, or None."""
    master = links.get(device.master) if device.master is not None else None
    if device.kind not in XDP_KINDS | {"bridge"} or device.loopback or device.mac is None:
        return _refusal(device, links)
    if master is not None and master.kind == "bond":
        return f"{device.name} belongs to the bond {master.name}; route by {master.name}"
    if device.vlan_filtering:
        return (
            f"the bridge {device.name} filters VLANs, and tags are not supported yet; "
            "turn vlan_filtering off, or route by another device"
        )
    if not device.up:
        return f"{device.name} is down"
    if not device.carrier:
        return f"{device.name} has no carrier"
    return None


def _refusal(device: Link, links: Mapping[int, Link]) -> str:
    """The message for a device that XDP cannot send by."""
    kind = "loopback" if device.loopback else device.kind or "non-Ethernet"
    below = links.get(device.parent) if device.parent is not None else None
    stack = f" on {below.name}" if below is not None else ""
    tag = f" {device.vlan_id}" if device.vlan_id is not None else ""
    return (
        f"the route leaves by {device.name} ({kind}{tag}{stack}), which XDP cannot send by; "
        f"route by {below.name if below is not None else 'a physical, veth, bond or bridge device'}"
    )


def _port_towards(device: Link, mac: bytes, snapshot: Snapshot) -> Link | Unresolved:
    """The device that a frame for a MAC address leaves by: itself, or a bridge's port."""
    if device.kind != "bridge":
        return device
    index = snapshot.fdb.get(FdbKey(device.index, mac))
    port = snapshot.links.get(index) if index is not None else _only_port(device, snapshot.links)
    if port is None:
        return Unresolved(f"the bridge {device.name} has not learned the port of {mac.hex(':')}")
    problem = _device_problem(port, snapshot.links)
    return port if problem is None else Unresolved(problem)


def _only_port(bridge: Link, links: Mapping[int, Link]) -> Link | None:
    """The port of a bridge that has one in use: flooding would take it, too."""
    ports = [
        link for link in links.values() if link.master == bridge.index and link.up and link.carrier
    ]
    return ports[0] if len(ports) == 1 else None


def _silence(key: NeighbourKey, device: Link, snapshot: Snapshot) -> str:
    """The message for a neighbour without a MAC address."""
    neighbour = snapshot.neighbours.get(key)
    protocol = "ARP" if key.address.version == 4 else "neighbour discovery"
    if neighbour is not None and neighbour.state & NeighbourState.FAILED:
        return f"{key.address} on {device.name} does not answer {protocol}"
    return f"{key.address} on {device.name} has not answered {protocol} yet"
