"""A case: a sentence, the packet sent, its verdict, the packet expected."""

from dataclasses import dataclass, replace

from headrace.model import Affinity, Flow, NextHop, Reach

from . import expect
from .world import INGRESS, WorldPool


@dataclass(frozen=True, slots=True)
class Case:
    """One packet and all that must become of it."""

    sentence: str
    packet: bytes
    verdict: str
    expected: bytes
    action: str = "drop"  # pass | drop | redirect | transmit
    ifindex: int | None = None  # what it leaves by
    early: tuple[bytes, ...] = ()  # sent before the world's last change
    before: tuple[bytes, ...] = ()  # sent just before it
    answers_per_s: int | None = None  # the node's limit, where it is another than the world's
    udp_idle_s: int | None = None


def passed(sentence: str, packet: bytes, verdict: str = "pass_not_vip") -> Case:
    """A packet that the kernel gets as it came."""
    return Case(sentence, packet, verdict, packet, "pass")


def dropped(sentence: str, packet: bytes, verdict: str, *, before: tuple[bytes, ...] = ()) -> Case:
    """A packet that goes nowhere."""
    return Case(sentence, packet, verdict, packet, "drop", before=before)


def sent(
    sentence: str,
    packet: bytes,
    pool: WorldPool,
    *,
    flow: Flow | None = None,
    affinity: Affinity = Affinity.FLOW,
    to: Reach | None = None,
    early: tuple[bytes, ...] = (),
    before: tuple[bytes, ...] = (),
) -> Case:
    """A packet that goes to the owner of its flow's slot, or to who is named."""
    flow = flow or expect.flow_of(packet)
    reach = to or expect.owner_of(pool, flow, affinity)
    leaves = expect.encapsulated(packet, pool, reach, expect.hash_of(flow, affinity))
    case = Case(sentence, packet, "sent", leaves, early=early, before=before)
    return replace(case, action=_action(pool.hop), ifindex=pool.hop.ifindex)


def _action(hop: NextHop) -> str:
    return "transmit" if hop.transmit and hop.ifindex == INGRESS else "redirect"


def echoed(sentence: str, packet: bytes) -> Case:
    """A ping that is answered."""
    answer = expect.echo_reply(packet)
    return Case(sentence, packet, "answered_echo", answer, "redirect", INGRESS)


def told(sentence: str, packet: bytes, mtu_bytes: int) -> Case:
    """A packet too big, whose sender is told how large it may be."""
    answer = expect.too_big(packet, mtu_bytes)
    return Case(sentence, packet, "answered_too_big", answer, "redirect", INGRESS)
