"""The MAC address of a neighbour outlives a short silence of it."""

import pytest

from headrace.underlay.memory import LAST_MAC_S, KnownMac, next_deadline, remember
from headrace.underlay.snapshot import Neighbour, NeighbourState
from tests.underlay.values import key, mac

GATEWAY = key(2, "10.0.0.1")
REACHABLE, STALE, PROBE = NeighbourState(2), NeighbourState(4), NeighbourState(16)


def after(
    before: KnownMac | None, state: NeighbourState | None, now: float, address: bytes = mac(1)
) -> KnownMac | None:
    """What is remembered of one neighbour after the kernel said this of it."""
    usable = state is not None and state & NeighbourState.USABLE
    entry = Neighbour(GATEWAY, state or 0, address if usable else None)
    known = {} if before is None else {GATEWAY: before}
    neighbours = {} if state is None else {GATEWAY: entry}
    return remember(known, neighbours, [GATEWAY], now).get(GATEWAY)


@pytest.mark.parametrize("state", [REACHABLE, STALE, PROBE, NeighbourState.PERMANENT])
def test_what_the_kernel_would_send_to_is_fresh(state: NeighbourState) -> None:
    assert after(None, state, 1.0) == KnownMac(mac(1))


@pytest.mark.parametrize("state", [NeighbourState.FAILED, NeighbourState.INCOMPLETE, None])
def test_a_silent_neighbour_keeps_its_last_mac_for_a_while(state: NeighbourState | None) -> None:
    lost = after(KnownMac(mac(1)), state, 10.0)

    assert lost == KnownMac(mac(1), lost_at=10.0)
    assert after(lost, state, 10.0 + LAST_MAC_S - 0.1) == lost
    assert after(lost, state, 10.0 + LAST_MAC_S) is None


def test_a_neighbour_that_never_answered_has_no_last_mac() -> None:
    assert after(None, NeighbourState.INCOMPLETE, 1.0) is None


def test_a_neighbour_that_returns_is_fresh_with_the_mac_it_has_now() -> None:
    lost = KnownMac(mac(1), lost_at=10.0)

    assert after(lost, REACHABLE, 11.0, mac(7)) == KnownMac(mac(7))


def test_a_neighbour_that_is_not_wanted_is_forgotten() -> None:
    assert remember({GATEWAY: KnownMac(mac(1))}, {}, [], 1.0) == {}


def test_the_deadline_is_that_of_the_longest_silence() -> None:
    known = {
        key(2, "10.0.0.1"): KnownMac(mac(1)),
        key(2, "10.0.0.2"): KnownMac(mac(2), lost_at=12.0),
        key(2, "10.0.0.3"): KnownMac(mac(3), lost_at=11.0),
    }

    assert next_deadline(known) == 11.0 + LAST_MAC_S
    assert next_deadline({GATEWAY: KnownMac(mac(1))}) is None
