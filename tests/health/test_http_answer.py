"""Whether an HTTP answer is the one wanted, however its bytes arrive."""

import itertools

import pytest
from hypothesis import given
from hypothesis import strategies as st

from headrace.health.http_answer import LIMIT_BODY_BYTES, LIMIT_HEAD_BYTES, HttpAnswer
from headrace.health.probe_http import build_request
from headrace.health.result import ProbeFailure
from headrace.model import Probe, ProbeKind
from tests.health.support import direct

OK = b"HTTP/1.1 200 OK\r\n"
CHUNKED = OK + b"Transfer-Encoding: chunked\r\n\r\n"
BAR = "bar"

ANSWERS = [
    pytest.param(OK + b"\r\n", "", "status 200", id="a head is enough when no text is wanted"),
    pytest.param(b"HTTP/1.0 301\r\n\r\n", "", "status 301", id="no reason phrase, HTTP/1.0"),
    pytest.param(b"HTTP/1.1 503 Busy\r\n\r\n", "", "bad status 503", id="another status"),
    pytest.param(
        b"HTTP/1.1 100 Continue\r\n\r\n" + OK + b"\r\n", "", "status 200", id="after an interim one"
    ),
    pytest.param(OK + b"\r\nfoobar", BAR, "status 200, body with 'bar'", id="until the end"),
    pytest.param(OK + b"\r\nfooba", BAR, "body without 'bar'", id="text cut short by the end"),
    pytest.param(
        OK + b"Content-Length: 5\r\n\r\nfoobar",
        BAR,
        "body without 'bar'",
        id="text behind the body",
    ),
    pytest.param(OK + b"Content-Length: 0\r\n\r\n", BAR, "body without 'bar'", id="an empty body"),
    pytest.param(
        CHUNKED + b"4\r\nfoob\r\n2;x=y\r\nar\r\n0\r\n\r\n",
        BAR,
        "status 200, body with 'bar'",
        id="text across two chunks",
    ),
    pytest.param(
        CHUNKED + b"3\r\nfoo\r\n0\r\n\r\nbar",
        BAR,
        "body without 'bar'",
        id="text behind the chunks",
    ),
    pytest.param(
        CHUNKED + b"zz\r\nbar", BAR, "broken chunk in the body: b'zz'", id="a broken chunk"
    ),
    pytest.param(b"SSH-2.0-x\r\n", "", "no HTTP answer, but b'S", id="another protocol"),
    pytest.param(b"HTTP/1.1 OK\r\n\r\n", "", "no HTTP answer, but b'HTTP/1.1 OK'", id="no status"),
    pytest.param(b"HTTP/1.1 20", "", "no HTTP answer: the connection ended", id="cut in the head"),
    pytest.param(b"", "", "no HTTP answer: the connection ended", id="nothing"),
]


def read(parts: list[bytes], text: str) -> str:
    """What an answer that arrives in these parts, and ends, is in words."""
    answer = HttpAnswer(frozenset(range(200, 400)), text)
    try:
        for part in parts:
            words = answer.receive(part)
            if words is not None:
                return words
        answer.end()
    except ProbeFailure as failure:
        return str(failure)
    raise AssertionError("an answer that ended is undecided")


@pytest.mark.parametrize(("data", "text", "words"), ANSWERS)
def test_an_answer_is_judged(data: bytes, text: str, words: str) -> None:
    assert read([data], text).startswith(words)


@pytest.mark.parametrize(("data", "text", "words"), ANSWERS)
def test_an_answer_that_comes_byte_by_byte_is_judged_alike(
    data: bytes, text: str, words: str
) -> None:
    assert read([bytes([byte]) for byte in data], text).startswith(words)


@given(parts=st.lists(st.binary(max_size=50), max_size=8), text=st.sampled_from(["", "ok"]))
@pytest.mark.parametrize("start", [b"", OK, OK + b"\r\n", CHUNKED], ids=repr)
def test_no_bytes_of_a_peer_do_more_than_fail(start: bytes, parts: list[bytes], text: str) -> None:
    assert read([start, *parts], text)


@given(
    chunks=st.lists(st.binary(min_size=1, max_size=40), max_size=6),
    cuts=st.lists(st.integers(1, 30), min_size=1, max_size=20),
)
def test_chunks_are_put_together_wherever_the_stream_is_cut(
    chunks: list[bytes], cuts: list[int]
) -> None:
    data = CHUNKED + b"".join(b"%x\r\n%b\r\n" % (len(chunk), chunk) for chunk in chunks)
    data += b"2\r\n~!\r\n1\r\n~\r\n0\r\n\r\n"
    ends = itertools.accumulate(itertools.islice(itertools.cycle(cuts), len(data)))
    edges = [0, *(end for end in ends if end < len(data)), len(data)]

    parts = [data[a:b] for a, b in itertools.pairwise(edges)]

    assert read(parts, "~!~") == "status 200, body with '~!~'"


@pytest.mark.parametrize(
    ("before", "words"),
    [(LIMIT_BODY_BYTES - 3, "status 200, body with 'bar'"), (LIMIT_BODY_BYTES - 2, "body without")],
)
def test_the_text_is_looked_for_in_64_kib(before: int, words: str) -> None:
    data = OK + b"\r\n" + b"x" * before + b"bar"

    assert read([data], BAR).startswith(words)


def test_a_head_without_end_is_given_up() -> None:
    line = b"X: " + b"x" * 1000 + b"\r\n"

    assert f"exceeds {LIMIT_HEAD_BYTES}" in read([OK, *[line] * 20], "")


@pytest.mark.parametrize(
    ("host", "resource", "line"),
    [("", "/", b"Host: 127.0.0.1:8080"), ("www.example.com", "/up?x=1", b"Host: www.example.com")],
)
def test_a_request_names_host_and_resource(host: str, resource: str, line: bytes) -> None:
    probe = Probe(ProbeKind.HTTP, host=host, resource=resource, path=direct(1).probe.path)

    lines = build_request(direct(8080, probe)).split(b"\r\n")

    assert lines[:2] == [b"GET %b HTTP/1.1" % resource.encode(), line]
    assert lines[-2:] == [b"", b""]


@given(size_bytes=st.integers(0, 70_000))
def test_a_padded_request_has_the_size_asked_for_in_lines_a_server_takes(size_bytes: int) -> None:
    target = direct(80, Probe(ProbeKind.HTTP, path=direct(1).probe.path))
    plain = build_request(target)

    request = build_request(target, size_bytes)

    assert max(map(len, request.split(b"\r\n"))) < 1024
    assert request.count(b"\r\n\r\n") == 1
    shortest_padded_bytes = len(plain) + len("X-Pad: \r\n")
    if size_bytes < shortest_padded_bytes:
        assert request == plain
    else:
        assert len(request) == size_bytes
