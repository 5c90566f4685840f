"""Every verdict is reached in the reference, and the reference knows no other."""

import re
from ipaddress import ip_network
from pathlib import Path as FilePath

import pytest
from scapy.layers.inet import ICMP, IP, TCP
from scapy.layers.inet6 import ICMPv6ND_NS, IPv6, IPv6ExtHdrDestOpt
from scapy.layers.l2 import ARP, Ether
from scapy.packet import Raw

from headrace.dataplane import reference
from headrace.dataplane.verdicts import Action, all_verdicts
from headrace.model import Tuning, Unserved

from .reference_tables import ETHER, TO4, VIP4, VIP6, endpoint, run, service, syn, tables

ACTIONS = {verdict.name: verdict.action for verdict in all_verdicts()}
ANY = tables(service(), service(f"[{VIP6}]:80/tcp"))
BIG = Raw(bytes(1460))
OTHER = Ether(dst="02:00:00:00:00:77")

REACHED = {
    "sent": (syn(), ANY),
    "pass_not_ip": (ETHER / ARP(), ANY),
    "pass_not_vip": (ETHER / IP(dst="9.9.9.9") / TCP(), ANY),
    "pass_other_host": (OTHER / TO4 / TCP(), ANY),
    "drop_unserved": (syn(dport=81), ANY),
    "drop_malformed": (ETHER / IP(dst=VIP4, len=9999) / TCP(), ANY),
    "drop_fragment": (ETHER / IP(dst=VIP4, frag=1, proto=6) / b"x", ANY),
    "drop_too_big": (
        ETHER / IP(dst=VIP4) / ICMP(type=3, code=4) / IP(src=VIP4) / TCP(sport=80) / BIG,
        ANY,
    ),
    "drop_no_path": (syn(), tables(service(), endpoints={1: endpoint(1, None)})),
    "drop_internal": (syn(), tables(service(), endpoints={})),
    "answered_echo": (ETHER / TO4 / ICMP(), ANY),
    "answered_too_big": (ETHER / TO4 / TCP(dport=80) / BIG, ANY),
    "pass_unserved": (syn(dport=81), tables(service(unserved=Unserved.PASS))),
    "drop_headers": (ETHER / IPv6(dst=VIP6, nh=60) / Raw(bytes(IPv6ExtHdrDestOpt(nh=60)) * 5), ANY),
    "drop_quote": (ETHER / TO4 / ICMP(type=3), ANY),
    "drop_source": (syn(), tables(service(sources=frozenset({ip_network("2.0.0.0/8")})))),
    "drop_answers": (ETHER / TO4 / ICMP(), tables(service(), tuning=Tuning(answers_per_s=0))),
    "drop_sender": (ETHER / IP(src="0.0.0.0", dst=VIP4) / ICMP(), ANY),
    "pass_neighbour": (ETHER / IPv6(dst=VIP6) / ICMPv6ND_NS(tgt=VIP6), ANY),
}
BEYOND = {"drop_no_room"}
"""A driver's business: the reference has all the room it wants."""


@pytest.mark.parametrize("verdict", REACHED)
def test_verdict_is_reached(verdict: str) -> None:
    packet, given = REACHED[verdict]

    outcome = run(packet, given)

    assert outcome.verdict == verdict
    leaves = ACTIONS[verdict] not in {Action.PASS, Action.DROP}
    assert (outcome.ifindex is not None) == leaves
    assert leaves or outcome.packet == bytes(packet)


def test_no_verdict_is_left_out() -> None:
    assert REACHED.keys() | BEYOND == ACTIONS.keys()


def test_no_other_verdict_is_named() -> None:
    room = FilePath(reference.__file__).parent
    sources = [*room.glob("*.py"), room.parent / "explain.py"]
    text = "".join(path.read_text() for path in sources)

    named = set(re.findall(r'"((?:pass|drop|answered)_\w+|sent)"', text))

    assert named == REACHED.keys()
