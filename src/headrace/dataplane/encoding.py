"""Values to map entries and back. Pure."""

import ctypes
import functools
import operator
import sys
from collections.abc import Iterable
from ipaddress import IPv4Network, IPv6Network, ip_address, ip_network

from headrace.dataplane import layout
from headrace.model import (
    Affinity,
    ConfigError,
    Encapsulation,
    FlowTable,
    IPAddress,
    IPNetwork,
    NextHop,
    Path,
    Port,
    Protocol,
    Reach,
    ServiceEntry,
    ServiceKey,
)
from headrace.model.limits import LIMIT_PORTS

ServiceKeyEntry = layout.ServiceKey4 | layout.ServiceKey6
Vip = IPAddress | IPNetwork

_AFFINITIES = {
    Affinity.FLOW: layout.AFFINITY_FLOW,
    Affinity.SOURCE_IP: layout.AFFINITY_SOURCE_IP,
    Affinity.DESTINATION_PORT: layout.AFFINITY_DESTINATION_PORT,
}
_FLOW_TABLES = {
    FlowTable.UNSTABLE: layout.FLOW_TABLE_UNSTABLE,
    FlowTable.ALWAYS: layout.FLOW_TABLE_ALWAYS,
    FlowTable.NEVER: layout.FLOW_TABLE_NEVER,
}
_AFFINITY_OF = {number: affinity for affinity, number in _AFFINITIES.items()}
_FLOW_TABLE_OF = {number: flow_table for flow_table, number in _FLOW_TABLES.items()}

_ENCAPSULATIONS = {
    (Encapsulation.L2, 4): layout.ENCAPSULATION_L2,
    (Encapsulation.L2, 6): layout.ENCAPSULATION_L2,
    (Encapsulation.IPIP, 4): layout.ENCAPSULATION_IPIP4,
    (Encapsulation.IPIP, 6): layout.ENCAPSULATION_IPIP6,
    (Encapsulation.GUE, 4): layout.ENCAPSULATION_GUE4,
    (Encapsulation.GUE, 6): layout.ENCAPSULATION_GUE6,
}
_ENCAPSULATION_OF = {number: how for (how, _), number in _ENCAPSULATIONS.items()}
_OUTER_PROTOCOLS = {Encapsulation.IPIP: 4, Encapsulation.GUE: 17}

# --- services --------------------------------------------------------------------------------


def service_key(key: ServiceKey) -> ServiceKeyEntry:
    """The key of a service's entry."""
    return _entry_key(key.vip, key.protocol.number, key.port)


def vip_mark(vip: Vip) -> ServiceKeyEntry:
    """The key of the entry that says that an address, or a prefix, is a VIP."""
    return _entry_key(vip, 0, 0)


def portless_key(vip: Vip, protocol: Protocol) -> ServiceKeyEntry:
    """The key of the entry for a VIP's packets of a protocol where ports do not matter."""
    return _entry_key(vip, 0, protocol.number)


def is_service(key: ServiceKeyEntry) -> bool:
    """Whether an entry is a service's, not a mark and not of packets without ports."""
    return int(key.protocol) != 0


def is_mark(key: ServiceKeyEntry) -> bool:
    """Whether an entry is a VIP's mark."""
    return not is_service(key) and port_of(key) == 0


def key_of(key: ServiceKeyEntry) -> ServiceKey:
    """The inverse of `service_key`."""
    return ServiceKey(vip_of(key), Protocol.of_number(key.protocol), port_of(key))


def vip_of(key: ServiceKeyEntry) -> Vip:
    """The VIP of an entry."""
    packed = bytes(key.vip)
    if key.prefix_length < 8 * len(packed):
        return ip_network((packed, key.prefix_length))
    return ip_address(packed)


def port_of(key: ServiceKeyEntry) -> int:
    """The port of an entry."""
    return int.from_bytes(bytes(key.port), "big")


def service(entry: ServiceEntry, pool: int, counter: int, sources: int) -> layout.Service:
    """A service's entry; `sources` is the number of its list, 0 for none.

    What the VIP does with packets of no service is told by its mark.
    """
    return layout.Service(
        pool=pool,
        counter=counter,
        sources=sources,
        affinity=_AFFINITIES[entry.affinity],
        flow_table=_FLOW_TABLES[entry.flow_table],
        flags=layout.SERVICE_QUIC * entry.quic | layout.SERVICE_SOURCES * (sources != 0),
    )


def affinity_of(entry: layout.Service) -> Affinity:
    """Which packets of a service go to one endpoint."""
    return _AFFINITY_OF[entry.affinity]


def flow_table_of(entry: layout.Service) -> FlowTable:
    """When a service's flows are remembered."""
    return _FLOW_TABLE_OF[entry.flow_table]


# --- shortcuts -------------------------------------------------------------------------------


def shortcut_words(key: ServiceKey) -> tuple[int, ...]:
    """What a packet compares with a shortcut: one word for IPv4, three for IPv6."""
    packed = bytes(service_key(key))
    if key.vip.version == 4:
        return (int.from_bytes(packed, sys.byteorder),)
    first, last = memoryview(packed[:16]).cast("Q")
    return first, last, int.from_bytes(packed[16:], sys.byteorder) | layout.SHORTCUT_USED


def shortcut_bucket(words: tuple[int, ...]) -> int:
    """The index of the bucket that a shortcut is in."""
    number = functools.reduce(operator.xor, words) * layout.LOOKUP_MULTIPLIER
    return (number & 0xFFFFFFFFFFFFFFFF) >> (64 - layout.SHORTCUT_BITS)


def key_of_shortcut4(entry: layout.Shortcut4) -> ServiceKey:
    """The service of a shortcut that is in use."""
    packed = int(entry.key).to_bytes(ctypes.sizeof(layout.ServiceKey4), sys.byteorder)
    return key_of(layout.ServiceKey4.from_buffer_copy(packed))


def key_of_shortcut6(entry: layout.Shortcut6) -> ServiceKey:
    """The same for IPv6."""
    rest = (entry.rest & ~layout.SHORTCUT_USED).to_bytes(4, sys.byteorder)
    return key_of(layout.ServiceKey6.from_buffer_copy(bytes(entry.vip) + rest))


# --- VIPs and sources ------------------------------------------------------------------------


def prefix_key(prefix: IPNetwork) -> layout.PrefixKey:
    """The key of a VIP prefix."""
    return _group_key(prefix.version, prefix)


def vip_prefix_of(key: layout.PrefixKey) -> IPNetwork:
    """The inverse of `prefix_key`."""
    return _prefix(key, _group(key))


def source_key(number: int, prefix: IPNetwork) -> layout.PrefixKey:
    """The key of a prefix in the list of clients with this number, of 31 bits."""
    return _group_key(number << 1 | (prefix.version == 6), prefix)


def source_of(key: layout.PrefixKey) -> tuple[int, IPNetwork]:
    """The inverse of `source_key`."""
    number, is_v6 = divmod(_group(key), 2)
    return number, _prefix(key, 6 if is_v6 else 4)


def filter_bit(vip: IPAddress) -> int:
    """The bit of `vip_filter` that is set for a VIP."""
    if vip.version == 4:
        number = memoryview(vip.packed).cast("I")[0]
    else:
        first, last = memoryview(vip.packed).cast("Q")
        number = first ^ (last << 32 & 0xFFFFFFFFFFFFFFFF | last >> 32)
    return (number * layout.LOOKUP_MULTIPLIER & 0xFFFFFFFFFFFFFFFF) >> 48


def _group_key(group: int, prefix: IPNetwork) -> layout.PrefixKey:
    mapped = layout.V4_MAPPED_BITS if prefix.version == 4 else 0
    key = layout.PrefixKey(prefix_length=layout.GROUP_BITS + mapped + prefix.prefixlen)
    key.group[:] = group.to_bytes(4, "big")
    key.address[:] = layout.address_bytes(prefix.network_address)
    return key


def _group(key: layout.PrefixKey) -> int:
    return int.from_bytes(bytes(key.group), "big")


def _prefix(key: layout.PrefixKey, version: int) -> IPNetwork:
    length, address = key.prefix_length - layout.GROUP_BITS, bytes(key.address)
    if version == 4:
        return IPv4Network((address[12:], length - layout.V4_MAPPED_BITS))
    return IPv6Network((address, length))


def _entry_key(vip: Vip, protocol: int, port: int) -> ServiceKeyEntry:
    address = vip if isinstance(vip, IPAddress) else vip.network_address
    key = layout.ServiceKey4() if address.version == 4 else layout.ServiceKey6()
    key.vip[:] = address.packed
    key.port[:] = port.to_bytes(2, "big")
    key.protocol = protocol
    key.prefix_length = address.max_prefixlen if isinstance(vip, IPAddress) else vip.prefixlen
    return key


# --- endpoints -------------------------------------------------------------------------------


def endpoint(reach: Reach) -> layout.Endpoint:
    """An endpoint's entry, without a next hop yet."""
    outer = reach.outer_destination
    entry = layout.Endpoint(
        encapsulation=_ENCAPSULATIONS[reach.encapsulation, 4 if outer is None else outer.version],
        flags=layout.ENDPOINT_SOURCE_HASHED * reach.source_hashed,
        dscp=0 if reach.dscp is None else reach.dscp << 2 | layout.ENDPOINT_DSCP_FIXED,
    )
    entry.identity[:] = layout.address_bytes(reach.endpoint)
    if reach.outer_source is not None and reach.outer_destination is not None:
        entry.outer_source[:] = layout.address_bytes(reach.outer_source)
        entry.outer_destination[:] = layout.address_bytes(reach.outer_destination)
        if reach.outer_destination.version == 4:
            protocol = _OUTER_PROTOCOLS[reach.encapsulation]
            entry.outer_sum = layout.outer_sum(
                reach.outer_source, reach.outer_destination, protocol
            )
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
        _ENCAPSULATION_OF[entry.encapsulation],
        bool(entry.flags & layout.ENDPOINT_SOURCE_HASHED),
        entry.dscp >> 2 if entry.dscp & layout.ENDPOINT_DSCP_FIXED else None,
    )


def next_hop(hop: NextHop, mtu_bytes: int) -> layout.NextHop:
    """A next hop's entry."""
    entry = layout.NextHop(
        ifindex=hop.ifindex,
        mtu=min(mtu_bytes, 0xFFFF),
        flags=layout.NEXT_HOP_TRANSMIT * hop.transmit,
        tag=hop.tag,
    )
    entry.destination_mac[:] = hop.destination_mac
    entry.source_mac[:] = hop.source_mac
    return entry


def hop_of(entry: layout.NextHop) -> tuple[NextHop, int]:
    """The inverse of `next_hop`."""
    hop = NextHop(
        entry.ifindex,
        bytes(entry.source_mac),
        bytes(entry.destination_mac),
        entry.tag,
        bool(entry.flags & layout.NEXT_HOP_TRANSMIT),
    )
    return hop, int(entry.mtu)


def path_of(entry: layout.Endpoint, hop_entry: layout.NextHop) -> Path:
    """The path that an endpoint's entry and its next hop's make."""
    reach = reach_of(entry)
    return Path(
        reach.outer_source,
        reach.outer_destination,
        *hop_of(hop_entry),
        reach.encapsulation,
        reach.source_hashed,
    )


# --- interfaces ------------------------------------------------------------------------------


def port_entries(ports: Iterable[Port]) -> list[layout.Port]:
    """The whole `ports` map. Raises ConfigError where two interfaces would share an entry."""
    entries = [layout.Port() for _ in range(LIMIT_PORTS)]
    owner: dict[int, str] = {}
    for port in ports:
        if len(port.macs) > layout.PORT_MACS:
            raise ConfigError.at(
                "node.interfaces",
                f"{port.name} and what is stacked on it have {len(port.macs)} MAC addresses, the "
                f"limit is {layout.PORT_MACS}; give its VLANs the address of {port.name}",
            )
        for ifindex in (port.ifindex, *port.members):
            index = ifindex % LIMIT_PORTS
            if index in owner:
                raise ConfigError.at(
                    "node.interfaces",
                    f"{owner[index]} and {port.name} have indexes equal modulo {LIMIT_PORTS}; "
                    "leave one out, or create one of the devices again",
                )
            owner[index] = port.name
            entries[index] = _port(port, ifindex)
    return entries


def _port(port: Port, ifindex: int) -> layout.Port:
    entry = layout.Port(ifindex=ifindex, flags=layout.PORT_TRANSMIT * port.transmit)
    for position in range(layout.PORT_MACS):
        entry.macs[position][:] = port.macs[min(position, len(port.macs) - 1)]
    return entry
