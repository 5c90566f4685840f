"""A capture sees what happens after it began, and ends by itself."""

from ipaddress import IPv4Address

import pytest

from headrace.lab.capture import Capture, CapturePoint, Packet, parse_packets
from headrace.lab.network import WIRE
from headrace.lab.traffic import ask_names, start_server
from headrace.model.errors import UnavailableError
from tests.lab.conftest import MakeLab
from tests.lab.lines import CLIENT, SERVER, line_topology

pytestmark = pytest.mark.netns


def read_addresses(packet: Packet) -> tuple[str, str]:
    """Source and destination in an IPv4 packet's own bytes."""
    return str(IPv4Address(packet.data[12:16])), str(IPv4Address(packet.data[16:20]))


@pytest.mark.parametrize(
    "point",
    [
        pytest.param(CapturePoint(CLIENT, "euserep1"), id="at the client"),
        pytest.param(CapturePoint(SERVER, "eep1user"), id="at the server"),
        pytest.param(CapturePoint(WIRE, "wuserep1"), id="on the wire"),
    ],
)
async def test_the_first_packet_is_seen_and_the_count_ends_it(
    make_lab: MakeLab, point: CapturePoint
) -> None:
    lab = make_lab(line_topology(tapped=True))
    await start_server(lab, SERVER, "server1")

    async with Capture(lab, point, "tcp port 8080", count=3) as capture:
        await ask_names(lab, CLIENT, count=1)
        packets = await capture.packets(timeout_s=10)

    flags = [packet.text.split("Flags ")[1].split(",")[0] for packet in packets]
    assert "IP 20.20.20.2.15402 > 20.20.20.1.8080: " in packets[0].text
    assert flags == ["[S]", "[S.]", "[.]"]
    assert [read_addresses(packet) for packet in packets] == [
        ("20.20.20.2", "20.20.20.1"),
        ("20.20.20.1", "20.20.20.2"),
        ("20.20.20.2", "20.20.20.1"),
    ]
    assert [len(packet.data) for packet in packets] == [int(p.data[2:4].hex(), 16) for p in packets]


async def test_what_there_is_comes_when_time_is_over(make_lab: MakeLab) -> None:
    lab = make_lab(line_topology())

    async with Capture(lab, CapturePoint(CLIENT, "euserep1"), "tcp port 7") as capture:
        packets = await capture.packets(timeout_s=0.1)

    assert packets == []


def test_the_bytes_of_a_packet_follow_its_line() -> None:
    lines = [
        "02:08:51.789262 IP 1.1.1.1.1 > 2.2.2.2.2: Flags [S], length 0",
        "\t0x0000:  4500 0015 0102",
        "\t0x0010:  ff",
        "02:08:51.789470 IP6 ::1.1 > ::2.2: Flags [S.], length 0",
        "\t0x0000:  6000",
    ]

    assert parse_packets(lines) == [
        Packet(lines[0], bytes.fromhex("450000150102ff")),
        Packet(lines[3], bytes.fromhex("6000")),
    ]


async def test_a_filter_that_is_none_is_told_of(make_lab: MakeLab) -> None:
    lab = make_lab(line_topology())

    with pytest.raises(UnavailableError, match="syntax error"):
        async with Capture(lab, CapturePoint(CLIENT, "euserep1"), "no such filter"):
            pass
