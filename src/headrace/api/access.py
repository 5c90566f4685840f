"""Who may ask what: every request is let through with its caller, or answered here.

Three ways lead in. On the unix socket the kernel says who is there. On a loopback address it is
somebody on this host, as LoxiLB's clients expect (docs/decisions/0008). From elsewhere, over TLS,
a caller has a token or a certificate. A web page that a browser on this host shows is nobody's
caller on any of them: it cannot name a loopback address as its own host, and says where it is from.
"""

import asyncio
import contextlib
import time
from collections import OrderedDict
from collections.abc import Callable, Mapping
from datetime import UTC, datetime
from http import HTTPStatus
from ipaddress import ip_address, ip_network
from urllib.parse import urlsplit

import structlog
from fastapi import Response
from starlette.types import ASGIApp, Receive, Scope, Send

from headrace.api import loxilb
from headrace.api.answers import problem_answer
from headrace.api.callers import Caller, LocalPeer, Peer, TlsPeer, UnixPeer
from headrace.api.tokens import PREFIX, Role, TokenFile
from headrace.model.errors import LbError, UnavailableError
from headrace.model.limits import LIMIT_DOCUMENT_BYTES

LIMIT_FAILURES = 5
"""Wrong tokens from one place in WINDOW_S; then it is not listened to until that is over."""

WINDOW_S = 60.0

LIMIT_PLACES = 1024
"""Places whose failures are remembered; the one that was quiet for longest makes room."""

LIMIT_DISCARD_S = 5.0
"""For the rest of a request that is not let through; an answer then may be lost on its way."""

QUESTIONS = frozenset({"/v1/explain"})
"""What is asked by POST and changes nothing."""

CERTIFICATE_ROLES = {"headrace-read": Role.READ, "headrace-write": Role.WRITE}
"""By organisational unit (OU) of a client certificate's subject. A CA's word alone is none."""

_SAFE = frozenset({"GET", "HEAD", "OPTIONS"})
_IPV6_SITE_BITS = 64  # what one subscriber has at least, and picks addresses from at will

_log = structlog.get_logger()


class DeniedError(LbError):
    """A request that is not let through."""

    def __init__(self, status: HTTPStatus, told: str, **headers: str) -> None:
        self.status = status
        self.headers = {name.replace("_", "-"): value for name, value in headers.items()}
        super().__init__(told)


class Access:
    """Knows callers by what they show."""

    def __init__(
        self,
        tokens: TokenFile,
        *,
        owner_uid: int,
        owner_name: str,
        readers_gid: int | None = None,
        now: Callable[[], float] = time.monotonic,
    ) -> None:
        self._tokens = tokens
        self._writers = {owner_uid: owner_name, 0: "root"}
        self._readers_gid = readers_gid
        self._failures = Failures()
        self._now = now

    async def identify(self, peer: Peer, authorization: str) -> Caller:
        """The caller on a connection who sends this header, which may be empty. Raises DeniedError.

        A token counts wherever it is shown, and then it is what decides.
        """
        secret = _secret_of(authorization)
        match peer:
            case UnixPeer() if not secret.startswith(PREFIX):
                return self._by_user(peer)
            case LocalPeer() if not secret.startswith(PREFIX):
                return Caller(f"local:{peer.address}", Role.WRITE)  # LoxiLB's own tokens say naught
            case TlsPeer() if not secret:
                return _by_certificate(peer)
        return await self._by_token(secret, _place(peer))

    async def may_still(self, peer: Peer, authorization: str) -> bool:
        """Whether a caller who was let in would be now: a token may be revoked, or expire."""
        secret = _secret_of(authorization)
        if secret.startswith(PREFIX) or (isinstance(peer, TlsPeer) and secret):
            return await asyncio.to_thread(self._tokens.find, secret, datetime.now(UTC)) is not None
        expires = peer.expires if isinstance(peer, TlsPeer) else None
        return expires is None or datetime.now(UTC) < expires

    def _by_user(self, peer: UnixPeer) -> Caller:
        if peer.uid in self._writers:
            return Caller(f"uid:{peer.uid} ({self._writers[peer.uid]})", Role.WRITE)
        if self._readers_gid is not None and self._readers_gid in peer.groups:
            return Caller(f"uid:{peer.uid}", Role.READ)
        raise DeniedError(
            HTTPStatus.FORBIDDEN,
            f"user {peer.uid} may not ask here; use sudo, show a token, or join the group that "
            "`headrace run --readers` names",
        )

    async def _by_token(self, secret: str, place: str) -> Caller:
        now = self._now()
        wait_s = self._failures.wait_s(place, now)
        if wait_s > 0:
            raise DeniedError(
                HTTPStatus.TOO_MANY_REQUESTS,
                f"too many wrong tokens from {place}; try again in {wait_s:.0f} s",
                retry_after=f"{wait_s:.0f}",
            )
        token = await asyncio.to_thread(self._tokens.find, secret, datetime.now(UTC))
        if token is None:
            self._failures.note(place, now)
            _log.warning("login_failed", place=place, blocked=self._failures.wait_s(place, now) > 0)
            raise DeniedError(
                HTTPStatus.UNAUTHORIZED,
                "this token opens nothing; `headrace token create` on the node makes one",
                www_authenticate="Bearer",
            )
        return Caller(f"token:{token.name}", token.role)


class Failures:
    """Counts wrong tokens by place, in windows that begin with the first of them."""

    def __init__(self) -> None:
        self._counts: OrderedDict[str, tuple[float, int]] = OrderedDict()  # since when, how many

    def note(self, place: str, now: float) -> None:
        """One more from there."""
        since, count = self._counts.pop(place, (now, 0))
        if now - since >= WINDOW_S:
            since, count = now, 0
        self._counts[place] = since, count + 1
        if len(self._counts) > LIMIT_PLACES:
            self._counts.popitem(last=False)

    def wait_s(self, place: str, now: float) -> float:
        """How long that place is not listened to; 0 when it is."""
        since, count = self._counts.get(place, (now, 0))
        return max(since + WINDOW_S - now, 0.0) if count >= LIMIT_FAILURES else 0.0


def guard(app: ASGIApp, access: Access) -> ASGIApp:
    """The application behind the rules. The caller is `scope["state"]["caller"]` from here on.

    Needs the connection's Peer as `scope["state"]["peer"]`.
    """

    async def guarded(scope: Scope, receive: Receive, send: Send) -> None:
        headers = {name: value.decode("latin-1") for name, value in scope["headers"]}
        peer: Peer = scope["state"]["peer"]
        try:
            check_page(peer, headers)
            caller = await access.identify(peer, headers.get(b"authorization", ""))
            check_role(caller, scope["method"], scope["path"])
        except (DeniedError, UnavailableError) as error:
            await _discard(receive)
            await _denial(scope["path"], error)(scope, receive, send)
            return
        scope["state"]["caller"] = caller
        authorization = headers.get(b"authorization", "")
        scope["state"]["may_still"] = lambda: access.may_still(peer, authorization)
        await app(scope, receive, send)

    return guarded


def check_role(caller: Caller, method: str, path: str) -> None:
    """Refuse a change by one who may only read."""
    asks = method in _SAFE or (method == "POST" and path in QUESTIONS)
    if caller.role is Role.READ and not asks:
        _log.warning("change_denied", caller=caller.name, method=method, path=path)
        raise DeniedError(
            HTTPStatus.FORBIDDEN, f"{caller.name} may read, not change; use a token of role write"
        )


def check_page(peer: Peer, headers: Mapping[bytes, str]) -> None:
    """Refuse what a web page of somebody else has a browser send.

    A page reaches a loopback address under a name of its own (DNS rebinding), or from its own
    origin (request forgery). A browser says both, and no page can keep it from that.
    """
    host = headers.get(b"host", "")
    if isinstance(peer, LocalPeer) and host and not _is_loopback(host):
        raise DeniedError(
            HTTPStatus.FORBIDDEN,
            f"Host {host} is not this address; ask http://127.0.0.1, or use TLS and a token",
        )
    origin = headers.get(b"origin")
    foreign = origin is not None and urlsplit(origin).netloc.lower() != host.lower()
    if foreign or headers.get(b"sec-fetch-site") in {"cross-site", "same-site"}:
        raise DeniedError(HTTPStatus.FORBIDDEN, "a web page from elsewhere may not ask here")


async def _discard(receive: Receive) -> None:
    """Take a body that nobody wants: who still sends when we close would not hear why."""
    size_bytes, more = 0, True
    with contextlib.suppress(TimeoutError):
        async with asyncio.timeout(LIMIT_DISCARD_S):
            while more and size_bytes <= LIMIT_DOCUMENT_BYTES:
                message = await receive()
                size_bytes += len(message.get("body", b""))
                more = message.get("more_body", False)


def _secret_of(authorization: str) -> str:
    """The token in a header: behind its scheme (RFC 6750), or bare as LoxiLB's clients send it."""
    scheme, _, rest = authorization.partition(" ")
    return rest.strip() if scheme.lower() == "bearer" else authorization.strip()


def _by_certificate(peer: TlsPeer) -> Caller:
    roles = {CERTIFICATE_ROLES[unit] for unit in peer.units if unit in CERTIFICATE_ROLES}
    if roles:
        role = Role.WRITE if Role.WRITE in roles else Role.READ
        return Caller(f"certificate:{peer.name}", role)
    if peer.name:
        raise DeniedError(
            HTTPStatus.FORBIDDEN,
            f"the certificate of {peer.name} has no organisational unit (OU) headrace-read or "
            "headrace-write; issue it with one, or show a token",
        )
    raise DeniedError(
        HTTPStatus.UNAUTHORIZED,
        "show a token (Authorization: Bearer ...); `headrace token create` on the node makes one",
        www_authenticate="Bearer",
    )


def _place(peer: Peer) -> str:
    """Whose failures are counted together."""
    if isinstance(peer, UnixPeer):
        return f"uid:{peer.uid}"
    address = ip_address(peer.address)
    if address.version == 4:
        return str(address)
    mapped = address.ipv4_mapped
    return str(mapped or ip_network((address, _IPV6_SITE_BITS), strict=False))


def _is_loopback(host: str) -> bool:
    """Whether a Host header names this host from within."""
    try:
        name = urlsplit(f"//{host}").hostname or ""
        return name == "localhost" or ip_address(name).is_loopback
    except ValueError:
        return False


def _denial(path: str, error: LbError) -> Response:
    """The answer to what is not let through, as the clients of that API expect it."""
    status = error.status if isinstance(error, DeniedError) else HTTPStatus.SERVICE_UNAVAILABLE
    if path.startswith(loxilb.PREFIX):
        answer = loxilb.answer_text(status, str(error))
    else:
        answer = problem_answer(status, str(error), [])
    if isinstance(error, DeniedError):
        answer.headers.update(error.headers)
    answer.headers["connection"] = "close"  # strangers hold no place
    return answer
