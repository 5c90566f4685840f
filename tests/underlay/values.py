"""Short ways to write what the kernel might say."""

from collections.abc import Iterable, Mapping
from ipaddress import ip_address

from headrace.model import IPAddress
from headrace.underlay.memory import KnownMac
from headrace.underlay.snapshot import Leg, Link, NeighbourKey, NoRoute, Route, TunnelEnds

NO_ROUTE = NoRoute("has no route")


def mac(number: int) -> bytes:
    """A locally administered MAC address."""
    return bytes([2, 0, 0, 0]) + number.to_bytes(2, "big")


def link(index: int, name: str, kind: str | None = "veth", **settings: object) -> Link:
    """A link that is up; its MAC address is its index unless given."""
    values: dict[str, object] = {"mac": mac(index), "mtu_bytes": 9000, **settings}
    return Link(index=index, name=name, kind=kind, **values)  # type: ignore[arg-type]  # by keyword


def tunnel_device(index: int, name: str, kind: str, local: str | None, remote: str | None) -> Link:
    """A tunnel device as Linux has it: no MAC address, an address of either end or none."""
    ends = TunnelEnds(_address(local), _address(remote))
    return link(index, name, kind, mac=None, mtu_bytes=8980, tunnel=ends)


def vlan(index: int, name: str, vlan_id: int, parent: int | None, **settings: object) -> Link:
    """A VLAN device."""
    values: dict[str, object] = {"vlan_protocol": 0x8100, **settings}
    return link(index, name, "vlan", vlan_id=vlan_id, parent=parent, **values)


def by_index(links: Iterable[Link]) -> dict[int, Link]:
    """The links as a snapshot has them."""
    return {one.index: one for one in links}


def key(ifindex: int, address: str) -> NeighbourKey:
    """A neighbour's key."""
    return NeighbourKey(ifindex, ip_address(address))


def answered(macs: Mapping[NeighbourKey, bytes]) -> dict[NeighbourKey, KnownMac]:
    """Neighbours that answer."""
    return {neighbour: KnownMac(address) for neighbour, address in macs.items()}


class Table:
    """A routing table: the answer for each address, by device if it matters."""

    def __init__(self, routes: Mapping[str | tuple[str, int], Route | NoRoute]) -> None:
        self._routes = routes

    def __call__(self, destination: IPAddress, oif: int | None) -> Route | NoRoute:
        """The route to an address."""
        where = str(destination) if oif is None else (str(destination), oif)
        return self._routes.get(where, NO_ROUTE)


def direct(ifindex: int, source: str | None = None, **settings: object) -> Route:
    """A route with one leg, to the neighbour itself."""
    return Route((leg(ifindex, None, source, **settings),))


def leg(
    ifindex: int, gateway: str | None = None, source: str | None = None, **settings: object
) -> Leg:
    """A leg of a route."""
    values: dict[str, object] = {**settings}
    return Leg(ifindex, _address(gateway), _address(source), **values)  # type: ignore[arg-type]


def _address(text: str | None) -> IPAddress | None:
    return ip_address(text) if text is not None else None
