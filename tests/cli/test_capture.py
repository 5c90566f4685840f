"""`headrace capture` beside a daemon: in a file, on lines, ended by signals, refused."""

import os
import signal
import subprocess
from collections.abc import Callable, Iterator
from contextlib import ExitStack
from pathlib import Path

import pytest
from scapy.utils import rdpcap

from headrace.daemon.settings import bpf_dir
from headrace.dataplane.pins import Pins
from headrace.lab.balancer import own_program
from tests.bgp.support import eventually
from tests.cli.conftest import Headrace
from tests.daemon.node import VIP, Node

pytestmark = [pytest.mark.bpf, pytest.mark.netns]

END_S = 10.0


@pytest.fixture
def node(tmp_path: Path) -> Iterator[Node]:
    with ExitStack() as stack:
        node = Node(stack, tmp_path)
        node.start_up()
        yield node


@pytest.fixture
def pins(node: Node) -> Iterator[Pins]:
    pins = Pins(bpf_dir(node.runtime_dir))
    yield pins
    pins.close()


Start = Callable[..., "subprocess.Popen[str]"]


@pytest.fixture
def start(node: Node, pins: Pins) -> Iterator[Start]:
    """Starts captures of every packet; they have begun when this returns."""
    command = [*own_program("headrace"), "capture", "--one-in", "1", "--instance", node.instance]
    with ExitStack() as stack:

        def started(*arguments: str) -> "subprocess.Popen[str]":
            process = subprocess.Popen(
                [*command, *arguments],
                stdout=subprocess.PIPE,
                stderr=subprocess.PIPE,
                text=True,
            )
            stack.enter_context(process)
            stack.callback(process.kill)
            assert process.stderr is not None
            assert process.stderr.readline().startswith("headrace: sampling one packet in 1;")
            eventually(lambda: pins.sample_one_in == 1)
            return process

        yield started


def test_a_file_holds_each_packet_with_what_became_of_it(
    node: Node, pins: Pins, start: Start, tmp_path: Path
) -> None:
    file = tmp_path / "x.pcapng"

    capture = start("-w", str(file), "--count", "20", "--verdict", "sent")
    node.send_packets(20)
    _, told = capture.communicate(timeout=END_S)
    read = subprocess.run(["tcpdump", "-n", "-r", file], capture_output=True, text=True, check=True)

    comments = {packet.comment for packet in rdpcap(str(file))}
    assert capture.returncode == 0
    assert told.endswith("headrace: 20 packets\n")
    assert len(read.stdout.splitlines()) == 20
    assert comments <= {
        f"verdict sent, endpoint 56.56.56.{n}, pool {VIP}:53/udp".encode() for n in (1, 2, 3)
    }
    assert comments
    assert pins.sample_one_in == 0


@pytest.mark.parametrize("number", [signal.SIGINT, signal.SIGTERM, signal.SIGHUP])
def test_a_signal_ends_a_capture_in_order(
    node: Node, pins: Pins, start: Start, number: signal.Signals
) -> None:
    capture = start()
    node.send_packets(1)
    line = capture.stdout.readline() if capture.stdout else ""
    capture.send_signal(number)
    capture.communicate(timeout=END_S)

    assert " wan verdict sent, endpoint 56.56.56." in line
    assert capture.returncode == 0
    assert pins.sample_one_in == 0


def test_a_second_capture_is_refused_and_leaves_the_first_its_file(
    node: Node, pins: Pins, start: Start, tmp_path: Path
) -> None:
    file = tmp_path / "x.pcapng"

    first = start("-w", str(file))
    before = file.stat().st_size
    second = node.headrace("capture", "-w", str(file))
    after = file.stat().st_size
    is_sampling = pins.sample_one_in
    first.send_signal(signal.SIGTERM)
    first.communicate(timeout=END_S)

    assert second.returncode == 1
    assert second.stderr == (
        f"headrace: process {first.pid} captures from instance {node.instance} already; "
        "end that one\n"
    )
    assert (after, is_sampling) == (before, 1)


def test_a_reader_that_has_seen_enough_ends_a_capture(node: Node, pins: Pins, start: Start) -> None:
    capture = start()
    assert capture.stdout is not None
    capture.stdout.close()
    node.send_packets(1)

    capture.wait(END_S)

    assert capture.returncode == 1
    assert pins.sample_one_in == 0


def test_a_killed_capture_is_no_hindrance(node: Node, pins: Pins, start: Start) -> None:
    killed = start()
    killed.kill()
    killed.communicate(timeout=END_S)
    capture = start("--count", "1")
    node.send_packets(1)

    out, _ = capture.communicate(timeout=END_S)

    assert "verdict sent" in out
    assert pins.sample_one_in == 0


def test_a_file_that_cannot_be_written_is_told_and_nothing_is_sampled(
    node: Node, pins: Pins, tmp_path: Path
) -> None:
    done = node.headrace("capture", "-w", str(tmp_path / "none/x.pcapng"))

    assert done.returncode == 1
    assert done.stderr == (
        f"headrace: {tmp_path}/none/x.pcapng: No such file or directory; "
        "name a file that can be written\n"
    )
    assert pins.sample_one_in == 0


def test_wrong_wishes_are_refused_before_anything_is_opened(headrace: Headrace) -> None:
    unknown = headrace("capture", "--verdict", "snet")
    absent = headrace("capture", "--instance", f"none-{os.getpid()}")

    assert (unknown.code, absent.code) == (1, 1)
    assert "there is no verdict 'snet'; there are sent, pass_not_ip, " in unknown.err
    assert absent.err.startswith(f"headrace: there is no instance none-{os.getpid()} on this host")
