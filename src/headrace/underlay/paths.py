"""From an outer header and the neighbours' MAC addresses to the path. Pure.

A target is resolved in two steps, because asking a neighbour takes milliseconds: `outer_header`
needs routes only, and `wanted_neighbours` says whom to ask; `find_path` adds their MAC addresses.
"""

from collections.abc import Iterable, Mapping
from hashlib import blake2b
from math import log

from headrace.model import Encapsulation, IPAddress, NextHop, Path, Unresolved
from headrace.underlay.memory import KnownMac
from headrace.underlay.outer import Outer
from headrace.underlay.snapshot import (
    FdbKey,
    Leg,
    Link,
    NeighbourKey,
    NeighbourState,
    Snapshot,
)
from headrace.underlay.stack import Egress, bridge_below, device_problem, find_egress

_HASH_BYTES = 6
"""48 bits and a half are exact in a float, so that no hash is 0 or 1 of the way."""


def wanted_neighbours(outer: Outer, links: Mapping[int, Link]) -> list[NeighbourKey]:
    """The neighbours of those legs that could carry packets now."""
    return [outer.neighbour(leg) for leg in outer.legs if _leg_problem(leg, links) is None]


def wanted_fdb(
    keys: Iterable[NeighbourKey],
    links: Mapping[int, Link],
    macs: Mapping[NeighbourKey, KnownMac],
) -> set[FdbKey]:
    """What to ask the bridges for: the port behind each MAC that is reached through a bridge."""
    known = [key for key in keys if key in macs and key.ifindex in links]
    bridges = {key: bridge_below(links[key.ifindex], links) for key in known}
    return {
        FdbKey(bridge.index, macs[key].mac) for key, bridge in bridges.items() if bridge is not None
    }


def find_path(
    outer: Outer, snapshot: Snapshot, macs: Mapping[NeighbourKey, KnownMac]
) -> Path | Unresolved:
    """The path by the leg that the endpoint prefers of those whose neighbour answers.

    A leg whose neighbour is silent, but answered lately, serves while no other leg does.
    """
    attempts = [(leg, _leg_path(outer, leg, snapshot, macs)) for leg in outer.legs]
    paths = [(leg, path) for leg, path in attempts if isinstance(path, Path)]
    if not paths:
        return attempts[0][1]
    if len(paths) == 1:
        return paths[0][1]
    fresh = [(leg, path) for leg, path in paths if macs[outer.neighbour(leg)].fresh]
    endpoint = outer.target.endpoint
    return max(fresh or paths, key=lambda pair: preference(endpoint, pair[0]))[1]


def preference(endpoint: IPAddress, leg: Leg) -> float:
    """How much an endpoint prefers a leg: weighted rendezvous hashing.

    Endpoints spread over legs by their weights; when a leg goes, only its own endpoints move.
    """
    gateway = leg.gateway.packed if leg.gateway is not None else b""
    name = endpoint.packed + leg.ifindex.to_bytes(4, "big") + gateway
    hashed = int.from_bytes(blake2b(name, digest_size=_HASH_BYTES).digest(), "big")
    return -leg.weight / log((hashed + 0.5) / 2 ** (8 * _HASH_BYTES))


def _leg_path(
    outer: Outer, leg: Leg, snapshot: Snapshot, macs: Mapping[NeighbourKey, KnownMac]
) -> Path | Unresolved:
    """The path by one leg."""
    problem = _leg_problem(leg, snapshot.links)
    if problem is not None:
        return Unresolved(problem)
    device = snapshot.links[leg.ifindex]
    source = _source(outer, leg)
    if source is None and outer.target.encapsulation is not Encapsulation.L2:
        setting = "node.source" if outer.destination.version == 4 else "node.source6"
        return Unresolved(
            f"{device.name} has no address to send to {outer.destination} from; set {setting}"
        )
    known = macs.get(outer.neighbour(leg))
    if known is None:
        return Unresolved(_silence(outer.neighbour(leg), device, snapshot))
    egress = find_egress(device, known.mac, snapshot)
    if isinstance(egress, Unresolved):
        return egress
    return _path(outer, leg, source, _next_hop(device, known.mac, egress), egress.mtu_bytes)


def _path(
    outer: Outer, leg: Leg, source: IPAddress | None, next_hop: NextHop, mtu_bytes: int
) -> Path:
    """The path once everything is known."""
    encapsulation = outer.target.encapsulation
    bare = encapsulation is Encapsulation.L2
    return Path(
        outer_source=None if bare else source,
        outer_destination=None if bare else outer.destination,
        next_hop=next_hop,
        mtu_bytes=min(mtu_bytes, leg.mtu_bytes or mtu_bytes),
        encapsulation=encapsulation,
        source_hashed=outer.source_hashed,
    )


def _next_hop(device: Link, mac: bytes, egress: Egress) -> NextHop:
    """The next hop: frames come from the device that has the address, and leave by its port."""
    assert device.mac is not None  # noqa: S101 - `device_problem` is asked before
    return NextHop(
        egress.port.index,
        source_mac=device.mac,
        destination_mac=mac,
        tag=egress.tag,
        transmit=egress.port.transmits,
    )


def _source(outer: Outer, leg: Leg) -> IPAddress | None:
    """The outer source on a leg. A router forwards nothing from a link-local IPv6 address."""
    if outer.source is not None:
        return outer.source
    source = leg.source
    if source is None or source.version != outer.destination.version:
        return None
    stays = source.version == 6 and source.is_link_local and leg.gateway is not None
    return None if stays else source


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
    return device_problem(device, links)


def _silence(key: NeighbourKey, device: Link, snapshot: Snapshot) -> str:
    """The message for a neighbour without a MAC address."""
    neighbour = snapshot.neighbours.get(key)
    protocol = "ARP" if key.address.version == 4 else "neighbour discovery"
    if neighbour is not None and neighbour.state & NeighbourState.FAILED:
        return f"{key.address} on {device.name} does not answer {protocol}"
    return f"{key.address} on {device.name} has not answered {protocol} yet"
