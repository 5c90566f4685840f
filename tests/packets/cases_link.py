"""Frames: EtherTypes, VLAN tags, MAC addresses, frames cut short."""

from scapy.layers.l2 import ARP, Dot1AD, Dot1Q, Ether
from scapy.packet import Raw

from . import services, world
from .case import Case, echoed, passed, sent
from .packets import (
    CLIENT,
    IPV4_TYPE,
    IPV6_TYPE,
    ad,
    ether,
    frame,
    frame_of_type,
    ip,
    ip_of,
    ping,
    q,
    tcp,
    udp,
)
from .world import BRIDGE_MAC, FAMILIES, OWN_MAC, ROUTER_MAC

ARP_REQUEST = bytes(Ether(dst="ff:ff:ff:ff:ff:ff") / ARP(pdst="192.0.2.1"))
OTHER_MAC = "02:00:00:00:00:77"
NOT_IP = "pass_not_ip"
LEAST = {4: 20, 6: 40}


def segment(family: int) -> bytes:
    """A whole frame for the VIP."""
    return frame(ip(services.WEB[family]) / tcp())


def tagged_with(family: int, *tags: Dot1Q) -> bytes:
    return frame(ip(services.WEB[family]) / tcp(), tags=tags)


def non_ip() -> list[Case]:
    inside = bytes(ip(services.WEB[4]) / tcp())
    inside6 = bytes(ip(services.WEB[6]) / tcp())
    tags = [Dot1Q(vlan=5), Dot1Q(vlan=6), Dot1Q(vlan=7)]
    return [
        passed("an ARP request is the kernel's to answer", ARP_REQUEST, NOT_IP),
        passed(
            "an ARP request in a VLAN is the kernel's too",
            bytes(ether() / q(5) / ARP(pdst="192.0.2.1")),
            NOT_IP,
        ),
        passed("a frame of LLDP is not ours", frame_of_type(0x88CC, bytes(46)), NOT_IP),
        passed("MPLS before IP is not looked through", frame_of_type(0x8847, inside), NOT_IP),
        passed("PPPoE before IP is not looked through", frame_of_type(0x8864, inside), NOT_IP),
        passed("an 802.3 length in place of a type is not IP", frame_of_type(46, inside), NOT_IP),
        passed("the old QinQ type 0x9100 is no tag", frame_of_type(0x9100, inside), NOT_IP),
        passed(
            "a third VLAN tag is one too many",
            frame(ip(services.WEB[4]) / tcp(), tags=tags),
            NOT_IP,
        ),
        passed(
            "a third VLAN tag is one too many before IPv6 as well",
            frame(ip(services.WEB[6]) / tcp(), tags=tags),
            NOT_IP,
        ),
        passed("IPv4's type before version 6", frame_of_type(IPV4_TYPE, inside6), NOT_IP),
        passed("IPv6's type before version 4", frame_of_type(IPV6_TYPE, inside), NOT_IP),
        passed(
            "IPv4's type before version 0",
            frame_of_type(IPV4_TYPE, b"\x05" + inside[1:]),
            NOT_IP,
        ),
        passed(
            "IPv6's type before version 15",
            frame_of_type(IPV6_TYPE, b"\xf0" + inside6[1:]),
            NOT_IP,
        ),
    ]


def cut_short() -> list[Case]:
    """A frame that ends before the fixed IP header does is passed, wherever it is cut."""
    cases: list[Case] = []
    for family in FAMILIES:
        whole = segment(family)
        tagged = tagged_with(family, q(5))
        cases.extend(
            passed(
                f"{size} bytes of an IPv{family} header are not enough to be a packet",
                whole[: 14 + size],
                NOT_IP,
            )
            for size in (0, 1, LEAST[family] // 2, LEAST[family] - 1)
        )
        cases.append(
            passed(
                f"a tag takes its 4 bytes from a frame: {LEAST[family] - 1} bytes of IPv{family}",
                tagged[: 18 + LEAST[family] - 1],
                NOT_IP,
            )
        )
    cases.append(
        passed("a frame that ends in the middle of a tag", tagged_with(4, q(5))[:16], NOT_IP)
    )
    cases.append(
        passed(
            "a frame that ends in the middle of its second tag",
            tagged_with(4, q(5), q(6))[:20],
            NOT_IP,
        )
    )
    return cases


def tags() -> list[Case]:
    cases: list[Case] = []
    for family in FAMILIES:
        ways = {
            "a VLAN tag is taken off": (q(5),),
            "two VLAN tags are taken off": (q(5), q(6)),
            "a provider's tag and a customer's are taken off": (ad(5), q(6)),
            "a provider's tag alone is taken off": (ad(5),),
            "the tag of VLAN 0, a priority only, is taken off": (Dot1Q(vlan=0, prio=5),),
            "a tag with every bit set is taken off": (Dot1Q(vlan=4095, prio=7, dei=1),),
            "two providers' tags are taken off": (Dot1AD(vlan=1), Dot1AD(vlan=2)),
        }
        for sentence, each in ways.items():
            cases.append(sent(f"IPv{family}: {sentence}", tagged_with(family, *each), world.WEB))
        cases.append(
            echoed(
                f"IPv{family}: a ping with two tags is answered with the same two",
                frame(ping(services.WEB[family]), tags=(ad(5), q(6))),
            )
        )
        cases.append(
            passed(
                f"IPv{family}: a tagged frame that is for no VIP keeps its tag",
                frame(ip({4: "11.11.11.1", 6: "2001:db8::1"}[family]) / tcp(), tags=(q(5),)),
            )
        )
    return cases


def addressees() -> list[Case]:
    cases: list[Case] = []
    for family in FAMILIES:
        vip = services.WEB[family]
        whole = ip(vip) / tcp()
        nobody = frame(ip(vip) / tcp(8081), dst=OTHER_MAC)
        cases += [
            sent(
                f"IPv{family}: a frame for the bridge that a port belongs to is ours",
                frame(whole, dst=BRIDGE_MAC),
                world.WEB,
            ),
            passed(
                f"IPv{family}: a frame for another host of the bridge passes by",
                frame(whole, dst=OTHER_MAC),
                "pass_other_host",
            ),
            passed(
                f"IPv{family}: a broadcast frame is for another host",
                frame(whole, dst="ff:ff:ff:ff:ff:ff"),
                "pass_other_host",
            ),
            passed(
                f"IPv{family}: a frame sent back to the router is for another host",
                frame(whole, dst=ROUTER_MAC),
                "pass_other_host",
            ),
            passed(
                f"IPv{family}: whose frame it is counts before whether anybody serves it",
                nobody,
                "pass_other_host",
            ),
            passed(
                f"IPv{family}: a ping in another host's frame is not answered",
                frame(ping(vip), dst=OTHER_MAC),
                "pass_other_host",
            ),
            passed(
                f"IPv{family}: that no VIP is meant counts before whose frame it is",
                frame(ip({4: "11.11.11.1", 6: "2001:db8::1"}[family]) / tcp(), dst=OTHER_MAC),
            ),
            passed(
                f"IPv{family}: what is malformed in another host's frame is that host's to judge",
                frame(ip_of(vip, 6) / Raw(b"\0"), dst=OTHER_MAC),
                "pass_other_host",
            ),
        ]
        cases.extend(
            passed(
                f"IPv{family}: byte {at} alone makes a MAC address another host's",
                frame(whole, dst=_other_in(at)),
                "pass_other_host",
            )
            for at in range(6)
        )
    return cases


def _other_in(at: int) -> str:
    """This node's MAC address but for one byte; still that of one host."""
    octets = bytearray.fromhex(OWN_MAC.replace(":", ""))
    octets[at] ^= 0x40
    return octets.hex(":")


def padding() -> list[Case]:
    cases: list[Case] = []
    for family in FAMILIES:
        short = frame(ip(services.WEB[family]) / udp())
        for size, what in ((1, "a byte"), (6, "six bytes"), (300, "300 bytes")):
            cases.append(
                sent(
                    f"IPv{family}: {what} of padding stay behind the packet, out of its length",
                    short + b"\xaa" * size,
                    world.WEB,
                )
            )
        cases.append(
            echoed(
                f"IPv{family}: padding behind a ping stays and is in no checksum",
                frame(ping(services.WEB[family], b"")) + b"\x55" * 7,
            )
        )
    return cases


def strangers() -> list[Case]:
    """What is for no VIP is the kernel's, as it came, whatever it is."""
    others = {4: "11.11.11.1", 6: "2001:db8::1"}
    cases: list[Case] = []
    for family in FAMILIES:
        other, vip = others[family], services.WEB[family]
        kinds = {
            "a BGP segment to the node itself": frame(ip(other) / tcp(179)),
            "a ping of the node itself is not ours to answer": frame(ping(type(vip)(other))),
            "a reply of a VIP is not for a VIP": frame(ip(CLIENT[family], str(vip)) / tcp()),
            "a tunnel through here whose inner packet is for a VIP": frame(
                ip(other) / ip(vip) / tcp()
            ),
            "a tunnel of the other family with a VIP inside": frame(
                ip(other) / ip(services.WEB[10 - family]) / tcp()
            ),
            "a packet in UDP with a VIP inside, to the node itself": frame(
                ip(other) / udp(6080) / Raw(bytes(ip(vip) / tcp()))
            ),
            "a multicast packet": frame(ip({4: "224.0.0.5", 6: "ff02::5"}[family]) / udp(1)),
            "the address right after a VIP prefix": frame(
                ip({4: "203.0.114.0", 6: "2001:db8:4:1::"}[family]) / tcp()
            ),
            "the address right before a VIP prefix": frame(
                ip({4: "203.0.112.255", 6: "2001:db8:2:ffff:ffff:ffff:ffff:ffff"}[family]) / tcp()
            ),
        }
        cases += [passed(f"IPv{family}: {key}", packet) for key, packet in kinds.items()]
    return cases


CASES = [*non_ip(), *cut_short(), *tags(), *addressees(), *padding(), *strangers()]
