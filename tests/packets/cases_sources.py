"""Services that only some clients may use."""

from headrace.model import Protocol

from . import services, world
from .case import Case, dropped, sent
from .cases_fragments import fragment
from .packets import flow, frame, ip, tcp, transport
from .world import FAMILIES

INSIDE = {
    4: {
        "the first of a /24": "198.51.100.0",
        "the last of a /24": "198.51.100.255",
        "the first of a /10": "100.64.0.0",
        "the last of a /10": "100.127.255.255",
        "a single address": "9.9.9.9",
    },
    6: {
        "the first of a /48": "2001:db8:c::",
        "the last of a /48": "2001:db8:c:ffff:ffff:ffff:ffff:ffff",
        "a single address": "2001:db8:d::1",
    },
}
OUTSIDE = {
    4: {
        "right before a /24": "198.51.99.255",
        "right behind a /24": "198.51.101.0",
        "right before a /10": "100.63.255.255",
        "right behind a /10": "100.128.0.0",
        "beside a single address": "9.9.9.8",
        "far off": "8.8.8.8",
        "zero": "0.0.0.0",
    },
    6: {
        "right before a /48": "2001:db8:b:ffff:ffff:ffff:ffff:ffff",
        "right behind a /48": "2001:db8:d::",
        "beside a single address": "2001:db8:d::2",
        "an allowed IPv4 client, mapped": "::ffff:198.51.100.7",
        "zero": "::",
    },
}


def clients() -> list[Case]:
    cases: list[Case] = []
    for family in FAMILIES:
        vip = services.SOURCES[family]
        for what, client in INSIDE[family].items():
            cases.extend(
                sent(
                    f"IPv{family}: {what} that is allowed may use {protocol.upper()}",
                    frame(ip(vip, client) / transport(protocol)),
                    world.WEB,
                )
                for protocol in Protocol
            )
        for what, client in OUTSIDE[family].items():
            cases += [
                dropped(
                    f"IPv{family}: a client {what} is not allowed",
                    frame(ip(vip, client) / tcp()),
                    "drop_source",
                ),
                sent(
                    f"IPv{family}: a client {what} may use what allows everybody",
                    frame(ip(vip, client) / tcp(81)),
                    world.WEB,
                ),
                sent(
                    f"IPv{family}: a client {what} may use what has no list",
                    frame(ip(vip, client) / tcp(82)),
                    world.WEB,
                ),
                dropped(
                    f"IPv{family}: a client {what} may not use what allows all of the other family",
                    frame(ip(vip, client) / tcp(84)),
                    "drop_source",
                ),
                sent(
                    f"IPv{family}: a client {what} may use what allows all of both families",
                    frame(ip(vip, client) / tcp(85)),
                    world.WEB,
                ),
            ]
    return cases


DENIED_PORT, BOTH_PORT, NOBODY_PORT = 86, 87, 88
LISTED = {
    # what, client: served where some are denied; where others are allowed besides
    4: {
        "in a shorter prefix that is allowed": ("198.51.100.127", True, True),
        "in a longer prefix that is denied": ("198.51.100.128", False, False),
        "at the end of one that is denied": ("8.255.255.255", False, False),
        "behind one that is denied": ("9.0.0.0", True, False),
        "at the one address that is denied here and allowed there": ("9.9.9.9", False, True),
    },
    6: {
        "in a shorter prefix that is allowed": ("2001:db8:c:7fff::", True, True),
        "in a longer prefix that is denied": ("2001:db8:c:8000::", False, False),
        "at the end of one that is denied": ("2001:db8:d:ffff::ffff", False, False),
        "behind one that is denied": ("2001:db8:e::", True, False),
        "at the one address that is allowed again": ("2001:db8:d::1", False, True),
    },
}


def lists() -> list[Case]:
    """Clients that are denied, alone and beside those that are allowed."""
    cases: list[Case] = []
    for family in FAMILIES:
        vip = services.SOURCES[family]
        for what, (client, *served) in LISTED[family].items():
            for port, is_served in zip(
                (DENIED_PORT, BOTH_PORT, NOBODY_PORT), (*served, False), strict=True
            ):
                packet = frame(ip(vip, client) / tcp(port))
                name = f"IPv{family}: a client {what}, port {port}"
                cases.append(
                    sent(name, packet, world.WEB)
                    if is_served
                    else dropped(name, packet, "drop_source")
                )
    return cases


def order() -> list[Case]:
    """What counts before the list does, and what it counts for."""
    cases: list[Case] = []
    for family in FAMILIES:
        vip, refused = services.SOURCES[family], OUTSIDE[family]["zero"]
        first = fragment(vip, 6, transport(Protocol.TCP), more=True, ident=9, client=refused)
        later = fragment(vip, 6, b"x" * 8, offset=9, ident=9, client=refused)
        cases += [
            dropped(
                f"IPv{family}: a SYN of who is not allowed goes nowhere",
                frame(ip(vip, refused) / tcp(flags="S")),
                "drop_source",
            ),
            dropped(
                f"IPv{family}: a port that nobody serves counts before who asks",
                frame(ip(vip, refused) / tcp(83)),
                "drop_unserved",
            ),
            dropped(f"IPv{family}: the first fragment of who is not allowed", first, "drop_source"),
            dropped(
                f"IPv{family}: a later fragment of who is not allowed",
                later,
                "drop_source",
                before=(first,),
            ),
            sent(
                f"IPv{family}: a later fragment of who is allowed",
                fragment(vip, 6, b"x" * 8, offset=9, ident=10),
                world.WEB,
                flow=flow(vip),
                before=(fragment(vip, 6, transport(Protocol.TCP), more=True, ident=10),),
            ),
        ]
    return cases


CASES = [*clients(), *lists(), *order()]
