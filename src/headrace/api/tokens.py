"""Tokens of the API: shown once when they are made, kept as digests in a file of the state folder.

A token is 32 random bytes, which nobody guesses however fast a digest is computed: SHA-256 is
enough, and a slow hash would only let strangers keep the daemon busy.
"""

import fcntl
import hashlib
import json
import os
import re
import secrets
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import asdict, dataclass
from datetime import datetime
from enum import StrEnum
from pathlib import Path

from headrace.model.errors import ConfigError, ConflictError, NotFoundError, UnavailableError

FILE_NAME = "tokens.json"

PREFIX = "headrace_"
"""Of every token: scanners of leaked secrets know it, and LoxiLB's own tokens do not have it."""

LIMIT_TOKENS = 256
"""Of one instance: a person or a program has one each, and the file is read at a login."""

_RANDOM_BYTES = 32
_NAME = re.compile(r"[A-Za-z0-9][A-Za-z0-9_.@-]{0,63}")


class Role(StrEnum):
    """What a caller may do: see everything but secrets, or change it too."""

    READ = "read"
    WRITE = "write"


@dataclass(frozen=True, slots=True)
class Token:
    """What is kept of a token."""

    name: str
    role: Role
    created: datetime
    sha256: str  # of the whole token, in hexadecimal digits
    expires: datetime | None = None  # it opens nothing from then on; None: it stays


class TokenFile:
    """The tokens of an instance. Other processes may change the file at any time.

    Raises UnavailableError, naming the file and the remedy, when it cannot be read or written.
    """

    def __init__(self, state_dir: Path) -> None:
        self._path = state_dir / FILE_NAME
        self._seen: tuple[int, ...] = ()
        self._by_digest: dict[str, Token] = {}

    def create(
        self, name: str, role: Role, now: datetime, *, expires: datetime | None = None
    ) -> str:
        """Make a token; it is nowhere but in what this returns."""
        if not _NAME.fullmatch(name):
            raise ConfigError.at(
                "NAME", f"{name!r} is not a name of 1 to 64 letters, digits and _ . @ -"
            )
        secret = PREFIX + secrets.token_urlsafe(_RANDOM_BYTES)
        with self._changing() as tokens:
            if any(token.name == name for token in tokens):
                raise ConflictError(f"there is a token {name}; revoke it, or choose another name")
            if len(tokens) >= LIMIT_TOKENS:
                raise ConflictError(f"there are {LIMIT_TOKENS} tokens, the limit; revoke some")
            tokens.append(Token(name, role, now, _digest(secret), expires))
        return secret

    def revoke(self, name: str) -> None:
        """Have a token open nothing any more, from the next request on."""
        with self._changing() as tokens:
            kept = [token for token in tokens if token.name != name]
            if len(kept) == len(tokens):
                raise NotFoundError(f"there is no token {name}; `token list` names those there are")
            tokens[:] = kept

    def tokens(self) -> list[Token]:
        """Every token, in the order in which they were made."""
        self._look()
        return list(self._by_digest.values())

    def find(self, secret: str, now: datetime) -> Token | None:
        """The token that this is; None as well once it has expired."""
        self._look()
        # A look-up by digest tells by its timing nothing that helps to find the secret.
        token = self._by_digest.get(_digest(secret))
        is_over = token is not None and token.expires is not None and token.expires <= now
        return None if is_over else token

    def _look(self) -> None:
        """Read the file if it is another one than last time."""
        with self._explained():
            seen = _stat(self._path)
            if seen != self._seen:
                self._by_digest = {token.sha256: token for token in _read(self._path)}
                self._seen = seen

    @contextmanager
    def _changing(self) -> Iterator[list[Token]]:
        """The tokens to change, while no other process changes them; then put in force whole."""
        folder = self._path.parent
        with self._explained():
            folder.mkdir(mode=0o700, parents=True, exist_ok=True)
            descriptor = os.open(folder, os.O_RDONLY | os.O_DIRECTORY | os.O_CLOEXEC)
            try:
                fcntl.flock(descriptor, fcntl.LOCK_EX)  # held for a read and a write
                tokens = _read(self._path)
                yield tokens
                _write(self._path, tokens)
                os.fsync(descriptor)
            finally:
                os.close(descriptor)

    @contextmanager
    def _explained(self) -> Iterator[None]:
        try:
            yield
        except OSError as error:
            raise UnavailableError(
                f"{self._path}: {error.strerror}; run this as the daemon's user"
            ) from error
        except (ValueError, TypeError, KeyError) as error:
            raise UnavailableError(
                f"{self._path} is damaged; move it away and make the tokens anew"
            ) from error


def _stat(path: Path) -> tuple[int, ...]:
    """What differs when a file was put in place of another; nothing when there is none."""
    try:
        status = path.stat()
    except FileNotFoundError:
        return ()
    return status.st_ino, status.st_mtime_ns, status.st_size


def _read(path: Path) -> list[Token]:
    try:
        text = path.read_text()
    except FileNotFoundError:
        return []
    return [
        Token(
            str(raw["name"]),
            Role(raw["role"]),
            datetime.fromisoformat(raw["created"]),
            str(raw["sha256"]),
            None if raw.get("expires") is None else datetime.fromisoformat(raw["expires"]),
        )
        for raw in json.loads(text)["tokens"]
    ]


def _write(path: Path, tokens: list[Token]) -> None:
    told = [
        asdict(token)
        | {
            "created": token.created.isoformat(),
            "expires": None if token.expires is None else token.expires.isoformat(),
        }
        for token in tokens
    ]
    new = path.with_suffix(".new")
    new.unlink(missing_ok=True)
    with os.fdopen(os.open(new, os.O_WRONLY | os.O_CREAT | os.O_EXCL, 0o600), "w") as file:
        file.write(json.dumps({"tokens": told}, indent=2) + "\n")
        file.flush()
        os.fsync(file.fileno())
    new.replace(path)


def _digest(secret: str) -> str:
    return hashlib.sha256(secret.encode(errors="surrogateescape")).hexdigest()
