"""Tokens by command, and a daemon on another host that is asked with one."""

import json
import socket
from collections.abc import Iterator
from contextlib import closing
from dataclasses import dataclass
from datetime import UTC, datetime
from pathlib import Path

import pytest

from headrace.api import Listening, Role, TokenFile
from tests.api.authority import Authority
from tests.api.fakes import FakeOperator, running_api
from tests.cli.conftest import Headrace

NOW = datetime(2026, 1, 2, tzinfo=UTC)


@dataclass(frozen=True)
class Far:
    """A daemon on another host, and what it takes to ask it."""

    headrace: Headrace
    server: str
    authority: Authority
    token_file: Path

    @property
    def options(self) -> list[str]:
        """Before the verb."""
        ca_file = str(self.authority.own.certificate)
        return ["--token-file", str(self.token_file), "--ca-file", ca_file]


@pytest.fixture
def state(tmp_path: Path) -> list[str]:
    return ["--state", str(tmp_path / "state")]


def test_a_token_is_shown_once(headrace: Headrace, state: list[str], tmp_path: Path) -> None:
    made = headrace("token", "create", "ci", "--role", "write", *state)
    listed = headrace("token", "list", *state)
    as_json = headrace("token", "list", "-o", "json", *state)

    found = TokenFile(tmp_path / "state").find(made.out.strip(), NOW)
    assert found is not None
    assert (found.name, found.role) == ("ci", Role.WRITE)
    assert [line.split("|")[1:3] for line in listed.out.splitlines()[2:]] == [[" ci   ", " write "]]
    assert [(each["name"], each["role"]) for each in json.loads(as_json.out)] == [("ci", "write")]
    assert made.out.strip() not in listed.out + as_json.out


def test_a_revoked_token_is_gone(headrace: Headrace, state: list[str], tmp_path: Path) -> None:
    headrace("token", "create", "ci", "--role", "read", *state)

    done = headrace("token", "revoke", "ci", *state)

    assert done.out == "token ci is revoked\n"
    assert TokenFile(tmp_path / "state").tokens() == []


@pytest.mark.parametrize(
    ("arguments", "told"),
    [
        (["create", "a b", "--role", "read"], "'a b' is not a name of 1 to 64"),
        (["create", "ci", "--role", "admin"], "--role admin: write read or write"),
        (["revoke", "ci"], "there is no token ci"),
    ],
)
def test_what_cannot_be_is_told(
    headrace: Headrace, state: list[str], arguments: list[str], told: str
) -> None:
    done = headrace("token", *arguments, *state)

    assert (done.code, told in done.err) == (1, True)


@pytest.fixture
def far(tmp_path: Path, headrace: Headrace, monkeypatch: pytest.MonkeyPatch) -> Iterator[Far]:
    """A daemon that is asked as one on another host is."""
    with closing(socket.socket()) as sock:
        sock.bind(("127.0.0.1", 0))
        port = sock.getsockname()[1]
    authority, state = Authority(tmp_path), tmp_path / "far"
    pair = authority.sign("server", address="127.0.0.1")
    token_file = tmp_path / "token"
    token_file.write_text(TokenFile(state).create("ci", Role.READ, NOW) + "\n")
    wanted = Listening(
        state / "s",
        state,
        (f"0.0.0.0:{port}",),
        certificate=pair.certificate,
        key=pair.key,
        client_ca=authority.own.certificate,
    )
    for name in ("TOKEN", "TOKEN_FILE", "CA_FILE", "CERTIFICATE", "KEY"):
        monkeypatch.setenv(f"HEADRACE_{name}", "")
    with running_api(wanted.unix_path, FakeOperator(), wanted):
        server = f"https://127.0.0.1:{port}"
        monkeypatch.setenv("HEADRACE_SERVER", server)
        yield Far(headrace, server, authority, token_file)


def test_a_token_in_a_file_is_shown_over_tls(far: Far) -> None:
    done = far.headrace(*far.options, "status", "-o", "json")

    assert (done.code, json.loads(done.out)["node"]) == (0, "llb1")


def test_a_token_in_the_environment_is_shown_too(far: Far, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("HEADRACE_TOKEN", far.token_file.read_text().strip())
    monkeypatch.setenv("HEADRACE_CA_FILE", str(far.authority.own.certificate))

    assert far.headrace("status", "-o", "json").code == 0


def test_a_certificate_is_shown_too(far: Far, monkeypatch: pytest.MonkeyPatch) -> None:
    pair = far.authority.sign("ops", unit="headrace-write")
    monkeypatch.setenv("HEADRACE_CERTIFICATE", str(pair.certificate))
    monkeypatch.setenv("HEADRACE_KEY", str(pair.key))

    done = far.headrace("--ca-file", str(far.authority.own.certificate), "undrain", "node")

    assert (done.code, done.err) == (0, "")


def test_what_the_token_may_not_is_told(far: Far) -> None:
    done = far.headrace(*far.options, "drain", "node")

    assert done.err == "headrace: token:ci may read, not change; use a token of role write\n"


def test_nobody_is_told_what_to_show(far: Far) -> None:
    done = far.headrace("--ca-file", str(far.authority.own.certificate), "status")

    assert "`headrace token create` on the node makes one" in done.err


def test_a_server_that_nobody_vouches_for_is_not_told_the_token(far: Far) -> None:
    done = far.headrace("--token-file", str(far.token_file), "status")

    assert done.err.endswith("name its authority by --ca-file\n")


def test_a_token_is_not_sent_in_clear(far: Far) -> None:
    done = far.headrace(*far.options, "status", "--server", "http://192.0.2.1:11111")

    assert done.err == (
        "headrace: --server http://192.0.2.1:11111: a token is not sent in clear; use https\n"
    )


@pytest.mark.parametrize(
    "content", [b"one\ntwo\n", b"a secret", b"\xff\xfe", "schl\u00fcssel".encode()]
)
def test_what_is_no_token_is_told_and_not_shown(far: Far, content: bytes) -> None:
    far.token_file.write_bytes(content)

    done = far.headrace(*far.options, "status")

    remedy = "is no token; keep the one line that `token create` printed"
    assert done.err == f"headrace: --token-file {far.token_file}: {remedy}\n"


@pytest.mark.parametrize(
    ("option", "told"),
    [("--token-file", "--token-file /no/such: No such file"), ("--ca-file", "name PEM files")],
)
def test_a_file_that_is_not_there_is_told(far: Far, option: str, told: str) -> None:
    done = far.headrace(option, "/no/such", "status")

    assert (done.code, told in done.err) == (1, True)


def test_a_token_may_expire(headrace: Headrace, state: list[str], tmp_path: Path) -> None:
    made = headrace("token", "create", "ci", "--role=read", "--expires=2999-01-02", *state)
    headrace("token", "create", "stays", "--role=read", *state)
    late = headrace("token", "create", "late", "--role=read", "--expires=2020-01-02", *state)

    tokens = TokenFile(tmp_path / "state")
    assert tokens.find(made.out.strip(), NOW) is not None
    assert tokens.find(made.out.strip(), datetime(2999, 1, 2, tzinfo=UTC)) is None
    listed = headrace("token", "list", "-o", "json", *state).out
    told = [each["expires"] for each in json.loads(listed)]
    assert told == ["2999-01-02 00:00:00+00:00", "never"]
    assert "is over already; name a later time" in late.err
