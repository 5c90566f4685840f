"""IPv6 headers: payload lengths, fields that must not change."""

from scapy.packet import Raw

from headrace.model import Protocol

from . import services, world
from .case import Case, dropped, passed, sent
from .packets import Fields, flow, frame, ip, ip_of, tcp, transport, udp

VIP = services.WEB[6]
MALFORMED = "drop_malformed"
NOT_OURS = "2001:db8::1"


def lengths() -> list[Case]:
    wrong: dict[str, Fields] = {
        "a payload length one byte past the frame": {"plen": 21},
        "a payload length of 65,535 in a small frame": {"plen": 65535},
        "a payload length of 0 before TCP: nothing follows the header": {"plen": 0},
        "a payload length of 3 before TCP: both ports do not fit": {"plen": 3},
    }
    cases: list[Case] = []
    for what, fields in wrong.items():
        cases.append(dropped(f"IPv6: {what}", frame(ip(VIP, **fields) / tcp()), MALFORMED))
        cases.append(
            passed(
                f"IPv6: {what}, but for an address that is not ours",
                frame(ip(NOT_OURS, **fields) / tcp()),
            )
        )
    cases.append(
        sent(
            "IPv6: a payload length of 4 holds both ports, the rest is padding",
            frame(ip(VIP, plen=4) / tcp()),
            world.WEB,
            flow=flow(VIP),
        )
    )
    return cases


def transport_cuts() -> list[Case]:
    cases: list[Case] = []
    for protocol in Protocol:
        whole = bytes(transport(protocol))
        cases.extend(
            dropped(
                f"IPv6: {size} bytes of {protocol.upper()} do not hold both ports",
                frame(ip_of(VIP, protocol.number) / Raw(whole[:size])),
                MALFORMED,
            )
            for size in range(4)
        )
        cases.extend(
            sent(
                f"IPv6: {size} bytes of {protocol.upper()} hold both ports and are sent",
                frame(ip_of(VIP, protocol.number) / Raw(whole[:size])),
                world.WEB,
                flow=flow(VIP, protocol),
            )
            for size in (4, 13)
        )
    return cases


def kept() -> list[Case]:
    fields: dict[str, Fields] = {
        "a hop limit of 1 is not counted down": {"hlim": 1},
        "a hop limit of 0 is not looked at": {"hlim": 0},
        "a hop limit of 255 stays inside": {"hlim": 255},
        "a flow label stays inside and is in no hash": {"fl": 0xABCDE},
        "the whole first word set but for the version": {"fl": 0xFFFFF, "tc": 0xFF},
    }
    cases = [
        sent(f"IPv6: {what}", frame(ip(VIP, **each) / tcp()), world.WEB)
        for what, each in fields.items()
    ]
    cases.extend(
        sent(
            f"a packet from {client} is a packet like any other",
            frame(ip(VIP, client) / tcp()),
            world.WEB,
        )
        for client in ("::", "::1", "ff02::1", "::ffff:192.0.2.1", "fe80::1", str(VIP))
    )
    cases.extend(
        sent(
            f"IPv6: TCP flags {flags} do not matter where no slot is unstable",
            frame(ip(VIP) / tcp(flags=flags)),
            world.WEB,
        )
        for flags in ("S", "SA", "R", "FSRPAUEC")
    )
    cases.append(
        sent(
            "IPv6: UDP without a checksum is the endpoint's to see",
            frame(ip(VIP) / udp(chksum=0)),
            world.WEB,
        )
    )
    return cases


CASES = [*lengths(), *transport_cuts(), *kept()]
