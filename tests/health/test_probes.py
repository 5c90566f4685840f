"""Each kind of probe against real sockets: what it believes, and the reason in words."""

import asyncio
import contextlib
import errno
import os
import socket
import ssl
from collections.abc import AsyncIterator, Awaitable, Callable
from pathlib import Path

import pytest

from headrace.health.exchange import open_socket
from headrace.health.probe_tcp import SCTP
from headrace.health.result import result_of
from headrace.model import Belief, Health, Probe, ProbeKind
from tests.health.listeners import silence
from tests.health.support import (
    FAST,
    direct,
    first_belief,
    like,
    listening,
    port_of,
    unused_port,
)
from tests.underlay.network import namespaces

CERTIFICATES = Path(__file__).parent / "certificates"
"""authority.pem signed server.pem for www.example.com; stranger.pem signed nothing. Until 2126."""

HTTP = like(FAST, kind=ProbeKind.HTTP)
UDP = like(FAST, kind=ProbeKind.UDP, request=b"ping", response=b"pong")
OK = b"HTTP/1.1 200 OK\r\nContent-Length: 8\r\n\r\nall is k"
Handler = Callable[[asyncio.StreamReader, asyncio.StreamWriter], Awaitable[None]]


@contextlib.asynccontextmanager
async def serving(handler: Handler, tls: ssl.SSLContext | None = None) -> AsyncIterator[int]:
    """A server on 127.0.0.1; its port."""

    async def handle(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        with contextlib.suppress(ConnectionError, asyncio.IncompleteReadError):
            await handler(reader, writer)
        writer.close()

    server = await asyncio.start_server(handle, "127.0.0.1", 0, ssl=tls)
    async with server:
        yield int(server.sockets[0].getsockname()[1])


def answering(answer: bytes) -> Handler:
    """A server that reads a request and says this."""

    async def handle(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        await reader.readuntil(b"\r\n\r\n")
        writer.write(answer)
        await writer.drain()

    return handle


async def nothing(reader: asyncio.StreamReader, _writer: asyncio.StreamWriter) -> None:
    """Answer nothing until the other side goes away."""
    await reader.read()


def up(belief: Belief) -> str:
    assert belief.health is Health.UP
    return belief.reason


def down(belief: Belief) -> str:
    assert belief.health is Health.DOWN
    return belief.reason


@pytest.mark.parametrize("address", ["127.0.0.1", "::1"])
async def test_tcp_passes_when_a_connection_is_made(address: str) -> None:
    family = socket.AF_INET6 if ":" in address else socket.AF_INET
    with socket.create_server((address, 0), family=family) as listener:
        target = direct(port_of(listener), address=address)

        assert up(await first_belief(target)) == "connected"


async def test_tcp_fails_when_it_is_refused() -> None:
    assert down(await first_belief(direct(unused_port()))) == "refused"


async def test_tcp_fails_by_timeout_when_nothing_comes_back() -> None:
    with listening() as listener:
        silence(listener)

        assert down(await first_belief(direct(port_of(listener)))) == "timeout"


async def test_the_port_of_the_probe_goes_before_that_of_the_service() -> None:
    with listening() as listener:
        target = direct(unused_port(), like(FAST, port=port_of(listener)))

        assert up(await first_belief(target)) == "connected"


def left_behind(port: int) -> list[str]:
    """The states of our ends of connections to a port; one that was reset has no end any more.

    TIME_WAIT would come only once the other side closes, and a listener that accepts nothing never
    does.
    """
    lines = Path("/proc/net/tcp").read_text().splitlines()[1:]
    columns = [line.split() for line in lines]
    return [state for _, _, peer, state, *_ in columns if peer.endswith(f":{port:04X}")]


async def test_a_tcp_probe_leaves_no_socket_behind() -> None:
    with listening() as listener:
        await first_belief(direct(port_of(listener), like(FAST, rise=20, interval_s=0.005)))

        assert left_behind(port_of(listener)) == []


@pytest.mark.parametrize(
    ("probe", "words"),
    [
        pytest.param(HTTP, "status 200", id="status"),
        pytest.param(like(HTTP, body="is k"), "status 200, body with 'is k'", id="text"),
    ],
)
async def test_http_passes_on_the_wanted_answer(probe: Probe, words: str) -> None:
    async with serving(answering(OK)) as port:
        assert up(await first_belief(direct(port, probe))) == words


@pytest.mark.parametrize(
    ("answer", "probe", "words"),
    [
        pytest.param(b"HTTP/1.1 503 x\r\n\r\n", HTTP, "bad status 503", id="status"),
        pytest.param(OK, like(HTTP, statuses=frozenset({204})), "bad status 200", id="no 204"),
        pytest.param(OK, like(HTTP, body="ok"), "body without 'ok'", id="text"),
        pytest.param(b"220 smtp\r\n", HTTP, "no HTTP answer, but b'220 smtp", id="protocol"),
        pytest.param(b"", HTTP, "no HTTP answer: the connection ended", id="empty"),
    ],
)
async def test_http_fails_on_another_answer(answer: bytes, probe: Probe, words: str) -> None:
    async with serving(answering(answer)) as port:
        assert down(await first_belief(direct(port, probe))).startswith(words)


async def test_http_fails_when_a_connection_is_made_but_nothing_answered() -> None:
    async with serving(nothing) as port:
        reason = down(await first_belief(direct(port, HTTP)))

    assert reason == "timeout: connected, but no complete answer"


async def test_http_fails_when_it_is_reset() -> None:
    async def reset(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        await reader.readuntil(b"\r\n\r\n")
        writer.transport.abort()

    async with serving(reset) as port:
        assert down(await first_belief(direct(port, HTTP))) in {
            "reset",
            "no HTTP answer: the connection ended",
        }


async def test_http_asks_for_host_and_resource() -> None:
    requests = []

    async def note(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        requests.append(await reader.readuntil(b"\r\n\r\n"))
        writer.write(OK)

    async with serving(note) as port:
        await first_belief(direct(port, like(HTTP, host="www.example.com", resource="/up?deep=1")))

    assert requests[0].startswith(b"GET /up?deep=1 HTTP/1.1\r\nHost: www.example.com\r\n")


@pytest.fixture
def tls() -> ssl.SSLContext:
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    context.load_cert_chain(CERTIFICATES / "server.pem")
    return context


def https(ca: str, host: str = "www.example.com", **changes: object) -> Probe:
    ca_file = str(CERTIFICATES / ca) if ca else ""
    return like(FAST, kind=ProbeKind.HTTPS, ca_file=ca_file, host=host, timeout_s=2.0, **changes)


@pytest.mark.parametrize("version", [ssl.TLSVersion.TLSv1_2, ssl.TLSVersion.TLSv1_3])
@pytest.mark.parametrize(
    "probe",
    [
        pytest.param(https("authority.pem"), id="authority and name"),
        pytest.param(https("authority.pem", host="www.example.com:8443"), id="name with a port"),
        pytest.param(https("authority.pem", host=""), id="authority only"),
        pytest.param(https("", host="other.example.com"), id="unchecked"),
        pytest.param(https("authority.pem", full_size=True), id="full size"),
    ],
)
async def test_https_passes_where_the_certificate_is_good_enough(
    tls: ssl.SSLContext, probe: Probe, version: ssl.TLSVersion
) -> None:
    tls.maximum_version = version
    async with serving(answering(OK), tls) as port:
        assert up(await first_belief(direct(port, like(probe, body="is k"))))


@pytest.mark.parametrize(
    ("probe", "words"),
    [
        pytest.param(https("stranger.pem"), "certificate: unable to get", id="another authority"),
        pytest.param(
            https("authority.pem", host="other.example.com"),
            "certificate: Hostname mismatch",
            id="another name",
        ),
        pytest.param(https("missing.pem"), "certificate authority", id="no such file"),
        pytest.param(https("authority.pem", statuses=frozenset({204})), "bad status 200", id="204"),
        pytest.param(https("authority.pem", body="ok"), "body without 'ok'", id="text"),
    ],
)
async def test_https_fails_with_the_reason(tls: ssl.SSLContext, probe: Probe, words: str) -> None:
    async with serving(answering(OK), tls) as port:
        assert down(await first_belief(direct(port, probe))).startswith(words)


async def test_https_is_read_to_its_end_where_no_length_is_told(tls: ssl.SSLContext) -> None:
    answer = b"HTTP/1.1 200 OK\r\nConnection: close\r\n\r\nall is k"
    async with serving(answering(answer), tls) as port:
        belief = await first_belief(direct(port, https("authority.pem", body="ok")))

    assert down(belief).startswith("body without 'ok'")


async def test_authorities_whose_file_is_replaced_are_read_anew(
    tls: ssl.SSLContext, tmp_path: Path
) -> None:
    ca_file = tmp_path / "ca.pem"
    probe = like(https("", host="www.example.com"), ca_file=str(ca_file))
    async with serving(answering(OK), tls) as port:
        for age_s, name, judge in ((60, "stranger.pem", down), (0, "authority.pem", up)):
            ca_file.write_bytes((CERTIFICATES / name).read_bytes())
            at_ns = ca_file.stat().st_mtime_ns - age_s * 10**9
            os.utime(ca_file, ns=(at_ns, at_ns))

            assert judge(await first_belief(direct(port, probe)))


async def test_https_fails_where_no_tls_is_spoken() -> None:
    async with serving(answering(OK)) as port:
        reason = down(await first_belief(direct(port, like(https(""), timeout_s=0.2))))

    assert reason.startswith(("TLS: ", "timeout: connected"))


@contextlib.asynccontextmanager
async def echoing(answer: bytes | None) -> AsyncIterator[int]:
    """A UDP server that answers every datagram with this, or swallows it; its port."""

    class Server(asyncio.DatagramProtocol):
        def connection_made(self, transport: asyncio.DatagramTransport) -> None:  # type: ignore[override]
            self.transport = transport

        def datagram_received(self, data: bytes, addr: tuple[str, int]) -> None:
            if answer is not None:
                self.transport.sendto(answer.replace(b"%", data), addr)

    loop = asyncio.get_running_loop()
    transport, _ = await loop.create_datagram_endpoint(Server, local_addr=("127.0.0.1", 0))
    yield int(transport.get_extra_info("sockname")[1])
    transport.close()


async def test_udp_passes_when_the_answer_begins_as_it_should() -> None:
    async with echoing(b"pong for %") as port:
        assert up(await first_belief(direct(port, UDP))) == "answered"
        exact = like(UDP, response=b"pong for ping")
        assert up(await first_belief(direct(port, exact))) == "answered"


async def test_udp_fails_when_the_answer_begins_otherwise() -> None:
    async with echoing(b"who are you") as port:
        reason = down(await first_belief(direct(port, UDP)))

    assert reason == "answer begins with b'who are you', not b'pong'"


async def test_udp_fails_when_the_port_is_unreachable_or_silent() -> None:
    with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as unused:
        unused.bind(("127.0.0.1", 0))
        port = int(unused.getsockname()[1])
    assert down(await first_belief(direct(port, UDP))) == "refused"

    async with echoing(None) as port:
        assert down(await first_belief(direct(port, UDP))) == "timeout"


def has_sctp() -> bool:
    try:
        socket.socket(socket.AF_INET, socket.SOCK_STREAM, socket.IPPROTO_SCTP).close()
    except OSError:
        return False
    return True


async def test_sctp_fails_when_it_is_refused_or_says_that_the_kernel_lacks_it() -> None:
    target = direct(9, like(FAST, kind=ProbeKind.SCTP))

    if has_sctp():
        assert down(await first_belief(target)) == "refused"
        return
    with pytest.raises(OSError, match="Protocol not supported") as caught:
        open_socket(SCTP, target, way=None)
    result = result_of(caught.value)
    assert result.vote is Health.UNKNOWN
    assert result.words.startswith("cannot probe: protocol not supported (this kernel lacks it")


@pytest.mark.netns
@pytest.mark.parametrize("address", ["127.0.0.1", "::1"])
async def test_ping_passes_when_the_echo_comes_back(address: str) -> None:
    for full_size in (False, True):
        probe = like(FAST, kind=ProbeKind.PING, full_size=full_size)

        assert up(await first_belief(direct(0, probe, address))).startswith("answered")


@pytest.mark.netns
def test_ping_fails_when_nothing_echoes() -> None:
    with namespaces("health") as (namespace,):
        namespace.sysctl("net.ipv4.icmp_echo_ignore_all=1")
        belief = namespace.inside(
            lambda: asyncio.run(first_belief(direct(0, like(FAST, kind=ProbeKind.PING))))
        )

    assert down(belief) == "timeout"


@pytest.mark.netns
def test_an_address_without_a_route_has_no_path() -> None:
    with namespaces("health") as (namespace,):
        target = direct(80, address="198.51.100.1")
        belief = namespace.inside(lambda: asyncio.run(first_belief(target)))

    assert down(belief) == "no path: network unreachable"


@pytest.mark.parametrize("full_size", [False, True])
async def test_a_full_size_exchange_passes_on_a_path_that_carries_it(*, full_size: bool) -> None:
    async with serving(answering(OK)) as port:
        for kind in (ProbeKind.TCP, ProbeKind.HTTP):
            assert up(await first_belief(direct(port, like(FAST, kind=kind, full_size=full_size))))


@pytest.mark.parametrize(
    ("code", "vote", "words"),
    [
        (errno.ECONNRESET, Health.DOWN, "reset"),
        (errno.EHOSTUNREACH, Health.DOWN, "host unreachable"),
        (errno.EMFILE, Health.UNKNOWN, "cannot probe: too many open files (raise"),
        (errno.EPERM, Health.UNKNOWN, "cannot probe: operation not permitted (its firewall"),
        (errno.ETIMEDOUT, Health.DOWN, "timeout"),
        (errno.ENOTCONN, Health.DOWN, "transport endpoint is not connected"),
    ],
)
def test_a_trouble_of_this_node_says_nothing_of_the_endpoint(
    code: int, vote: Health, words: str
) -> None:
    result = result_of(OSError(code, os.strerror(code)))

    assert result.vote is vote
    assert result.words.startswith(words)
