"""The prover notices every way in which a connection can break: each is made to happen."""

import sys
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager

import pytest

from headrace.lab.commands import run_command
from headrace.lab.laboratory import Laboratory
from headrace.lab.traffic import SILENCE_S, Group, LiveTraffic, Report, ask_names, start_server
from headrace.lab.waiting import poll
from headrace.model.errors import UnavailableError
from tests.lab.conftest import MakeLab
from tests.lab.lines import CLIENT, SERVER, VIP, line_topology

pytestmark = pytest.mark.netns

BAD_SERVER = """
import socket, struct, sys, time
listener = socket.create_server(("20.20.20.1", 8080))
print("listening", flush=True)
connection, _ = listener.accept()
connection.sendall(b"bad\\n")
connection.recv(8)
match sys.argv[1]:
    case "eof":
        connection.close()
    case "reset":
        connection.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("ii", 1, 0))
        connection.close()
    case "wrong bytes":
        connection.sendall(b"wrong!!!")
listener.accept()
"""


@asynccontextmanager
async def live(lab: Laboratory, silence_s: float = SILENCE_S) -> AsyncIterator[LiveTraffic]:
    traffic = await LiveTraffic.start(lab, CLIENT, silence_s=silence_s)
    try:
        yield traffic
    finally:
        await traffic.stop()


async def wait_broken(traffic: LiveTraffic, count: int, *, timeout_s: float = 10.0) -> Report:
    async def probe() -> Report | None:
        report = await traffic.report()
        return report if report.broken() >= count else None

    report = await poll(probe, timeout_s=timeout_s)
    assert report is not None
    return report


async def test_live_connections_exchange_messages_and_none_breaks(make_lab: MakeLab) -> None:
    lab = make_lab(line_topology())
    await start_server(lab, SERVER, "server1")

    async with live(lab) as traffic:
        await traffic.open(300, timeout_s=10)
        await traffic.mark()
        report = await traffic.exchange(20 * 300, timeout_s=20)  # also messages of full size
        flows = await traffic.flows()

    assert report.live_by_server() == {"server1": 300}
    assert report.broken() == 0
    assert report.answers >= 20 * 300
    assert report.longest_pause_s < 5
    assert len(flows) == 300
    assert set(flows.values()) == {"server1"}


async def test_source_ports_are_taken_in_turn_from_the_first(make_lab: MakeLab) -> None:
    lab = make_lab(line_topology())
    await start_server(lab, SERVER, "server1")
    traffic = await LiveTraffic.start(lab, CLIENT, first_port=57_538)
    try:
        await traffic.open(3, timeout_s=10)
        flows = await traffic.flows()
    finally:
        await traffic.stop()

    assert flows == dict.fromkeys((57_538, 57_539, 57_540), "server1")


@pytest.mark.parametrize("cause", ["eof", "reset", "wrong bytes"])
async def test_what_a_server_does_wrong_is_counted_by_cause(make_lab: MakeLab, cause: str) -> None:
    lab = make_lab(line_topology())
    lab.start(SERVER, [sys.executable, "-c", BAD_SERVER, cause], "bad")
    log = lab.path / "bad.log"

    async def listens() -> bool | None:
        return True if log.exists() and "listening" in log.read_text() else None

    await poll(listens, timeout_s=10)

    async with live(lab) as traffic:
        await traffic.open(1, timeout_s=10)
        report = await wait_broken(traffic, 1)

    assert report.groups == (Group(1, "bad", 0, {cause: 1}),)


async def test_a_connection_that_nobody_takes_is_counted(make_lab: MakeLab) -> None:
    lab = make_lab(line_topology())

    async with live(lab) as traffic:
        await traffic.open(3, timeout_s=10)
        report = await traffic.report()

    assert report.groups == (Group(1, None, 0, {"connect": 3}),)


async def test_silence_is_a_pause_first_and_breaks_a_connection_later(make_lab: MakeLab) -> None:
    lab = make_lab(line_topology())
    await start_server(lab, SERVER, "server1")

    async with live(lab, silence_s=2.5) as traffic:
        await traffic.open(5, timeout_s=10)
        lab.set_cables(SERVER, plugged=False)
        await wait_overdue(traffic)
        with pytest.raises(UnavailableError, match="still wait for an answer"):
            await traffic.wait_answered(timeout_s=0.1)
        paused = await traffic.report()
        broken = await wait_broken(traffic, 5, timeout_s=20)

    assert (paused.overdue, paused.broken()) == (5, 0)
    assert paused.longest_pause_s > 1
    assert broken.causes() == {"silence": 5}


async def wait_overdue(traffic: LiveTraffic) -> None:
    async def probe() -> bool | None:
        return True if (await traffic.report()).overdue == 5 else None

    await poll(probe, timeout_s=10)


async def test_batches_are_counted_apart(make_lab: MakeLab) -> None:
    lab = make_lab(line_topology())
    server = await start_server(lab, SERVER, "server1")

    async with live(lab) as traffic:
        first = await traffic.open(4, timeout_s=10)
        lab.end([server])
        await wait_broken(traffic, 4)
        await start_server(lab, SERVER, "server2")
        second = await traffic.open(3, timeout_s=10)
        report = await traffic.report()

    assert report.broken(batches=[first]) == report.broken(servers=["server1"]) == 4
    assert report.broken(batches=[second]) == report.broken(servers=["server2"]) == 0
    assert report.live_by_server() == {"server1": 0, "server2": 3}


async def test_the_client_ends_when_its_other_side_is_gone(make_lab: MakeLab) -> None:
    lab = make_lab(line_topology())
    await start_server(lab, SERVER, "server1")
    traffic = await LiveTraffic.start(lab, CLIENT)
    await traffic.open(2, timeout_s=10)

    await traffic.stop()

    with pytest.raises(UnavailableError, match="has ended"):
        await traffic.report()


async def test_connections_from_one_port_ask_one_server_again_and_again(
    make_lab: MakeLab,
) -> None:
    lab = make_lab(line_topology())
    await start_server(lab, SERVER, "server1")

    assert await ask_names(lab, CLIENT) == ["server1"] * 12


async def test_nobody_answering_is_no_name(make_lab: MakeLab) -> None:
    lab = make_lab(line_topology())

    assert await ask_names(lab, CLIENT, count=2) == [None, None]


async def test_a_server_that_cannot_listen_is_told_of(make_lab: MakeLab) -> None:
    lab = make_lab(line_topology())
    await run_command(lab, SERVER, ["ip", "addr", "del", f"{VIP}/24", "dev", "eep1user"])

    with pytest.raises(UnavailableError, match="server on ep1 has ended; see"):
        await start_server(lab, SERVER, "server1")
