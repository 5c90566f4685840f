"""What the checker believes over time, and what it keeps, closes and says."""

import asyncio
import socket
import time
from contextlib import suppress
from dataclasses import replace
from ipaddress import ip_address
from pathlib import Path

import pytest

from headrace.health import Checker
from headrace.health.checker import LIMIT_STARTS
from headrace.health.poller import LIMIT_EVENTS, Poller
from headrace.model import Belief, Health, ProbeKind, ProbePath, ProbeTarget
from tests.health.listeners import silence
from tests.health.support import (
    FAST,
    PATIENCE_S,
    Paths,
    believed,
    direct,
    first_belief,
    like,
    listening,
    port_of,
    running,
    unused_port,
)

UP, DOWN, UNKNOWN = Health.UP, Health.DOWN, Health.UNKNOWN
TUNNEL = like(FAST, path=ProbePath.TUNNEL)


def open_sockets() -> int:
    """The sockets and epolls of this process."""
    links = []
    for entry in Path("/proc/self/fd").iterdir():
        with suppress(FileNotFoundError):  # the descriptor of the folder itself
            links.append(str(entry.readlink()))
    return sum(link.startswith(("socket:", "anon_inode:[eventpoll")) for link in links)


class FlappingServer:
    """A listener that comes and goes at one port."""

    def __init__(self) -> None:
        self.port = unused_port()
        self._listener: socket.socket | None = None

    def rise(self) -> None:
        self._listener = socket.create_server(("127.0.0.1", self.port), backlog=128)

    def fall(self) -> None:
        assert self._listener is not None
        self._listener.close()


def test_every_target_is_unknown_at_first() -> None:
    checker = Checker(Paths())
    targets = frozenset(direct(port) for port in (1, 2))

    checker.set_targets(targets)

    assert set(checker.beliefs) == targets
    assert {belief.health for belief in checker.beliefs.values()} == {UNKNOWN}


def test_an_endpoint_that_is_not_probed_is_up_and_stays_as_it_is() -> None:
    checker = Checker(Paths())
    target = direct(1, like(FAST, kind=ProbeKind.NONE))

    checker.set_targets(frozenset({target}))
    first = checker.beliefs[target]
    checker.set_targets(frozenset({target, direct(2)}))
    kept = checker.beliefs[target]
    checker.set_targets(frozenset())

    assert first.health is UP
    assert kept is first
    assert dict(checker.beliefs) == {}


def test_nodes_do_not_ask_an_endpoint_at_the_same_instants() -> None:
    target = direct(1, like(FAST, interval_s=3600.0))
    waits_s = set()

    for _ in range(10):
        checker = Checker(Paths())
        checker.set_targets(frozenset({target}))
        (watch,) = checker._watches.values()
        waits_s.add(round(watch.due_s - time.monotonic()))

    assert len(waits_s) > 1


async def test_a_belief_follows_a_server_that_comes_and_goes() -> None:
    server = FlappingServer()
    target = direct(server.port)
    checker = Checker(Paths())
    checker.set_targets(frozenset({target}))

    async with running(checker):
        for _ in range(5):
            await believed(checker, target, DOWN)
            server.rise()
            await believed(checker, target, UP)
            server.fall()


async def test_a_belief_needs_as_many_results_as_rise_and_fall_say() -> None:
    probe = like(FAST, kind=ProbeKind.HTTP, rise=3, fall=4)
    answers = iter(["200"] * 3 + ["503"] * 3 + ["200"] + ["503"] * 4 + ["200"] * 99)
    given: list[str] = []

    async def handle(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        with suppress(ConnectionError):
            await reader.readuntil(b"\r\n\r\n")
            given.append(next(answers))
            writer.write(f"HTTP/1.1 {given[-1]} \r\n\r\n".encode())
        writer.close()

    server = await asyncio.start_server(handle, "127.0.0.1", 0)
    target = direct(server.sockets[0].getsockname()[1], probe)
    checker = Checker(Paths())
    checker.set_targets(frozenset({target}))

    async with server, running(checker):
        await believed(checker, target, UP)
        assert len(given) == 3
        await believed(checker, target, DOWN)
        assert len(given) == 11
        await believed(checker, target, UP)
        assert len(given) == 14


async def test_a_slow_probe_is_not_overtaken_by_the_next() -> None:
    open_now, most_at_once, seen = 0, 0, 0
    has_seen_three = asyncio.Event()

    async def handle(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        nonlocal open_now, most_at_once, seen
        open_now, seen = open_now + 1, seen + 1
        most_at_once = max(most_at_once, open_now)
        if seen == 3:
            has_seen_three.set()
        with suppress(ConnectionError):
            await reader.readuntil(b"\r\n\r\n")
            await reader.read()
        open_now -= 1
        writer.close()

    server = await asyncio.start_server(handle, "127.0.0.1", 0)
    probe = like(FAST, kind=ProbeKind.HTTP, interval_s=0.01, timeout_s=0.1, fall=3)
    target = direct(server.sockets[0].getsockname()[1], probe)
    checker = Checker(Paths())
    checker.set_targets(frozenset({target}))

    async with server, running(checker), asyncio.timeout(PATIENCE_S):
        await has_seen_three.wait()
        assert checker.beliefs[target].health is UNKNOWN
        assert "timeout" in (await believed(checker, target, DOWN)).reason

    assert most_at_once == 1


async def test_targets_that_stay_keep_their_history_and_the_others_go() -> None:
    with listening() as listener:
        stays, goes = direct(port_of(listener)), direct(unused_port())
        comes = direct(unused_port(), like(FAST, rise=2))
        checker = Checker(Paths())
        checker.set_targets(frozenset({stays, goes}))
        async with running(checker):
            before = await believed(checker, stays, UP)
            await believed(checker, goes, DOWN)

            checker.set_targets(frozenset({stays, comes}))

            assert checker.beliefs[stays] is before
            assert checker.beliefs[comes].health is UNKNOWN
            assert set(checker.beliefs) == {stays, comes}
            await believed(checker, comes, DOWN)


async def test_a_target_that_goes_and_a_checker_that_ends_leave_no_socket() -> None:
    with listening("0.0.0.0") as silent, listening() as lively:
        silence(silent)
        before = open_sockets()
        waiting = like(FAST, timeout_s=60.0)
        lost = [direct(port_of(silent), waiting, f"127.0.0.{number}") for number in range(1, 21)]
        beacon = direct(port_of(lively), like(FAST, interval_s=0.1, rise=2))
        checker = Checker(Paths())
        checker.set_targets(frozenset({beacon, *lost}))
        async with running(checker):
            await believed(checker, beacon, UP)  # all others have been begun by then
            under_way = open_sockets()
            checker.set_targets(frozenset({beacon, *lost[:5]}))
            after_some_went = open_sockets()

        assert under_way == before + len(lost) + 1  # and the epoll
        assert after_some_went == before + 5 + 1
        assert open_sockets() == before


async def test_a_checker_that_was_ended_can_run_again() -> None:
    with listening() as listener:
        silence(listener)
        target = direct(port_of(listener), like(FAST, timeout_s=0.3))
        checker = Checker(Paths())
        checker.set_targets(frozenset({target}))
        async with running(checker):
            await asyncio.sleep(0)

        async with running(checker):
            belief = await believed(checker, target, DOWN)

    assert belief.reason == "timeout"


async def test_a_tunnel_without_a_path_fails_with_its_likely_cause() -> None:
    paths = Paths(way=None, cause="eth0 is down")
    target = direct(1, TUNNEL)

    belief = await first_belief(target, paths)

    assert belief.health is DOWN
    assert belief.reason == "no path; likely cause: eth0 is down"
    assert paths.asked == [(target, "no path")]


async def test_the_likely_cause_is_asked_for_again_only_when_something_changes() -> None:
    paths = Paths(cause="no idea")
    target = direct(unused_port(), like(FAST, fall=3, interval_s=0.005))
    beacon = direct(unused_port(), like(FAST, fall=20, interval_s=0.005))
    checker = Checker(paths)
    checker.set_targets(frozenset({target, beacon}))

    async with running(checker):
        await believed(checker, beacon, DOWN)

    asked = [failure for who, failure in paths.asked if who == target]
    assert asked == ["refused", "refused"]  # the first failure, and the belief


async def test_a_failure_is_told_before_it_is_believed() -> None:
    target = direct(unused_port(), like(FAST, fall=2, interval_s=0.1))
    checker = Checker(Paths())
    checker.set_targets(frozenset({target}))
    reasons = []

    async with running(checker):
        while checker.beliefs[target].health is UNKNOWN:
            reasons.append(checker.beliefs[target].reason)
            await asyncio.sleep(0)

    assert [*dict.fromkeys(reasons)] == ["not probed yet", "refused"]


async def test_an_answer_in_time_counts_though_the_loop_was_late() -> None:
    with listening() as listener:
        target = direct(port_of(listener), like(FAST, timeout_s=0.05, interval_s=0.05))
        checker = Checker(Paths())
        checker.set_targets(frozenset({target}))
        async with running(checker):
            await believed(checker, target, UP)
            for _ in range(10):
                stall(0.06)  # longer than the timeout
                await asyncio.sleep(0)
                assert checker.beliefs[target].health is UP


async def test_answers_in_time_count_though_one_pass_does_not_take_them_all() -> None:
    probe = like(FAST, kind=ProbeKind.UDP, request=b"ping", interval_s=0.05, timeout_s=1.0)
    with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as server:
        server.bind(("127.0.0.1", 0))
        server.setblocking(False)  # noqa: FBT003 - a socket's own argument
        asked = direct(port_of(server), probe)
        vips = (ip_address("192.0.2.1") + number for number in range(2 * LIMIT_EVENTS))
        targets = [replace(asked, vip=vip) for vip in vips]
        checker = Checker(Paths())
        checker.set_targets(frozenset(targets))
        async with running(checker):
            loop = asyncio.get_running_loop()
            clients = [(await loop.sock_recvfrom(server, 64))[1] for _ in targets]
            for client in clients:
                server.sendto(b"pong", client)
            stall(1.1)  # longer than the timeout
            beliefs = [await believed(checker, target, UP, DOWN) for target in targets]

    assert {belief.reason for belief in beliefs} == {"answered"}


def stall(seconds: float) -> None:
    """Hold the loop, as somebody else's long computation would."""
    with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as quiet:
        quiet.bind(("127.0.0.1", 0))
        quiet.settimeout(seconds)
        with pytest.raises(TimeoutError):
            quiet.recv(1)


def test_one_pass_begins_no_more_tries_than_the_loop_can_wait_for() -> None:
    probe = like(FAST, kind=ProbeKind.UDP, request=b"ping", interval_s=0.01, timeout_s=60.0)
    with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as silent:
        silent.bind(("127.0.0.1", 0))
        asked = direct(port_of(silent), probe)
        vips = (ip_address("192.0.2.1") + number for number in range(3 * LIMIT_STARTS))
        checker, poller = Checker(Paths()), Poller()
        checker.set_targets(frozenset(replace(asked, vip=vip) for vip in vips))
        stall(0.02)  # all are due

        begun = []
        for _ in range(4):
            checker._move_on(poller)
            begun.append(sum(watch.is_trying for watch in checker._watches.values()))
        poller.close()

    assert begun == [LIMIT_STARTS, 2 * LIMIT_STARTS, 3 * LIMIT_STARTS, 3 * LIMIT_STARTS]


async def test_more_targets_than_one_pass_takes_are_all_probed() -> None:
    count = 2 * max(LIMIT_EVENTS, LIMIT_STARTS)
    port = unused_port()
    probe = like(FAST, interval_s=0.1)
    targets = [direct(port, probe, f"127.3.{n // 200}.{n % 200 + 1}") for n in range(count)]
    checker = Checker(Paths())
    checker.set_targets(frozenset(targets))

    async with running(checker):
        beliefs = [await believed(checker, target, DOWN) for target in targets]

    assert {belief.reason for belief in beliefs} == {"refused"}


async def test_waiting_returns_for_a_change_that_came_before() -> None:
    checker = Checker(Paths())
    target = direct(unused_port())
    checker.set_targets(frozenset({target}))
    async with running(checker):
        await believed(checker, target, DOWN)
        checker.set_targets(frozenset({direct(unused_port(), like(FAST, rise=7))}))
        others: list[ProbeTarget] = list(checker.beliefs)
        async with asyncio.timeout(PATIENCE_S):
            await checker.wait()

    belief: Belief = checker.beliefs[others[0]]
    assert belief.health is DOWN
