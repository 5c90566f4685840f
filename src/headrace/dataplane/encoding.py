"""Values to map entries and back. Pure."""

from collections.abc import Iterable

from headrace.dataplane import layout
from headrace.model import (
    ConfigError,
    IPAddress,
    NextHop,
    Path,
    Port,
    Protocol,
    Reach,
    ServiceKey,
)
from headrace.model.limits import LIMIT_PORTS


def service_key(key: ServiceKey) -> layout.ServiceKey:
    """The key of a service's entry."""
    encoded = vip_mark(key.vip)
    encoded.port[:] = key.port.to_bytes(2, "big")
    encoded.protocol = key.protocol.number
    return encoded


def vip_mark(vip: IPAddress) -> layout.ServiceKey:
    """The key of the entry that says that an address is a VIP."""
    encoded = layout.ServiceKey()
    encoded.vip[:] = vip.packed
    return encoded


def is_vip_mark(key: layout.ServiceKey) -> bool:
    """Whether an entry only marks a VIP."""
    return int(key.protocol) == 0


def key_of(key: layout.ServiceKey) -> ServiceKey:
    """The inverse of `service_key`."""
    port = int.from_bytes(bytes(key.port), "big")
    return ServiceKey(layout.vip_of(key), Protocol.of_number(key.protocol), port)


def endpoint(reach: Reach) -> layout.Endpoint:
    """An endpoint's entry, without a next hop yet."""
    entry = layout.Endpoint()
    entry.identity[:] = layout.address_bytes(reach.endpoint)
    if reach.outer_source is not None and reach.outer_destination is not None:
        entry.outer_source[:] = layout.address_bytes(reach.outer_source)
        entry.outer_destination[:] = layout.address_bytes(reach.outer_destination)
        entry.outer_sum = layout.outer_sum(reach.outer_source, reach.outer_destination)
    return entry


def reach_of(entry: layout.Endpoint) -> Reach:
    """The inverse of `endpoint`."""
    identity = layout.address_of(bytes(entry.identity))
    if identity is None:
        raise ValueError("a free entry is no endpoint")
    return Reach(
        identity,
        layout.address_of(bytes(entry.outer_source)),
        layout.address_of(bytes(entry.outer_destination)),
    )


def next_hop(hop: NextHop, mtu_bytes: int) -> layout.NextHop:
    """A next hop's entry."""
    entry = layout.NextHop(ifindex=hop.ifindex, mtu=min(mtu_bytes, 0xFFFF))
    entry.destination_mac[:] = hop.destination_mac
    entry.source_mac[:] = hop.source_mac
    return entry


def hop_of(entry: layout.NextHop) -> tuple[NextHop, int]:
    """The inverse of `next_hop`."""
    hop = NextHop(entry.ifindex, bytes(entry.source_mac), bytes(entry.destination_mac))
    return hop, int(entry.mtu)


def path_of(entry: layout.Endpoint, hop_entry: layout.NextHop) -> Path:
    """The path that an endpoint's entry and its next hop's make."""
    reach = reach_of(entry)
    if reach.outer_source is None or reach.outer_destination is None:
        raise ValueError("an endpoint with a next hop has outer addresses")
    hop, mtu_bytes = hop_of(hop_entry)
    return Path(reach.outer_source, reach.outer_destination, hop, mtu_bytes)


def port_entries(ports: Iterable[Port]) -> list[layout.Port]:
    """The whole `ports` map. Raises ConfigError where two interfaces would share an entry."""
    entries = [layout.Port() for _ in range(LIMIT_PORTS)]
    owner: dict[int, str] = {}
    for port in ports:
        index = port.ifindex % LIMIT_PORTS
        if index in owner:
            raise ConfigError.at(
                "node.interfaces",
                f"{owner[index]} and {port.name} have indexes equal modulo {LIMIT_PORTS}; "
                "leave one out, or create one of the devices again",
            )
        owner[index] = port.name
        entries[index] = layout.Port(ifindex=port.ifindex)
        for position in range(2):
            entries[index].macs[position][:] = port.macs[min(position, len(port.macs) - 1)]
    return entries
