"""From the device of a route to the port that XDP can send by. Pure.

XDP sees no VLAN device and no bridge: a frame that is redirected to one vanishes. So the tag is
pushed by the data plane, and the bridge's choice of a port is made from its own table.
"""

from collections.abc import Mapping
from dataclasses import dataclass

from headrace.model import Unresolved
from headrace.underlay.snapshot import XDP_KINDS, FdbKey, Link, Snapshot

ETHERTYPE_VLAN = 0x8100
"""The only tag that the data plane pushes (IEEE 802.1Q)."""

_FOLLOWED_KINDS = XDP_KINDS | {"bridge", "vlan"}


@dataclass(frozen=True, slots=True)
class Egress:
    """Where a frame leaves this node."""

    port: Link
    tag: int  # VLAN id to push; 0: none
    mtu_bytes: int  # what every device on the way lets through


def device_problem(device: Link, links: Mapping[int, Link]) -> str | None:
    """Why nothing can be sent by a device, whatever the neighbour's MAC address is, or None."""
    problems = (_own_problem(one, links) for one in _stack(device, links))
    return next((problem for problem in problems if problem is not None), None)


def bridge_below(device: Link, links: Mapping[int, Link]) -> Link | None:
    """The bridge that a device is or has its VLAN on; None when there is none."""
    bottom = _stack(device, links)[-1]
    return bottom if bottom.kind == "bridge" else None


def find_egress(device: Link, mac: bytes, snapshot: Snapshot) -> Egress | Unresolved:
    """The port that a frame for a MAC address leaves by, when it is sent by a device.

    The device is one without a `device_problem`.
    """
    stack = _stack(device, snapshot.links)
    if stack[-1].kind == "bridge":
        port = _bridge_port(stack[-1], mac, snapshot)
        if isinstance(port, Unresolved):
            return port
        stack += _stack(port, snapshot.links)
    problem = _stack_problem(stack)
    if problem is not None:
        return Unresolved(problem)
    tag = next((one.vlan_id for one in stack if one.vlan_id is not None), 0)
    return Egress(stack[-1], tag, min(one.mtu_bytes for one in stack))


def _stack(device: Link, links: Mapping[int, Link]) -> list[Link]:
    """The device, and what it is a VLAN of."""
    parent = links.get(device.parent) if device.parent is not None else None
    return [device, parent] if device.kind == "vlan" and parent is not None else [device]


def _own_problem(device: Link, links: Mapping[int, Link]) -> str | None:
    """Why packets cannot be sent by one device of a stack, or None."""
    if device.kind not in _FOLLOWED_KINDS or device.loopback or device.mac is None:
        return _refusal(device, links)
    special = {"vlan": _vlan_problem, "bridge": _bridge_problem}.get(device.kind or "", _bond_leg)
    problem = special(device, links)
    if problem is not None:
        return problem
    if not device.up:
        return f"{device.name} is down"
    if not device.carrier:
        return f"{device.name} has no carrier"
    return None


def _vlan_problem(device: Link, links: Mapping[int, Link]) -> str | None:
    """Why the data plane cannot push the tag of a VLAN device, or None."""
    parent = links.get(device.parent) if device.parent is not None else None
    if parent is None:
        return (
            f"{device.name} is a VLAN of a device in another network namespace; "
            "route by a device of this one"
        )
    if device.vlan_protocol != ETHERTYPE_VLAN:
        return f"{device.name} adds an 802.1ad tag; route by a VLAN of protocol 802.1Q"
    if parent.kind == "vlan":
        return _two_tags(device, parent)
    return None


def _bridge_problem(device: Link, _links: Mapping[int, Link]) -> str | None:
    """Why the port that a bridge would choose cannot be told, or None."""
    if device.vlan_filtering:
        return (
            f"the bridge {device.name} filters VLANs, and the tags of its ports are not followed; "
            "turn vlan_filtering off, or route by another device"
        )
    return None


def _bond_leg(device: Link, links: Mapping[int, Link]) -> str | None:
    """Why a device must not be sent by behind the back of its bond, or None."""
    master = links.get(device.master) if device.master is not None else None
    if master is not None and master.kind == "bond":
        return f"{device.name} belongs to the bond {master.name}; route by {master.name}"
    return None


def _refusal(device: Link, links: Mapping[int, Link]) -> str:
    """The message for a device that XDP cannot send by."""
    kind = "loopback" if device.loopback else device.kind or "non-Ethernet"
    below = links.get(device.parent) if device.parent is not None else None
    stack = f" on {below.name}" if below is not None else ""
    remedy = below.name if below is not None else "a physical, veth, bond, VLAN or bridge device"
    return (
        f"the route leaves by {device.name} ({kind}{stack}), which XDP cannot send by; "
        f"route by {remedy}"
    )


def _stack_problem(stack: list[Link]) -> str | None:
    """Why devices that are all good do not go together, or None."""
    tagging = [one for one in stack if one.kind == "vlan"]
    if len(tagging) > 1:
        return _two_tags(tagging[0], tagging[1])
    if stack[-1].kind == "bridge":
        return (
            f"{stack[0].name} leaves by {stack[-2].name}, which is on another bridge, "
            f"{stack[-1].name}; route by {stack[-2].name}"
        )
    return None


def _two_tags(upper: Link, lower: Link) -> str:
    """The message for a second tag."""
    return (
        f"{upper.name} adds a VLAN tag to the one of {lower.name}, and the data plane pushes one; "
        "route by a device with a single tag"
    )


def _bridge_port(bridge: Link, mac: bytes, snapshot: Snapshot) -> Link | Unresolved:
    """The port of a bridge that a frame for a MAC address leaves by."""
    index = snapshot.fdb.get(FdbKey(bridge.index, mac))
    port = snapshot.links.get(index) if index is not None else _only_port(bridge, snapshot.links)
    if port is None:
        return Unresolved(f"the bridge {bridge.name} has not learned the port of {mac.hex(':')}")
    problem = device_problem(port, snapshot.links)
    return port if problem is None else Unresolved(problem)


def _only_port(bridge: Link, links: Mapping[int, Link]) -> Link | None:
    """The port of a bridge that has one in use: flooding would take it, too."""
    ports = [
        link for link in links.values() if link.master == bridge.index and link.up and link.carrier
    ]
    return ports[0] if len(ports) == 1 else None
