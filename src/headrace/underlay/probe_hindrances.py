"""What of this node's own network keeps probes from working. Blocks, some microseconds."""

from collections.abc import Collection
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path
from socket import if_indextoname

from pyroute2.netlink import rtnl

from headrace.model import IPAddress, KernelError
from headrace.underlay.addresses import read_addresses
from headrace.underlay.netlink import RequestSocket
from headrace.underlay.routes import Routes
from headrace.underlay.snapshot import NoRoute, Route
from headrace.underlay.wire import RouteType, decode_route, encode_route_query

_SETTINGS = Path("/proc/sys/net/ipv4/conf")
_COUNTERS = Path("/proc/thread-self/net/netstat")  # of the thread's network namespace
_DROPPED = "IPReversePathFilter"
_STRICT, _LOOSE = 1, 2


@dataclass(frozen=True, slots=True)
class ReversePathFilter:
    """A device whose filter drops an endpoint's answers (RFC 3704)."""

    device: str
    mode: int  # 1 strict, 2 loose


class ProbeHindrances:
    """Asks the network namespace in which this object is made."""

    def __init__(self) -> None:
        self._socket = RequestSocket()
        self._dropped = _dropped_count()

    def close(self) -> None:
        """Give the socket back."""
        self._socket.close()

    def source_for(
        self, vips: Collection[IPAddress], towards: IPAddress | None
    ) -> IPAddress | None:
        """The address to probe some VIPs of one family from; None: there is none.

        The one that this node has towards the endpoints if it is of that family, else what the
        route to a VIP says, else any that is no link-local one.
        """
        routes = Routes(self._socket)
        for address in (towards, min(vips, key=int)):
            route = routes(address, None) if address is not None else None
            legs = route.legs if isinstance(route, Route) else ()
            for leg in legs:
                if leg.source is not None and _can_probe(leg.source, vips):
                    return leg.source
        return next((one for one in read_addresses() if _can_probe(one, vips)), None)

    def addresses(self) -> frozenset[IPAddress]:
        """Every address of this node."""
        return frozenset(read_addresses())

    def source_towards(self, endpoint: IPAddress) -> IPAddress | None:
        """The address that this node's own packets to an endpoint come from.

        None: it has no route there, or the address means nothing beyond one link.
        """
        query = encode_route_query(endpoint, None, matched_entry=False)
        with suppress(KernelError):
            answer = self._socket.ask("ask for a route", rtnl.RTM_GETROUTE, query)
            source = None if answer is None else decode_route(answer.body).source
            if source is not None and source.version == endpoint.version and _is_routed(source):
                return source
        return None

    def is_local(self, vip: IPAddress) -> bool:
        """Whether the VIP is an address of this node, which then answers its probes itself."""
        query = encode_route_query(vip, None, matched_entry=False)
        try:
            answer = self._socket.ask("ask for a route", rtnl.RTM_GETROUTE, query)
        except KernelError:  # there is none
            return False
        return answer is not None and decode_route(answer.body).type == RouteType.LOCAL

    def reverse_path_filter(self, vip: IPAddress, endpoint: IPAddress) -> ReversePathFilter | None:
        """The filter that drops answers from a VIP that come from an endpoint's direction.

        Told only when it has dropped something since this object was made: answers may come by
        another device than probes leave by.
        """
        if vip.version == 6 or _dropped_count() == self._dropped:
            return None
        with suppress(KernelError, OSError):  # of a device that is gone by now
            routes = Routes(self._socket)
            there, back = _devices(routes(endpoint, None)), _devices(routes(vip, None))
            for device in sorted(there):
                mode = _mode(device)
                if (mode == _STRICT and device not in back) or (mode == _LOOSE and not back):
                    return ReversePathFilter(device, mode)
        return None


def _can_probe(address: IPAddress, vips: Collection[IPAddress]) -> bool:
    """Whether probes of some VIPs can come from an address."""
    return (
        address.version == next(iter(vips)).version and address not in vips and _is_routed(address)
    )


def _is_routed(address: IPAddress) -> bool:
    """Whether an address means something beyond one link."""
    return not (address.is_link_local or address.is_loopback)


def _devices(route: Route | NoRoute) -> set[str]:
    """The names of the devices that a route leaves by."""
    if isinstance(route, NoRoute):
        return set()
    return {if_indextoname(leg.ifindex) for leg in route.legs}


def _mode(device: str) -> int:
    """A device's reverse path filter: the larger of its own setting and that for all."""
    return max(int((_SETTINGS / name / "rp_filter").read_text()) for name in ("all", device))


def _dropped_count() -> int:
    """How many packets the reverse path filters of this node have dropped."""
    names, values = (
        line.split() for line in _COUNTERS.read_text().splitlines() if line.startswith("TcpExt:")
    )
    return int(dict(zip(names, values, strict=True))[_DROPPED])
