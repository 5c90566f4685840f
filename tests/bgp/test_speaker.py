"""The speaker where no session is needed to see what it does."""

import asyncio
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager, suppress
from ipaddress import IPv4Network
from pathlib import Path

import pytest

from headrace.bgp import ExabgpSpeaker
from headrace.bgp.speaker import RESTART_S_MAX, STEADY_S
from headrace.control.ports import Speaker
from headrace.model import Announcement, Bgp, ConfigError, SessionEvent, UnavailableError

VIP = Announcement(IPv4Network("20.20.20.1/32"))
BGP = Bgp.model_validate(
    {
        "as": 64512,
        "router_id": "10.9.1.1",
        "peers": [{"address": "10.9.1.254", "as": 65001, "local_address": "10.9.1.1"}],
    }
)


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


class SilentLink:
    """A relay whose ExaBGP takes everything and answers nothing."""

    async def announce(self, _: frozenset[Announcement]) -> list[str]:
        await asyncio.Event().wait()
        return []


class Victim:
    """A process that can be killed."""

    killed = False

    def kill(self) -> None:
        self.killed = True


async def test_who_asks_again_and_again_gets_a_silent_exabgp_killed_all_the_same(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("headrace.bgp.speaker.ANNOUNCE_TIMEOUT_S", 0.1)
    speaker, victim = speaker_in(tmp_path), Victim()
    speaker._take(BGP)
    speaker._begun.set()
    speaker._linked.set()
    monkeypatch.setattr(speaker, "_link", SilentLink())
    monkeypatch.setattr(speaker, "_process", victim)

    with pytest.raises(UnavailableError, match="started anew"):
        await ask_impatiently(speaker)

    assert victim.killed


async def ask_impatiently(speaker: ExabgpSpeaker) -> None:
    """Give up soon and ask again, as control does; returns when the speaker answers."""
    async with asyncio.timeout(5):
        while True:
            with suppress(TimeoutError):
                async with asyncio.timeout(0.02):
                    return await speaker.announce(frozenset({VIP}))
