"""Large frames, up to 9,014 bytes, of which the driver hands over more than one buffer."""

from scapy.packet import Raw

from headrace.model import Protocol

from . import services, world
from .case import Case, dropped, echoed, passed, sent, told
from .cases_fragments import fragment
from .packets import filled, flow, frame, icmp_error, ip, ping, q, reply, tcp, transport
from .world import FAMILIES, JUMBO_MTU

SIZES = (1501, 3000, 3506, 3507, 3520, 4000, 4096, 7616, 8192, 9000)
LARGEST = 9000


def whole() -> list[Case]:
    """What fits is sent to its last byte."""
    cases: list[Case] = []
    for family in FAMILIES:
        vip, web = services.JUMBO[family], services.WEB[family]
        cases.extend(
            sent(
                f"{size:,} bytes of IPv{family} are sent whole",
                frame(filled(ip(web) / tcp(), size)),
                world.WEB,
            )
            for size in SIZES
        )
        cases.extend(
            sent(
                f"9,000 bytes of {protocol.upper()} in IPv{family} are sent whole by l2",
                frame(filled(ip(vip) / transport(protocol, 81), LARGEST)),
                world.JUMBO_L2[family],
            )
            for protocol in Protocol
        )
        for name, vips, pool in (
            ("ipip in IPv6", services.FAR, world.FAR),
            ("gue in IPv4", services.BY_GUE4, world.BY_GUE4),
            ("gue in IPv6", services.BY_GUE6, world.BY_GUE6),
        ):
            packet = frame(filled(ip(vips[family]) / tcp(), LARGEST))
            cases.append(sent(f"9,000 bytes of IPv{family} are sent whole by {name}", packet, pool))
    return cases


def at_the_limit() -> list[Case]:
    """A path of 9,000 carries less by the outer header."""
    cases: list[Case] = []
    for family in FAMILIES:
        vip, room = services.JUMBO[family], JUMBO_MTU - 20
        cases += [
            sent(
                f"IPv{family}: 8,980 bytes just fit a path of 9,000 by ipip",
                frame(filled(ip(vip) / tcp(), room)),
                world.JUMBO,
            ),
            told(
                f"IPv{family}: 8,981 bytes are answered with 8,980",
                frame(filled(ip(vip) / tcp(), room + 1)),
                room,
            ),
            told(
                f"IPv{family}: the largest frame is answered with 8,980",
                frame(filled(ip(vip) / tcp(), LARGEST)),
                room,
            ),
        ]
    return cases


def others() -> list[Case]:
    """Large frames that are not simply sent."""
    cases: list[Case] = []
    for family in FAMILIES:
        web = services.WEB[family]
        cases += [
            sent(
                f"IPv{family}: a small packet in a frame of 9,014 bytes has its own length",
                frame(ip(web) / tcp()).ljust(9014, b"\x33"),
                world.WEB,
            ),
            sent(
                f"IPv{family}: a tag is off before 9,000 bytes",
                frame(filled(ip(web) / tcp(), LARGEST), tags=(q(3),)),
                world.WEB,
            ),
            echoed(
                f"IPv{family}: a ping of 9,000 bytes is answered whole",
                frame(ping(web, bytes(LARGEST - {4: 28, 6: 48}[family]))),
            ),
            passed(
                f"IPv{family}: 9,000 bytes for another address are the kernel's",
                frame(filled(ip({4: "11.11.11.1", 6: "2001:db8::1"}[family]) / tcp(), LARGEST)),
            ),
            dropped(
                f"IPv{family}: 9,000 bytes for nobody's port are dropped",
                frame(filled(ip(web) / tcp(81), LARGEST)),
                "drop_unserved",
            ),
            dropped(
                f"IPv{family}: 9,000 bytes of which the frame lacks the last are malformed",
                frame(filled(ip(web) / tcp(), LARGEST))[:-1],
                "drop_malformed",
            ),
            sent(
                f"IPv{family}: an ICMP error that quotes 8,000 bytes is sent whole",
                frame(icmp_error(web, {4: 3, 6: 1}[family], 0, filled(reply(web), 8000))),
                world.WEB,
                flow=flow(web),
            ),
        ]
        first = fragment(web, 17, Raw(bytes(transport(Protocol.UDP))), more=True, ident=0x9100)
        cases.append(
            sent(
                f"IPv{family}: a later fragment of 8,000 bytes goes after its first",
                fragment(web, 17, bytes(8000), offset=9, ident=0x9100),
                world.WEB,
                flow=flow(web, Protocol.UDP),
                before=(first,),
            )
        )
    return cases


CASES = [*whole(), *at_the_limit(), *others()]
