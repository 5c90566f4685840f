"""One connection of the prover, without any network: what it takes for an answer, and what not."""

import errno

import pytest

from headrace.lab.prover_client import (
    BULK_BYTES,
    BULK_EVERY,
    Cause,
    Conversation,
    cause_of,
)

GREETING = b"server1\n"


def greeted() -> Conversation:
    talk = Conversation(now=0.0)
    talk.receive(GREETING, now=0.1)
    return talk


def test_nothing_is_sent_before_the_server_has_said_its_name() -> None:
    talk = Conversation(now=0.0)

    assert talk.tick(now=1.0) is None
    assert talk.name is None


@pytest.mark.parametrize("cut", range(1, len(GREETING)))
def test_the_name_may_come_in_parts(cut: int) -> None:
    talk = Conversation(now=0.0)

    pauses = [talk.receive(GREETING[:cut], 1.0), talk.receive(GREETING[cut:], 2.0)]

    assert talk.name == "server1"
    assert pauses == [None, 2.0]


def test_the_next_message_is_sent_only_after_the_answer() -> None:
    talk = greeted()

    message = talk.tick(now=1.0)

    assert message == (1).to_bytes(8, "big")
    assert talk.tick(now=2.0) is None
    assert talk.receive(message, now=3.5) == 2.5
    assert talk.tick(now=4.0) == (2).to_bytes(8, "big")


def test_an_answer_may_come_byte_by_byte() -> None:
    talk = greeted()
    message = talk.tick(now=1.0)
    assert message is not None

    pauses = [talk.receive(message[i : i + 1], now=2.0) for i in range(len(message))]

    assert pauses == [None] * 7 + [1.0]


def test_every_sixteenth_message_fills_packets_of_full_size() -> None:
    talk = greeted()
    sizes = []

    for number in range(1, BULK_EVERY + 1):
        message = talk.tick(now=float(number))
        assert message is not None
        talk.receive(message, now=float(number))
        sizes.append(len(message))

    assert sizes == [8] * (BULK_EVERY - 1) + [BULK_BYTES]


@pytest.mark.parametrize(
    "data",
    [
        pytest.param(b"\0" * 8, id="another number"),
        pytest.param((1).to_bytes(8, "big") + b"\0", id="a byte too many"),
        pytest.param(b"\1", id="a wrong first byte"),
    ],
)
def test_wrong_bytes_are_no_answer(data: bytes) -> None:
    talk = greeted()
    talk.tick(now=1.0)

    with pytest.raises(ValueError, match="not what was sent"):
        talk.receive(data, now=2.0)


def test_bytes_that_nobody_asked_for_are_wrong() -> None:
    talk = greeted()

    with pytest.raises(ValueError, match="nothing was asked"):
        talk.receive(b"\0", now=2.0)


@pytest.mark.parametrize(
    "data", [pytest.param(b"x" * 65, id="no end"), pytest.param(b"server1\nmore", id="too much")]
)
def test_a_greeting_that_is_no_name_line_is_wrong(data: bytes) -> None:
    talk = Conversation(now=0.0)

    with pytest.raises(ValueError, match="no name line"):
        talk.receive(data, now=1.0)


def test_an_answer_is_waited_for_from_the_moment_of_sending() -> None:
    talk = greeted()
    talk.tick(now=1.0)

    assert talk.waited_s(now=3.5) == 2.5


def test_with_nothing_due_nothing_is_waited_for() -> None:
    assert greeted().waited_s(now=1e9) == 0.0


@pytest.mark.parametrize(
    ("number", "cause"),
    [
        (errno.ECONNRESET, Cause.RESET),
        (errno.EPIPE, Cause.RESET),
        (errno.ETIMEDOUT, Cause.SILENCE),
    ],
)
def test_a_sockets_error_has_a_cause(number: int, cause: Cause) -> None:
    assert cause_of(OSError(number, "")) is cause
