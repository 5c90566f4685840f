"""The reference and ICMP: pings of a VIP, and errors for the flows of its services."""

import pytest
from scapy.layers.inet import ICMP, IP, TCP, UDP, IPOption
from scapy.layers.inet6 import (
    ICMPv6DestUnreach,
    ICMPv6EchoReply,
    ICMPv6EchoRequest,
    ICMPv6PacketTooBig,
    ICMPv6ParamProblem,
    ICMPv6TimeExceeded,
    IPv6,
    IPv6ExtHdrDestOpt,
    IPv6ExtHdrFragment,
    IPv6ExtHdrHopByHop,
)
from scapy.layers.sctp import SCTP
from scapy.packet import Packet, Raw

from headrace.dataplane.reference import Memory, Note
from headrace.model import Tuning, Unserved

from .reference_tables import (
    BACK,
    CLIENT4,
    CLIENT6,
    EGRESS,
    ETHER,
    INGRESS,
    NOW_S,
    TO4,
    TO6,
    VIP4,
    VIP6,
    assert_leaves,
    flow,
    run,
    service,
    syn,
    tables,
    unstable,
    verdict,
    wrapped,
)

SPREAD = [(n * 7) % 3 + 1 for n in range(61)]
WEB = tables(
    service(f"{VIP4}:80/tcp", words=SPREAD),
    service(f"{VIP4}:53/udp", words=SPREAD),
    service(f"{VIP4}:7/sctp", words=SPREAD),
    service(f"[{VIP6}]:80/tcp", words=SPREAD),
)
ROUTER4, ROUTER6 = "9.9.9.9", "2001:db8:9::9"
NOBODY = ["0.0.0.0", "127.0.0.1", "224.0.0.1", "255.255.255.255", "::", "::1", "ff02::1"]
PAYLOAD = bytes(range(57))
TO6_ICMP = IPv6(src=CLIENT6, dst=VIP6, nh=58)


class TestEcho:
    ping4 = ICMP(type=8, id=77, seq=3) / PAYLOAD
    pong4 = ICMP(type=0, id=77, seq=3) / PAYLOAD
    ping6 = ICMPv6EchoRequest(id=77, seq=3, data=PAYLOAD)
    pong6 = ICMPv6EchoReply(id=77, seq=3, data=PAYLOAD)

    @pytest.mark.parametrize(
        ("ping", "pong"),
        [
            pytest.param(
                TO4 / ping4,
                IP(src=VIP4, dst=CLIENT4, id=7, ttl=64) / pong4,
                id="IPv4",
            ),
            pytest.param(
                IP(src=CLIENT4, dst=VIP4, tos=0xB9, flags="DF", options=[IPOption(b"\x94\x04\0\0")])
                / ping4,
                IP(src=VIP4, dst=CLIENT4, tos=0xB9, flags="DF", options=[IPOption(b"\x94\x04\0\0")])
                / pong4,
                id="IPv4 with TOS and options",
            ),
            pytest.param(
                IPv6(src=CLIENT6, dst=VIP6, tc=0xB9, fl=0x12345, hlim=3) / ping6,
                IPv6(src=VIP6, dst=CLIENT6, tc=0xB9, fl=0x12345, hlim=64) / pong6,
                id="IPv6",
            ),
            pytest.param(
                IPv6(src=CLIENT6, dst=VIP6) / IPv6ExtHdrHopByHop() / ping6,
                IPv6(src=VIP6, dst=CLIENT6) / IPv6ExtHdrHopByHop() / pong6,
                id="IPv6 with a hop-by-hop header",
            ),
            pytest.param(
                TO4 / ICMP(type=8) / b"",
                IP(src=VIP4, dst=CLIENT4, id=7) / ICMP(type=0) / b"",
                id="without data, checksum 0xffff",
            ),
        ],
    )
    @pytest.mark.parametrize(
        "tags",
        [
            pytest.param(b"", id="untagged"),
            pytest.param(b"\x88\xa8\x00\x05\x81\x00\x40\x06", id="two tags"),
        ],
    )
    def test_ping_of_a_vip_is_answered(self, ping: Packet, pong: Packet, tags: bytes) -> None:
        padding = b"\x55" * 11
        tagged = [
            bytes(frame)[:12] + tags + bytes(frame)[12:] + padding
            for frame in (ETHER / ping, BACK / pong)
        ]

        outcome = run(tagged[0], WEB)

        assert_leaves(outcome, "answered_echo", tagged[1], INGRESS)
        assert outcome.length_bytes == len(ping)
        assert outcome.service is None

    def test_the_code_is_cleared_and_the_checksum_follows(self) -> None:
        ping = ETHER / TO4 / ICMP(type=8, code=9, id=77, seq=3) / PAYLOAD
        pong = BACK / IP(src=VIP4, dst=CLIENT4, id=7, ttl=64) / self.pong4

        assert_leaves(run(ping, WEB), "answered_echo", pong, INGRESS)

    @pytest.mark.parametrize(
        "at", [pytest.param(-1, id="data"), pytest.param(14 + 4, id="the IP header")]
    )
    def test_what_is_damaged_stays_damaged(self, at: int) -> None:
        ping = bytearray(bytes(ETHER / TO4 / self.ping4))
        pong = bytearray(bytes(BACK / IP(src=VIP4, dst=CLIENT4, id=7, ttl=64) / self.pong4))
        ping[at] ^= 0xFF
        pong[at] ^= 0xFF

        assert_leaves(run(bytes(ping), WEB), "answered_echo", bytes(pong), INGRESS)

    def test_answers_are_limited_by_the_second(self) -> None:
        two = tables(service(), tuning=Tuning(answers_per_s=2))
        ping = ETHER / TO4 / self.ping4
        memory = Memory()

        verdicts = [run(ping, two, memory, NOW_S + n // 4).verdict for n in range(8)]

        assert verdicts == ["answered_echo", "answered_echo", "drop_answers", "drop_answers"] * 2

    @pytest.mark.parametrize(
        ("limit", "to_pings"),
        [(0, 0), (1, 1), (2, 2), (3, 3), (4, 3), (5, 4), (7, 6), (8, 6), (1000, 750)],
    )
    def test_a_quarter_of_the_answers_is_not_for_pings(self, limit: int, to_pings: int) -> None:
        limited = tables(service(), tuning=Tuning(answers_per_s=limit))
        ping = ETHER / TO4 / self.ping4
        memory = Memory()

        verdicts = [run(ping, limited, memory).verdict for _ in range(limit + 2)]

        assert verdicts.count("answered_echo") == to_pings
        assert set(verdicts[to_pings:]) == {"drop_answers"}

    @pytest.mark.parametrize("source", NOBODY)
    def test_a_ping_from_nobody_is_dropped_before_it_is_counted(self, source: str) -> None:
        none = tables(*WEB.services.items(), tuning=Tuning(answers_per_s=0))
        if ":" in source:
            ping = IPv6(src=source, dst=VIP6) / self.ping6
        else:
            ping = IP(src=source, dst=VIP4) / self.ping4

        assert verdict(ETHER / ping, WEB) == "drop_sender"
        assert verdict(ETHER / ping, none) == "drop_sender"

    @pytest.mark.parametrize(
        "packet",
        [
            pytest.param(IP(dst=VIP4, proto=1) / bytes(ICMP(type=8))[:7], id="IPv4"),
            pytest.param(IPv6(dst=VIP6, nh=58) / bytes(ICMPv6EchoRequest())[:7], id="IPv6"),
            pytest.param(IP(dst=VIP4, proto=1) / bytes(ICMP(type=13))[:4], id="not even a ping"),
            pytest.param(IP(dst=VIP4, len=27) / ICMP(type=8), id="the rest is padding"),
        ],
    )
    def test_a_header_cut_short_is_malformed(self, packet: Packet) -> None:
        assert verdict(ETHER / packet, WEB) == "drop_malformed"


@pytest.mark.parametrize(
    "packet",
    [
        pytest.param(TO4 / ICMP(type=0), id="an echo reply"),
        pytest.param(TO4 / ICMP(type=5) / bytes(IP(src=VIP4) / TCP()), id="a redirect"),
        pytest.param(TO4 / ICMP(type=13), id="a timestamp"),
        pytest.param(TO6 / ICMPv6EchoReply(), id="an echo reply, IPv6"),
        pytest.param(TO6_ICMP / bytes([132, *bytes(23)]), id="before neighbour discovery"),
        pytest.param(TO6_ICMP / bytes([138, *bytes(23)]), id="behind neighbour discovery"),
        pytest.param(
            IP(src=CLIENT4, dst=VIP4, proto=1) / bytes([135, *bytes(23)]), id="its type in IPv4"
        ),
    ],
)
def test_other_icmp_is_unserved(packet: Packet) -> None:
    passing = tables(
        service(unserved=Unserved.PASS), service(f"[{VIP6}]:80/tcp", unserved=Unserved.PASS)
    )

    assert verdict(ETHER / packet, WEB) == "drop_unserved"
    assert verdict(ETHER / packet, passing) == "pass_unserved"


@pytest.mark.parametrize("kind", range(133, 138))
@pytest.mark.parametrize("source", [CLIENT6, "::", "fe80::1"])
@pytest.mark.parametrize("unserved", Unserved)
def test_neighbour_discovery_is_the_kernels(kind: int, source: str, unserved: Unserved) -> None:
    packet = ETHER / IPv6(src=source, dst=VIP6, nh=58, hlim=255) / bytes([kind, *bytes(23)])

    assert verdict(packet, tables(service(f"[{VIP6}]:80/tcp", unserved=unserved))) == (
        "pass_neighbour"
    )


def quote4(transport: Packet | bytes, **fields: object) -> Packet:
    return IP(**{"src": VIP4, "dst": CLIENT4, **fields}) / transport


def quote6(transport: Packet | bytes, **fields: object) -> Packet:
    return IPv6(**{"src": VIP6, "dst": CLIENT6, **fields}) / transport


def error4(quote: Packet | bytes, kind: int = 3, code: int = 4) -> Packet:
    return ETHER / IP(src=ROUTER4, dst=VIP4) / ICMP(type=kind, code=code) / Raw(bytes(quote))


def error6(quote: Packet | bytes, error: Packet | None = None) -> Packet:
    too_big = ICMPv6PacketTooBig(mtu=1400) if error is None else error
    return ETHER / IPv6(src=ROUTER6, dst=VIP6) / too_big / Raw(bytes(quote))


REPLY = TCP(sport=80, dport=5000, flags="SA")


class TestErrors:
    @pytest.mark.parametrize(
        "error",
        [
            pytest.param(error4(quote4(REPLY)), id="fragmentation needed"),
            pytest.param(error4(quote4(REPLY), 3, 1), id="host unreachable"),
            pytest.param(error4(quote4(REPLY), 11, 0), id="time exceeded"),
            pytest.param(error4(quote4(REPLY), 12, 0), id="a parameter problem"),
            pytest.param(error4(bytes(quote4(REPLY))[:28]), id="a quote of eight bytes"),
            pytest.param(error4(bytes(quote4(REPLY))[:24]), id="a quote of four bytes"),
            pytest.param(error4(quote4(REPLY, len=9000)), id="a quote of a long packet"),
            pytest.param(
                error4(quote4(REPLY, options=[IPOption(b"\x94\x04\0\0")])),
                id="a quote with options",
            ),
            pytest.param(error4(quote4(REPLY, flags="MF")), id="a quoted first fragment"),
        ],
    )
    def test_an_error_follows_the_flow_it_quotes(self, error: Packet) -> None:
        packet = run(syn(), WEB)

        outcome = run(error, WEB)

        assert_leaves(outcome, "sent", wrapped(bytes(error)[14:]), EGRESS)
        assert (outcome.endpoint, outcome.service) == (packet.endpoint, packet.service)
        assert outcome.length_bytes == len(error) - 14

    @pytest.mark.parametrize(
        ("quote", "packet"),
        [
            pytest.param(
                quote4(UDP(sport=53, dport=5001)), TO4 / UDP(sport=5001, dport=53), id="UDP"
            ),
            pytest.param(
                quote4(SCTP(sport=7, dport=5001)), TO4 / SCTP(sport=5001, dport=7), id="SCTP"
            ),
            *(
                pytest.param(
                    quote4(TCP(sport=80, dport=n)), TO4 / TCP(sport=n, dport=80), id=f"{n}"
                )
                for n in range(6000, 6008)
            ),
        ],
    )
    def test_each_flow_has_its_own_endpoint(self, quote: Packet, packet: Packet) -> None:
        assert run(error4(quote), WEB).endpoint == run(ETHER / packet, WEB).endpoint

    @pytest.mark.parametrize(
        "error",
        [
            pytest.param(error6(quote6(REPLY)), id="too big"),
            pytest.param(error6(quote6(REPLY), ICMPv6DestUnreach()), id="unreachable"),
            pytest.param(error6(quote6(REPLY), ICMPv6TimeExceeded()), id="time exceeded"),
            pytest.param(error6(quote6(REPLY), ICMPv6ParamProblem()), id="a parameter problem"),
            pytest.param(error6(bytes(quote6(REPLY))[:44]), id="a quote of four bytes"),
            pytest.param(
                error6(quote6(IPv6ExtHdrHopByHop() / IPv6ExtHdrDestOpt() / REPLY)),
                id="a quote with extension headers",
            ),
            pytest.param(
                error6(quote6(IPv6ExtHdrFragment(m=1) / REPLY)), id="a quoted first fragment"
            ),
        ],
    )
    def test_ipv6_errors_do_too(self, error: Packet) -> None:
        packet = run(syn(6), WEB)

        outcome = run(error, WEB)

        assert (outcome.verdict, outcome.endpoint) == ("sent", packet.endpoint)
        assert outcome.packet.endswith(bytes(error)[14:])

    @pytest.mark.parametrize(
        "error",
        [
            pytest.param(error4(b""), id="no quote"),
            pytest.param(error4(bytes(quote4(REPLY))[:23]), id="three bytes of ports"),
            pytest.param(error4(bytes(quote4(REPLY))[:19]), id="an IP header cut short"),
            pytest.param(
                error4(bytes(quote4(REPLY, options=[IPOption(b"\x94\x04\0\0")]))[:27]),
                id="options, and three bytes of ports",
            ),
            pytest.param(error4(quote4(REPLY, ihl=4)), id="an IP header that is too short"),
            pytest.param(error4(quote4(REPLY, src="20.20.20.2")), id="from another VIP"),
            pytest.param(error4(quote4(REPLY, src=CLIENT4, dst=VIP4)), id="from the client"),
            pytest.param(error4(quote4(REPLY, frag=1)), id="a quoted later fragment"),
            pytest.param(error4(quote4(ICMP(type=0))), id="a quoted ping"),
            pytest.param(error4(quote6(REPLY)), id="IPv6 quoted by ICMPv4"),
            pytest.param(error6(quote4(REPLY)), id="IPv4 quoted by ICMPv6"),
            pytest.param(error6(bytes(quote6(REPLY))[:43]), id="three bytes of ports, IPv6"),
            pytest.param(error6(bytes(quote6(REPLY))[:39]), id="an IPv6 header cut short"),
            pytest.param(
                error6(quote6(IPv6ExtHdrFragment(offset=1) / REPLY)),
                id="a quoted later fragment, IPv6",
            ),
            pytest.param(
                error6(bytes(quote6(IPv6ExtHdrDestOpt() / REPLY))[:47]),
                id="a quoted extension header cut short",
            ),
            pytest.param(
                error6(
                    quote6(
                        IPv6ExtHdrHopByHop()
                        / IPv6ExtHdrDestOpt()
                        / IPv6ExtHdrDestOpt()
                        / IPv6ExtHdrDestOpt()
                        / IPv6ExtHdrDestOpt()
                        / REPLY
                    )
                ),
                id="five quoted extension headers",
            ),
        ],
    )
    def test_a_quote_of_no_flow_of_the_vip_is_dropped(self, error: Packet) -> None:
        assert verdict(error, WEB) == "drop_quote"

    def test_padding_is_no_part_of_a_quote(self) -> None:
        error = bytes(error4(bytes(quote4(REPLY))[:22])) + b"\x13\x88"

        assert verdict(error, WEB) == "drop_quote"

    def test_a_quoted_flow_of_no_service_is_unserved(self) -> None:
        assert verdict(error4(quote4(TCP(sport=81, dport=5000))), WEB) == "drop_unserved"

    def test_an_error_is_never_answered(self) -> None:
        big = error4(bytes(quote4(REPLY)) + bytes(1433))

        outcome = run(big, WEB)

        assert outcome.length_bytes == 1501
        assert outcome.verdict == "drop_too_big"

    def test_an_error_looks_the_note_up_and_leaves_it(self) -> None:
        moved = tables(service(words=[unstable(1, anchor=2)]))
        notes = {flow(): Note(3, 0, NOW_S - 9)}
        noted = Memory(notes=dict(notes))

        by_note = run(error4(quote4(REPLY)), moved, noted)
        memory = Memory()
        without = run(error4(quote4(REPLY)), moved, memory)

        assert (by_note.endpoint, without.endpoint) == (3, 2)
        assert noted.notes == notes
        assert memory.notes == {}
