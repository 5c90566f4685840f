"""The kernel's routes for one survey: each is asked for once. Blocks: for a thread."""

import errno
from dataclasses import replace

from pyroute2.netlink import rtnl

from headrace.model import IPAddress, KernelError
from headrace.underlay.netlink import RequestSocket
from headrace.underlay.snapshot import Leg, NoRoute, Route
from headrace.underlay.wire import RouteAnswer, RouteType, decode_route, encode_route_query

_NO_ROUTE_ERRORS = {
    errno.ENETUNREACH: "has no route; add one, or name a tunnel in node.tunnels",
    errno.EHOSTUNREACH: "has a route of type unreachable",
    errno.EACCES: "has a route of type prohibit",
    errno.EINVAL: "has a route of type blackhole",
}
_NO_ROUTE_TYPES: dict[int, str] = {
    RouteType.LOCAL: "is an address of this node",
    RouteType.BROADCAST: "is a broadcast address",
    RouteType.ANYCAST: "is an anycast address of this node",
    RouteType.MULTICAST: "is a multicast address",
    RouteType.BLACKHOLE: "has a route of type blackhole",
    RouteType.UNREACHABLE: "has a route of type unreachable",
    RouteType.PROHIBIT: "has a route of type prohibit",
}


class Routes:
    """The answers for one survey. A RouteLookup.

    The routing table's entry is asked for, because only it shows all legs; then the choice that the
    kernel makes from it on each device, because only that has the source address and the path MTU
    learned for this destination. The kernel tells nobody when it learns or forgets one.
    """

    def __init__(self, socket: RequestSocket) -> None:
        self._socket = socket
        self._routes: dict[tuple[IPAddress, int | None], Route | NoRoute] = {}

    @property
    def destinations(self) -> frozenset[IPAddress]:
        """The addresses that were asked for."""
        return frozenset(address for address, _oif in self._routes)

    def __call__(self, destination: IPAddress, oif: int | None) -> Route | NoRoute:
        """The way packets of this node take to an address, by a certain device if one is given."""
        key = (destination, oif)
        if key not in self._routes:
            self._routes[key] = self._route(destination, oif)
        return self._routes[key]

    def _route(self, destination: IPAddress, oif: int | None) -> Route | NoRoute:
        entry = self._ask(destination, oif, matched_entry=True)
        if isinstance(entry, NoRoute):
            return entry
        chosen = {
            ifindex: self._ask(destination, ifindex, matched_entry=False)
            for ifindex in {leg.ifindex for leg in entry.legs}
        }
        legs = (_chosen_leg(leg, chosen[leg.ifindex]) for leg in entry.legs)
        return Route(tuple(legs), entry.source)

    def _ask(
        self, destination: IPAddress, oif: int | None, *, matched_entry: bool
    ) -> RouteAnswer | NoRoute:
        """One query. A route that sends nothing away is a NoRoute."""
        body = encode_route_query(destination, oif, matched_entry=matched_entry)
        try:
            message = self._socket.ask("ask for a route", rtnl.RTM_GETROUTE, body)
        except KernelError as error:
            if error.errno not in _NO_ROUTE_ERRORS:
                raise
            return NoRoute(_NO_ROUTE_ERRORS[error.errno])
        if message is None:
            return NoRoute(_NO_ROUTE_ERRORS[errno.ENETUNREACH])
        answer = decode_route(message.body)
        if answer.type != RouteType.UNICAST or not answer.legs:
            return NoRoute(_NO_ROUTE_TYPES.get(answer.type, f"has a route of type {answer.type}"))
        return answer


def _chosen_leg(leg: Leg, chosen: RouteAnswer | NoRoute) -> Leg:
    """A leg with the source address and the MTU that the kernel would take on it."""
    if isinstance(chosen, NoRoute):
        return leg
    limits = [one.mtu_bytes for one in (leg, *chosen.legs) if one.mtu_bytes is not None]
    return replace(leg, source=chosen.source, mtu_bytes=min(limits, default=None))
