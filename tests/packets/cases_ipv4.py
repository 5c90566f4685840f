"""IPv4 headers: lengths that contradict each other, options, fields that must not change."""

from scapy.layers.inet import IP
from scapy.packet import Raw

from headrace.model import Protocol

from . import services, world
from .case import Case, dropped, passed, sent
from .packets import Fields, flow, frame, ip, ip_of, tcp, transport, udp

VIP = services.WEB[4]
MALFORMED = "drop_malformed"
NOT_OURS = "11.11.11.1"


def lengths() -> list[Case]:
    """A VIP's packet whose lengths cannot be is dropped; anybody else's is not looked into."""
    wrong: dict[str, Fields] = {
        "a header length of 0": {"ihl": 0},
        "a header length of 4 bytes": {"ihl": 1},
        "a header length of 16 bytes, one word too few": {"ihl": 4},
        "a header length past the frame": {"ihl": 15},
        "a total length of 0": {"len": 0},
        "a total length of 19, less than any header": {"len": 19},
        "a total length below a header with options": {"ihl": 6, "len": 23},
        "a total length one byte past the frame": {"len": 41},
        "a total length of 65,535 in a small frame": {"len": 65535},
    }
    cases: list[Case] = []
    for what, fields in wrong.items():
        cases.append(
            dropped(f"IPv4: {what} is malformed", frame(ip(VIP, **fields) / tcp()), MALFORMED)
        )
        cases.append(
            passed(
                f"IPv4: {what} is nobody's business on the way to another address",
                frame(ip(NOT_OURS, **fields) / tcp()),
            )
        )
    return cases


def transport_cuts() -> list[Case]:
    """The ports are all that must be there of a transport header."""
    cases: list[Case] = []
    for protocol in Protocol:
        whole = bytes(transport(protocol))
        cases.extend(
            dropped(
                f"IPv4: {size} bytes of {protocol.upper()} do not hold both ports",
                frame(ip_of(VIP, protocol.number) / Raw(whole[:size])),
                MALFORMED,
            )
            for size in range(4)
        )
        cases.extend(
            sent(
                f"IPv4: {size} bytes of {protocol.upper()} hold both ports and are sent",
                frame(ip_of(VIP, protocol.number) / Raw(whole[:size])),
                world.WEB,
                flow=flow(VIP, protocol),
            )
            for size in (4, 7, 13)
        )
        cases.append(
            dropped(
                f"IPv4: padding is no part of a {protocol.upper()} header",
                frame(ip_of(VIP, protocol.number, len=22) / Raw(whole[:16])),
                MALFORMED,
            )
        )
    cases.append(
        dropped(
            "a port that nobody serves does not matter when the ports are cut",
            frame(ip_of(VIP, 6) / Raw(b"\x00\x50\x1f")),
            MALFORMED,
        )
    )
    return cases


def options() -> list[Case]:
    """Options are stepped over and sent along."""
    kinds = {
        "four bytes of no-operation": b"\x01" * 4,
        "an end of options": b"\x00" * 4,
        "a record-route option": b"\x07\x07\x04\x00\x00\x00\x00\x00",
        "a router alert": b"\x94\x04\x00\x00",
        "a timestamp option": b"\x44\x08\x05\x00" + bytes(4),
        "a loose source route": b"\x83\x07\x04\x0a\x00\x00\x01\x00",
        "40 bytes of options, the most there can be": b"\x01" * 40,
        "an option of a length that cannot be": b"\x07\xff\x04\x00",
    }
    cases = [
        sent(
            f"IPv4: {what} before TCP is stepped over and sent along",
            frame(_with(raw, 6) / tcp()),
            world.WEB,
        )
        for what, raw in kinds.items()
    ]
    cases.append(
        sent(
            "IPv4: options before UDP are stepped over",
            frame(_with(b"\x01" * 8, 17) / udp()),
            world.WEB,
        )
    )
    cases.append(
        dropped(
            "IPv4: options that fill the whole packet leave no ports: malformed",
            frame(ip_of(VIP, 6, ihl=10, len=40) / tcp()),
            MALFORMED,
        )
    )
    cases.append(
        dropped(
            "IPv4: options that leave three bytes for the ports are malformed",
            frame(ip_of(VIP, 6, ihl=9, len=39) / tcp()),
            MALFORMED,
        )
    )
    cases.append(
        dropped(
            "IPv4: options before nobody's port do not save the packet",
            frame(_with(b"\x01" * 4, 6) / tcp(8081)),
            "drop_unserved",
        )
    )
    return cases


def _with(raw: bytes, protocol: int) -> IP:
    return ip_of(VIP, protocol, options=[raw])


def kept() -> list[Case]:
    """Nothing of the inner packet changes."""
    fields: dict[str, Fields] = {
        "a time to live of 1 is not counted down": {"ttl": 1},
        "a time to live of 0 is not looked at": {"ttl": 0},
        "a time to live of 255 stays inside": {"ttl": 255},
        "an identification stays inside": {"id": 0xBEEF},
        "don't-fragment stays inside": {"flags": "DF"},
        "the reserved bit is no fragment's": {"flags": "evil"},
        "the reserved bit with don't-fragment is no fragment's": {"flags": "evil+DF"},
        "a wrong header checksum is the endpoint's to see": {"chksum": 0x1234},
    }
    cases = [
        sent(f"IPv4: {what}", frame(ip(VIP, **each) / tcp()), world.WEB)
        for what, each in fields.items()
    ]
    cases.append(
        sent(
            "a wrong TCP checksum is the endpoint's to see",
            frame(ip(VIP) / tcp(chksum=0xDEAD)),
            world.WEB,
        )
    )
    cases.append(
        sent(
            "a UDP length that contradicts the packet is the endpoint's to see",
            frame(ip(VIP) / udp(len=999) / Raw(b"data")),
            world.WEB,
        )
    )
    cases.extend(
        sent(
            f"TCP flags {flags or 'none'}: where no slot is unstable they do not matter",
            frame(ip(VIP) / tcp(flags=flags)),
            world.WEB,
        )
        for flags in ("S", "SA", "F", "R", "PA", "FPU", "SF", "", "FSRPAUEC")
    )
    cases.extend(
        sent(
            f"a packet from {client} is a packet: whom it may come from is not guessed",
            frame(ip(VIP, client) / tcp()),
            world.WEB,
        )
        for client in ("0.0.0.0", "127.0.0.1", "255.255.255.255", "224.0.0.1", str(VIP))
    )
    cases.extend(
        sent(
            f"source port {sport} is a port like any other",
            frame(ip(VIP) / tcp(sport=sport)),
            world.WEB,
        )
        for sport in (0, 65535)
    )
    return cases


CASES = [*lengths(), *transport_cuts(), *options(), *kept()]
