"""The speaker where no session is needed to see what it does."""

import asyncio
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from ipaddress import IPv4Network
from pathlib import Path

import pytest

from headrace.bgp import ExabgpSpeaker
from headrace.bgp.speaker import RESTART_S_MAX, STEADY_S
from headrace.control.ports import Speaker
from headrace.model import Announcement, Bgp, ConfigError, SessionEvent, UnavailableError

VIP = Announcement(IPv4Network("20.20.20.1/32"))


@asynccontextmanager
async def running(speaker: ExabgpSpeaker, bgp: Bgp | None) -> AsyncIterator[None]:
    async with asyncio.timeout(20), asyncio.TaskGroup() as group:
        group.create_task(speaker.run(bgp))
        try:
            yield
        finally:
            await speaker.stop()


def speaker_in(directory: Path, events: list[SessionEvent] | None = None) -> ExabgpSpeaker:
    return ExabgpSpeaker(directory, ([] if events is None else events).append)


def test_it_is_what_control_calls_a_speaker(tmp_path: Path) -> None:
    speaker: Speaker = speaker_in(tmp_path)

    assert speaker.sessions == {}


async def test_without_a_bgp_section_only_nothing_can_be_announced(tmp_path: Path) -> None:
    speaker = speaker_in(tmp_path / "bgp")

    async with running(speaker, None):
        await speaker.announce(frozenset())
        with pytest.raises(UnavailableError, match="add a bgp section"):
            await speaker.announce(frozenset({VIP}))

    assert not (tmp_path / "bgp" / "exabgp.conf").exists()


async def test_a_wrong_community_is_refused_before_anything_is_kept(tmp_path: Path) -> None:
    speaker = speaker_in(tmp_path / "bgp")

    async with running(speaker, None):
        with pytest.raises(ConfigError):
            await speaker.announce(frozenset({Announcement(VIP.prefix, None, ("x y",))}))


async def test_a_directory_with_a_long_name_is_refused(tmp_path: Path) -> None:
    speaker = speaker_in(tmp_path / ("d" * 108))

    with pytest.raises(UnavailableError, match="cannot listen on"):
        await speaker.run(None)


def test_a_child_that_keeps_dying_is_started_ever_later(tmp_path: Path) -> None:
    speaker = speaker_in(tmp_path)

    waits = [speaker._backoff(0.1) for _ in range(20)]

    assert waits == sorted(waits)
    assert waits[0] <= 0.1
    assert waits[-1] == RESTART_S_MAX
    assert speaker._backoff(STEADY_S) == waits[0]
