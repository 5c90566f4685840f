"""Revisions in SQLite: one file, write-ahead log, every commit on the disk before it counts."""

import hashlib
import os
import sqlite3
import zlib
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from datetime import UTC, datetime
from pathlib import Path

from headrace.model.errors import NotFoundError, UnavailableError

FILE_NAME = "revisions.sqlite"

LIMIT_REVISIONS = 1_000
"""Revisions kept; the oldest make room. At a change an hour it is six weeks."""

_LOCK_WAIT_S = 2.0  # another process holds the file only for the length of a commit

_SCHEMA = """
CREATE TABLE revisions (
    number INTEGER PRIMARY KEY AUTOINCREMENT,  -- a number is never given twice
    time   TEXT NOT NULL,                      -- ISO 8601, UTC
    author TEXT NOT NULL,
    text   BLOB NOT NULL,                      -- UTF-8, packed by zlib
    sha256 TEXT NOT NULL                       -- of the text: a rotten disk is noticed
) STRICT;
PRAGMA user_version = 2;
"""

_PACK_PLAIN_TEXTS = """
INSERT INTO revisions SELECT number, time, author, pack(text), sha256 FROM plain;
DROP TABLE plain;
"""
"""From version 1 of the file, whose texts were not packed."""

_PACKING_LEVEL = 1
"""A fourteenth of its size, in 1 ms for 200 kB; to write so much whole takes the disk longer."""


@dataclass(frozen=True, slots=True)
class Revision:
    """One numbered state of the document."""

    number: int
    time: datetime
    author: str
    text: str


class Store:
    """The revisions in a directory that only its owner may enter.

    Raises UnavailableError, naming the file and the remedy, whenever the disk does not do its part.
    One thread at a time may use it.
    """

    def __init__(self, directory: Path) -> None:
        self._path = directory / FILE_NAME
        with self._explained():
            directory.mkdir(mode=0o700, parents=True, exist_ok=True)
            if directory.stat().st_mode & 0o077:
                directory.chmod(0o700)
            if not self._path.exists():
                _create(self._path)
            self._connection = _open(self._path)

    def latest(self) -> tuple[int, str] | None:
        """The newest revision's number and text; None when there is none."""
        newest = "SELECT max(number) FROM revisions"
        with self._explained():
            (number,) = self._connection.execute(newest).fetchone()
        return None if number is None else (number, self.at(number).text)

    def append(self, text: str, *, author: str) -> int:
        """Keep a text as the next revision, durable when this returns; its number."""
        data = text.encode()
        row = (datetime.now(UTC).isoformat(), author, _pack(data), _digest(data))
        with self._explained(), self._connection as transaction:
            cursor = transaction.execute(
                "INSERT INTO revisions (time, author, text, sha256) VALUES (?, ?, ?, ?)", row
            )
            number = cursor.lastrowid
            assert number is not None  # noqa: S101 - an INSERT always gives one
            transaction.execute(
                "DELETE FROM revisions WHERE number <= ?", (number - LIMIT_REVISIONS,)
            )
        return number

    def history(self, limit: int = LIMIT_REVISIONS) -> list[Revision]:
        """The newest revisions that are kept, newest first."""
        select = (
            "SELECT number, time, author, text, sha256 FROM revisions ORDER BY number DESC LIMIT ?"
        )
        with self._explained():
            rows = self._connection.execute(select, (limit,)).fetchall()
        return [self._revision(*row) for row in rows]

    def at(self, number: int) -> Revision:
        """The revision of this number; NotFoundError when it was never made or is not kept."""
        select = "SELECT number, time, author, text, sha256 FROM revisions WHERE number = ?"
        with self._explained():
            row = self._connection.execute(select, (number,)).fetchone()
        if row is None:
            raise NotFoundError(f"revision {number} is not kept; history lists those that are")
        return self._revision(*row)

    def close(self) -> None:
        """Let go of the file; what was appended stays."""
        with self._explained():
            self._connection.close()

    def _revision(
        self, number: int, time: str, author: str, packed: bytes, sha256: str
    ) -> Revision:
        data = _unpack(packed)
        if data is None or _digest(data) != sha256:
            raise UnavailableError(_damaged(self._path, f"revision {number} has changed on disk"))
        return Revision(number, datetime.fromisoformat(time), author, data.decode())

    @contextmanager
    def _explained(self) -> Iterator[None]:
        """Turn what the disk says into what the operator can do."""
        try:
            yield
        except sqlite3.Error as error:
            raise UnavailableError(_explain(self._path, error)) from error
        except OSError as error:
            raise UnavailableError(
                f"{self._path}: {error.strerror}; give the daemon a folder that it can write"
            ) from error


def _create(path: Path) -> None:
    """Make the file whole and only then visible: an empty or torn file is never a fresh start."""
    fresh = path.with_suffix(".new")
    fresh.unlink(missing_ok=True)
    os.close(os.open(fresh, os.O_CREAT | os.O_EXCL | os.O_WRONLY, 0o600))
    connection = sqlite3.connect(fresh)
    try:
        connection.executescript(f"PRAGMA synchronous = EXTRA; BEGIN; {_SCHEMA} COMMIT;")
    finally:
        connection.close()
    fresh.rename(path)
    directory = os.open(path.parent, os.O_RDONLY)
    try:
        os.fsync(directory)
    finally:
        os.close(directory)


def _open(path: Path) -> sqlite3.Connection:
    if path.stat().st_size == 0:
        raise sqlite3.DatabaseError("the file is empty")
    # Calls may come from a worker thread, one at a time.
    connection = sqlite3.connect(path, timeout=_LOCK_WAIT_S, check_same_thread=False)
    try:
        connection.execute("PRAGMA journal_mode = WAL")
        connection.execute("PRAGMA synchronous = FULL")
        if connection.execute("PRAGMA user_version").fetchone() == (1,):
            connection.create_function("pack", 1, lambda text: _pack(text.encode()))
            connection.executescript(
                "BEGIN IMMEDIATE; ALTER TABLE revisions RENAME TO plain;"
                f"{_SCHEMA} {_PACK_PLAIN_TEXTS} COMMIT;"
            )
        connection.execute("SELECT number, time, author, sha256 FROM revisions LIMIT 1").fetchone()
    except sqlite3.Error:
        connection.close()
        raise
    return connection


def _pack(data: bytes) -> bytes:
    return zlib.compress(data, _PACKING_LEVEL)


def _unpack(packed: bytes) -> bytes | None:
    """None where it is not what `_pack` made."""
    try:
        return zlib.decompress(packed)
    except zlib.error:
        return None


def _digest(data: bytes) -> str:
    return hashlib.sha256(data).hexdigest()


def _damaged(path: Path, what: str) -> str:
    return (
        f"{path}: {what}; move it away (with its -wal and -shm files), start again and apply the "
        "document, or put a copy of the file back"
    )


def _explain(path: Path, error: sqlite3.Error) -> str:
    # The low byte is the class of an extended result code (sqlite.org/rescode.html).
    match getattr(error, "sqlite_errorcode", sqlite3.SQLITE_CORRUPT) & 0xFF:
        case sqlite3.SQLITE_FULL:
            return f"{path}: the disk is full; free some space, nothing was changed"
        case sqlite3.SQLITE_READONLY | sqlite3.SQLITE_PERM | sqlite3.SQLITE_CANTOPEN:
            return (
                f"{path}: cannot be opened for writing; check its owner, and that its file system "
                "is mounted for writing"
            )
        case sqlite3.SQLITE_BUSY | sqlite3.SQLITE_LOCKED:
            return f"{path}: another process holds it; end that one (`fuser {path}` names it)"
        case sqlite3.SQLITE_IOERR:
            return f"{path}: the disk fails ({error}); check it, nothing was changed"
        case _:
            return _damaged(path, f"is damaged ({error})")
