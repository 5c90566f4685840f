"""ICMP errors for a VIP's flows: they reach the endpoint of the flow that they quote."""

from scapy.layers.inet import IP
from scapy.layers.inet6 import IPv6
from scapy.packet import Packet, Raw

from headrace.model import Affinity, IPAddress, Protocol

from . import services, world
from .case import Case, dropped, passed, sent
from .packets import (
    CLIENT,
    CLIENT_PORT,
    destination_options,
    flow,
    fragment6,
    frame,
    hop_by_hop,
    icmp_error,
    ip_of,
    reply,
    transport,
)
from .world import FAMILIES

QUOTE = "drop_quote"
KINDS = {
    4: {
        "destination unreachable": (3, 0),
        "port unreachable": (3, 3),
        "fragmentation needed": (3, 4),
        "prohibited by a filter": (3, 13),
        "time exceeded": (11, 0),
        "reassembly time exceeded": (11, 1),
        "parameter problem": (12, 0),
    },
    6: {
        "destination unreachable": (1, 0),
        "port unreachable": (1, 4),
        "packet too big": (2, 0),
        "time exceeded": (3, 0),
        "reassembly time exceeded": (3, 1),
        "parameter problem": (4, 0),
    },
}
ONE = {4: (3, 4), 6: (2, 0)}
HEADER = {4: 20, 6: 40}


def error(vip: IPAddress, quote: Packet | bytes, router: str | None = None) -> bytes:
    """The family's most wanted error, in a frame."""
    return frame(icmp_error(vip, *ONE[vip.version], quote, router=router))


def steered() -> list[Case]:
    cases: list[Case] = []
    for family in FAMILIES:
        vip = services.WEB[family]
        for what, (type_, code) in KINDS[family].items():
            for protocol in Protocol:
                quote = reply(vip, protocol)
                cases.append(
                    sent(
                        f"IPv{family}: {what} goes to the endpoint of the {protocol.upper()} flow "
                        "that it quotes",
                        frame(icmp_error(vip, type_, code, quote)),
                        world.WEB,
                        flow=flow(vip, protocol),
                    )
                )
    return cases


def lengths() -> list[Case]:
    """A quote needs its IP header and four bytes of ports."""
    cases: list[Case] = []
    for family in FAMILIES:
        vip = services.WEB[family]
        whole = bytes(reply(vip))
        ports = HEADER[family]
        for size, what in ((4, "the ports alone"), (8, "8 bytes of TCP"), (20, "a TCP header")):
            cases.append(
                sent(
                    f"IPv{family}: a quote of {what} is enough",
                    error(vip, whole[: ports + size]),
                    world.WEB,
                    flow=flow(vip),
                )
            )
        for size, what in (
            (0, "nothing"),
            (1, "one byte"),
            (ports - 1, "all but a byte of the IP header"),
            (ports, "the IP header alone"),
            (ports + 3, "all but a byte of the ports"),
        ):
            cases.append(
                dropped(
                    f"IPv{family}: a quote of {what} names no flow", error(vip, whole[:size]), QUOTE
                )
            )
        cases.append(
            sent(
                f"IPv{family}: an error from any router is steered by what it quotes",
                error(vip, whole, {4: "203.0.114.9", 6: "2001:db8:99::9"}[family]),
                world.WEB,
                flow=flow(vip),
            )
        )
        cases.append(
            dropped(
                f"IPv{family}: four bytes of an ICMP error are no header",
                frame(ip_of(vip, {4: 1, 6: 58}[family]) / Raw(bytes([ONE[family][0], 0, 0, 0]))),
                "drop_malformed",
            )
        )
        cases.append(
            dropped(
                f"IPv{family}: ports that lie in the padding are in no quote",
                error(vip, whole[:ports]) + whole[ports:],
                QUOTE,
            )
        )
    return cases


def strangers() -> list[Case]:
    """What is quoted must be a flow of that VIP."""
    cases: list[Case] = []
    for family in FAMILIES:
        vip, far, own = services.WEB[family], services.FAR[family], CLIENT[family]
        header = IP if family == 4 else IPv6
        other = services.WEB[10 - family]
        protocols = {
            4: {"nobody's": 47, "ICMP": 1, "IP in IP": 4},
            6: {"nobody's": 47, "ICMPv6": 58},
        }
        quotes: dict[str, Packet | bytes] = {
            "a flow of another VIP": reply(far),
            "a flow to the VIP instead of from it": header(src=own, dst=str(vip))
            / transport(Protocol.TCP),
            "a packet between strangers": header(src=own, dst=own) / transport(Protocol.TCP),
            "a packet of the other family": reply(other),
            "a packet of version 0": b"\x05" + bytes(reply(vip))[1:],
            "zeros": bytes(64),
        }
        for what, number in protocols[family].items():
            fields = {"proto": number} if family == 4 else {"nh": number}
            quotes[f"{what} protocol"] = header(src=str(vip), dst=own, **fields) / Raw(bytes(20))
        cases += [
            dropped(
                f"IPv{family}: an error that quotes {what} is nobody's", error(vip, quote), QUOTE
            )
            for what, quote in quotes.items()
        ]
        cases += [
            dropped(
                f"IPv{family}: an error for a port of the VIP that nobody serves",
                error(vip, reply(vip, vip_port=8081)),
                "drop_unserved",
            ),
            passed(
                f"IPv{family}: an error for nobody's port is the kernel's where the VIP says so",
                error(services.PASSING[family], reply(services.PASSING[family], vip_port=8081)),
                "pass_unserved",
            ),
            dropped(
                f"IPv{family}: a bad quote is dropped even where the kernel has what is unserved",
                error(services.PASSING[family], reply(far)),
                QUOTE,
            ),
            passed(
                f"IPv{family}: an error for a flow of an address that is no VIP is the kernel's",
                _to_the_node(family),
            ),
        ]
    return cases


def _to_the_node(family: int) -> bytes:
    node = type(services.WEB[family])({4: "11.11.11.1", 6: "2001:db8::1"}[family])
    return error(node, reply(node))


def quoted_headers() -> list[Case]:
    """Options, extension headers and fragments inside of the quote."""
    vip4, vip6 = services.WEB[4], services.WEB[6]
    tail = transport(Protocol.TCP, CLIENT_PORT, 80)
    to4, to6 = CLIENT[4], CLIENT[6]
    with_options = IP(src=str(vip4), dst=to4, options=[b"\x01" * 40]) / tail
    base6 = IPv6(src=str(vip6), dst=to6)
    four = base6 / hop_by_hop() / destination_options() / destination_options() / fragment6()
    kept = {
        "a quote with 40 bytes of options": (vip4, with_options),
        "a quoted first fragment": (vip4, IP(src=str(vip4), dst=to4, flags="MF") / tail),
        "a quote with hop-by-hop options": (vip6, base6 / hop_by_hop() / tail),
        "a quote with four extension headers": (vip6, four / tail),
        "a quoted first fragment of IPv6": (vip6, base6 / fragment6(more=True) / tail),
        "a quoted atomic fragment": (vip6, base6 / fragment6() / tail),
    }
    later6 = base6 / fragment6(9, nh=6) / Raw(bytes(tail))
    lost = {
        "a quoted later fragment": (vip4, IP(src=str(vip4), dst=to4, frag=9) / tail),
        "a quoted later fragment of IPv6": (vip6, later6),
        "a quote with five extension headers": (vip6, four / destination_options() / tail),
        "a quote whose options are cut": (vip4, bytes(with_options)[:59]),
        "a quote whose options leave no ports": (vip4, bytes(with_options)[:63]),
        "a quote with a header length of 16": (vip4, IP(src=str(vip4), dst=to4, ihl=4) / tail),
        "a quote whose extension header is cut": (vip6, bytes(base6 / hop_by_hop() / tail)[:44]),
    }
    cases = [
        sent(f"{what} names its flow", error(vip, quote), world.WEB, flow=flow(vip))
        for what, (vip, quote) in kept.items()
    ]
    cases += [
        dropped(f"{what} names no flow", error(vip, quote), QUOTE)
        for what, (vip, quote) in lost.items()
    ]
    return cases


def by_service() -> list[Case]:
    """An error is a packet of the flow in all that follows."""
    cases: list[Case] = []
    for family in FAMILIES:
        allowed, refused = {
            4: ("198.51.100.7", "8.8.8.8"),
            6: ("2001:db8:c::7", "2001:db8:bad::1"),
        }[family]
        sources, source_ip = services.SOURCES[family], services.BY_SOURCE[family]
        by_port, dark = services.BY_PORT[family], services.DARK[family]
        prefix = services.IN_PREFIX[family]
        any_port = services.ANY_PORT[family]
        cases += [
            sent(
                f"IPv{family}: an error from anybody about an allowed client's flow",
                error(sources, reply(sources, client=allowed), refused),
                world.WEB,
                flow=flow(sources, client=allowed),
            ),
            dropped(
                f"IPv{family}: an error from an allowed router about a flow of who is not",
                error(sources, reply(sources, client=refused), allowed),
                "drop_source",
            ),
            sent(
                f"IPv{family}: an error follows its client where affinity is source-ip",
                error(source_ip, reply(source_ip)),
                world.WEB,
                flow=flow(source_ip),
                affinity=Affinity.SOURCE_IP,
            ),
            sent(
                f"IPv{family}: an error follows the VIP's port where affinity is that",
                error(by_port, reply(by_port)),
                world.WEB,
                flow=flow(by_port),
                affinity=Affinity.DESTINATION_PORT,
            ),
            dropped(
                f"IPv{family}: an error for an endpoint without a path",
                error(dark, reply(dark)),
                "drop_no_path",
            ),
            sent(
                f"IPv{family}: an error for a flow of an address in a VIP prefix",
                error(prefix, reply(prefix)),
                world.WEB,
                flow=flow(prefix),
            ),
            sent(
                f"IPv{family}: an error for a flow of an any-port service",
                error(any_port, reply(any_port, vip_port=9)),
                world.WEB,
                flow=flow(any_port, dport=9),
            ),
        ]
    return cases


def by_way() -> list[Case]:
    """An error goes the way of its flow."""
    cases: list[Case] = []
    for family in FAMILIES:
        for name, pool, vips in (
            ("gue in IPv4", world.BY_GUE4, services.BY_GUE4),
            ("gue in IPv6", world.BY_GUE6, services.BY_GUE6),
            ("ipip in IPv6", world.FAR, services.FAR),
            ("l2", world.BY_L2[family], services.BY_L2),
        ):
            cases.append(
                sent(
                    f"IPv{family}: an error goes by {name} as its flow does",
                    error(vips[family], reply(vips[family])),
                    pool,
                    flow=flow(vips[family]),
                )
            )
    return cases


CASES = [*steered(), *lengths(), *strangers(), *quoted_headers(), *by_service(), *by_way()]
