"""The interfaces that VIP packets arrive on: XDP, and what the hardware does before it. Pure."""

from collections.abc import Iterator, Sequence

from headrace.dataplane.selftest import SAFE_MTU_BYTES
from headrace.doctor.facts import Device, Facts, Instance
from headrace.doctor.finding import Finding, Level, ok
from headrace.doctor.xdp_features import XdpFeature
from headrace.model import ConfigError, Document, PortMode, Problem
from headrace.underlay.ports import choose_ports


def judge_devices(
    facts: Facts, document: Document | None, instance: str
) -> tuple[list[Device], list[Finding]]:
    """The devices that the data plane attaches to, or would, and what is to be said of them."""
    names = None if document is None else document.node.interfaces
    devices = {device.link.index: device for device in facts.devices}
    own = next((each for each in facts.instances if each.name == instance), None)
    ports, findings = [], []
    for wanted in [None] if names is None else [[name] for name in dict.fromkeys(names)]:
        try:
            ports += [devices[port.ifindex] for port in choose_ports(facts.links, wanted)]
        except ConfigError as error:
            findings += [_refused(problem, wanted or ()) for problem in error.problems]
    for port in ports:
        findings += _port(port, facts, own)
    return ports, findings


def _refused(problem: Problem, names: Sequence[str]) -> Finding:
    return Finding(
        "interface",
        ", ".join(names),
        Level.WRONG,
        problem.message,
        "packets for the VIPs that arrive there are not forwarded",
        "ip -d link",
    )


def _port(device: Device, facts: Facts, own: Instance | None) -> Iterator[Finding]:
    yield _state(device)
    yield _xdp(device, facts, own)
    yield from _offloads(device, facts)


def _state(device: Device) -> Finding:
    link = device.link
    if not link.up:
        command = f"ip link set dev {link.name} up"
        return Finding("link", link.name, Level.WRONG, "down", "nothing arrives by it", command)
    if not link.carrier:
        return Finding(
            "link",
            link.name,
            Level.WARNING,
            "no carrier",
            "nothing arrives by it until its other end is there",
            f"ethtool {link.name}",
        )
    driver = f", driver {device.driver}" if device.driver else ""
    return ok("link", link.name, f"up, MTU {link.mtu_bytes}{driver}")


# --- XDP -----------------------------------------------------------------------------------------


def _xdp(device: Device, facts: Facts, own: Instance | None) -> Finding:
    name = device.link.name
    index = device.link.index
    owners = [each.name for each in facts.instances if each.pins.links.get(name) == index]
    if not facts.is_root and device.xdp:
        return ok("xdp", name, f"{device.xdp}; whose it is, only root can see")
    if device.xdp and (own is None or own.name not in owners):
        hidden = [each for each in facts.instances if each.is_near and each.is_hidden]
        return _hidden(name, hidden[0]) if hidden and not owners else _foreign(name, owners)
    if device.xdp == PortMode.NATIVE:
        return ok("xdp", name, PortMode.NATIVE)
    if own is not None and device.xdp:
        return _generic(device, facts, own)
    if own is not None and own.runs:
        return Finding(
            "xdp",
            name,
            Level.WRONG,
            "missing, although the daemon runs",
            "packets for the VIPs that arrive here are not forwarded",
            f"headrace status --instance {own.name}",
        )
    return _unattached(device, facts)


def _hidden(name: str, instance: Instance) -> Finding:
    return Finding(
        "xdp",
        name,
        Level.WARNING,
        f"there is a program, perhaps of instance {instance.name}, whose pins are not seen from "
        "here",
        "an interface runs one program; whose this one is can be seen with that daemon's mounts",
        f"nsenter --target {instance.elsewhere} --mount --net headrace doctor "
        f"--instance {instance.name}",
    )


def _foreign(name: str, owners: list[str]) -> Finding:
    whose, command = "of somebody else", f"ip link set dev {name} xdp off"
    if owners:
        whose, command = f"of instance {owners[0]}", f"headrace detach --instance {owners[0]}"
    return Finding(
        "xdp",
        name,
        Level.WRONG,
        f"there is a program {whose}",
        "an interface runs one program, so ours cannot be attached",
        command,
    )


def _generic(device: Device, facts: Facts, own: Instance) -> Finding:
    because, command = _against_native(device, facts)
    again = f"headrace detach --instance {own.name} && headrace run --instance {own.name}"
    if not because:
        because, command = "native mode was refused when it was attached", again
    elif command:
        command = f"{command} && {again}"
    return Finding(
        "xdp",
        device.link.name,
        Level.WARNING,
        f"generic: {because}",
        "generic mode takes several times as long for a packet, since the kernel has copied it "
        "before",
        command or f"ethtool -i {device.link.name}",
    )


def _unattached(device: Device, facts: Facts) -> Finding:
    """What would be if a daemon were started."""
    name = device.link.name
    because, command = _against_native(device, facts)
    if because:
        return Finding(
            "xdp",
            name,
            Level.WARNING,
            f"not attached, and it would be generic: {because}",
            "generic mode takes several times as long for a packet, since the kernel has copied "
            "it before",
            command or f"ethtool -i {name}",
        )
    can = "native mode is there" if device.xdp_features is not None else "which mode is not known"
    return ok("xdp", name, f"not attached; {can}")


def _against_native(device: Device, facts: Facts) -> tuple[str, str]:
    """Why there can be no native mode, and what mends that; both empty where there can."""
    name, mtu, features = device.link.name, device.link.mtu_bytes, device.xdp_features
    lower = f"ip link set dev {name} mtu {SAFE_MTU_BYTES}"
    if features is not None and not features & XdpFeature.BASIC:
        return f"the driver {device.driver or 'of it'} has no native mode", ""
    if device.offloads.lro:
        return "large receive offload is on", f"ethtool -K {name} lro off"
    if mtu <= SAFE_MTU_BYTES:
        return "", ""
    if facts.kernel.loses_big_redirects:
        return f"MTU {mtu}, and this kernel loses redirected packets above one page", lower
    if features is not None and not features & XdpFeature.FRAGMENTS:
        return f"MTU {mtu}, and the driver takes no packets above one page", lower
    return "", ""


# --- offloads ------------------------------------------------------------------------------------


def _offloads(device: Device, facts: Facts) -> Iterator[Finding]:
    """What the device does before XDP; in native mode a driver does not merge packets."""
    name = device.link.name
    merging = {"lro": device.offloads.lro, "rx-gro-hw": device.offloads.gro_hw}
    is_native = device.xdp == PortMode.NATIVE or not (
        device.xdp or _against_native(device, facts)[0]
    )
    on = [feature for feature, is_on in merging.items() if is_on]
    if on and not is_native:
        yield Finding(
            "offload",
            name,
            Level.WRONG,
            f"{' and '.join(on)} merge packets before XDP sees them",
            "merged packets are longer than any way to an endpoint takes, and are dropped as too "
            "big",
            f"ethtool -K {name} {' '.join(f'{feature} off' for feature in on)}",
        )
    else:
        yield ok("offload", name, "nothing merges packets before XDP")
    vlans = [each.name for each in facts.links.values() if each.parent == device.link.index]
    if vlans and device.offloads.vlan:
        yield Finding(
            "vlan",
            name,
            Level.WARNING,
            f"the device takes the tags of {', '.join(vlans)} away before XDP sees them",
            "answers of the data plane to packets with a tag, ping and too-big, leave without it",
            f"ethtool -K {name} rxvlan off",
        )
