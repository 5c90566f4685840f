"""Talks to a daemon over its unix socket, TCP or TLS with nothing but the standard library.

What is not needed for the unix socket is imported where it is: a command's start is what people
wait for, and `http.client` with what it needs is a fifth of it.
"""

import json
from collections.abc import Iterator
from contextlib import suppress
from typing import TYPE_CHECKING, Any

from headrace.cli.unix_socket import BrokenAnswer, exchange

if TYPE_CHECKING:
    from http.client import HTTPConnection

RUNTIME_ROOT = "/run/headrace"
_PORT = 11_111


class Failure(Exception):  # noqa: N818 - it is what the user reads, not an error of ours
    """A command that could not do its work; the message says why and what to do."""

    code = 1  # the program's exit code


class Client:
    """One daemon's API."""

    def __init__(self, *, server: str | None, instance: str, timeout_s: float) -> None:
        self._server = server or f"unix:{RUNTIME_ROOT}/{instance}/api.sock"
        self._timeout_s = timeout_s

    def get(self, path: str) -> Any:  # noqa: ANN401 - whatever JSON holds
        """What is at a path."""
        return self._ask("GET", path)

    def send(self, method: str, path: str, body: str | None = None) -> Any:  # noqa: ANN401 - JSON
        """Change something, or ask something that needs a body; the answer."""
        return self._ask(method, path, body)

    def post(self, path: str, values: dict[str, Any]) -> Any:  # noqa: ANN401 - JSON
        """Send plain values, those that are None left out; the answer."""
        told = {key: value for key, value in values.items() if value is not None}
        return self._ask("POST", path, json.dumps(told))

    def lines(self, path: str, headers: dict[str, str] | None = None) -> Iterator[str]:
        """The lines of an answer as they come."""
        from http.client import HTTPException

        sent = {"Connection": "close", **(headers or {})}
        connection = self._connection(sent)
        try:
            connection.request("GET", path, headers=sent)
            answer = connection.getresponse()
            if answer.status != 200:
                _content(answer.status, answer.read().decode(errors="replace"))
            for line in answer:
                yield line.decode(errors="replace").rstrip("\r\n")
        except (OSError, HTTPException) as error:
            raise Failure(self._unreachable(error)) from error
        finally:
            connection.close()

    def _ask(self, method: str, path: str, body: str | None = None) -> Any:  # noqa: ANN401 - JSON
        data = None if body is None else body.encode()
        headers = {"Content-Type": "application/json", "Connection": "close"}
        where = _quoted(path)
        if self._server.startswith("unix:"):
            socket_path = self._server.removeprefix("unix:")
            try:
                status, content = exchange(
                    socket_path, self._timeout_s, (method, where, headers, data or b"")
                )
            except (OSError, BrokenAnswer) as error:
                raise Failure(self._unreachable(error)) from error
        else:
            status, content = self._ask_elsewhere(method, where, data, headers)
        return _content(status, content.decode(errors="replace"))

    def _ask_elsewhere(
        self, method: str, where: str, data: bytes | None, headers: dict[str, str]
    ) -> tuple[int, bytes]:
        from http.client import HTTPException

        connection = self._connection(headers)
        try:
            connection.request(method, where, data, headers)
            answer = connection.getresponse()
            return answer.status, answer.read()
        except (OSError, HTTPException) as error:
            raise Failure(self._unreachable(error)) from error
        finally:
            connection.close()

    def _connection(self, headers: dict[str, str]) -> "HTTPConnection":
        """A connection that is not open yet; adds to the header what proves who we are."""
        from http.client import HTTPConnection, HTTPSConnection

        if self._server.startswith("unix:"):
            from headrace.cli.unix_connection import UnixConnection

            return UnixConnection(self._server.removeprefix("unix:"), self._timeout_s)
        scheme, host, port = _read_server(self._server)
        from headrace.cli.credentials import open_tls, read_token

        token = read_token()
        if scheme == "https":
            if token:
                headers["Authorization"] = f"Bearer {token}"
            return HTTPSConnection(host, port, timeout=self._timeout_s, context=open_tls())
        if token and not _is_loopback(host):
            raise Failure(f"--server {self._server}: a token is not sent in clear; use https")
        return HTTPConnection(host, port, timeout=self._timeout_s)

    def _unreachable(self, error: Exception) -> str:
        if isinstance(error, TimeoutError):
            return f"{self._server}: no answer within {self._timeout_s:g} s; raise --timeout"
        if isinstance(error, PermissionError):
            return f"{self._server}: {error.strerror}; use sudo, or join the group of --readers"
        if "CERTIFICATE" in str(error):  # as OpenSSL spells what is wrong with one
            return f"{self._server}: {error}; name its authority by --ca-file"
        remedy = "start it with `headrace run`, or name another by --instance or --server"
        return f"no daemon answers at {self._server} ({error}); {remedy}"


def _read_server(text: str) -> tuple[str, str, int]:
    """Scheme, host and port of a server; to a bare host, as `loxicmd -s` has it, the safe one."""
    from urllib.parse import urlsplit

    scheme, host, port = "", "", 0
    with suppress(ValueError):  # of a port or an address that is none
        parts = urlsplit(text if "://" in text else f"//{text}")
        host, port = parts.hostname or "", parts.port or _PORT
        scheme = parts.scheme or ("http" if _is_loopback(host) else "https")
    if scheme not in {"http", "https"} or not host or any(each <= " " for each in host):
        raise Failure(
            f"--server {text}: write https://HOST:PORT, http://127.0.0.1:PORT or unix:PATH"
        )
    return scheme, host, port


def _is_loopback(host: str) -> bool:
    from ipaddress import ip_address

    try:
        return host == "localhost" or ip_address(host).is_loopback
    except ValueError:
        return False


def _quoted(path: str) -> str:
    """A path with what URLs must not have in it written as they may."""
    if path.isascii() and path.replace("/", "").replace(":", "").replace(".", "").isalnum():
        return path
    from urllib.parse import quote

    return quote(path, safe="/?&=:[]%")


def _content(status: int, text: str) -> Any:  # noqa: ANN401 - whatever JSON holds
    """The answer's content; Failure with the server's own message when it is not a success."""
    try:
        content = json.loads(text)
    except ValueError as error:
        raise Failure(
            f"the server answered {status} with what is not JSON: {text[:200]}"
        ) from error
    if 200 <= status < 300:
        result = content.get("result", "Success") if isinstance(content, dict) else "Success"
        if result == "Success":  # LoxiLB's API also fails with status 200
            return content
        raise Failure(str(result))
    raise Failure(_message(status, content))


def _message(status: int, content: Any) -> str:  # noqa: ANN401 - whatever JSON holds
    if isinstance(content, dict):
        if content.get("lines"):  # what `result` has on one
            return "\n".join(map(str, content["lines"]))
        for key in ("result", "detail", "message"):
            if content.get(key):
                return str(content[key])
    return f"the server answered {status}"
