"""Bytes of rtnetlink to values and back. Pure.

Links and requests go through pyroute2's message classes. Routes and neighbours are read here:
pyroute2 takes 181 us to ask for a route and 51 us to read a neighbour, and a thousand of each must
fit in 100 ms (2 cores, kernel 6.18, Python 3.11, 2026-11; here 10 and 5 us). The tests read the
same bytes with pyroute2 and compare.
"""

from collections.abc import Iterator
from dataclasses import dataclass, replace
from enum import IntEnum
from functools import lru_cache
from ipaddress import IPv4Address, IPv6Address, ip_address, ip_network
from socket import AF_BRIDGE, AF_INET, AF_INET6
from struct import Struct
from typing import Any, Protocol, cast

from pyroute2.netlink import NLM_F_REQUEST, rtnl
from pyroute2.netlink.rtnl import ndmsg
from pyroute2.netlink.rtnl.ifinfmsg import IFF_LOOPBACK, IFF_LOWER_UP, IFF_UP, ifinfmsg

from headrace.model import IPAddress, IPNetwork
from headrace.underlay.changes import (
    Event,
    FdbEvent,
    LinkEvent,
    NeighbourEvent,
    RouteEvent,
    RulesEvent,
)
from headrace.underlay.snapshot import (
    FdbEntry,
    FdbKey,
    Leg,
    Link,
    Neighbour,
    NeighbourKey,
    NeighbourState,
    TunnelEnds,
)

RTM_NEWNEXTHOP = 104  # pyroute2 knows neither these nor their group
RTM_DELNEXTHOP = 105
RTNLGRP_NEXTHOP = 32

_ARPHRD_ETHER = 1
_RTM_F_FIB_MATCH = 0x2000  # answer with the table's entry, not with the choice made from it
_RTNH_F_DEAD = 1
_NTF_EXT_MANAGED = 1
_RTEXT_FILTER_SKIP_STATS = 8
_ADDRESS_CACHE_SIZE = 4096  # four for each neighbour that a node keeps
_LINK_CACHE_SIZE = 1024  # links of a large node; a few more and it is only slower

_LINK_TYPES = frozenset({rtnl.RTM_NEWLINK, rtnl.RTM_DELLINK})
_NEIGHBOUR_TYPES = frozenset({rtnl.RTM_NEWNEIGH, rtnl.RTM_DELNEIGH})
_ROUTE_TYPES = frozenset({rtnl.RTM_NEWROUTE, rtnl.RTM_DELROUTE})
_RULES_TYPES = frozenset(
    {
        rtnl.RTM_NEWADDR,
        rtnl.RTM_DELADDR,
        rtnl.RTM_NEWRULE,
        rtnl.RTM_DELRULE,
        RTM_NEWNEXTHOP,
        RTM_DELNEXTHOP,
    }
)
_TUNNEL_PREFIXES = {"ipip": "IFLA_IPIP", "sit": "IFLA_SIT", "ip6tnl": "IFLA_IP6TNL"}

_HEADER = Struct("=IHHII")  # length, type, flags, sequence, port
_ATTRIBUTE = Struct("=HH")  # length, type
_RTMSG = Struct("=BBBBBBBBI")  # family, dst len, src len, tos, table, proto, scope, type, flags
_NDMSG = Struct("=BxxxiHBB")  # family, ifindex, state, flags, type
_RTNEXTHOP = Struct("=HBBi")  # length, flags, weight - 1, ifindex
_U32 = Struct("=I")
_IFINFOMSG_INDEX = Struct("=4xi")
_IFADDRMSG = Struct("=BBBBI")  # family, prefix length, flags, scope, ifindex
_IFA_ADDRESS, _IFA_LOCAL = 1, 2
_ATTRIBUTE_TYPE_MASK = 0x3FFF  # above it: "nested" and "network byte order"


class _Rta(IntEnum):
    """Attributes of a route."""

    DST = 1
    OIF = 4
    GATEWAY = 5
    PREFSRC = 7
    METRICS = 8
    MULTIPATH = 9
    VIA = 18
    ENCAP_TYPE = 21


_RTAX_MTU = 2
_RT_TABLE_MAIN = 254
_RTM_F_CLONED = 0x200  # a cached answer, not an entry


class _Nda(IntEnum):
    """Attributes of a neighbour."""

    DST = 1
    LLADDR = 2
    MASTER = 9
    FLAGS_EXT = 15


class RouteType(IntEnum):
    """What a route does with a packet; only UNICAST sends it away."""

    UNICAST = 1
    LOCAL = 2
    BROADCAST = 3
    ANYCAST = 4
    MULTICAST = 5
    BLACKHOLE = 6
    UNREACHABLE = 7
    PROHIBIT = 8


@dataclass(frozen=True, slots=True)
class Message:
    """One netlink message without its header."""

    type: int
    flags: int
    sequence: int
    body: bytes


class _Attributes(Protocol):
    """What pyroute2 made of an attribute with attributes in it."""

    def get_attr(self, name: str) -> Any:  # noqa: ANN401 - pyroute2 has no types
        """The value of an attribute; None when it is absent."""
        ...


@dataclass(frozen=True, slots=True)
class RouteAnswer:
    """A route as one message tells it."""

    type: int  # a RouteType, or one that this kernel has besides
    source: IPAddress | None
    legs: tuple[Leg, ...]


def encode_request(kind: int, flags: int, sequence: int, body: bytes) -> bytes:
    """A request as sent to the kernel."""
    size = _HEADER.size + len(body)
    return _HEADER.pack(size, kind, flags | NLM_F_REQUEST, sequence, 0) + body


def split_messages(data: bytes) -> Iterator[Message]:
    """The messages of one datagram."""
    offset = 0
    while offset + _HEADER.size <= len(data):
        size, kind, flags, sequence, _port = _HEADER.unpack_from(data, offset)
        if size < _HEADER.size:
            return
        yield Message(kind, flags, sequence, data[offset + _HEADER.size : offset + size])
        offset += _aligned(size)


def encode_route_query(destination: IPAddress, oif: int | None, *, matched_entry: bool) -> bytes:
    """The body of a route query; `matched_entry` asks for the routing table's entry itself."""
    family = AF_INET if destination.version == 4 else AF_INET6
    flags = _RTM_F_FIB_MATCH if matched_entry else 0
    body = _RTMSG.pack(family, destination.max_prefixlen, 0, 0, 0, 0, 0, 0, flags)
    body += _attribute(_Rta.DST, destination.packed)
    if oif is not None:
        body += _attribute(_Rta.OIF, _U32.pack(oif))
    return body


def decode_route(body: bytes) -> RouteAnswer:
    """The route that a message tells."""
    fields = _attributes(body, _RTMSG.size)
    route_type: int = _RTMSG.unpack_from(body)[7]
    mtu_bytes = _mtu(fields[_Rta.METRICS]) if _Rta.METRICS in fields else None
    source = _address(fields.get(_Rta.PREFSRC))
    if _Rta.MULTIPATH in fields:
        legs = tuple(_multipath_legs(fields[_Rta.MULTIPATH], source, mtu_bytes))
    elif _Rta.OIF in fields:
        legs = (_leg(_u32(fields[_Rta.OIF]), fields, source, mtu_bytes),)
    else:
        legs = ()
    return RouteAnswer(route_type, source, legs)


def encode_route_dump() -> bytes:
    """The body that asks for the routes of all tables and both families."""
    return _RTMSG.pack(0, 0, 0, 0, 0, 0, 0, 0, 0)


def decode_table_entry(body: bytes) -> tuple[IPNetwork, tuple[IPAddress, ...], int] | None:
    """Destination, gateways and protocol of the main table's entry; None for all others."""
    family, length, _, _, table, protocol, _, kind, flags = _RTMSG.unpack_from(body)
    is_ours = table == _RT_TABLE_MAIN and kind == RouteType.UNICAST and not flags & _RTM_F_CLONED
    if not is_ours or family not in {AF_INET, AF_INET6}:
        return None
    fields = _attributes(body, _RTMSG.size)
    packed = fields.get(_Rta.DST, bytes(4 if family == AF_INET else 16))
    legs = decode_route(body).legs
    gateways = tuple(leg.gateway for leg in legs if leg.gateway is not None)
    return ip_network((packed, length)), gateways, protocol


def encode_address_dump() -> bytes:
    """The body that asks for the addresses of all interfaces and both families."""
    return _IFADDRMSG.pack(0, 0, 0, 0, 0)


def decode_own_address(body: bytes) -> IPAddress | None:
    """The address that a message tells; where it is one with a peer's, our own."""
    fields = _attributes(body, _IFADDRMSG.size)
    return _address(fields.get(_IFA_LOCAL, fields.get(_IFA_ADDRESS)))


def encode_neighbour_dump(family: int) -> bytes:
    """The body that asks for all neighbours, or with AF_BRIDGE for all forwarding databases."""
    return _NDMSG.pack(family, 0, 0, 0, 0)


def encode_neighbour_query(key: NeighbourKey) -> bytes:
    """The body that asks for, or names, one neighbour."""
    family = AF_INET if key.address.version == 4 else AF_INET6
    body = _NDMSG.pack(family, key.ifindex, 0, 0, 0)
    return body + _attribute(_Nda.DST, key.address.packed)


def encode_managed_neighbour(key: NeighbourKey) -> bytes:
    """The body that asks the kernel to keep a neighbour resolved (Linux 5.16)."""
    family = AF_INET if key.address.version == 4 else AF_INET6
    body = _NDMSG.pack(family, key.ifindex, ndmsg.NUD_NONE, ndmsg.NTF_USE, 0)
    body += _attribute(_Nda.DST, key.address.packed)
    return body + _attribute(_Nda.FLAGS_EXT, _U32.pack(_NTF_EXT_MANAGED))


def decode_neighbour(body: bytes) -> Neighbour | FdbEntry | None:
    """The neighbour or bridge entry that a message tells; None for the kinds that we pass over.

    Those are a bridge's entries for its own addresses, and a device's list of addresses to accept.
    """
    family, ifindex, state, _flags, _type = _NDMSG.unpack_from(body)
    fields = _attributes(body, _NDMSG.size)
    mac = fields.get(_Nda.LLADDR)
    if mac is not None and len(mac) != 6:
        mac = None
    if family == AF_BRIDGE:
        if mac is None or _Nda.MASTER not in fields or state & NeighbourState.PERMANENT:
            return None
        return FdbEntry(FdbKey(_u32(fields[_Nda.MASTER]), mac), ifindex)
    address = _address(fields.get(_Nda.DST))
    if address is None:
        return None
    managed = _Nda.FLAGS_EXT in fields and bool(_u32(fields[_Nda.FLAGS_EXT]) & _NTF_EXT_MANAGED)
    return Neighbour(NeighbourKey(ifindex, address), state, mac, managed=managed)


def encode_link_dump() -> bytes:
    """The body that asks for all links, without their counters."""
    query = ifinfmsg()
    query["attrs"] = [["IFLA_EXT_MASK", _RTEXT_FILTER_SKIP_STATS]]
    query.encode()
    return bytes(query.data[_HEADER.size :])


@lru_cache(maxsize=_LINK_CACHE_SIZE)
def decode_link(body: bytes) -> Link:
    """The link that a message tells. Cached: pyroute2 takes 0.3 ms, and links seldom change."""
    message = ifinfmsg(_HEADER.pack(_HEADER.size + len(body), rtnl.RTM_NEWLINK, 0, 0, 0) + body)
    message.decode()
    flags = int(message["flags"])
    info = message.get_attr("IFLA_LINKINFO")
    kind = info.get_attr("IFLA_INFO_KIND") if info is not None else None
    data = info.get_attr("IFLA_INFO_DATA") if info is not None else None
    elsewhere = message.get_attr("IFLA_LINK_NETNSID") is not None
    link = Link(
        index=int(message["index"]),
        name=str(message.get_attr("IFLA_IFNAME")),
        kind=kind,
        mac=_mac(message),
        mtu_bytes=int(message.get_attr("IFLA_MTU") or 0),
        up=bool(flags & IFF_UP),
        carrier=bool(flags & IFF_LOWER_UP),
        loopback=bool(flags & IFF_LOOPBACK),
        master=message.get_attr("IFLA_MASTER"),
        parent=message.get_attr("IFLA_LINK") if kind != "veth" and not elsewhere else None,
    )
    return _with_kind_data(link, data)


def decode_events(data: bytes) -> Iterator[Event]:
    """The events of one datagram that may matter to somebody."""
    for message in split_messages(data):
        event = _decode_event(message)
        if event is not None:
            yield event


def _decode_event(message: Message) -> Event | None:
    """The event that a message tells; None when it can matter to nobody."""
    if message.type in _LINK_TYPES:
        return _link_event(message)
    if message.type in _NEIGHBOUR_TYPES:
        return _neighbour_event(message)
    if message.type in _ROUTE_TYPES:
        return _route_event(message)
    return RulesEvent() if message.type in _RULES_TYPES else None


def _link_event(message: Message) -> LinkEvent | None:
    """A bridge also tells of its ports by link messages, which are no news of the link itself."""
    family, index = message.body[0], _IFINFOMSG_INDEX.unpack_from(message.body)[0]
    if family == AF_BRIDGE:
        return None
    gone = message.type == rtnl.RTM_DELLINK
    return LinkEvent(index, None if gone else decode_link(message.body))


def _neighbour_event(message: Message) -> Event | None:
    entry = decode_neighbour(message.body)
    gone = message.type == rtnl.RTM_DELNEIGH
    if isinstance(entry, Neighbour):
        return NeighbourEvent(entry.key, None if gone else entry.usable_mac)
    if isinstance(entry, FdbEntry):
        return FdbEvent(entry.key, None if gone else entry.port)
    return None


def _route_event(message: Message) -> RouteEvent:
    family, prefix_length = message.body[0], message.body[1]
    network = _address(_attributes(message.body, _RTMSG.size).get(_Rta.DST))
    if network is None:  # a default route has no destination
        network = IPv4Address(0) if family == AF_INET else IPv6Address(0)
    return RouteEvent(network, prefix_length)


def _with_kind_data(link: Link, data: _Attributes | None) -> Link:
    """The link with what only its kind has."""
    if link.kind == "bridge" and data is not None:
        return replace(link, vlan_filtering=bool(data.get_attr("IFLA_BR_VLAN_FILTERING")))
    if link.kind == "vlan" and data is not None:
        protocol = data.get_attr("IFLA_VLAN_PROTOCOL")
        return replace(link, vlan_id=data.get_attr("IFLA_VLAN_ID"), vlan_protocol=protocol)
    prefix = _TUNNEL_PREFIXES.get(link.kind or "")
    if prefix is None or data is None:
        return link
    ends = TunnelEnds(
        local=_unless_unspecified(data.get_attr(f"{prefix}_LOCAL")),
        remote=_unless_unspecified(data.get_attr(f"{prefix}_REMOTE")),
        parent=data.get_attr(f"{prefix}_LINK") or None,
        plain=not data.get_attr(f"{prefix}_ENCAP_TYPE")
        and data.get_attr(f"{prefix}_COLLECT_METADATA") is None,
    )
    return replace(link, tunnel=ends)


def _mac(message: ifinfmsg) -> bytes | None:
    """The address of an Ethernet device; tunnel devices carry other things in the same place."""
    text = cast("str | None", message.get_attr("IFLA_ADDRESS"))
    if message["ifi_type"] != _ARPHRD_ETHER or text is None:
        return None
    return bytes.fromhex(text.replace(":", ""))


def _unless_unspecified(text: str | None) -> IPAddress | None:
    """An address, or None where the kernel has 0.0.0.0 or :: for "any"."""
    address = ip_address(text) if text is not None else None
    return None if address is None or address.is_unspecified else address


def _multipath_legs(data: bytes, source: IPAddress | None, mtu_bytes: int | None) -> Iterator[Leg]:
    """The legs of a multipath route that are not dead."""
    offset = 0
    while offset + _RTNEXTHOP.size <= len(data):
        size, flags, hops, ifindex = _RTNEXTHOP.unpack_from(data, offset)
        if size < _RTNEXTHOP.size:
            return
        if not flags & _RTNH_F_DEAD:
            fields = _attributes(data[offset : offset + size], _RTNEXTHOP.size)
            yield replace(_leg(ifindex, fields, source, mtu_bytes), weight=hops + 1)
        offset += _aligned(size)


def _leg(
    ifindex: int, fields: dict[int, bytes], source: IPAddress | None, mtu_bytes: int | None
) -> Leg:
    """A leg; its gateway may be of the other family (RFC 8950)."""
    gateway = _address(fields.get(_Rta.GATEWAY))
    if gateway is None and _Rta.VIA in fields:
        gateway = _address(fields[_Rta.VIA][2:])
    return Leg(ifindex, gateway, source, mtu_bytes, encapsulated=_Rta.ENCAP_TYPE in fields)


def _mtu(metrics: bytes) -> int | None:
    """The MTU among a route's metrics."""
    mtu = _attributes(metrics, 0).get(_RTAX_MTU)
    return _u32(mtu) if mtu is not None else None


def _attributes(data: bytes, offset: int) -> dict[int, bytes]:
    """The attributes from an offset on, by type; of equal ones the last."""
    fields: dict[int, bytes] = {}
    while offset + _ATTRIBUTE.size <= len(data):
        size, kind = _ATTRIBUTE.unpack_from(data, offset)
        if size < _ATTRIBUTE.size:
            break
        fields[kind & _ATTRIBUTE_TYPE_MASK] = data[offset + _ATTRIBUTE.size : offset + size]
        offset += _aligned(size)
    return fields


def _attribute(kind: int, value: bytes) -> bytes:
    """An attribute with its padding."""
    padding = bytes(_aligned(len(value)) - len(value))
    return _ATTRIBUTE.pack(_ATTRIBUTE.size + len(value), kind) + value + padding


@lru_cache(maxsize=_ADDRESS_CACHE_SIZE)
def _address(packed: bytes | None) -> IPAddress | None:
    """The address of 4 or 16 bytes. Cached: a thousand routes have few gateways and sources."""
    if packed is None:
        return None
    return IPv4Address(packed) if len(packed) == 4 else IPv6Address(packed)


def _u32(data: bytes) -> int:
    value: int = _U32.unpack_from(data)[0]
    return value


def _aligned(size: int) -> int:
    """The size rounded up to netlink's four bytes."""
    return (size + 3) & ~3
