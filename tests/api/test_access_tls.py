"""Addresses that others can reach: TLS, and a token or a certificate; else the daemon says no."""

import asyncio
import contextlib
import ssl
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from dataclasses import replace
from datetime import UTC, datetime
from pathlib import Path

import pytest

from headrace.api import Listening, Role, TokenFile, build_app, listening
from headrace.api import serving as serving_module
from headrace.model import ConfigError, UnavailableError
from tests.api.authority import Authority, Pair
from tests.api.fakes import FakeHost, FakeOperator, serving_at

NOW = datetime(2026, 1, 2, tzinfo=UTC)
ANYWHERE = "0.0.0.0"


@pytest.fixture
def authority(tmp_path: Path) -> Authority:
    return Authority(tmp_path)


@pytest.fixture
def server(authority: Authority) -> Pair:
    return authority.sign("server", address="127.0.0.1")


@pytest.fixture
def wanted(tmp_path: Path, free_port: int, server: Pair) -> Listening:
    """On every address, by TLS."""
    return Listening(
        tmp_path / "s",
        tmp_path,
        (f"{ANYWHERE}:{free_port}",),
        certificate=server.certificate,
        key=server.key,
    )


@asynccontextmanager
async def answering(wanted: Listening) -> AsyncIterator[FakeOperator]:
    """An operator whose API answers there while the block runs."""
    operator = FakeOperator()
    async with serving_at(build_app(operator, FakeHost()), wanted):
        yield operator


def client(authority: Authority, pair: Pair | None = None) -> ssl.SSLContext:
    """The TLS of a client, with a certificate of its own or without."""
    context = ssl.create_default_context(cafile=str(authority.own.certificate))
    if pair is not None:
        context.load_cert_chain(pair.certificate, pair.key)
    return context


async def ask(
    port: int, tls: ssl.SSLContext | None, request: str = "GET /v1/status", *headers: str
) -> str:
    """The status line of an answer; empty when the connection ends without one."""
    reader, writer = await asyncio.open_connection("127.0.0.1", port, ssl=tls)
    try:
        lines = [f"{request} HTTP/1.1", "Host: lb.example", "Connection: close", *headers, "", ""]
        writer.write("\r\n".join(lines).encode())
        answer = await reader.read()
        return answer.decode().split("\r\n")[0]
    except (ConnectionError, ssl.SSLError):
        return ""
    finally:
        writer.close()
        with contextlib.suppress(ConnectionError, ssl.SSLError):
            await writer.wait_closed()


async def test_a_token_opens_what_others_can_reach(
    wanted: Listening, authority: Authority, free_port: int, tmp_path: Path
) -> None:
    secret = TokenFile(tmp_path).create("ci", Role.WRITE, NOW)
    async with answering(wanted) as operator:
        tls = client(authority)
        without = await ask(free_port, tls)
        with_it = await ask(free_port, tls, "GET /v1/status", f"Authorization: Bearer {secret}")
        await ask(free_port, tls, "POST /v1/node/drain", f"Authorization: Bearer {secret}")

    assert without == "HTTP/1.1 401 Unauthorized"
    assert with_it == "HTTP/1.1 200 OK"
    assert operator.authors == ["token:ci by rest"]


@pytest.mark.parametrize(
    ("unit", "statuses"),
    [
        ("headrace-read", ["200 OK", "403 Forbidden"]),
        ("headrace-write", ["200 OK", "200 OK"]),
        ("", ["403 Forbidden", "403 Forbidden"]),
    ],
)
async def test_a_certificate_opens_it_as_far_as_its_unit_says(
    wanted: Listening, authority: Authority, free_port: int, unit: str, statuses: list[str]
) -> None:
    wanted = replace(wanted, client_ca=authority.own.certificate)
    pair = authority.sign("ops", unit=unit)
    async with answering(wanted):
        tls = client(authority, pair)
        requests = ("GET /v1/status", "POST /v1/node/drain")
        lines = [await ask(free_port, tls, request) for request in requests]

    assert lines == [f"HTTP/1.1 {status}" for status in statuses]


async def test_a_certificate_that_another_authority_signed_ends_the_handshake(
    wanted: Listening, authority: Authority, free_port: int, tmp_path: Path
) -> None:
    wanted = replace(wanted, client_ca=authority.own.certificate)
    pair = Authority(tmp_path, "other").sign("ops", unit="headrace-write")
    async with answering(wanted):
        line = await ask(free_port, client(authority, pair))

    assert line == ""


async def test_nothing_is_answered_in_clear_there(
    wanted: Listening, authority: Authority, free_port: int
) -> None:
    wanted = replace(wanted, client_ca=authority.own.certificate)
    async with answering(wanted):
        line = await ask(free_port, None)

    assert line == ""


async def test_a_page_cannot_use_the_certificate_of_a_browser(
    wanted: Listening, authority: Authority, free_port: int
) -> None:
    wanted = replace(wanted, client_ca=authority.own.certificate)
    pair = authority.sign("ops", unit="headrace-write")
    async with answering(wanted) as operator:
        tls = client(authority, pair)
        line = await ask(free_port, tls, "POST /v1/node/drain", "Origin: https://evil.example")

    assert (line, operator.authors) == ("HTTP/1.1 403 Forbidden", [])


async def test_a_renewed_certificate_is_used_without_a_restart(
    wanted: Listening, authority: Authority, server: Pair, free_port: int
) -> None:
    wanted = replace(wanted, client_ca=authority.own.certificate)
    pair = authority.sign("ops", unit="headrace-read")

    async def serial() -> str:
        _, writer = await asyncio.open_connection(
            "127.0.0.1", free_port, ssl=client(authority, pair)
        )
        found: str = writer.get_extra_info("peercert")["serialNumber"]
        writer.close()
        await writer.wait_closed()
        return found

    async with answering(wanted):
        serials = [await serial(), await serial()]
        renewed = authority.sign("renewed", address="127.0.0.1")
        renewed.key.replace(server.key)
        renewed.certificate.replace(server.certificate)
        serials.append(await serial())
        server.certificate.write_text("nonsense")
        serials.append(await serial())

    assert serials[0] == serials[1] != serials[2] == serials[3]


async def test_strangers_do_not_take_the_places_of_the_host(
    wanted: Listening, authority: Authority, free_port: int, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(serving_module, "LIMIT_CONNECTIONS", 3)
    wanted = replace(wanted, client_ca=authority.own.certificate)
    async with answering(wanted):
        streams = [
            await asyncio.open_connection("127.0.0.1", free_port, ssl=client(authority))
            for _ in range(3)
        ]
        reader, writer = await asyncio.open_unix_connection(wanted.unix_path)
        writer.write(b"GET /v1/status HTTP/1.1\r\nHost: x\r\n\r\n")
        line = await reader.readline()
        for each in (writer, *(writer for _, writer in streams)):
            each.close()
            await each.wait_closed()

    assert line == b"HTTP/1.1 200 OK\r\n"


def refusal(wanted: Listening) -> str:
    """Why nothing listens."""
    with pytest.raises(ConfigError) as caught, listening(wanted):
        pass
    assert not wanted.unix_path.exists()
    return str(caught.value)


def test_all_that_is_missing_is_named_at_once(wanted: Listening) -> None:
    bare = replace(wanted, certificate=None, key=None)

    assert refusal(bare) == (
        "listen: 0.0.0.0 can be reached by others, which needs TLS and a token; set "
        "--tls-certificate; set --tls-key; run `headrace token create NAME --role write`, or set "
        "--tls-client-ca"
    )


def test_tls_alone_lets_nobody_in(wanted: Listening) -> None:
    assert refusal(wanted).endswith(
        "a token; run `headrace token create NAME --role write`, or set --tls-client-ca"
    )


def test_tokens_alone_are_not_sent_in_clear(wanted: Listening, tmp_path: Path) -> None:
    TokenFile(tmp_path).create("ci", Role.WRITE, NOW)

    assert refusal(replace(wanted, key=None)).endswith("a token; set --tls-key")


def test_none_and_an_address_contradict_each_other(wanted: Listening) -> None:
    both = replace(wanted, addresses=("none", "127.0.0.1:11111"))

    assert refusal(both) == "listen: 'none' and an address; leave one of them out"


def test_addresses_end_at_their_limit(wanted: Listening) -> None:
    many = tuple(f"127.0.0.{n}:11111" for n in range(1, 18))

    assert refusal(replace(wanted, addresses=many)) == "listen: 17 addresses; the limit is 16"


def test_a_key_that_everybody_reads_is_refused(
    wanted: Listening, server: Pair, authority: Authority
) -> None:
    server.key.chmod(0o644)
    with (
        pytest.raises(UnavailableError, match=r"server\.key is open to every user; chmod o= "),
        listening(replace(wanted, client_ca=authority.own.certificate)),
    ):
        pass


def test_files_that_do_not_belong_together_are_told(
    wanted: Listening, authority: Authority
) -> None:
    other = authority.sign("other")
    with (
        pytest.raises(UnavailableError, match="give PEM files that belong together"),
        listening(replace(wanted, key=other.key, client_ca=authority.own.certificate)),
    ):
        pass
