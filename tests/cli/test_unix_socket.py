"""What the command line takes for a whole answer."""

import pytest

from headrace.cli.unix_socket import BrokenAnswer, read_answer

WHOLE = b"HTTP/1.1 200 OK\r\ncontent-length: 2\r\ndate: x\r\n\r\n{}"


def test_an_answer_is_its_status_and_body() -> None:
    assert read_answer(WHOLE) == (200, b"{}")
    assert read_answer(b"HTTP/1.1 404 Not Found\r\n\r\nno") == (404, b"no")


@pytest.mark.parametrize("length", range(len(WHOLE)))
def test_an_answer_that_was_cut_is_none(length: int) -> None:
    with pytest.raises(BrokenAnswer, match="closed"):
        read_answer(WHOLE[:length])
