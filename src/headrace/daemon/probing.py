"""What makes probes take the tunnel: the program, the routes to it, and a way an endpoint.

The data plane's room has the program, the underlay's the routes; here they are put together as
control's ProbePaths.
"""

import asyncio
import time
from collections import deque
from collections.abc import Callable, Mapping, Sequence

import structlog

from headrace.daemon.causes import SILENT, Evidence, likely_cause
from headrace.daemon.direct_checks import Direct, DirectChecks
from headrace.dataplane import ProbeTunnel, overhead_bytes
from headrace.health import ProbeWay
from headrace.model import Encapsulation, IPAddress, KernelError, Path, ProbePath, ProbeTarget
from headrace.model.limits import LIMIT_ENDPOINTS_PER_NODE
from headrace.underlay import (
    PROBE_MARK,
    IcmpError,
    IcmpErrors,
    ProbeHindrances,
    ProbeRoute,
    ProbeRoutes,
    ReversePathFilter,
)

LIMIT_MARKS = LIMIT_ENDPOINTS_PER_NODE - 1
"""Paths that can be probed: 0 marks none, and the program has room for so many."""

CHECK_S = 1.0
"""What is seen of this node is used for so long: when all endpoints fail, all ask for it."""

_MTU_MIN_BYTES = {4: 576, 6: 1280}  # RFC 791, RFC 8200
_MTU_MAX_BYTES = 65_535

Key = tuple[IPAddress, Encapsulation]

_log = structlog.get_logger()


class TunnelPaths:
    """The ways of probes, and an opinion of why one fails. A ProbePaths."""

    def __init__(
        self, owner: str, gue_port: Callable[[], int], now: Callable[[], float] = time.monotonic
    ) -> None:
        """`owner` tells this instance's routes from those of others on the same node."""
        self._gue_port = gue_port
        self._tunnel = ProbeTunnel()
        self._routes = ProbeRoutes(owner)
        self._marks = _Marks()
        self._paths: dict[Key, tuple[Path, int]] = {}  # with the port of GUE
        self._ways: dict[tuple[Key, int], ProbeWay] = {}  # by the family of the VIP
        self._sources: dict[IPAddress, IPAddress] = {}  # of the routes, by VIP
        self._refusal = ""
        self._lock = asyncio.Lock()
        self._sight = _Sight(now)
        self._towards = _SourcesTowards(self._sight.hindrances)

    def close(self) -> None:
        """Take the routes and rules away."""
        self._sight.close()
        self._routes.close()
        self._tunnel.close()

    async def set_paths(self, paths: Mapping[Key, Path], vips: frozenset[IPAddress]) -> None:
        """Have a way for each of these paths, and probes of these VIPs take them.

        Cheap when nothing is new. Raises KernelError when the kernel refuses; then there are no
        ways, `likely_cause` says so, and the next call tries again.
        """
        async with self._lock:
            try:
                await asyncio.to_thread(self._put_paths, paths)
                routes = await asyncio.to_thread(self._put_routes, paths, vips)
                ways = await asyncio.to_thread(self._find_ways, routes, vips)
            except KernelError as error:
                self._refusal = str(error)
                raise
            self._refusal = ""
            self._ways = ways
            self._sources = {route.vip: route.source for route in routes}

    def look_again(self) -> None:
        """A route may have changed: what the next `set_paths` finds is not what was found before.

        Of a path that stays as it is, the address that probes come from may be another.
        """
        self._towards.forget()

    def way_of(self, target: ProbeTarget) -> ProbeWay | None:
        """How sockets reach the target; None: they cannot at the moment."""
        if self._refusal or target.vip not in self._sources:
            return None
        return self._ways.get(((target.endpoint, target.encapsulation), target.vip.version))

    def likely_cause(self, target: ProbeTarget, failure: str) -> str:
        """In words, why probes of this target fail. Does not block.

        Whether the endpoint is alive is found out meanwhile, for the next call.
        """
        path, _ = self._paths.get((target.endpoint, target.encapsulation), (None, 0))
        if target.probe.path is ProbePath.DIRECT:
            return likely_cause(target, Evidence(failure))
        evidence = Evidence(
            failure,
            path,
            self._refusal,
            is_local=self._sight.is_local(target.vip),
            has_source=target.vip in self._sources,
            filter=self._sight.filter(target, path),
            error=self._sight.error(path),
            direct=self._sight.direct(target, failure),
        )
        return likely_cause(target, evidence)

    def _put_paths(self, paths: Mapping[Key, Path]) -> None:
        """Write what is new, and remove what is gone."""
        gue_port = self._gue_port()
        for key in self._paths.keys() - paths.keys():
            for version in _MTU_MIN_BYTES:  # first: `way_of` may be asked meanwhile
                self._ways.pop((key, version), None)
            del self._paths[key]
            self._tunnel.remove(self._marks.release(key))
        for key, path in paths.items():
            index = self._marks.take(key)
            if index is not None and self._paths.get(key) != (path, gue_port):
                self._tunnel.put(index, path, gue_port)
                self._paths[key] = path, gue_port

    def _put_routes(
        self, paths: Mapping[Key, Path], vips: frozenset[IPAddress]
    ) -> list[ProbeRoute]:
        """Have a route to each VIP of the families that this node has an address of; the routes.

        A VIP has one route, whose MTU is that of the widest path.
        """
        rooms = (_room_bytes(path) for path in paths.values())
        room_bytes = max(rooms, default=_MTU_MAX_BYTES)
        ends = [path.outer_destination or endpoint for (endpoint, _), path in paths.items()]
        routes = []
        for version in _MTU_MIN_BYTES:
            family = frozenset(vip for vip in vips if vip.version == version)
            towards = min((end for end in ends if end.version == version), key=int, default=None)
            source = self._sight.hindrances.source_for(family, towards) if family else None
            if source is not None:
                mtu_bytes = _inner_mtu_bytes(room_bytes, version)
                routes += [ProbeRoute(vip, source, mtu_bytes, self._tunnel.fd) for vip in family]
        self._routes.ensure(routes)
        return routes

    def _find_ways(
        self, routes: Sequence[ProbeRoute], vips: frozenset[IPAddress]
    ) -> dict[tuple[Key, int], ProbeWay]:
        """How sockets reach each endpoint.

        They come from the address that this node has towards the endpoint, which is all that an
        endpoint behind its own network can answer to; where that is of the other family, from the
        route's, which need not be asked for.
        """
        mtus_bytes = {route.vip.version: route.mtu_bytes for route in routes}
        by_itself = {route.vip.version: route.source for route in routes}
        towards = self._towards.find(self._paths)
        ways: dict[tuple[Key, int], ProbeWay] = {}
        for key, (path, _) in self._paths.items():
            for version, mtu_bytes in mtus_bytes.items():
                source = towards[key].get(version)
                room_bytes = _inner_mtu_bytes(_room_bytes(path), version)
                ways[key, version] = ProbeWay(
                    PROBE_MARK | self._marks[key],
                    None if source in vips or source == by_itself[version] else source,
                    room_bytes if room_bytes < mtu_bytes else None,
                )
        return ways


def _room_bytes(path: Path) -> int:
    """The largest packet that fits a path once it is wrapped."""
    return path.mtu_bytes - overhead_bytes(path)


def _inner_mtu_bytes(room_bytes: int, version: int) -> int:
    """The MTU of packets of a family where there is so much room."""
    return min(max(room_bytes, _MTU_MIN_BYTES[version]), _MTU_MAX_BYTES)


class _SourcesTowards:
    """The addresses of this node towards endpoints, asked for again where something is new."""

    def __init__(self, hindrances: ProbeHindrances) -> None:
        self._hindrances = hindrances
        self._addresses: frozenset[IPAddress] = frozenset()
        self._known: dict[Key, tuple[Path, dict[int, IPAddress]]] = {}
        self._is_stale = False

    def forget(self) -> None:
        """Ask for all of them again: a route may have another source, and lead the same way."""
        self._is_stale = True

    def find(self, paths: Mapping[Key, tuple[Path, int]]) -> dict[Key, dict[int, IPAddress]]:
        """The address towards each endpoint, of the families that there is one. Blocks."""
        is_stale, self._is_stale = self._is_stale, False
        addresses = self._hindrances.addresses()
        if is_stale or addresses != self._addresses:
            self._addresses, self._known = addresses, {}
        known = {}
        for key, (path, _) in paths.items():
            before = self._known.get(key)
            same = before is not None and before[0] == path
            known[key] = before if before and same else (path, self._look(key[0], path))
        self._known = known
        return {key: sources for key, (_, sources) in known.items()}

    def _look(self, endpoint: IPAddress, path: Path) -> dict[int, IPAddress]:
        """By family; the outer address counts before the one that the endpoint is known by."""
        ends = {end.version: end for end in (endpoint, path.outer_destination) if end is not None}
        found = ((family, self._hindrances.source_towards(end)) for family, end in ends.items())
        return {family: source for family, source in found if source is not None}


class _Marks:
    """An index a path, 1..LIMIT_MARKS. One that was released is taken again as late as can be."""

    def __init__(self) -> None:
        self._indexes: dict[Key, int] = {}
        self._fresh = iter(range(1, LIMIT_MARKS + 1))
        self._freed = deque[int]()

    def __getitem__(self, key: Key) -> int:
        return self._indexes[key]

    def take(self, key: Key) -> int | None:
        """The index of a path, a new one if it has none; None when all are taken."""
        if key not in self._indexes:
            index = next(self._fresh, None)
            if index is None and self._freed:
                index = self._freed.popleft()
            if index is not None:
                self._indexes[key] = index
        return self._indexes.get(key)

    def release(self, key: Key) -> int:
        """The index that a path had."""
        index = self._indexes.pop(key)
        self._freed.append(index)
        return index


class _Sight:
    """What can be seen of failures from this node."""

    def __init__(self, now: Callable[[], float]) -> None:
        self.hindrances = ProbeHindrances()
        self._now = now
        self._checks = DirectChecks(now)
        self._errors = _listen()
        self._checked_s = now()
        self._local: dict[IPAddress, bool] = {}
        self._filters: dict[tuple[IPAddress, IPAddress], ReversePathFilter | None] = {}

    def close(self) -> None:
        """Give every socket back."""
        self._checks.close()
        self.hindrances.close()
        if self._errors is not None:
            self._errors.close()

    def is_local(self, vip: IPAddress) -> bool:
        """Whether this node has the VIP."""
        self._expire()
        if vip not in self._local:
            self._local[vip] = self.hindrances.is_local(vip)
        return self._local[vip]

    def filter(self, target: ProbeTarget, path: Path | None) -> ReversePathFilter | None:
        """The filter of this node that drops the answers."""
        self._expire()
        outer = path.outer_destination if path is not None else None
        key = target.vip, target.endpoint if outer is None else outer
        if key not in self._filters:
            self._filters[key] = self.hindrances.reverse_path_filter(*key)
        return self._filters[key]

    def error(self, path: Path | None) -> IcmpError | None:
        """What came back about outer packets on a path."""
        if self._errors is None or path is None or path.outer_destination is None:
            return None
        return self._errors.about(path.outer_destination, path.encapsulation)

    def direct(self, target: ProbeTarget, failure: str) -> Direct:
        """Whether the endpoint is alive at its own address; asked only where nothing came back."""
        if failure not in SILENT:
            return Direct.UNKNOWN
        return self._checks.ask(target.endpoint, target.probe.port or target.port)

    def _expire(self) -> None:
        if self._now() - self._checked_s > CHECK_S:
            self._checked_s = self._now()
            self._local.clear()
            self._filters.clear()


def _listen() -> IcmpErrors | None:
    """The ICMP errors; None where this process may not hear them."""
    try:
        return IcmpErrors()
    except KernelError as error:
        _log.warning("icmp_errors_not_heard", error=str(error))
        return None
