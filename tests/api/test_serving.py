"""Sockets, and every answer in one write."""

import asyncio
import json
import signal
import socket
import stat
from contextlib import closing
from pathlib import Path
from typing import Any

import pytest
from fastapi import FastAPI
from starlette.responses import StreamingResponse
from starlette.types import Receive, Scope, Send

from headrace.api import NOWHERE, Listening, build_app, listening
from headrace.api import serving as serving_module
from headrace.model import ConfigError, UnavailableError
from tests.api.fakes import FakeHost, FakeOperator, serving

ROUNDS = 200
REQUEST = b"GET /netlox/v1/config/loadbalancer/all HTTP/1.1\r\nHost: localhost\r\n\r\n"


@pytest.fixture
def app() -> FastAPI:
    return build_app(FakeOperator(), FakeHost())


def open_and_close(path: Path, listen: str) -> None:
    with listening(Listening(path, path.parent, (listen,))):
        pass


async def first_reads(address: tuple[str, int] | str, request: bytes) -> list[bytes]:
    """What the first read of each of many answers on one connection brings."""
    family = socket.AF_UNIX if isinstance(address, str) else socket.AF_INET
    loop = asyncio.get_running_loop()
    with closing(socket.socket(family, socket.SOCK_STREAM)) as sock:
        sock.setblocking(False)  # noqa: FBT003 - the socket module's own
        await loop.sock_connect(sock, address)
        reads = []
        for _ in range(ROUNDS):
            await loop.sock_sendall(sock, request)
            reads.append(await loop.sock_recv(sock, 65_536))
        return reads


def assert_whole(read: bytes) -> None:
    header, _, body = read.partition(b"\r\n\r\n")
    sizes = [line for line in header.split(b"\r\n") if line.lower().startswith(b"content-length")]
    assert len(sizes) == 1
    assert len(body) == int(sizes[0].split(b":")[1]) > 0


async def test_header_and_body_come_in_one_read_over_tcp(
    app: FastAPI, tmp_path: Path, free_port: int
) -> None:
    async with serving(app, tmp_path / "s", f"127.0.0.1:{free_port}"):
        reads = await first_reads(("127.0.0.1", free_port), REQUEST)

    for read in reads:
        assert_whole(read)


async def test_header_and_body_come_in_one_read_over_the_unix_socket(
    app: FastAPI, tmp_path: Path
) -> None:
    async with serving(app, tmp_path / "s"):
        reads = await first_reads(str(tmp_path / "s"), REQUEST)

    for read in reads:
        assert_whole(read)


async def test_errors_come_in_one_read_too(app: FastAPI, tmp_path: Path) -> None:
    async with serving(app, tmp_path / "s"):
        reads = await first_reads(str(tmp_path / "s"), b"GET /nowhere HTTP/1.1\r\nHost: x\r\n\r\n")

    for read in reads:
        assert_whole(read)


async def test_an_application_that_pauses_after_the_header_is_joined_all_the_same(
    tmp_path: Path,
) -> None:
    async def slow(_scope: Scope, _receive: Receive, send: Send) -> None:
        headers = [(b"content-length", b"2")]
        await send({"type": "http.response.start", "status": 200, "headers": headers})
        for _ in range(5):
            await asyncio.sleep(0)  # five turns of the event loop
        await send({"type": "http.response.body", "body": b"ok"})

    async with serving(slow, tmp_path / "s"):
        reads = await first_reads(str(tmp_path / "s"), REQUEST)

    for read in reads:
        assert_whole(read)


async def test_a_stream_leaves_as_it_comes(tmp_path: Path) -> None:
    more = asyncio.Event()
    app = FastAPI()

    @app.get("/events")
    async def events() -> StreamingResponse:
        async def parts() -> Any:
            yield b"first"
            await more.wait()
            yield b"second"

        return StreamingResponse(parts())

    async with serving(app, tmp_path / "s"):
        reader, writer = await asyncio.open_unix_connection(tmp_path / "s")
        writer.write(b"GET /events HTTP/1.1\r\nHost: x\r\nConnection: close\r\n\r\n")
        first = await reader.readuntil(b"first\r\n")
        more.set()
        rest = await reader.read()
        writer.close()

    assert b"HTTP/1.1 200 OK" in first
    assert b"second" in rest


async def test_an_answer_larger_than_any_buffer_arrives_whole(tmp_path: Path) -> None:
    big = b"x" * 5_000_000

    async def app(_scope: Scope, _receive: Receive, send: Send) -> None:
        headers = [(b"content-length", str(len(big)).encode())]
        await send({"type": "http.response.start", "status": 200, "headers": headers})
        await send({"type": "http.response.body", "body": big})

    async with serving(app, tmp_path / "s"):
        reader, writer = await asyncio.open_unix_connection(tmp_path / "s")
        writer.write(b"GET / HTTP/1.1\r\nHost: x\r\nConnection: close\r\n\r\n")
        answer = await reader.read()
        writer.close()

    assert answer.endswith(big)


async def test_only_the_owner_may_connect(app: FastAPI, tmp_path: Path) -> None:
    async with serving(app, tmp_path / "run" / "s"):
        mode = (tmp_path / "run" / "s").stat().st_mode

    assert stat.S_ISSOCK(mode)
    assert stat.S_IMODE(mode) == 0o600
    assert not (tmp_path / "run" / "s").exists()


async def test_a_stale_socket_is_replaced(app: FastAPI, tmp_path: Path) -> None:
    path = tmp_path / "s"
    with closing(socket.socket(socket.AF_UNIX)) as killed:
        killed.bind(str(path))

    async with serving(app, path):
        reader, writer = await asyncio.open_unix_connection(path)
        writer.write(REQUEST)
        assert await reader.readuntil(b"}")
        writer.close()


async def test_a_socket_that_answers_is_not_taken_over(app: FastAPI, tmp_path: Path) -> None:
    async with serving(app, tmp_path / "s"):
        with pytest.raises(UnavailableError, match="another daemon answers there; stop it"):
            open_and_close(tmp_path / "s", NOWHERE)

        reads = await first_reads(str(tmp_path / "s"), REQUEST)

    assert_whole(reads[0])


@pytest.mark.parametrize(
    ("listen", "message"),
    [
        ("0.0.0.0:11111", "0.0.0.0 can be reached by others, which needs TLS and a token"),
        ("192.0.2.1:11111", "192.0.2.1 can be reached by others, which needs TLS and a token"),
        ("[::]:11111", ":: can be reached by others, which needs TLS and a token"),
        ("localhost:11111", "'localhost:11111' is not ADDRESS:PORT; write 127.0.0.1:11111"),
        ("127.0.0.1", "'127.0.0.1' is not ADDRESS:PORT; write 127.0.0.1:11111"),
        ("127.0.0.1:70000", "70000 is not a port; use 1..65535"),
    ],
)
def test_an_address_that_cannot_be_used_is_refused(
    tmp_path: Path, listen: str, message: str
) -> None:
    with pytest.raises(ConfigError) as caught:
        open_and_close(tmp_path / "s", listen)

    assert str(caught.value).startswith(f"listen: {message}")
    assert not (tmp_path / "s").exists()


def test_a_port_that_is_taken_is_told_with_the_remedy(tmp_path: Path, free_port: int) -> None:
    told = pytest.raises(UnavailableError, match=r"Address already in use; end the program")
    with closing(socket.create_server(("127.0.0.1", free_port))), told:
        open_and_close(tmp_path / "s", f"127.0.0.1:{free_port}")

    assert not (tmp_path / "s").exists()


def test_a_path_too_long_for_a_socket_is_told(tmp_path: Path) -> None:
    with pytest.raises(UnavailableError, match="path too long; choose another folder"):
        open_and_close(tmp_path / ("x" * 120), NOWHERE)


async def test_signals_stay_with_the_daemon(app: FastAPI, tmp_path: Path) -> None:
    before = signal.getsignal(signal.SIGTERM), signal.getsignal(signal.SIGINT)

    async with serving(app, tmp_path / "s"):
        during = signal.getsignal(signal.SIGTERM), signal.getsignal(signal.SIGINT)

    assert during == before


async def test_connections_that_idle_do_not_hold_up_the_end(app: FastAPI, tmp_path: Path) -> None:
    async with serving(app, tmp_path / "s"):
        reader, writer = await asyncio.open_unix_connection(tmp_path / "s")
        writer.write(REQUEST)
        await reader.readuntil(b"}")

    assert await reader.read() == b""
    writer.close()


async def test_an_answer_on_a_kept_connection_follows_another(app: FastAPI, tmp_path: Path) -> None:
    async with serving(app, tmp_path / "s"):
        reader, writer = await asyncio.open_unix_connection(tmp_path / "s")
        writer.write(REQUEST * 3)
        for _ in range(3):
            header = await reader.readuntil(b"\r\n\r\n")
            assert b"HTTP/1.1 200 OK" in header
            assert json.loads(await reader.readuntil(b"}")) == {"lbAttr": []}
        writer.close()


async def test_a_body_that_nobody_read_does_not_spoil_the_next_request(
    app: FastAPI, tmp_path: Path
) -> None:
    delete = b"DELETE /netlox/v1/config/loadbalancer/all HTTP/1.1\r\nHost: x\r\n"
    body = b'Content-Type: application/json\r\nContent-Length: 14\r\n\r\n{"a": {"b":1}}'
    async with serving(app, tmp_path / "s"):
        reader, writer = await asyncio.open_unix_connection(tmp_path / "s")
        answers = []
        for request in (delete + body, REQUEST):
            writer.write(request)
            await reader.readuntil(b"\r\n\r\n")
            answers.append(json.loads(await reader.readuntil(b"}")))
        writer.close()

    assert answers == [{"result": "Success"}, {"lbAttr": []}]


async def test_a_header_over_the_limit_is_refused(app: FastAPI, tmp_path: Path) -> None:
    start, end = b"GET /v1/healthz HTTP/1.1\r\nHost: x\r\nX: ", b"\r\n\r\n"
    fits = serving_module.LIMIT_HEADER_BYTES - len(start + end)
    requests = [start + b"x" * fits + end, start + b"x" * (fits + len(end) + 1)]

    lines = []
    async with serving(app, tmp_path / "s"):
        for request in requests:
            reader, writer = await asyncio.open_unix_connection(tmp_path / "s")
            writer.write(request)
            lines.append(await reader.readline())
            writer.close()

    assert lines == [b"HTTP/1.1 200 OK\r\n", b"HTTP/1.1 400 Bad Request\r\n"]


async def test_connections_over_the_limit_are_told_to_wait(
    app: FastAPI, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(serving_module, "LIMIT_CONNECTIONS", 3)
    async with serving(app, tmp_path / "s"):
        streams = [await asyncio.open_unix_connection(tmp_path / "s") for _ in range(3)]
        streams[0][1].write(REQUEST)
        refused = await streams[0][0].readline()
        for _, writer in streams[1:]:
            writer.close()
            await writer.wait_closed()
        await streams[0][0].read()
        streams[0][1].close()

    assert refused == b"HTTP/1.1 503 Service Unavailable\r\n"


async def test_what_the_library_logs_comes_to_the_root(
    tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    operator = FakeOperator(failure=RuntimeError("a bug"))
    path = tmp_path / "s"
    head = b"HTTP/1.1\r\nHost: localhost\r\nConnection: close\r\n"

    async with serving(build_app(operator, FakeHost()), path):
        for request in (
            b"GET /v1/version " + head + b"Upgrade: websocket\r\n\r\n",
            b"no request at all\r\n\r\n",
            b"DELETE /v1/services/x " + head + b"\r\n",
        ):
            reader, writer = await asyncio.open_unix_connection(path)
            writer.write(request)
            await reader.read()
            writer.close()

    told = [each for each in caplog.records if each.name.startswith("uvicorn")]
    assert {each.levelname for each in told[:-1]} == {"WARNING"}
    assert told[-1].levelname == "ERROR"
    assert told[-1].exc_info is not None
    assert isinstance(told[-1].exc_info[1], RuntimeError)
