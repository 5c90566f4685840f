"""Which interfaces the data plane attaches to. Pure."""

from collections.abc import Iterable, Mapping, Sequence

from headrace.model import ConfigError, Port, Problem
from headrace.model.limits import LIMIT_PORTS
from headrace.underlay.snapshot import XDP_KINDS, Link


def choose_ports(links: Mapping[int, Link], names: Sequence[str] | None) -> list[Port]:
    """The interfaces named, or all that can carry XDP and are up, by index.

    Raises ConfigError for a name that is missing, given twice or cannot carry XDP.
    """
    chosen = _usable(links) if names is None else _named(links, names)
    return [_port(link, links) for link in chosen]


def _usable(links: Mapping[int, Link]) -> list[Link]:
    """All interfaces that can carry XDP and are up."""
    usable = [link for link in links.values() if link.up and _refusal(link, links) is None]
    if len(usable) > LIMIT_PORTS:
        raise ConfigError.at(
            "node.interfaces",
            f"{len(usable)} interfaces can carry XDP and the limit is {LIMIT_PORTS}; "
            "name those that VIP packets arrive on",
        )
    return sorted(usable, key=lambda link: link.index)


def _named(links: Mapping[int, Link], names: Sequence[str]) -> list[Link]:
    """The named interfaces in the order of the names."""
    by_name = {link.name: link for link in links.values()}
    problems = [
        Problem(f"node.interfaces[{position}]", f"{name} {problem}")
        for position, name in enumerate(names)
        if (problem := _name_problem(name, names[:position], by_name, links)) is not None
    ]
    if problems:
        raise ConfigError(problems)
    return [by_name[name] for name in names]


def _name_problem(
    name: str, earlier: Iterable[str], by_name: Mapping[str, Link], links: Mapping[int, Link]
) -> str | None:
    """What is wrong with one name, or None."""
    if name in earlier:
        return "is named twice; name it once"
    link = by_name.get(name)
    if link is None:
        known = ", ".join(sorted(by_name)) or "none"
        return f"does not exist on this node; its interfaces are {known}"
    return _refusal(link, links)


def _refusal(link: Link, links: Mapping[int, Link]) -> str | None:
    """Why an interface cannot carry the XDP program, with the remedy; None when it can."""
    master = links.get(link.master) if link.master is not None else None
    parent = links.get(link.parent) if link.parent is not None else None
    if link.loopback:
        return "is the loopback device; name an interface that VIP packets arrive on"
    if link.kind == "bridge":
        members = [member.name for member in links.values() if member.master == link.index]
        return f"is a bridge, which has no XDP; name its ports ({', '.join(members) or 'none yet'})"
    if link.kind not in XDP_KINDS:
        remedy = parent.name if parent is not None else "the interface that its packets arrive on"
        return f"is of kind {link.kind}, which carries no XDP of its own; name {remedy}"
    if link.mac is None:
        return "is not an Ethernet device; name an interface that carries Ethernet frames"
    if master is not None and master.kind == "bond":
        return f"belongs to the bond {master.name}, which takes the only XDP; name {master.name}"
    return None


def _port(link: Link, links: Mapping[int, Link]) -> Port:
    """The port with the destination MAC addresses that mean this node, its own first.

    A bridge's port also sees the frames of other hosts; the bridge's own address is ours, too. So
    are those of the port's VLANs, whose frames come in by it with their tags.
    """
    vlans = [one for one in links.values() if one.kind == "vlan" and one.parent == link.index]
    above = {one.master for one in (link, *vlans)}
    bridges = [one for one in links.values() if one.kind == "bridge" and one.index in above]
    macs = dict.fromkeys(one.mac for one in (link, *bridges, *vlans) if one.mac is not None)
    members: tuple[int, ...] = ()
    if link.kind == "bond":
        members = tuple(sorted(one.index for one in links.values() if one.master == link.index))
    return Port(link.name, link.index, tuple(macs), link.transmits, members)
