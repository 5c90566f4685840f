"""Packets from nobody's address ask for an answer in vain; otherwise they are like others."""

from dataclasses import replace

from headrace.model import Protocol

from . import services, world
from .case import Case, dropped, echoed, sent, told
from .cases_fragments import fragment
from .packets import ad, filled, frame, icmp_error, ip, ping, q, reply, tcp, transport, udp
from .world import FAMILIES, SMALL_MTU

SENDER = "drop_sender"
NOBODY = {
    4: {
        "0.0.0.0": "no address",
        "0.255.255.255": "the last of this network",
        "127.0.0.1": "the loopback",
        "127.255.255.255": "the last loopback",
        "224.0.0.1": "all hosts",
        "239.255.255.255": "the last group",
        "240.0.0.1": "a reserved one",
        "255.255.255.255": "the broadcast",
    },
    6: {
        "::": "no address",
        "::1": "the loopback",
        "ff00::": "the first group",
        "ff02::1": "all nodes",
        "ffff:ffff:ffff:ffff:ffff:ffff:ffff:ffff": "the last group",
    },
}
SOMEBODY = {
    4: ("1.0.0.0", "126.255.255.255", "128.0.0.0", "223.255.255.255"),
    6: ("::2", "::1:0:0", "::1:0:0:0:1", "1::", "fe80::1", "feff:ffff::1"),
}
"""Those next to nobody's, and of IPv6 one for each word that differs from ::1."""


def nobodys(family: int) -> list[Case]:
    """Pings and what is too big, from each such address."""
    vip, port = services.SMALL[family], services.SMALL_PORTS["ipip4"]
    cases: list[Case] = []
    for source, what in NOBODY[family].items():
        name = f"IPv{family}: from {source}, {what},"
        big = filled(ip(vip, source) / tcp(port), SMALL_MTU)
        asking = {"a ping": ping(vip, client=source), "a packet that is too big": big}
        for kind, packet in asking.items():
            dropping = dropped(f"{name} {kind} gets no answer", frame(packet), SENDER)
            none_left = replace(dropping, sentence=f"{name} {kind} is not counted as an answer")
            cases += [dropping, replace(none_left, answers_per_s=0)]
        cases.append(
            sent(
                f"{name} what fits is sent as from anybody",
                frame(ip(vip, source) / tcp(port)),
                world.SMALL["ipip4"],
            )
        )
    return cases


def somebodys(family: int) -> list[Case]:
    """Addresses next to those are answered."""
    vip, port = services.SMALL[family], services.SMALL_PORTS["ipip4"]
    cases: list[Case] = []
    for source in SOMEBODY[family]:
        big = filled(ip(vip, source) / tcp(port), SMALL_MTU)
        cases += [
            echoed(
                f"IPv{family}: a ping from {source} is answered", frame(ping(vip, client=source))
            ),
            told(
                f"IPv{family}: a packet from {source} that is too big is answered",
                frame(big),
                SMALL_MTU - 20,
            ),
        ]
    return cases


def others(family: int) -> list[Case]:
    """What was dropped by another name still is, whoever sent it; protocols and tags are alike."""
    vip, port = services.SMALL[family], services.SMALL_PORTS["ipip4"]
    nobody = {4: "224.0.0.1", 6: "ff02::1"}[family]
    quote = filled(reply(vip, vip_port=port), 1460)
    error = icmp_error(vip, {4: 3, 6: 1}[family], 0, quote, router=nobody)
    big_first = filled(udp(port), 1464)
    cases = [
        dropped(
            f"IPv{family}: an ICMP error from a group that is too big is no question",
            frame(error),
            "drop_too_big",
        ),
        dropped(
            f"IPv{family}: a ping in fragments from a group is dropped as a fragment",
            fragment(
                vip,
                {4: 1, 6: 58}[family],
                ping(vip).payload,
                more=True,
                ident=0x3B00,
                client=nobody,
            ),
            "drop_fragment",
        ),
        dropped(
            f"IPv{family}: a first fragment from a group that is too big gets no answer",
            fragment(vip, 17, big_first, more=True, ident=0x3B01, client=nobody),
            SENDER,
        ),
    ]
    for protocol in Protocol:
        big = filled(ip(vip, nobody) / transport(protocol, port), SMALL_MTU)
        cases.append(
            dropped(
                f"IPv{family}: {protocol.upper()} from a group that is too big, with two tags",
                frame(big, tags=(ad(7), q(8))),
                SENDER,
            )
        )
    return cases


def narrow() -> list[Case]:
    """Where nobody would be told, it does not matter who asked."""
    big = filled(ip(services.SMALL[6], "::1") / tcp(services.NARROW_PORT), 1280)
    return [dropped("IPv6: from ::1 a packet too big for 1,279", frame(big), "drop_too_big")]


CASES = [
    *(case for family in FAMILIES for of in (nobodys, somebodys, others) for case in of(family)),
    *narrow(),
]
