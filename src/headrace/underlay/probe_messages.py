"""Rtnetlink messages about the routes and rules of probes. Pure."""

from dataclasses import dataclass
from ipaddress import ip_address
from socket import AF_INET, AF_INET6
from struct import Struct

from pyroute2.netlink import rtnl
from pyroute2.netlink.rtnl.fibmsg import fibmsg
from pyroute2.netlink.rtnl.rtmsg import rtmsg

from headrace.model import IPAddress

TABLE = 77
"""The routing table of probes; it holds routes to VIPs and nothing else."""

PROBE_MARK, MARK_MASK = 0x48520000, 0xFFFF0000
"""Marks of probes are this ("HR" in ASCII) and an index; such packets look into the table first."""

OWNER = 72
"""Marks our routes and rules as ours (`proto 72`); no routing daemon has this number."""

RULE_PRIORITY = 77
"""Behind the table of local addresses, before what an operator's own rules say."""

_LOOPBACK = 1  # lo is the first interface of every network namespace
_ACTION_TO_TABLE = 1
_SCOPE_LINK = 253
_TYPE_UNICAST, _TYPE_LOCAL = 1, 2
_RTA_METRICS, _RTA_ENCAP_TYPE, _RTA_ENCAP = 8, 21, 22
_RTA_DST, _RTA_OIF, _RTA_PREFSRC = 1, 4, 7
_RTAX_MTU = 2
_ENCAP_BPF = 6
_LWT_BPF_XMIT, _LWT_BPF_PROG_FD, _LWT_BPF_PROG_NAME = 3, 1, 2
_PROGRAM_NAME = "headrace_probe "
"""How the program of a route is called, before whose it is: the one text that a route can hold."""

_HEADER = Struct("=IHHII")  # length, type, flags, sequence, port
_RTMSG = Struct("=BBBBBBBBI")  # family, dst len, src len, tos, table, proto, scope, type, flags
_ATTRIBUTE = Struct("=HH")  # length, type
_U16, _U32 = Struct("=H"), Struct("=I")
_FAMILIES = {4: AF_INET, 6: AF_INET6}


@dataclass(frozen=True, slots=True)
class ProbeRoute:
    """The way of probes to one VIP."""

    vip: IPAddress
    source: IPAddress
    mtu_bytes: int  # of the packet that is wrapped
    program_fd: int


@dataclass(frozen=True, slots=True)
class OwnedRoute:
    """A route of probes that is there, and the instance whose it is."""

    vip: IPAddress
    owner: str


def encode_route(route: ProbeRoute, owner: str) -> bytes:
    """The body that adds or replaces a route of this instance.

    It leaves by lo, which no link's flapping takes away. IPv6 turns such a route into a refusal,
    unless it is of type local; what matters of either is only that the program is run.
    """
    kind = _TYPE_UNICAST if route.vip.version == 4 else _TYPE_LOCAL
    scope = _SCOPE_LINK if route.vip.version == 4 else 0
    body = _route_header(route.vip, scope=scope, kind=kind)
    body += _attribute(_RTA_OIF, _U32.pack(_LOOPBACK))
    body += _attribute(_RTA_PREFSRC, route.source.packed)
    body += _attribute(_RTA_METRICS, _attribute(_RTAX_MTU, _U32.pack(route.mtu_bytes)))
    program = _attribute(_LWT_BPF_PROG_FD, _U32.pack(route.program_fd))
    program += _attribute(_LWT_BPF_PROG_NAME, f"{_PROGRAM_NAME}{owner}\0".encode())
    body += _attribute(_RTA_ENCAP_TYPE, _U16.pack(_ENCAP_BPF))
    return body + _attribute(_RTA_ENCAP, _attribute(_LWT_BPF_XMIT, program))


def encode_route_removal(vip: IPAddress) -> bytes:
    """The body that removes a route of ours; its type and scope may be any."""
    nowhere = 255  # scope: matches all
    return _route_header(vip, scope=nowhere if vip.version == 4 else 0, kind=0)


def encode_table_dump(version: int) -> bytes:
    """The body that asks for the table, of a socket with strict checking."""
    return _RTMSG.pack(_FAMILIES[version], 0, 0, 0, TABLE, 0, 0, 0, 0)


def decode_owned_route(body: bytes) -> OwnedRoute | None:
    """A route of some instance's probes; None for others."""
    message = rtmsg(_HEADER.pack(_HEADER.size + len(body), rtnl.RTM_NEWROUTE, 0, 0, 0) + body)
    message.decode()
    destination = message.get_attr("RTA_DST")
    if message["table"] != TABLE or message["proto"] != OWNER or destination is None:
        return None
    encapsulation = message.get_attr("RTA_ENCAP")
    program = encapsulation and encapsulation.get_attr("LWT_BPF_XMIT")
    name = str((program and program.get_attr("LWT_BPF_PROG_NAME")) or "")
    return OwnedRoute(ip_address(destination), name.removeprefix(_PROGRAM_NAME))


def encode_rule(version: int) -> bytes:
    """The body that adds, or names, the rule of a family."""
    rule = fibmsg()
    rule["family"] = _FAMILIES[version]
    rule["table"] = TABLE
    rule["action"] = _ACTION_TO_TABLE
    rule["attrs"] = [
        ["FRA_PRIORITY", RULE_PRIORITY],
        ["FRA_FWMARK", PROBE_MARK],
        ["FRA_FWMASK", MARK_MASK],
        ["FRA_TABLE", TABLE],
        ["FRA_PROTOCOL", OWNER],
    ]
    rule.encode()
    return bytes(rule.data[_HEADER.size :])


def _route_header(vip: IPAddress, *, scope: int, kind: int) -> bytes:
    family, length = _FAMILIES[vip.version], vip.max_prefixlen
    header = _RTMSG.pack(family, length, 0, 0, TABLE, OWNER, scope, kind, 0)
    return header + _attribute(_RTA_DST, vip.packed)


def _attribute(kind: int, value: bytes) -> bytes:
    """An attribute with its padding."""
    return _ATTRIBUTE.pack(_ATTRIBUTE.size + len(value), kind) + value + bytes(-len(value) % 4)
