"""The trial of native redirects, in a network namespace that is gone afterwards."""

import socket
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from typing import TypeVar

import pytest

from headrace.dataplane import selftest

pytestmark = [pytest.mark.bpf, pytest.mark.netns]


T = TypeVar("T")


def in_thread(call: Callable[[], T]) -> T:
    """What a call returns in a thread that may lose its network namespace."""
    with ThreadPoolExecutor(1) as pool:
        return pool.submit(call).result()


def come_back() -> tuple[bool, bool]:
    selftest._unshare()
    return selftest._come_back(*selftest._make_veth())


def test_small_frame_always_comes_back() -> None:
    small, _ = in_thread(come_back)

    assert small


def test_frame_that_is_not_sent_back_is_missed(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(
        selftest, "_instructions_to_redirect", lambda _: selftest._instructions_to_pass()
    )
    monkeypatch.setattr(selftest, "_PATIENCE_S", 0.05)

    assert in_thread(come_back) == (False, False)


@pytest.mark.parametrize(
    ("came_back", "loses"),
    [((True, False), True), ((True, True), False), ((False, False), False)],
)
def test_only_a_small_frame_that_comes_back_alone_tells_of_loss(
    monkeypatch: pytest.MonkeyPatch, came_back: tuple[bool, bool], *, loses: bool
) -> None:
    monkeypatch.setattr(selftest, "_come_back", lambda *_: came_back)

    assert in_thread(selftest._try) is loses


def test_trial_leaves_the_callers_namespace_alone() -> None:
    before = socket.if_nameindex()

    selftest.loses_big_redirects.__wrapped__()

    assert socket.if_nameindex() == before


def test_mtu_is_the_interfaces() -> None:
    assert selftest.mtu_bytes("lo") >= 1500
