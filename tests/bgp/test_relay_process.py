"""The relay as a process between real pipes and a real socket."""

import json
import os
import socket
import subprocess
import sys
from collections.abc import Iterator
from contextlib import closing, contextmanager
from pathlib import Path
from typing import IO

import pytest

from headrace.bgp.exabgp_configuration import RELAY
from tests.bgp.namespaces import eventually
from tests.bgp.relay_lines import R1, VIP, announce_line, hand_over_line, state_line
from tests.bgp.support import whole

KEEP_S = 0.3


@contextmanager
def running_relay(path: Path) -> Iterator["subprocess.Popen[bytes]"]:
    """A relay whose ExaBGP is this test."""
    command = [sys.executable, "-I", "-S", str(RELAY), "exabgp", str(path)]
    pipes = subprocess.PIPE
    with subprocess.Popen(command, stdin=pipes, stdout=pipes, bufsize=0) as process:
        try:
            yield process
        finally:
            process.kill()


FAKE_BIRD = """#!{python} -IS
import socket, sys
listener = socket.socket(socket.AF_UNIX)
listener.bind(sys.argv[sys.argv.index("-s") + 1])
listener.listen()
control, _ = listener.accept()
control.sendall(b"0001 BIRD ready.\\n")
for line in control.makefile():
    control.sendall(b"0003 done\\n")
"""


@contextmanager
def running_bird_relay(path: Path, configuration: Path) -> Iterator["subprocess.Popen[bytes]"]:
    """A relay whose BIRD does all it is asked."""
    bird = configuration.with_suffix(".py")
    bird.write_text(FAKE_BIRD.format(python=sys.executable))
    bird.chmod(0o700)
    pidfile = configuration.with_suffix(".pid")
    command = [sys.executable, "-I", "-S", str(RELAY), "bird", str(path), str(pidfile), str(bird)]
    with subprocess.Popen([*command, str(configuration)]) as process:
        try:
            yield process
        finally:
            process.kill()


@contextmanager
def listening(path: Path) -> Iterator[socket.socket]:
    """A daemon's end, on which one relay has called."""
    path.unlink(missing_ok=True)
    with closing(socket.socket(socket.AF_UNIX)) as listener:
        listener.bind(str(path))
        listener.listen()
        listener.settimeout(10)
        connection, _ = listener.accept()
        connection.settimeout(10)
        with closing(connection):
            yield connection


def write(pipe: IO[bytes] | None, data: bytes) -> None:
    assert pipe is not None
    pipe.write(data)


def read_line(pipe: IO[bytes] | None) -> bytes:
    assert pipe is not None
    return pipe.readline()


def test_it_finds_the_daemon_again_and_again_and_withdraws_when_it_stays_away(
    tmp_path: Path,
) -> None:
    path = tmp_path / "relay.sock"
    with running_relay(path) as relay:
        write(relay.stdin, state_line(R1, "up"))
        with listening(path) as daemon:
            first = json.loads(daemon.makefile().readline())
            daemon.sendall(announce_line(1, VIP, keep_s=KEEP_S))
            announced = read_line(relay.stdout)
            write(relay.stdin, b"done\n")
        with listening(path) as daemon:
            second = json.loads(daemon.makefile().readline())
        withdrawn = read_line(relay.stdout)

    assert first["speaker"] == os.getpid()
    assert first["announcements"] == []
    assert b" announce " in announced
    assert second["announcements"] == [whole(VIP)]
    assert b" withdraw " in withdrawn


def test_it_ends_when_exabgp_closes_its_input(tmp_path: Path) -> None:
    with running_relay(tmp_path / "relay.sock") as relay:
        assert relay.stdin is not None
        relay.stdin.close()

        assert relay.wait(timeout=10) == 0


def test_it_drops_a_daemon_that_talks_nonsense_and_calls_again(tmp_path: Path) -> None:
    path = tmp_path / "relay.sock"
    with running_relay(path):
        with listening(path) as daemon:
            daemon.sendall(b"nonsense\n")
            eventually(lambda: not daemon.recv(4096))

        with listening(path) as daemon:
            assert b"hello" in daemon.recv(4096)


def test_a_relay_started_again_by_the_same_exabgp_ends_it(tmp_path: Path) -> None:
    path = tmp_path / "relay.sock"
    with running_relay(path), listening(path):
        pass

    with running_relay(path) as second:
        said = read_line(second.stdout)
        assert second.stdin is not None
        second.stdin.close()
        ended = second.wait(timeout=10)

    assert said == b"shutdown\n"
    assert ended == 0


@pytest.mark.parametrize("size", [50_000])
def test_a_set_larger_than_a_pipe_passes(tmp_path: Path, size: int) -> None:
    path = tmp_path / "relay.sock"
    prefixes = [f"20.{n >> 16}.{n >> 8 & 255}.{n & 255}/32" for n in range(size)]
    heard: set[str] = set()
    with running_relay(path) as relay:
        write(relay.stdin, state_line(R1, "up"))
        with listening(path) as daemon:
            daemon.sendall(announce_line(1, *prefixes))
            buffered = os.fdopen(os.dup(relay.stdout.fileno()), "rb") if relay.stdout else None
            assert buffered is not None
            with buffered:
                while len(heard) < size:
                    heard.update(buffered.readline().decode().partition(" nlri ")[2].split())

    assert heard == set(prefixes)


def test_what_is_handed_over_is_told_by_the_next_relay(tmp_path: Path) -> None:
    path = tmp_path / "relay.sock"
    with running_relay(path), listening(path) as daemon:
        lines = daemon.makefile()
        lines.readline()
        daemon.sendall(announce_line(1, VIP) + hand_over_line(2, within_s=60.0))
        answers = [json.loads(lines.readline())["id"] for _ in range(2)]

    (tmp_path / "relay.sock.ran").unlink()  # the next one belongs to another ExaBGP
    with running_relay(path) as second:
        write(second.stdin, state_line(R1, "up"))
        told = read_line(second.stdout)

    assert answers == [1, 2]
    assert b" announce " in told
    assert not (tmp_path / "relay.sock.handover").exists()


def problems_with(lines: IO[str], request_id: int) -> list[str]:
    """What the relay answers to a request."""
    for line in lines:
        message = json.loads(line)
        if message["type"] == "answer" and message["id"] == request_id:
            return list(message["problems"])
    raise AssertionError("the relay is gone")


def test_a_hand_over_that_cannot_be_written_is_answered_and_the_relay_lives_on(
    tmp_path: Path,
) -> None:
    path, blocked = tmp_path / "relay.sock", tmp_path / "relay.sock.handover"
    blocked.mkdir()
    with running_relay(path), listening(path) as daemon:
        lines = daemon.makefile()
        daemon.sendall(hand_over_line(1, within_s=60.0))
        (problem,) = problems_with(lines, 1)
        blocked.rmdir()
        daemon.sendall(hand_over_line(2, within_s=60.0))

        assert problem.startswith(f"{blocked} cannot be written: Is a directory; make its file")
        assert problems_with(lines, 2) == []


def test_routes_that_cannot_be_written_are_answered_and_bird_lives_on(tmp_path: Path) -> None:
    path, configuration = tmp_path / "relay.sock", tmp_path / "bird.conf"
    routes, blocked = tmp_path / "bird.conf.vips", tmp_path / "bird.conf.vips.new"
    with running_bird_relay(path, configuration) as relay, listening(path) as daemon:
        lines = daemon.makefile()
        blocked.mkdir()
        daemon.sendall(announce_line(1, VIP))
        (problem,) = problems_with(lines, 1)
        before = routes.read_text()
        blocked.rmdir()
        daemon.sendall(announce_line(2, VIP))

        assert problem.startswith(f"{routes} cannot be written: Is a directory; make its file")
        assert VIP not in before
        assert problems_with(lines, 2) == []
        assert VIP in routes.read_text()
        assert relay.poll() is None
