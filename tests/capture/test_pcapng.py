"""Capture files: block by block as the draft has them, and read by others."""

import io
import subprocess
from ipaddress import ip_address
from pathlib import Path

from scapy.layers.inet import IP, TCP
from scapy.layers.l2 import Ether
from scapy.utils import RawPcapNgReader, rdpcap

from headrace.capture import PcapngFile, Seen, pcapng
from headrace.dataplane.sighting import sight

TIME_NS = 1_700_000_000_123_456_789
FRAME = bytes(Ether() / IP(src="1.1.1.1", dst="20.20.20.1") / TCP(sport=1000, dport=8080))


def seen(interface: str = "eth0", *, frame: bytes = FRAME, length_bytes: int = 0) -> Seen:
    return Seen(
        time_ns=TIME_NS,
        interface=interface,
        verdict="sent",
        endpoint=ip_address("10.0.0.1"),
        pool="web",
        frame=frame,
        length_bytes=length_bytes or len(frame),
        sighting=sight(frame),
    )


def written(path: Path, *packets: Seen) -> Path:
    with path.open("wb") as stream:
        file = PcapngFile(stream)
        for each in packets:
            file.write(each)
    return path


def test_a_section_begins_a_file_of_unknown_length() -> None:
    block = pcapng.section("headrace")

    assert block == bytes.fromhex(
        "0a0d0d0a 2c000000 4d3c2b1a 0100 0000 ffffffffffffffff 0400 0800"
    ) + b"headrace" + bytes(4) + bytes.fromhex("2c000000")


def test_an_interface_has_its_name_and_counts_in_nanoseconds() -> None:
    block = pcapng.interface("eth0", 256)

    assert block == bytes.fromhex("01000000 28000000 0100 0000 00010000 0200 0400") + (
        b"eth0" + bytes.fromhex("0900 0100 09000000 00000000 28000000")
    )


def test_a_packet_is_padded_to_words_and_keeps_its_length() -> None:
    block = pcapng.packet(3, (7 << 32) + 5, b"abcde", 1500, "hi")

    assert block == bytes.fromhex("06000000 34000000 03000000 07000000 05000000 05000000") + (
        bytes.fromhex("dc050000")
        + b"abcde"
        + bytes(3)
        + bytes.fromhex("0100 0200")
        + b"hi"
        + bytes(2)
        + bytes.fromhex("00000000 34000000")
    )


def test_tcpdump_reads_what_was_written(tmp_path: Path) -> None:
    path = written(tmp_path / "x.pcapng", seen(), seen("eth1.100", length_bytes=9000))

    done = subprocess.run(
        ["tcpdump", "-n", "-tt", "--nano", "-r", path], capture_output=True, text=True, check=True
    )

    lines = done.stdout.splitlines()
    assert len(lines) == 2
    for line in lines:
        assert line.startswith("1700000000.123456789 ")
        assert "1.1.1.1.1000 > 20.20.20.1.8080" in line


def test_another_reader_finds_comments_interfaces_and_lengths(tmp_path: Path) -> None:
    path = written(tmp_path / "x.pcapng", seen(), seen("eth1.100", length_bytes=9000), seen())

    with RawPcapNgReader(str(path)) as reader:
        metadata = [each for _, each in reader]
    packets = rdpcap(str(path))

    assert [each.ifname for each in metadata] == [b"eth0", b"eth1.100", b"eth0"]
    assert [each.wirelen for each in metadata] == [len(FRAME), 9000, len(FRAME)]
    assert [bytes(packet) for packet in packets] == [FRAME] * 3
    assert packets[0].comment == b"verdict sent, endpoint 10.0.0.1, pool web"


def test_an_empty_file_is_a_capture_too(tmp_path: Path) -> None:
    path = written(tmp_path / "x.pcapng")

    done = subprocess.run(["tcpdump", "-r", path], capture_output=True, text=True, check=False)

    assert path.read_bytes()
    assert done.stdout == ""


def test_what_was_written_is_there_as_soon_as_it_is_flushed() -> None:
    stream = io.BytesIO()
    file = PcapngFile(stream)
    head = len(stream.getvalue())

    file.write(seen())
    file.flush()

    assert len(stream.getvalue()) > head
