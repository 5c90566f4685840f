"""From a target to the outer header and the legs that it may leave by. Pure: needs routes only."""

from collections.abc import Mapping
from dataclasses import dataclass
from ipaddress import IPv4Network, IPv6Network

from headrace.model import Encapsulation, IPAddress, OuterSources, Target, Tunnel, Unresolved
from headrace.underlay.snapshot import Leg, Link, NeighbourKey, NoRoute, Route, RouteLookup

_L2_RULE = (
    "and l2 reaches attached networks only; "
    "attach this node to the endpoint's network, or use encapsulation ipip or gue"
)


@dataclass(frozen=True, slots=True)
class Outer:
    """The outer header towards a target and the ways that it may leave.

    With `l2` there is no header: the destination is the endpoint, and only the way counts.
    """

    target: Target
    destination: IPAddress
    source: IPAddress | None  # None: that of the leg taken
    legs: tuple[Leg, ...]
    source_hashed: bool = False  # the low 16 bits of the source, zero here, are the flow's

    def neighbour(self, leg: Leg) -> NeighbourKey:
        """The neighbour that a leg sends to."""
        return NeighbourKey(leg.ifindex, leg.gateway or self.destination)


def outer_header(
    target: Target,
    tunnel: Tunnel | None,
    sources: OuterSources,
    links: Mapping[int, Link],
    route_to: RouteLookup,
) -> Outer | Unresolved:
    """The outer header of packets to a target.

    A tunnel of the document wins; then a tunnel device that the route leaves by, of several legs
    the first; else the endpoint itself is the destination. With `l2` no tunnel counts.
    """
    if target.encapsulation is Encapsulation.L2:
        return _attached(target, links, route_to(target.endpoint, None))
    if tunnel is not None:
        route = route_to(tunnel.remote, None)
        return _outer(target, tunnel.remote, tunnel.local, sources, route)
    route = route_to(target.endpoint, None)
    device = _tunnel_device(route, links)
    if device is None:
        return _outer(target, target.endpoint, None, sources, route)
    return _outer_of_device(target, device, sources, route_to)


def _attached(
    target: Target, links: Mapping[int, Link], route: Route | NoRoute
) -> Outer | Unresolved:
    """The way to an endpoint whose own MAC address frames are sent to."""
    endpoint = target.endpoint
    if isinstance(route, NoRoute):
        return Unresolved(f"{endpoint} {route.reason}")
    device = _tunnel_device(route, links)
    if device is not None:
        return Unresolved(f"{endpoint} is behind the tunnel device {device.name}, {_L2_RULE}")
    legs = tuple(leg for leg in route.legs if leg.gateway in {None, endpoint})
    if not legs:
        return Unresolved(f"{endpoint} is behind the router {route.legs[0].gateway}, {_L2_RULE}")
    return Outer(target, endpoint, None, legs)


def _outer(
    target: Target,
    destination: IPAddress,
    local: IPAddress | None,
    sources: OuterSources,
    route: Route | NoRoute,
) -> Outer | Unresolved:
    """The header once the destination is known.

    The source is the tunnel's own, else the document's, else the one that the route states.
    """
    if isinstance(route, NoRoute):
        return Unresolved(f"{destination} {route.reason}")
    if local is not None:
        return Outer(target, destination, local, route.legs)
    configured = sources.v4 if destination.version == 4 else sources.v6
    if isinstance(configured, IPv4Network | IPv6Network):
        base = configured.network_address
        return Outer(target, destination, base, route.legs, source_hashed=True)
    if configured is not None:
        return Outer(target, destination, configured, route.legs)
    stated = route.stated_source
    fits = stated is not None and stated.version == destination.version
    return Outer(target, destination, stated if fits else None, route.legs)


def _tunnel_device(route: Route | NoRoute, links: Mapping[int, Link]) -> Link | None:
    """The tunnel device that a route leaves by, if it does."""
    device = links.get(route.legs[0].ifindex) if isinstance(route, Route) else None
    return device if device is not None and device.tunnel is not None else None


def _outer_of_device(
    target: Target, device: Link, sources: OuterSources, route_to: RouteLookup
) -> Outer | Unresolved:
    """The header between the addresses of a kernel tunnel device."""
    ends = device.tunnel
    if ends is None or ends.remote is None:
        return Unresolved(
            f"the tunnel device {device.name} has no remote address; "
            "give it one, or name the tunnel in node.tunnels"
        )
    if not ends.plain:
        return Unresolved(
            f"the tunnel device {device.name} adds more than an IP header (fou, gue or external); "
            "use a plain one, or name the tunnel in node.tunnels"
        )
    route = route_to(ends.remote, ends.parent)
    return _outer(target, ends.remote, ends.local, sources, route)
