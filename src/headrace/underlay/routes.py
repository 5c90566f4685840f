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

    The routing table's entry is asked for, because only it shows all legs; the choice that the
    kernel makes from it, only for the source address, and for IPv4 once a next hop: there the
    source depends on the next hop alone. That halves the time of a thousand routes.
    """

    def __init__(self, socket: RequestSocket) -> None:
        self._socket = socket
        self._routes: dict[tuple[IPAddress, int | None], Route | NoRoute] = {}
        self._sources: dict[tuple[int, IPAddress], IPAddress | None] = {}

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
        if entry.source is not None:
            return Route(entry.legs, entry.source)
        legs = (replace(leg, source=self._source(destination, leg)) for leg in entry.legs)
        return Route(tuple(legs))

    def _source(self, destination: IPAddress, leg: Leg) -> IPAddress | None:
        """The source address that the kernel would choose on a leg."""
        shared = leg.gateway is not None and destination.version == 4
        key = (leg.ifindex, leg.gateway if leg.gateway is not None and shared else destination)
        if key not in self._sources:
            chosen = self._ask(destination, leg.ifindex, matched_entry=False)
            self._sources[key] = None if isinstance(chosen, NoRoute) else chosen.source
        return self._sources[key]

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
