"""Who may ask what: users, tokens, roles, and no web page."""

import asyncio
import grp
import stat
import subprocess
import tempfile
from contextlib import closing, suppress
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from http import HTTPStatus
from pathlib import Path

import pytest

from headrace.api import Listening, Role, TokenFile, build_app, listening
from headrace.api import access as access_module
from headrace.api import serving as serving_module
from headrace.api.access import (
    LIMIT_FAILURES,
    LIMIT_PLACES,
    WINDOW_S,
    Access,
    DeniedError,
    Failures,
    check_role,
)
from headrace.api.callers import Caller, LocalPeer, TlsPeer, UnixPeer
from headrace.model import ConfigError
from tests.api.fakes import OWN_USER, Api, FakeHost, FakeOperator, running_api, serving

NOW = datetime(2026, 1, 2, tzinfo=UTC)
DAEMON_UID, READERS_GID, STRANGER_UID = 900, 901, 1000
DAEMON_GID = grp.getgrnam("daemon").gr_gid
ASK = (
    "$s = IO::Socket::UNIX->new(Peer => $ARGV[0]) or die $!;"
    r'print $s "$ARGV[1] HTTP/1.1\r\nHost: x\r\n\r\n"; print scalar <$s>;'
)
"""Perl, which every user of a Debian may run; the project's Python may be root's alone."""

LOCAL = LocalPeer("127.0.0.1")
FAR = TlsPeer("192.0.2.7")
SERVICE = {
    "vip": "20.20.20.1",
    "protocol": "tcp",
    "port": 80,
    "endpoints": [{"address": "56.56.56.1"}],
}
KEY = "/v1/services/20.20.20.1:80/tcp"


@dataclass
class Clock:
    """Time that a test sets."""

    now_s: float = 1000.0

    def __call__(self) -> float:
        """The time."""
        return self.now_s


@pytest.fixture
def tokens(tmp_path: Path) -> TokenFile:
    return TokenFile(tmp_path)


@pytest.fixture
def clock() -> Clock:
    return Clock()


@pytest.fixture
def access(tokens: TokenFile, clock: Clock) -> Access:
    return Access(
        tokens,
        owner_uid=DAEMON_UID,
        owner_name="headrace",
        readers_gid=READERS_GID,
        now=clock,
    )


async def denial(access: Access, peer: UnixPeer | LocalPeer | TlsPeer, header: str) -> DeniedError:
    """How a caller is turned away."""
    with pytest.raises(DeniedError) as caught:
        await access.identify(peer, header)
    return caught.value


@pytest.mark.parametrize(
    ("peer", "caller"),
    [
        pytest.param(UnixPeer(0, frozenset({0})), Caller("uid:0 (root)", Role.WRITE), id="root"),
        pytest.param(
            UnixPeer(DAEMON_UID, frozenset()),
            Caller("uid:900 (headrace)", Role.WRITE),
            id="the daemon's user",
        ),
        pytest.param(
            UnixPeer(STRANGER_UID, frozenset({5, READERS_GID})),
            Caller("uid:1000", Role.READ),
            id="a member of the readers",
        ),
        pytest.param(LOCAL, Caller("local:127.0.0.1", Role.WRITE), id="a loopback address"),
        pytest.param(
            TlsPeer("192.0.2.7", "ops", ("x", "headrace-write", "headrace-read")),
            Caller("certificate:ops", Role.WRITE),
            id="a certificate that may write",
        ),
        pytest.param(
            TlsPeer("192.0.2.7", "prometheus", ("headrace-read",)),
            Caller("certificate:prometheus", Role.READ),
            id="a certificate that may read",
        ),
    ],
)
async def test_a_caller_is_known_by_the_connection(
    access: Access, peer: UnixPeer | LocalPeer | TlsPeer, caller: Caller
) -> None:
    assert await access.identify(peer, "") == caller


@pytest.mark.parametrize(
    ("peer", "status", "remedy"),
    [
        pytest.param(
            UnixPeer(STRANGER_UID, frozenset({5})), HTTPStatus.FORBIDDEN, "use sudo", id="user"
        ),
        pytest.param(FAR, HTTPStatus.UNAUTHORIZED, "headrace token create", id="no token"),
        pytest.param(
            TlsPeer("192.0.2.7", "someone", ("sales",)),
            HTTPStatus.FORBIDDEN,
            "organisational unit (OU) headrace-read or headrace-write",
            id="a certificate without a role",
        ),
    ],
)
async def test_a_stranger_is_told_what_would_help(
    access: Access, peer: UnixPeer | TlsPeer, status: HTTPStatus, remedy: str
) -> None:
    error = await denial(access, peer, "")

    assert (error.status, remedy in str(error)) == (status, True)


@pytest.mark.parametrize("header", ["Bearer {}", "bearer  {}", "{}"])
@pytest.mark.parametrize("peer", [UnixPeer(STRANGER_UID, frozenset()), LOCAL, FAR])
async def test_a_token_decides_wherever_it_is_shown(
    access: Access, tokens: TokenFile, peer: UnixPeer | LocalPeer | TlsPeer, header: str
) -> None:
    secret = tokens.create("ci", Role.READ, NOW)

    caller = await access.identify(peer, header.format(secret))

    assert caller == Caller("token:ci", Role.READ)


async def test_a_token_of_loxilb_is_nothing_on_a_loopback_address(access: Access) -> None:
    assert (await access.identify(LOCAL, "eyJhbGciOi")).name == "local:127.0.0.1"


async def test_a_certificate_counts_no_longer_than_it_is_valid(access: Access) -> None:
    """On a connection, too, that was made before."""
    now = datetime.now(UTC)
    valid, over = (
        TlsPeer("192.0.2.7", "ann", ("headrace-read",), now + timedelta(hours=hours))
        for hours in (1, -1)
    )

    assert [await access.may_still(peer, "") for peer in (valid, over, LOCAL)] == [
        True,
        False,
        True,
    ]


async def test_a_revoked_token_opens_nothing(access: Access, tokens: TokenFile) -> None:
    secret = tokens.create("ci", Role.WRITE, NOW)
    await access.identify(FAR, secret)
    tokens.revoke("ci")

    assert (await denial(access, FAR, secret)).status is HTTPStatus.UNAUTHORIZED


async def test_guessing_is_stopped_for_a_while(
    access: Access, tokens: TokenFile, clock: Clock
) -> None:
    secret = tokens.create("ci", Role.WRITE, NOW)

    tries = [(await denial(access, FAR, "guess")).status for _ in range(LIMIT_FAILURES)]
    stopped = await denial(access, FAR, secret)
    elsewhere = await access.identify(TlsPeer("192.0.2.8"), secret)
    clock.now_s += WINDOW_S

    assert set(tries) == {HTTPStatus.UNAUTHORIZED}
    assert stopped.status is HTTPStatus.TOO_MANY_REQUESTS
    assert stopped.headers["retry-after"] == "60"
    assert elsewhere == await access.identify(FAR, secret) == Caller("token:ci", Role.WRITE)


async def test_all_addresses_of_an_ipv6_site_guess_together(access: Access) -> None:
    for host in range(LIMIT_FAILURES):
        await denial(access, TlsPeer(f"2001:db8::{host}"), "guess")

    assert (await denial(access, TlsPeer("2001:db8::ffff"), "guess")).status is (
        HTTPStatus.TOO_MANY_REQUESTS
    )
    assert (await denial(access, TlsPeer("2001:db8:0:1::"), "guess")).status is (
        HTTPStatus.UNAUTHORIZED
    )


def test_places_are_forgotten_at_the_limit() -> None:
    failures = Failures()
    for _ in range(LIMIT_FAILURES):
        failures.note("first", 0.0)
    waits_s = failures.wait_s("first", 0.0)
    for number in range(LIMIT_PLACES):
        failures.note(f"place {number}", 0.0)

    assert (waits_s, failures.wait_s("first", 0.0)) == (WINDOW_S, 0.0)


def test_a_place_that_goes_on_is_not_the_one_forgotten() -> None:
    failures = Failures()
    for number in range(LIMIT_PLACES):
        for _ in range(LIMIT_FAILURES):
            failures.note(f"place {number}", 0.0)

    failures.note("place 0", 1.0)
    failures.note("another", 1.0)

    waits_s = [failures.wait_s(f"place {number}", 1.0) for number in range(3)]
    assert waits_s == [WINDOW_S - 1, 0.0, WINDOW_S - 1]


def test_guessing_is_counted_anew_in_each_window() -> None:
    failures = Failures()
    for window in range(3):
        begin = window * WINDOW_S
        for count in range(LIMIT_FAILURES):
            assert failures.wait_s("a place", begin) == 0.0, (window, count)
            failures.note("a place", begin)

        assert failures.wait_s("a place", begin) == WINDOW_S


def test_an_ipv4_caller_is_one_place_however_it_is_written() -> None:
    places = {access_module._place(TlsPeer(each)) for each in ("192.0.2.7", "::ffff:192.0.2.7")}

    assert places == {"192.0.2.7"}
    assert access_module._place(TlsPeer("::ffff:192.0.2.8")) == "192.0.2.8"


def test_an_ipv6_site_is_all_of_its_prefix_of_64_bits() -> None:
    first, last = "2001:db8::", "2001:db8::ffff:ffff:ffff:ffff"

    assert {access_module._place(TlsPeer(each)) for each in (first, last)} == {"2001:db8::/64"}


async def test_who_shows_what_is_no_token_of_ours_is_not_let_stay(access: Access) -> None:
    """A header of another scheme opens a loopback address, and nothing over TLS."""
    other = "Basic b3BzOnNlY3JldA=="

    assert [await access.may_still(peer, other) for peer in (LOCAL, FAR)] == [True, False]


def test_a_denied_connection_is_closed(api: Api) -> None:
    answer = api.ask("GET", "/v1/status", Authorization="Bearer headrace_no")

    assert answer.headers["connection"] == "close"


def test_no_native_route_but_the_questions_lets_a_reader_send_anything() -> None:
    reader = Caller("token:grafana", Role.READ)
    paths = build_app(FakeOperator(), FakeHost()).openapi()["paths"]
    routes = [
        (method.upper(), path)
        for path, described in paths.items()
        for method in (*described, "head", "options", "patch")
    ]
    let_in = set()
    for method, path in routes:
        with suppress(DeniedError):
            check_role(reader, method, path)
            let_in.add((method, path))

    looks = {(method, path) for method, path in routes if method in {"GET", "HEAD", "OPTIONS"}}
    assert {path for _, path in looks} >= {"/v1/document", "/v1/events"}
    assert let_in - looks == {("POST", "/v1/explain")}
    assert let_in >= looks
    with pytest.raises(DeniedError):
        check_role(reader, "PUT", "/v1/explain")


def test_the_author_is_who_asked(api: Api, operator: FakeOperator, tmp_path: Path) -> None:
    secret = TokenFile(tmp_path).create("ci", Role.WRITE, NOW)

    api.ask("PUT", KEY, SERVICE)
    api.ask("DELETE", KEY, Authorization=f"Bearer {secret}")

    assert operator.authors == [f"{OWN_USER} by rest", "token:ci by rest"]


@pytest.mark.parametrize(
    ("request_line", "body", "status"),
    [
        pytest.param("GET /v1/document", None, 200, id="a look"),
        pytest.param("POST /v1/explain", {"flows": []}, 200, id="a question"),
        pytest.param(f"PUT {KEY}", SERVICE, 403, id="a change"),
        pytest.param(f"DELETE {KEY}", None, 403, id="a removal"),
        pytest.param("POST /v1/node/drain", None, 403, id="a drain"),
    ],
)
def test_a_reader_changes_nothing(
    api: Api, tmp_path: Path, request_line: str, body: object, status: int
) -> None:
    secret = TokenFile(tmp_path).create("grafana", Role.READ, NOW)

    method, path = request_line.split()
    answer = api.ask(method, path, body, Authorization=f"Bearer {secret}")

    assert answer.status == status
    assert api.operator.authors == []
    assert secret not in answer.text


def test_a_denial_is_heard_behind_a_large_body(api: Api) -> None:
    big = "x" * 2_000_000

    answers = [api.ask("PUT", "/v1/document", big, Authorization="headrace_no") for _ in range(3)]

    assert [answer.status for answer in answers] == [401] * 3


def test_a_denial_has_the_shape_that_clients_of_its_api_read(api: Api) -> None:
    native = api.ask("GET", "/v1/status", Authorization="Bearer headrace_no")
    loxilb = api.ask("GET", "/netlox/v1/version", Authorization="headrace_no")

    assert (native.status, native.headers["content-type"]) == (401, "application/problem+json")
    assert native.headers["www-authenticate"] == "Bearer"
    assert (loxilb.status, "opens nothing" in loxilb.text) == (401, True)


def test_a_damaged_file_of_tokens_opens_nothing(api: Api, tmp_path: Path) -> None:
    secret = TokenFile(tmp_path).create("ci", Role.WRITE, NOW)
    (tmp_path / "tokens.json").write_text("{")

    answer = api.ask("GET", "/v1/status", Authorization=f"Bearer {secret}")

    assert (answer.status, "is damaged; move it away" in answer.text) == (503, True)


async def first_line(port: int, *headers: str, method: str = "GET") -> str:
    """How a request with these headers is answered on a loopback address."""
    reader, writer = await asyncio.open_connection("127.0.0.1", port)
    with closing(writer):
        lines = [f"{method} /v1/services HTTP/1.1", *headers, "Connection: close", "", ""]
        writer.write("\r\n".join(lines).encode())
        return (await reader.readline()).decode().strip()


@pytest.mark.parametrize(
    ("headers", "status"),
    [
        pytest.param(["Host: 127.0.0.1:1"], 200, id="by address"),
        pytest.param(["Host: localhost"], 200, id="by name"),
        pytest.param(["Host: [::1]:11111"], 200, id="by its other address"),
        pytest.param(["Host: evil.example"], 403, id="a name that was bound anew"),
        pytest.param(["Host: 192.0.2.1"], 403, id="an address of somebody else"),
        pytest.param(["Host: localhost.evil.example"], 403, id="a name that only begins so"),
        pytest.param(["Host: ["], 403, id="nonsense"),
        pytest.param(["Host: localhost", "Origin: http://localhost"], 200, id="our own page"),
        pytest.param(["Host: localhost", "Origin: http://evil.example"], 403, id="a page"),
        pytest.param(["Host: localhost", "Origin: http://localhost:3000"], 403, id="another port"),
        pytest.param(["Host: localhost", "Origin: null"], 403, id="a page without an origin"),
        pytest.param(["Host: localhost", "Sec-Fetch-Site: cross-site"], 403, id="an image"),
        pytest.param(
            ["Host: localhost", "Sec-Fetch-Site: same-site"],
            403,
            id="an image of another port's page",
        ),
        pytest.param(["Host: localhost", "Sec-Fetch-Site: none"], 200, id="an address typed in"),
    ],
)
async def test_no_web_page_asks_a_loopback_address(
    tmp_path: Path, free_port: int, headers: list[str], status: int
) -> None:
    async with serving(
        build_app(FakeOperator(), FakeHost()), tmp_path / "s", f"127.0.0.1:{free_port}"
    ):
        line = await first_line(free_port, *headers)

    assert line.split()[1] == str(status)


async def test_readers_get_at_the_socket_and_at_nothing_else(tmp_path: Path) -> None:
    path = tmp_path / "run" / "s"
    with listening(Listening(path, tmp_path, ("none",), readers="daemon")):
        modes = [stat.S_IMODE(each.stat().st_mode) for each in (path, path.parent)]
        groups = {each.group() for each in (path, path.parent)}

    assert (modes, groups) == ([0o660, 0o710], {"daemon"})


def test_a_group_that_is_not_there_is_told(tmp_path: Path) -> None:
    with (
        pytest.raises(ConfigError, match="make it with `groupadd --system no-such`"),
        listening(Listening(tmp_path / "s", tmp_path, ("none",), readers="no-such")),
    ):
        pass


@pytest.mark.netns
@pytest.mark.parametrize(
    ("groups", "method", "status"),
    [
        pytest.param([DAEMON_GID], "GET", "404", id="a reader may ask"),
        pytest.param([DAEMON_GID], "DELETE", "403", id="a reader does not change"),
        pytest.param([], "GET", "403", id="a stranger"),
    ],
)
def test_the_kernel_says_who_is_there(groups: list[int], method: str, status: str) -> None:
    with tempfile.TemporaryDirectory() as folder:
        path = Path(folder) / "run" / "s"
        wanted = Listening(path, path.parent, ("none",), readers="daemon")
        with running_api(path, FakeOperator(), wanted):
            Path(folder).chmod(0o711)
            path.parent.chmod(0o711)
            path.chmod(0o666)
            request = f"{method} {KEY}"
            done = subprocess.run(
                ["perl", "-MIO::Socket::UNIX", "-e", ASK, str(path), request],
                user=STRANGER_UID,
                group=STRANGER_UID,
                extra_groups=groups,
                capture_output=True,
                text=True,
                check=False,
            )

    assert done.stdout.split()[1:2] == [status], done.stderr


async def test_who_says_nothing_is_not_waited_for(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(serving_module, "LIMIT_REQUEST_S", 0.05)
    async with serving(build_app(FakeOperator(), FakeHost()), tmp_path / "s"):
        reader, writer = await asyncio.open_unix_connection(tmp_path / "s")
        writer.write(b"GET /v1/status HTTP/1.1\r\nHost: lo")
        rest = await reader.read()
        writer.close()

    assert rest == b""
