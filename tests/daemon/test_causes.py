"""From evidence to words; the limits of what is remembered."""

import asyncio
import errno
import os
import socket
from ipaddress import ip_address

import pytest

from headrace.daemon import direct_checks, probing
from headrace.daemon.causes import (
    REFUSED,
    SILENT,
    TOO_SMALL,
    WORDS,
    Cause,
    Evidence,
    find_cause,
    likely_cause,
)
from headrace.daemon.direct_checks import Direct, DirectChecks
from headrace.health.path_mtu import too_small
from headrace.health.result import result_of
from headrace.model import Encapsulation, NextHop, Path, Probe, ProbePath, ProbeTarget
from headrace.underlay import IcmpError, IcmpKind, ReversePathFilter

IPIP, L2 = Encapsulation.IPIP, Encapsulation.L2
ENDPOINT, OUTER, ROUTER = map(ip_address, ("10.2.0.2", "10.9.0.2", "10.1.0.254"))
VIP4, VIP6 = ip_address("20.20.20.1"), ip_address("fd20::1")
PATH = Path(ip_address("10.1.0.1"), OUTER, NextHop(1, bytes(6), bytes(6)), 1500)
DROPPER = ReversePathFilter("eth0", 2)
TARGET = ProbeTarget("web", ENDPOINT, VIP4, 80, Probe())
TARGET6 = ProbeTarget("web", ENDPOINT, VIP6, 80, Probe())
BY_MAC = ProbeTarget("web", ENDPOINT, VIP4, 80, Probe(), L2)
DIRECTLY = ProbeTarget("web", ENDPOINT, VIP4, 80, Probe(path=ProbePath.DIRECT))


def error(kind: IcmpKind) -> IcmpError:
    return IcmpError(kind, ROUTER, OUTER, IPIP, 1300)


ALIVE = Evidence("timeout", PATH, direct=Direct.REFUSED)
CASES = {
    Cause.NOT_POSSIBLE: (TARGET, Evidence("no path", PATH, "EOPNOTSUPP", is_local=True)),
    Cause.VIP_IS_OURS: (TARGET, Evidence("refused", is_local=True)),
    Cause.NO_PATH: (TARGET, Evidence("no path", has_source=False)),
    Cause.NO_SOURCE: (TARGET6, Evidence("no path", PATH, has_source=False)),
    Cause.SERVICE_DOWN: (TARGET, Evidence("refused", PATH, filter=DROPPER)),
    Cause.OWN_FILTER: (
        TARGET,
        Evidence("timeout", PATH, filter=DROPPER, error=error(IcmpKind.LOOP)),
    ),
    Cause.NO_TUNNEL: (TARGET, Evidence("timeout", PATH, error=error(IcmpKind.NO_TUNNEL))),
    Cause.LINK_TOO_SMALL: (
        TARGET,
        Evidence("path MTU too small: 1480", PATH, error=error(IcmpKind.TOO_BIG)),
    ),
    Cause.PATH_TOO_SMALL: (
        TARGET,
        Evidence("path MTU too small: 1480", PATH, error=error(IcmpKind.LOOP)),
    ),
    Cause.UNREACHABLE: (TARGET, Evidence("timeout", PATH, error=error(IcmpKind.UNREACHABLE))),
    Cause.LOOP: (TARGET, Evidence("host unreachable", PATH, error=error(IcmpKind.LOOP))),
    Cause.ENDPOINT_SILENT: (TARGET, Evidence("timeout", PATH, direct=Direct.SILENT)),
    Cause.NOT_TAKEN_V4: (TARGET, ALIVE),
    Cause.NOT_TAKEN_V6: (TARGET6, ALIVE),
    Cause.NOT_TAKEN_L2: (BY_MAC, ALIVE),
    Cause.UNTOLD: (TARGET, Evidence("timeout", PATH, error=error(IcmpKind.TOO_BIG))),
}


@pytest.mark.parametrize("cause", Cause)
def test_every_cause_is_found_and_has_words(cause: Cause) -> None:
    target, evidence = CASES[cause]

    words = likely_cause(target, evidence)

    assert find_cause(target, evidence) is cause
    assert words
    assert "None" not in words
    assert WORDS.keys() == set(Cause)


@pytest.mark.parametrize(
    ("target", "failure"),
    [
        (TARGET, "status 500"),
        (TARGET, "timeout: connected, but no complete answer"),
        (TARGET, "reset"),
        (DIRECTLY, "timeout"),
    ],
)
def test_nothing_is_added_to_a_failure_that_says_it_all(target: ProbeTarget, failure: str) -> None:
    assert likely_cause(target, Evidence(failure, PATH, direct=Direct.ACCEPTED)) == ""


def test_healths_words_are_understood() -> None:
    refusal = OSError(errno.ECONNREFUSED, os.strerror(errno.ECONNREFUSED))
    unreachable = OSError(errno.EHOSTUNREACH, os.strerror(errno.EHOSTUNREACH))

    assert result_of(refusal).words == REFUSED
    assert {result_of(TimeoutError()).words, result_of(unreachable).words} == SILENT
    assert result_of(too_small(1480)).words.startswith(TOO_SMALL)


async def ask_until_known(checks: DirectChecks, port: int) -> Direct:
    loopback = ip_address("127.0.0.1")
    async with asyncio.timeout(5):
        while (direct := checks.ask(loopback, port)) is Direct.UNKNOWN:
            await asyncio.sleep(0.01)
    return direct


async def test_an_endpoint_is_asked_once_and_again_when_its_answer_is_old() -> None:
    now_s = 0.0
    checks = DirectChecks(lambda: now_s)
    with socket.create_server(("127.0.0.1", 0)) as server:
        port = server.getsockname()[1]
        assert await ask_until_known(checks, port) is Direct.ACCEPTED
    assert checks.ask(ip_address("127.0.0.1"), port) is Direct.ACCEPTED

    now_s = direct_checks.FRESH_S + 1
    async with asyncio.timeout(5):
        while checks.ask(ip_address("127.0.0.1"), port) is Direct.ACCEPTED:
            await asyncio.sleep(0.01)

    assert checks.ask(ip_address("127.0.0.1"), port) is Direct.REFUSED
    checks.close()


async def test_no_more_are_asked_at_a_time_than_the_limit(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(direct_checks, "LIMIT_PENDING", 2)
    checks = DirectChecks()
    with socket.create_server(("127.0.0.1", 0)) as server:
        loopback, port = ip_address("127.0.0.1"), server.getsockname()[1]
        for number in range(2, 6):
            checks.ask(ip_address(f"127.0.0.{number}"), port)

        assert len(checks._pending) <= 2
        assert checks.ask(loopback, port) is Direct.UNKNOWN
    checks.close()
    assert not checks._pending


async def test_the_oldest_answers_are_forgotten(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(direct_checks, "LIMIT_KNOWN", 2)
    checks = DirectChecks()

    for number in (1, 2, 3):
        checks._learn((ip_address(f"10.0.0.{number}"), 80), Direct.SILENT)

    assert [str(address) for address, _ in checks._known] == ["10.0.0.2", "10.0.0.3"]


def test_marks_are_used_again_as_late_as_can_be(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(probing, "LIMIT_MARKS", 3)
    marks = probing._Marks()
    one, two, three, four = (
        (ip_address(f"10.0.0.{number}"), Encapsulation.IPIP) for number in range(1, 5)
    )

    assert [marks.take(key) for key in (one, two, one)] == [1, 2, 1]
    assert marks.release(one) == 1
    assert [marks.take(key) for key in (three, one, four)] == [3, 1, None]
