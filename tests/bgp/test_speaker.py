"""The speaker where no session is needed to see what it does."""

import asyncio
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager, suppress
from ipaddress import IPv4Network, ip_address, ip_network
from pathlib import Path
from typing import Any

import pytest
from structlog.testing import capture_logs

from headrace.bgp import BgpSpeaker
from headrace.bgp.link import Hello, WatchChanged
from headrace.bgp.sessions import WATCH_DELAY_S, Watch, WatchState
from headrace.bgp.supervisor import PATIENCE_S, RESTART_S_MAX, STEADY_S
from headrace.control.ports import Speaker
from headrace.model import (
    Announcement,
    BfdState,
    Bgp,
    ConfigError,
    SessionEvent,
    SessionState,
    SpeakerKind,
    UnavailableError,
)

PEER = ip_address("10.9.1.254")
VIP = Announcement(IPv4Network("20.20.20.1/32"))


def section(**keys: Any) -> Bgp:
    peer = {"address": str(PEER), "as": 65001, "local_address": "10.9.1.1"}
    return Bgp.model_validate({"as": 64512, "router_id": "10.9.1.1", "peers": [peer]} | keys)


@asynccontextmanager
async def running(speaker: BgpSpeaker, bgp: Bgp | None) -> AsyncIterator[None]:
    async with asyncio.timeout(20), asyncio.TaskGroup() as group:
        group.create_task(speaker.run(bgp))
        try:
            yield
        finally:
            await speaker.stop()


def speaker_in(directory: Path, events: list[SessionEvent] | None = None) -> BgpSpeaker:
    return BgpSpeaker(directory, ([] if events is None else events).append)


async def alarms_of(speaker: BgpSpeaker) -> tuple[str, ...]:
    """The first alarms that there are."""
    async with asyncio.timeout(10):
        while not (alarms := speaker.alarms()):
            await asyncio.sleep(0.01)
    return alarms


@pytest.fixture
def without_bird(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    """A machine that has no BIRD."""
    monkeypatch.setenv("PATH", str(tmp_path))
    monkeypatch.setattr("headrace.bgp.bird._SYSTEM_FOLDERS", ())


def test_it_is_what_control_calls_a_speaker(tmp_path: Path) -> None:
    speaker: Speaker = speaker_in(tmp_path)

    assert speaker.sessions == {}
    assert speaker.alarms() == ()


async def test_without_a_bgp_section_only_nothing_can_be_announced(tmp_path: Path) -> None:
    speaker = speaker_in(tmp_path / "bgp")

    async with running(speaker, None):
        await speaker.announce(frozenset())
        with pytest.raises(UnavailableError, match="add a bgp section"):
            await speaker.announce(frozenset({VIP}))

    assert not (tmp_path / "bgp" / "exabgp.conf").exists()


@pytest.mark.usefixtures("without_bird")
@pytest.mark.parametrize("bgp", [None, section(speaker="bird")])
async def test_nothing_is_held_where_no_speaker_is(tmp_path: Path, bgp: Bgp | None) -> None:
    directory = tmp_path / "bgp"
    speaker = speaker_in(directory)

    async with running(speaker, bgp):
        async with asyncio.timeout(5):
            assert await speaker.held() is None


@pytest.mark.usefixtures("without_bird")
async def test_what_was_handed_over_to_a_speaker_that_does_not_start_is_lost(
    tmp_path: Path,
) -> None:
    directory = tmp_path / "bgp"
    directory.mkdir()
    (directory / "relay.sock.handover").write_text("{}")
    speaker = speaker_in(directory)

    async with running(speaker, section(speaker="bird")):
        async with asyncio.timeout(5):
            assert await speaker.held() == frozenset()


async def test_a_wrong_community_is_refused_before_anything_is_kept(tmp_path: Path) -> None:
    speaker = speaker_in(tmp_path / "bgp")

    async with running(speaker, None):
        with pytest.raises(ConfigError):
            await speaker.announce(frozenset({Announcement(VIP.prefix, None, ("x y",))}))


async def test_a_directory_with_a_long_name_is_refused(tmp_path: Path) -> None:
    speaker = speaker_in(tmp_path / ("d" * 108))

    with pytest.raises(ExceptionGroup) as caught:
        await speaker.run(None)

    assert "cannot listen on" in str(caught.value.exceptions[0])


def test_a_child_that_keeps_dying_is_started_ever_later(tmp_path: Path) -> None:
    supervisor = speaker_in(tmp_path)._supervisor

    waits = [supervisor._backoff(0.1) for _ in range(20)]

    assert waits == sorted(waits)
    assert waits[0] <= 0.1
    assert waits[-1] == RESTART_S_MAX
    assert supervisor._backoff(STEADY_S) == waits[0]


@pytest.mark.usefixtures("without_bird")
async def test_a_speaker_that_is_not_there_is_an_alarm(tmp_path: Path) -> None:
    speaker = speaker_in(tmp_path / "bgp")

    async with running(speaker, section(speaker="bird")):
        alarms = await alarms_of(speaker)

    [alarm] = alarms
    assert alarm.startswith("BIRD is not running: nothing is announced; there is no bird on ")
    assert "install BIRD 2" in alarm


@pytest.mark.usefixtures("without_bird")
async def test_a_speaker_that_cannot_be_started_is_not_waited_for(tmp_path: Path) -> None:
    speaker = speaker_in(tmp_path / "bgp")

    async with running(speaker, section(speaker="bird")):
        await alarms_of(speaker)
        for _ in range(3):
            with pytest.raises(UnavailableError, match=r"there is no bird on .*install BIRD 2"):
                async with asyncio.timeout(0.05):
                    await speaker.announce(frozenset({VIP}))


async def test_a_speaker_that_ends_again_and_again_is_waited_for_only_at_first(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    bird = tmp_path / "bird"
    bird.write_text("#!/bin/sh\necho reading\necho 'bird.conf:3:1 syntax error' >&2\nexit 1\n")
    bird.chmod(0o755)
    monkeypatch.setenv("PATH", str(tmp_path))
    monkeypatch.setattr("headrace.bgp.supervisor.RESTART_S_MIN", PATIENCE_S)
    speaker = speaker_in(tmp_path / "bgp")

    async with running(speaker, section(speaker="bird")):
        begun = asyncio.get_running_loop().time()
        with pytest.raises(UnavailableError) as first:
            await speaker.announce(frozenset({VIP}))
        waited_s = asyncio.get_running_loop().time() - begun
        with pytest.raises(UnavailableError) as second:
            async with asyncio.timeout(0.05):
                await speaker.announce(frozenset({VIP}))
        alarms = speaker.alarms()

    told = (
        "BIRD is not running: nothing is announced; it ends again and again: "
        "bird.conf:3:1 syntax error"
    )
    assert waited_s >= PATIENCE_S
    assert [str(first.value), str(second.value), *alarms] == [told] * 3


@pytest.mark.usefixtures("without_bird")
async def test_a_helper_that_is_not_there_is_an_alarm_until_bfd_is_not_asked_for(
    tmp_path: Path,
) -> None:
    speaker = speaker_in(tmp_path / "bgp")

    async with running(speaker, section(bfd={})):
        [alarm] = await alarms_of(speaker)
        await speaker.configure(section())
        after = speaker.alarms()

    assert "the BFD helper is not running" in alarm
    assert "install BIRD 2" in alarm
    assert after == ()


@pytest.mark.parametrize(
    ("session_s", "watch", "alarm"),
    [
        pytest.param(None, None, False, id="no session"),
        pytest.param(1.0, None, False, id="a young session"),
        pytest.param(60.0, None, True, id="nothing heard"),
        pytest.param(60.0, (BfdState.UP, 50.0), False, id="up"),
        pytest.param(60.0, (BfdState.DOWN, 1.0), False, id="down for a moment"),
        pytest.param(60.0, (BfdState.DOWN, 50.0), True, id="down for long"),
        pytest.param(60.0, (BfdState.INIT, 50.0), True, id="not heard there"),
    ],
)
def test_a_session_that_bfd_does_not_watch_is_an_alarm(
    session_s: float | None, watch: WatchState | None, *, alarm: bool
) -> None:
    now, seen = 1000.0, Watch()
    seen.keep(section(bfd={}))
    if watch is not None:
        seen.note(WatchChanged(PEER, watch[0], now - watch[1]))
    sessions = {} if session_s is None else {PEER: (SessionState.UP, now - session_s)}

    alarms = seen.alarms(section(bfd={}), sessions, now)

    assert WATCH_DELAY_S < 50.0
    assert bool(alarms) is alarm


def test_a_loss_of_bfd_is_a_warning_and_its_return_is_told() -> None:
    seen, quiet = Watch(), section(bfd={})
    seen.keep(quiet)

    with capture_logs() as logs:
        for at, state in enumerate([BfdState.DOWN, BfdState.UP, BfdState.INIT, BfdState.UP]):
            seen.note(WatchChanged(PEER, state, float(at)))
        seen.lose()
        seen.note(WatchChanged(PEER, BfdState.UP, 9.0))
        seen.meet(Hello(2, 1, frozenset(), {}, {PEER: (BfdState.UP, 9.0)}))
        seen.meet(Hello(2, 1, frozenset(), {}, {}))

    assert [(each["log_level"], each["event"], each.get("state")) for each in logs] == [
        ("info", "bfd_up", None),
        ("warning", "bfd_lost", "init"),
        ("info", "bfd_up", None),
        ("warning", "bfd_lost", "down"),
        ("info", "bfd_up", None),
        ("warning", "bfd_lost", "down"),
    ]


def test_bfd_that_is_no_longer_asked_for_is_not_lost() -> None:
    seen = Watch()
    seen.keep(section(bfd={}))
    seen.note(WatchChanged(PEER, BfdState.UP, 1.0))

    with capture_logs() as logs:
        seen.keep(section())
        seen.note(WatchChanged(PEER, None, 2.0))
        seen.lose()

    assert logs == []
    assert seen.states == {}


class WillingLink:
    """A relay whose speaker takes everything at once."""

    async def announce(self, *_: object) -> list[str]:
        return []


@pytest.mark.parametrize(("kind", "alarm"), [("bird", True), ("exabgp", False)])
async def test_more_different_routes_than_bird_reads_in_time_are_an_alarm(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, kind: str, *, alarm: bool
) -> None:
    monkeypatch.setattr("headrace.bgp.speaker.LIMIT_BIRD_CHOICES", 3)
    speaker = speaker_in(tmp_path)
    policies = {"a": [{"actions": {"prepend": 1}}], "b": [{"actions": {"prepend": 2}}]}
    peers = [{"address": f"10.9.{n}.254", "as": 65001, "export": ["ab"[n]]} for n in range(2)]
    speaker._take(section(speaker=kind, policies=policies, peers=peers))
    speaker._begun.set()
    speaker._supervisor.linked.set()
    monkeypatch.setattr(speaker._supervisor, "link", WillingLink())

    few = await told(speaker, 1)
    many = await told(speaker, 2)

    assert few == ()
    assert bool(many) is alarm
    assert not alarm or "4 different routes" in many[0]


async def told(speaker: BgpSpeaker, kinds: int) -> tuple[str, ...]:
    """The alarms once it has been told of as many kinds of routes."""
    prefixes = (ip_network(f"20.20.20.{med}/32") for med in range(kinds))
    await speaker.announce(frozenset(Announcement(p, m) for m, p in enumerate(prefixes)))
    return speaker.alarms()


class SilentLink:
    """A relay whose speaker takes everything and answers nothing."""

    async def announce(self, *_: object) -> list[str]:
        await asyncio.Event().wait()
        return []


class Victim:
    """A process that can be killed."""

    pid = 42
    killed = False

    def kill(self) -> None:
        self.killed = True


@pytest.mark.parametrize("kind", list(SpeakerKind))
async def test_who_asks_again_and_again_gets_a_silent_speaker_killed_all_the_same(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, kind: str
) -> None:
    monkeypatch.setattr("headrace.bgp.speaker.ANNOUNCE_TIMEOUT_S", 0.1)
    speaker, victim = speaker_in(tmp_path), Victim()
    speaker._take(section(speaker=kind))
    speaker._begun.set()
    speaker._supervisor.linked.set()
    monkeypatch.setattr(speaker._supervisor, "link", SilentLink())
    monkeypatch.setattr(speaker._supervisor, "_process", victim)

    with pytest.raises(UnavailableError, match="started anew"):
        await ask_impatiently(speaker)

    assert victim.killed


async def ask_impatiently(speaker: BgpSpeaker) -> None:
    """Give up soon and ask again, as control does; returns when the speaker answers."""
    async with asyncio.timeout(5):
        while True:
            with suppress(TimeoutError):
                async with asyncio.timeout(0.02):
                    return await speaker.announce(frozenset({VIP}))
