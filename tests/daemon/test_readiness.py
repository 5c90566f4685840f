"""The service manager hears that the daemon turns, if it asks for that."""

import asyncio
import os
import socket
from collections.abc import Iterator
from pathlib import Path

import pytest

from headrace.daemon.readiness import tell_manager_that_it_turns

WAIT_S = 10.0


@pytest.fixture
def manager(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[socket.socket]:
    with socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM) as heard:
        heard.bind(str(tmp_path / "notify"))
        heard.settimeout(0)
        monkeypatch.setenv("NOTIFY_SOCKET", str(tmp_path / "notify"))
        yield heard


async def test_it_is_told_again_and_again(
    manager: socket.socket, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("WATCHDOG_USEC", "10000")
    monkeypatch.setenv("WATCHDOG_PID", str(os.getpid()))
    receive = asyncio.get_running_loop().sock_recv

    async with asyncio.timeout(WAIT_S), asyncio.TaskGroup() as group:
        telling = group.create_task(tell_manager_that_it_turns())
        heard = [await receive(manager, 100) for _ in range(3)]
        telling.cancel()

    assert heard == [b"WATCHDOG=1"] * 3


@pytest.mark.parametrize(
    "asked", [{}, {"WATCHDOG_USEC": "10000", "WATCHDOG_PID": "1"}], ids=["nobody", "another"]
)
async def test_who_is_not_asked_says_nothing(
    manager: socket.socket, monkeypatch: pytest.MonkeyPatch, asked: dict[str, str]
) -> None:
    for name, value in asked.items():
        monkeypatch.setenv(name, value)

    async with asyncio.timeout(WAIT_S):
        await tell_manager_that_it_turns()

    with pytest.raises(BlockingIOError):
        manager.recv(100)
