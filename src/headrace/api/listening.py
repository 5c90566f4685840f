"""Where the API listens: on a unix socket, on loopback addresses, and over TLS anywhere else."""

import contextlib
import grp
import os
import pwd
import socket
import ssl
import stat
import struct
from asyncio import BaseTransport
from collections.abc import Iterator
from dataclasses import dataclass
from datetime import UTC, datetime
from ipaddress import ip_address
from pathlib import Path

import structlog

from headrace.api.access import Access
from headrace.api.callers import LocalPeer, Peer, TlsPeer, UnixPeer
from headrace.api.tokens import TokenFile
from headrace.model.errors import ConfigError, UnavailableError

NOWHERE = "none"
"""The `listen` value for no TCP socket at all."""

LIMIT_ADDRESSES = 16
"""To listen on; more than a host has networks that it is managed from."""

BACKLOG = 128
"""Connections that wait to be taken."""

_SO_PEERGROUPS = 59  # linux/socket.h; Python does not name it
_GROUPS_BYTES = 1024  # the most that Python reads of an option: 256 groups
_UCRED = struct.Struct("iII")  # pid, uid, gid

_log = structlog.get_logger()


@dataclass(frozen=True, slots=True)
class Listening:
    """Where to listen, and what strangers have to show there."""

    unix_path: Path
    state_dir: Path  # with the tokens
    addresses: tuple[str, ...]  # ADDRESS:PORT each, or only `none`
    readers: str | None = None  # a group whose members may read at the unix socket
    certificate: Path | None = None  # with its chain, PEM
    key: Path | None = None
    client_ca: Path | None = None  # signs the certificates of clients


@dataclass(frozen=True, slots=True)
class Listeners:
    """The sockets, open, and who may ask there."""

    local: list[socket.socket]
    remote: list[socket.socket]
    tls: ssl.SSLContext | None
    access: Access


@contextlib.contextmanager
def listening(wanted: Listening) -> Iterator[Listeners]:
    """Listen; the sockets are closed, and the unix one removed, at the end.

    Raises ConfigError for what would let strangers in, UnavailableError for an address or a file
    that cannot be had.
    """
    loopback, others = _sort(_read_addresses(wanted.addresses))
    tokens = TokenFile(wanted.state_dir)
    tls = _open_tls(wanted, tokens, others[0]) if others else None
    readers_gid = None if wanted.readers is None else _gid_of(wanted.readers)
    with contextlib.ExitStack() as stack:
        local = [stack.enter_context(_open_unix(wanted.unix_path, readers_gid))]
        stack.callback(wanted.unix_path.unlink, missing_ok=True)
        local += [stack.enter_context(_open_tcp(*address)) for address in loopback]
        remote = [stack.enter_context(_open_tcp(*address)) for address in others]
        owner_uid = os.geteuid()
        access = Access(
            tokens,
            owner_uid=owner_uid,
            owner_name=_name_of(owner_uid),
            readers_gid=readers_gid,
        )
        yield Listeners(local, remote, tls, access)


def read_peer(transport: BaseTransport) -> Peer:
    """Who is at the other end of a connection."""
    sock = transport.get_extra_info("socket")
    if sock.family == socket.AF_UNIX:
        return _read_unix_peer(sock)
    address = transport.get_extra_info("peername")[0]
    certificate = transport.get_extra_info("peercert")
    if transport.get_extra_info("ssl_object") is None:
        return LocalPeer(address)
    subject = [pair for names in (certificate or {}).get("subject", ()) for pair in names]
    names = [value for key, value in subject if key == "commonName"]
    units = tuple(value for key, value in subject if key == "organizationalUnitName")
    end = (certificate or {}).get("notAfter")
    expires = None if end is None else datetime.fromtimestamp(ssl.cert_time_to_seconds(end), UTC)
    return TlsPeer(address, names[0] if names else "", units, expires)


def _read_unix_peer(sock: socket.socket) -> UnixPeer:
    raw = sock.getsockopt(socket.SOL_SOCKET, socket.SO_PEERCRED, _UCRED.size)
    _, uid, gid = _UCRED.unpack(raw)
    groups = {gid}
    with contextlib.suppress(OSError):  # of more than 256 groups, or an old kernel's
        more = sock.getsockopt(socket.SOL_SOCKET, _SO_PEERGROUPS, _GROUPS_BYTES)
        groups.update(struct.unpack(f"{len(more) // 4}I", more))
    return UnixPeer(uid, frozenset(groups))


def _read_addresses(listen: tuple[str, ...]) -> list[tuple[str, int]]:
    if len(listen) > LIMIT_ADDRESSES:
        raise ConfigError.at("listen", f"{len(listen)} addresses; the limit is {LIMIT_ADDRESSES}")
    if NOWHERE in listen and len(listen) > 1:
        raise ConfigError.at("listen", f"{NOWHERE!r} and an address; leave one of them out")
    return [_read_address(each) for each in listen if each != NOWHERE]


def _read_address(listen: str) -> tuple[str, int]:
    """Host and port."""
    host, _, port = listen.rpartition(":")
    try:
        address = ip_address(host.removeprefix("[").removesuffix("]"))
        number = int(port)
    except ValueError as error:
        raise ConfigError.at(
            "listen", f"{listen!r} is not ADDRESS:PORT; write 127.0.0.1:11111, or {NOWHERE!r}"
        ) from error
    if not 0 <= number <= 65_535:
        raise ConfigError.at("listen", f"{number} is not a port; use 1..65535")
    return str(address), number


def _sort(
    addresses: list[tuple[str, int]],
) -> tuple[list[tuple[str, int]], list[tuple[str, int]]]:
    """Those that only this host reaches, and the others."""
    loopback = [each for each in addresses if ip_address(each[0]).is_loopback]
    return loopback, [each for each in addresses if each not in loopback]


def _open_tls(wanted: Listening, tokens: TokenFile, first: tuple[str, int]) -> ssl.SSLContext:
    """The TLS of every address that others can reach; refused as long as anything is missing."""
    missing = []
    if wanted.certificate is None:
        missing.append("set --tls-certificate")
    if wanted.key is None:
        missing.append("set --tls-key")
    if wanted.client_ca is None and not tokens.tokens():
        missing.append("run `headrace token create NAME --role write`, or set --tls-client-ca")
    if wanted.certificate is None or wanted.key is None or missing:
        raise ConfigError.at(
            "listen",
            f"{first[0]} can be reached by others, which needs TLS and a token; "
            + "; ".join(missing),
        )
    return _Certificates(wanted.certificate, wanted.key, wanted.client_ca).context


class _Certificates:
    """The files of TLS, read again when one of them was renewed."""

    def __init__(self, certificate: Path, key: Path, client_ca: Path | None) -> None:
        self._certificate = certificate
        self._key = key
        self._client_ca = client_ca
        self._seen = self._stat()
        self.context = self._load()
        self._newest = self.context

    def _load(self) -> ssl.SSLContext:
        _check_key(self._key)
        context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
        context.minimum_version = ssl.TLSVersion.TLSv1_2
        try:
            # A password would be asked for on the terminal; there is nobody to type it.
            context.load_cert_chain(self._certificate, self._key, password=lambda: b"")
            if self._client_ca is not None:
                context.load_verify_locations(self._client_ca)
                context.verify_mode = ssl.CERT_OPTIONAL  # whoever has none shows a token
        except OSError as error:  # an SSLError is one
            raise UnavailableError(
                f"TLS with {self._certificate} and {self._key}: {error.strerror or error}; give "
                "PEM files that belong together, the key without a password"
            ) from error
        context.sni_callback = self._choose
        return context

    def _choose(self, connection: ssl.SSLObject, _name: str | None, _first: ssl.SSLContext) -> None:
        """Have a handshake use the newest files; the last good ones where those are wrong."""
        seen = self._stat()
        if seen != self._seen:
            self._seen = seen
            try:
                self._newest = self._load()
            except UnavailableError as error:
                _log.warning("certificate_not_renewed", reason=str(error))
            else:
                _log.info("certificate_renewed", path=str(self._certificate))
        connection.context = self._newest

    def _stat(self) -> list[tuple[int, int] | None]:
        return [_version_of(path) for path in (self._certificate, self._key, self._client_ca)]


def _version_of(path: Path | None) -> tuple[int, int] | None:
    """What differs when a file is another one than before."""
    if path is None:
        return None
    with contextlib.suppress(OSError):
        status = path.stat()
        return status.st_ino, status.st_mtime_ns
    return None


def _check_key(key: Path) -> None:
    with contextlib.suppress(OSError):  # told when it is read
        if key.stat().st_mode & stat.S_IRWXO:
            raise UnavailableError(f"{key} is open to every user; chmod o= {key}")


def _gid_of(group: str) -> int:
    try:
        return grp.getgrnam(group).gr_gid
    except KeyError as error:
        raise ConfigError.at(
            "readers", f"there is no group {group}; make it with `groupadd --system {group}`"
        ) from error


def _name_of(uid: int) -> str:
    try:
        return pwd.getpwuid(uid).pw_name
    except KeyError:
        return "the daemon's"


def _open_unix(path: Path, readers_gid: int | None) -> socket.socket:
    """Listen on a unix socket for its owner and, if there is one, a group; replace a stale file."""
    sock = socket.socket(socket.AF_UNIX, socket.SOCK_STREAM)
    try:
        path.parent.mkdir(mode=0o700, parents=True, exist_ok=True)
        _remove_stale(path)
        sock.bind(str(path))
        path.chmod(0o600)  # before listen: until then nobody can connect
        if readers_gid is not None:
            os.chown(path, -1, readers_gid)
            path.chmod(0o660)
            os.chown(path.parent, -1, readers_gid)
            path.parent.chmod(0o710)  # to get at the socket, and see nothing else
        sock.listen(BACKLOG)
    except OSError as error:
        sock.close()
        raise UnavailableError(f"unix socket {path}: {error}; choose another folder") from error
    except UnavailableError:
        sock.close()
        raise
    return sock


def _remove_stale(path: Path) -> None:
    if not path.exists() or not stat.S_ISSOCK(path.stat().st_mode):
        return
    with socket.socket(socket.AF_UNIX, socket.SOCK_STREAM) as probe:
        try:
            probe.connect(str(path))
        except ConnectionRefusedError:
            path.unlink()
            return
    raise UnavailableError(
        f"unix socket {path}: another daemon answers there; stop it or use another --instance"
    )


def _open_tcp(host: str, port: int) -> socket.socket:
    family = socket.AF_INET6 if ":" in host else socket.AF_INET
    sock = socket.socket(family, socket.SOCK_STREAM)
    try:
        sock.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        sock.bind((host, port))
        sock.listen(BACKLOG)
    except OSError as error:
        sock.close()
        raise UnavailableError(
            f"listen {host}:{port}: {error.strerror}; end the program that has it "
            f"(`ss -ltnp 'sport = :{port}'` names it) or use another --listen"
        ) from error
    return sock
