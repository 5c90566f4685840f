"""What instances have left in the kernel. Pure."""

from collections.abc import Iterator

from headrace.doctor.facts import Facts, Instance
from headrace.doctor.finding import Finding, Level, ok


def judge_instances(facts: Facts) -> Iterator[Finding]:
    """The pins of each instance, and who looks after them."""
    if facts.is_root and not facts.instances:
        yield ok("instance", "", "none is on this host")
    for instance in facts.instances:
        yield _pins(instance)
        yield from _leftovers(instance)
        yield from _sampling(instance)


def _pins(instance: Instance) -> Finding:
    name, pins = instance.name, instance.pins
    attached = [interface for interface, index in pins.links.items() if index]
    if instance.is_hidden:
        return Finding(
            "instance",
            name,
            Level.WARNING,
            f"its daemon, process {instance.elsewhere}, has mounts of its own: nothing of it is "
            "seen from here",
            "a daemon that starts with other mounts does not find the data plane, and capture and "
            "doctor do not; `ip netns exec` gives each command its own, so mount the bpffs before",
            f"nsenter --target {instance.elsewhere} --mount --net headrace doctor "
            f"--instance {name}",
        )
    if instance.runs and not pins.is_mounted:
        return Finding(
            "instance",
            name,
            Level.WRONG,
            "its daemon runs, but its bpffs is not mounted",
            "the data plane has lost its pins, and ends with the daemon",
            f"headrace detach --instance {name} && headrace run --instance {name}",
        )
    if instance.runs:
        where = ", ".join(attached) or "no interface"
        return ok("instance", name, f"its daemon runs, attached to {where}")
    if attached:
        return Finding(
            "instance",
            name,
            Level.WARNING,
            f"forwards on {', '.join(attached)} without a daemon",
            "nobody reacts to endpoints that die, or to another document",
            f"headrace run --instance {name}",
        )
    if pins.is_mounted:
        return Finding(
            "instance",
            name,
            Level.WARNING,
            "has maps pinned, but neither a daemon nor an interface",
            "they take memory for nothing",
            f"headrace detach --instance {name}",
        )
    return ok("instance", name, "nothing of it is in the kernel")


def _leftovers(instance: Instance) -> Iterator[Finding]:
    gone = [interface for interface, index in instance.pins.links.items() if not index]
    if gone:
        yield Finding(
            "pins",
            instance.name,
            Level.WARNING,
            f"the device of {', '.join(gone)} is gone",
            "packets for the VIPs that arrived there are not forwarded",
            "ip link",
        )
    if instance.pins.leftovers and not instance.runs:
        yield Finding(
            "pins",
            instance.name,
            Level.WARNING,
            f"half made: {', '.join(instance.pins.leftovers)}",
            "a daemon was killed while it started",
            f"headrace run --instance {instance.name}",
        )


def _sampling(instance: Instance) -> Iterator[Finding]:
    if instance.sample_one_in and not instance.is_captured:
        yield Finding(
            "capture",
            instance.name,
            Level.WARNING,
            f"one packet in {instance.sample_one_in:,} is sampled, and nobody captures",
            "a capture was killed; each sample costs time, and goes nowhere",
            f"timeout 1 headrace capture --instance {instance.name}",
        )
