"""The reference's choice of an endpoint: hash and affinity, sources, QUIC, unstable slots."""

from ipaddress import ip_network
from typing import Any

import pytest
from scapy.layers.inet import IP, TCP, UDP
from scapy.packet import Packet

from headrace.dataplane.reference import Memory, Outcome
from headrace.model import Affinity, FlowTable

from .reference_tables import (
    ENDPOINTS,
    ETHER,
    HASH,
    TO4,
    VIP4,
    VIP6,
    endpoint,
    flow,
    run,
    service,
    syn,
    tables,
    verdict,
)

SPREAD = [(n * 7) % 3 + 1 for n in range(61)]


class TestHash:
    @pytest.mark.parametrize("affinity", Affinity)
    def test_a_packet_goes_to_the_owner_of_its_flows_slot(self, affinity: Affinity) -> None:
        many = tables(service(words=SPREAD, affinity=affinity))

        for port in range(5000, 5050):
            hash32 = HASH.hash32(flow(source_port=port), affinity)
            assert run(syn(sport=port), many).endpoint == SPREAD[hash32 * len(SPREAD) >> 32]

    @pytest.mark.parametrize("family", [4, 6])
    @pytest.mark.parametrize(
        ("affinity", "by_port", "by_client"),
        [
            pytest.param(Affinity.FLOW, 3, 3, id="flow"),
            pytest.param(Affinity.SOURCE_IP, 1, 3, id="source-ip"),
            pytest.param(Affinity.DESTINATION_PORT, 1, 1, id="destination-port"),
        ],
    )
    def test_affinity_says_what_counts(
        self, family: int, affinity: Affinity, by_port: int, by_client: int
    ) -> None:
        vip = VIP4 if family == 4 else f"[{VIP6}]"
        many = tables(service(f"{vip}:80/tcp", words=SPREAD, affinity=affinity))

        def client(number: int) -> Packet:
            packet = syn(family)
            packet.getlayer(1).src = f"1.1.2.{number}" if family == 4 else f"2001:db8::{number}"
            return packet

        ports = {run(syn(family, sport=5000 + n), many).endpoint for n in range(30)}
        clients = {run(client(n), many).endpoint for n in range(1, 31)}

        assert (len(ports), len(clients)) == (by_port, by_client)


class TestSources:
    closed = tables(
        service(sources=frozenset({ip_network("1.0.0.0/8"), ip_network("2.2.2.2/32")})),
        service(f"[{VIP6}]:80/tcp", sources=frozenset({ip_network("2001:db8:c::/48")})),
    )

    @pytest.mark.parametrize(
        ("client", "expected"),
        [
            ("1.255.255.255", "sent"),
            ("2.2.2.2", "sent"),
            ("2.2.2.3", "drop_source"),
            ("0.255.255.255", "drop_source"),
        ],
    )
    def test_only_clients_on_the_list_are_served(self, client: str, expected: str) -> None:
        outcome = run(ETHER / IP(src=client, dst=VIP4) / TCP(dport=80), self.closed)

        assert outcome.verdict == expected
        assert str(outcome.service) == f"{VIP4}:80/tcp"

    def test_ipv6_clients_have_a_list_of_their_own(self) -> None:
        other = syn(6)
        other.getlayer(1).src = "2001:db8:d::1"

        assert run(syn(6), self.closed).verdict == "sent"
        assert verdict(other, self.closed) == "drop_source"


def short(connection_id: bytes, first: int = 0x40) -> bytes:
    return bytes([first]) + connection_id


def long(connection_id: bytes, kind: int = 2, size: int | None = None) -> bytes:
    length = len(connection_id) if size is None else size
    return bytes([0xC0 | kind << 4, 0, 0, 0, 1, length]) + connection_id


ID16, ID24, ID32 = b"\x5a\xbc\xde" + bytes(5), b"\x80\x12\x34\x56" + bytes(4), b"\xff" * 8


class TestQuic:
    @staticmethod
    def run(payload: bytes, packet: Packet = TO4, **entry: Any) -> Outcome:
        entry = {"quic": True, "pool": "web", **entry}
        named = tables(
            service(f"{VIP4}:443/udp", **entry),
            server_ids={("web", 0x6AF3): 2, ("web", 0x123456): 2, ("web", 0xFFFFFFFF): 2},
        )
        return run(ETHER / packet / UDP(sport=5000, dport=443) / payload, named)

    @pytest.mark.parametrize(
        "payload",
        [
            pytest.param(short(ID16), id="16 bits"),
            pytest.param(short(ID24), id="24 bits"),
            pytest.param(short(ID32), id="32 bits"),
            pytest.param(short(ID16, 0x00), id="without the fixed bit"),
            pytest.param(short(ID16 + bytes(40)), id="and a packet behind it"),
            pytest.param(long(ID16), id="a handshake"),
            pytest.param(long(ID24 + bytes(12)), id="a longer id"),
            pytest.param(long(ID32, kind=3), id="a retry"),
        ],
    )
    def test_a_known_server_id_decides(self, payload: bytes) -> None:
        assert self.run(payload).endpoint == 2

    @pytest.mark.parametrize(
        "payload",
        [
            pytest.param(b"", id="no payload"),
            pytest.param(short(ID16[:7]), id="seven bytes of id"),
            pytest.param(short(b"\x1a" + ID16[1:]), id="no form that we know"),
            pytest.param(short(b"\x5a\xbc\x1e" + bytes(5)), id="an unknown id of 16 bits"),
            pytest.param(short(b"\x80\x12\x34\x57" + bytes(4)), id="an unknown id of 24 bits"),
            pytest.param(long(ID16, kind=0), id="Initial"),
            pytest.param(long(ID16, kind=1), id="0-RTT"),
            pytest.param(long(ID16, size=7), id="an id of seven bytes"),
            pytest.param(long(ID16)[:13], id="an id cut short"),
            pytest.param(long(b"")[:5], id="a long header cut short"),
        ],
    )
    def test_else_the_hash_does(self, payload: bytes) -> None:
        assert self.run(payload).endpoint == 1

    def test_padding_is_no_payload(self) -> None:
        assert self.run(short(ID16), IP(dst=VIP4, len=20 + 8 + 8)).endpoint == 1

    def test_a_first_fragment_goes_by_hash(self) -> None:
        assert self.run(short(ID16), IP(dst=VIP4, flags="MF")).endpoint == 1

    def test_the_service_must_ask_for_it(self) -> None:
        assert self.run(short(ID16), quic=False).endpoint == 1

    def test_ids_are_a_pools_own(self) -> None:
        assert self.run(short(ID16), pool="other").endpoint == 1

    def test_an_endpoint_that_is_down_is_passed_over(self) -> None:
        down = tables(
            service(f"{VIP4}:443/udp", quic=True, pool="web"),
            server_ids={("web", 0x6AF3): 2},
            endpoints={**ENDPOINTS, 2: endpoint(2, down=True)},
        )

        assert run(ETHER / TO4 / UDP(dport=443) / short(ID16), down).endpoint == 1

    def test_nothing_is_noted(self) -> None:
        always = tables(
            service(f"{VIP4}:443/udp", quic=True, pool="web", flow_table=FlowTable.ALWAYS),
            server_ids={("web", 0x6AF3): 2},
        )
        memory = Memory()

        run(ETHER / TO4 / UDP(dport=443) / short(ID16), always, memory)

        assert memory == Memory()
