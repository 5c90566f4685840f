"""What the host's network does to packets: MTUs, filters, forwarding, VIPs of its own. Pure."""

from collections import defaultdict
from collections.abc import Iterable, Iterator
from dataclasses import dataclass

from headrace.doctor.facts import Device, Facts, OwnAddress
from headrace.doctor.finding import Finding, Level, ok
from headrace.model import (
    Document,
    Encapsulation,
    IPAddress,
    IPNetwork,
    Pool,
    ProbePath,
    Target,
    Unresolved,
    Unserved,
)
from headrace.underlay.outer import Outer
from headrace.underlay.snapshot import Link, Route

IPV6_MTU_MIN = 1280
"""No IPv6 packet up to this may be refused as too big (RFC 8200, 5)."""

LIMIT_SHOWN = 3
"""Endpoints that are named; of the others there is the number."""

_OFF, _STRICT, _LOOSE = 0, 1, 2
_FILTER_WORDS = {_OFF: "off", _STRICT: "strict", _LOOSE: "loose"}
_FILTER_WHY = (
    "endpoints look dead to probes where the route to the VIP leads elsewhere than where their "
    "answers come from"
)
_OUTER_BYTES = {4: 20, 6: 40}
_UDP_BYTES = 8


def overhead_bytes(outer: Outer) -> int:
    """How much longer than a client's packet the one is that carries it."""
    how = outer.target.encapsulation
    if how is Encapsulation.L2:
        return 0
    return _OUTER_BYTES[outer.destination.version] + _UDP_BYTES * (how is Encapsulation.GUE)


# --- the ways to endpoints -------------------------------------------------------------------


@dataclass(frozen=True, slots=True)
class _Narrow:
    """A leg that packets of some endpoints leave by, and how much it takes."""

    link: Link
    mtu_bytes: int  # of the route
    overhead_bytes: int

    @property
    def inner_bytes(self) -> int:
        """The longest client's packet that it carries."""
        return self.mtu_bytes - self.overhead_bytes


def judge_ways(facts: Facts, document: Document, ports: Iterable[Device]) -> Iterator[Finding]:
    """Whether endpoints can be reached, by packets as long as those that arrive."""
    unresolved, legs = _legs(facts)
    for reason in unresolved[:LIMIT_SHOWN]:
        yield Finding(
            "route",
            "",
            Level.WRONG,
            reason,
            "packets for this endpoint are dropped",
            "ip route; ip -6 route",
        )
    if len(unresolved) > LIMIT_SHOWN:
        yield Finding(
            "route",
            "",
            Level.WRONG,
            f"{len(unresolved) - LIMIT_SHOWN:,} more endpoints cannot be reached",
            "packets for them are dropped",
            "headrace status -o wide",
        )
    longest = _longest_arriving(ports, [narrow.link for narrow in legs])
    has_v6 = any(service.prefix.version == 6 for service in document.services)
    for narrow, targets in sorted(legs.items(), key=lambda leg: leg[0].link.name):
        arriving = longest or narrow.link.mtu_bytes
        yield _mtu(narrow, targets, arriving, facts, has_v6=has_v6)
    for name in sorted({narrow.link.name for narrow in legs if narrow.link.kind == "veth"}):
        found = "a veth: its other end, not seen from here, needs an XDP program, or GRO on"
        yield ok("gro", name, found)


def _longest_arriving(ports: Iterable[Device], legs: Iterable[Link]) -> int:
    """The longest packet that may come from clients; 0 where all come in where they leave.

    Interfaces that only lead to endpoints may take longer ones, which nobody sends there.
    """
    leaving = {index for leg in legs for index in (leg.index, leg.parent)}
    return max(
        (
            port.link.mtu_bytes
            for port in ports
            if port.link.index not in leaving and port.link.master not in leaving - {None}
        ),
        default=0,
    )


def _legs(facts: Facts) -> tuple[list[str], dict[_Narrow, list[Target]]]:
    """Why endpoints have no way, and the endpoints behind each leg that some have."""
    links, unresolved = facts.links, []
    legs: defaultdict[_Narrow, list[Target]] = defaultdict(list)
    for target, outer in (facts.ways or {}).items():
        if isinstance(outer, Unresolved):
            unresolved.append(outer.reason)
            continue
        for leg in outer.legs:
            link = links.get(leg.ifindex)
            if link is not None:
                mtu = min(link.mtu_bytes, leg.mtu_bytes or link.mtu_bytes)
                legs[_Narrow(link, mtu, overhead_bytes(outer))].append(target)
    return unresolved, dict(legs)


def _mtu(
    narrow: _Narrow, targets: list[Target], longest: int, facts: Facts, *, has_v6: bool
) -> Finding:
    link, inner = narrow.link, narrow.inner_bytes
    shown = ", ".join(str(target.endpoint) for target in targets[:LIMIT_SHOWN])
    more = f" and {len(targets) - LIMIT_SHOWN:,} more" if len(targets) > LIMIT_SHOWN else ""
    found = (
        f"packets of up to {inner} bytes reach {shown}{more}: MTU {narrow.mtu_bytes} less "
        f"{narrow.overhead_bytes}; up to {longest} arrive"
    )
    if inner >= longest:
        return ok("mtu", link.name, found)
    is_wrong = has_v6 and inner < IPV6_MTU_MIN
    return Finding(
        "mtu",
        link.name,
        Level.WRONG if is_wrong else Level.WARNING,
        found,
        f"IPv6 packets of up to {IPV6_MTU_MIN} bytes cannot be asked to be shorter, and are dropped"
        if is_wrong
        else "longer ones are answered with too-big, and clients that do not hear it, or do not "
        "listen, hang",
        _raise_mtu(narrow, longest + narrow.overhead_bytes, targets, facts),
    )


def _raise_mtu(narrow: _Narrow, wanted: int, targets: list[Target], facts: Facts) -> str:
    """The command for a device that is too narrow, and what it is stacked on; or for a route."""
    if narrow.link.mtu_bytes >= wanted:
        return f"ip route get {targets[0].endpoint}  # raise the mtu of this route"
    below = facts.links.get(narrow.link.parent) if narrow.link.parent is not None else None
    devices = [each for each in (below, narrow.link) if each is not None]
    commands = (f"ip link set dev {each.name} mtu {wanted}" for each in devices)
    return " && ".join(commands)


# --- filters ---------------------------------------------------------------------------------


def judge_strict(ports: Iterable[Device]) -> Iterator[Finding]:
    """What can be told of the reverse path filter without a document."""
    for device in ports:
        name = device.link.name
        if device.rp_filter == _STRICT:
            yield Finding(
                "rp_filter",
                name,
                Level.WARNING,
                "strict",
                _FILTER_WHY,
                f"sysctl -w {_own_filter(device)}=2",
            )
        elif device.rp_filter is not None:
            yield ok("rp_filter", name, _FILTER_WORDS.get(device.rp_filter, ""))


def judge_filters(facts: Facts, document: Document) -> Iterator[Finding]:
    """Whether the reverse path filter drops answers of the VIPs' endpoints (RFC 3704).

    Packets to a VIP never meet it: XDP takes them before. Answers to probes do.
    """
    for device in facts.devices:
        behind = _vips_behind(device.link, facts, document)
        if not behind or device.rp_filter is None:
            continue
        name, mode = device.link.name, device.rp_filter
        words = _FILTER_WORDS.get(mode, str(mode))
        lost = [vip for vip in behind if _is_dropped(vip, device, facts)]
        if not lost:
            yield ok("rp_filter", name, f"{words}, and no VIP's answers are dropped")
            continue
        yield Finding(
            "rp_filter",
            name,
            Level.WRONG,
            f"{words}: answers from {_some(lost)} that come in here are dropped",
            _FILTER_WHY,
            _loosen(device, lost, facts),
        )


def _vips_behind(link: Link, facts: Facts, document: Document) -> list[IPNetwork]:
    """The IPv4 VIPs that are probed by a device, or whose answers may come back by it."""
    found: dict[IPNetwork, None] = {}
    for service in document.services:
        pool = document.pool_of(service)
        if service.prefix.version == 4 and _sees_answers(pool, document):
            targets = (Target(each.address, pool.encapsulation) for each in pool.endpoints)
            ways = [(facts.ways or {}).get(target) for target in targets]
            if any(_leaves_by(way, link) for way in ways):
                found[service.prefix] = None
    return list(found)


def _sees_answers(pool: Pool, document: Document) -> bool:
    checks = (document.check_of(pool, endpoint) for endpoint in pool.endpoints)
    return any(check is not None and check.path is ProbePath.TUNNEL for check in checks)


def _leaves_by(way: Outer | Unresolved | None, link: Link) -> bool:
    return isinstance(way, Outer) and any(leg.ifindex == link.index for leg in way.legs)


def _is_dropped(vip: IPNetwork, device: Device, facts: Facts) -> bool:
    route = (facts.vip_routes or {}).get(vip)
    if device.rp_filter == _OFF:
        return False
    if not isinstance(route, Route):
        return True
    has_address = any(_is_v4_on(each, device) for each in facts.addresses)
    leaves_here = any(leg.ifindex == device.link.index for leg in route.legs)
    return not has_address or (device.rp_filter == _STRICT and not leaves_here)


def _is_v4_on(own: OwnAddress, device: Device) -> bool:
    return own.address.version == 4 and own.device == device.link.name


def _loosen(device: Device, lost: list[IPNetwork], facts: Facts) -> str:
    """Loose where that is enough; off where there is no route, or no address, at all."""
    own = _own_filter(device)
    routed = all(isinstance((facts.vip_routes or {}).get(vip), Route) for vip in lost)
    if routed and any(_is_v4_on(each, device) for each in facts.addresses):
        return f"sysctl -w {own}=2"
    return f"sysctl -w net.ipv4.conf.all.rp_filter=0 {own}=0"


def _own_filter(device: Device) -> str:
    """The setting's name; `sysctl` takes a dot in a device's name for a slash."""
    return f"net.ipv4.conf.{device.link.name.replace('.', '/')}.rp_filter"


# --- forwarding, and VIPs of the host's own ----------------------------------------------------


def judge_forwarding(facts: Facts, document: Document | None) -> Iterator[Finding]:
    """Whether the kernel forwards what the data plane leaves to it."""
    services = () if document is None else document.services
    for version, setting in ((4, "net.ipv4.ip_forward"), (6, "net.ipv6.conf.all.forwarding")):
        forwards = (facts.forwards or {}).get(version)
        passed = [
            service.prefix
            for service in services
            if service.unserved is Unserved.PASS and service.prefix.version == version
        ]
        if forwards is None:
            continue
        if forwards and passed:
            yield Finding(
                "forwarding",
                f"IPv{version}",
                Level.WARNING,
                f"on, and what no service of {_some(passed)} is for is passed to the kernel",
                "the kernel sends such packets back to the router, and they go round until their "
                "TTL ends",
                f"sysctl -w {setting}=0",
            )
        else:
            yield ok(
                "forwarding",
                f"IPv{version}",
                f"{'on' if forwards else 'off'}; the data plane does not need it",
            )


def judge_vips(facts: Facts, document: Document) -> Iterator[Finding]:
    """Whether the host has a VIP itself."""
    vips = dict.fromkeys(service.prefix for service in document.services)
    wrong = [vip for vip in vips if vip in facts.local_vips or _own(vip, facts)]
    for vip in wrong:
        own = _own(vip, facts)
        yield Finding(
            "vip",
            _short(vip),
            Level.WRONG,
            f"is an address of {own[0].device}" if own else "has a local route",
            "this host would answer itself, in place of the endpoints, whatever XDP does not take: "
            "every probe to begin with",
            " && ".join(f"ip address delete {_on(each)}" for each in own)
            or f"ip route delete local {vip}",
        )
    if vips and not wrong:
        yield ok("vip", "", f"none of {len(vips):,} is an address of this host")


def _own(vip: IPNetwork, facts: Facts) -> list[OwnAddress]:
    return [each for each in facts.addresses if each.address in vip]


def _on(own: OwnAddress) -> str:
    return f"{own.address}/{own.prefix_length} dev {own.device}"


def _some(vips: list[IPNetwork]) -> str:
    named = ", ".join(_short(vip) for vip in vips[:LIMIT_SHOWN])
    return f"{named} and {len(vips) - LIMIT_SHOWN:,} more" if len(vips) > LIMIT_SHOWN else named


def _short(vip: IPNetwork) -> str:
    """A VIP as the document has it."""
    address: IPAddress = vip.network_address
    return str(address) if vip.prefixlen == vip.max_prefixlen else str(vip)
