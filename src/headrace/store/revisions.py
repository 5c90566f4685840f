"""Revisions in SQLite: one file, write-ahead log, every commit on the disk before it counts."""

import hashlib
import os
import sqlite3
import zlib
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from dataclasses import dataclass
from datetime import UTC, datetime
from pathlib import Path
from threading import Thread

from headrace.model.errors import NotFoundError, UnavailableError

FILE_NAME = "revisions.sqlite"

LIMIT_REVISIONS = 1_000
"""Revisions kept; the oldest make room. At a change an hour it is six weeks."""

_LOCK_WAIT_S = 2.0  # another process holds the file only for the length of a commit

_VERSION = 2
"""Of the file's format; this program reads it and those before."""

_SCHEMA = f"""
CREATE TABLE revisions (
    number INTEGER PRIMARY KEY AUTOINCREMENT,  -- a number is never given twice
    time   TEXT NOT NULL,                      -- ISO 8601, UTC
    author TEXT NOT NULL,
    text   BLOB NOT NULL,                      -- UTF-8, packed by zlib
    sha256 TEXT NOT NULL                       -- of the text: a rotten disk is noticed
) STRICT;
PRAGMA user_version = {_VERSION};
"""

_PACK_PLAIN_TEXTS = """
INSERT INTO revisions SELECT number, time, author, pack(text), sha256 FROM plain;
DROP TABLE plain;
"""
"""From version 1 of the file, whose texts were not packed."""

_CHECKPOINT_EVERY = 64
"""Revisions. A checkpoint writes and syncs as many pages as a dozen commits or more: beside them,
it keeps no change waiting."""

_CHECKPOINT_PAGES_MAX = 4_000
"""Of the log, 16 MB: a commit makes a checkpoint itself where those beside it never get ahead."""

_CACHE_KIB = 256
"""Of pages, each connection: what is read is read once, and SQLite would keep 2 MB of it."""

_PACKING_LEVEL = 1
"""A fourteenth of its size, in 1 ms for 200 kB; to write so much whole takes the disk longer."""


@dataclass(frozen=True, slots=True)
class Revision:
    """One numbered state of the document."""

    number: int
    time: datetime
    author: str
    text: str


@dataclass(frozen=True, slots=True)
class PackedRevision:
    """One as it lies on the disk: many of them take little memory."""

    number: int
    time: datetime
    author: str
    packed: bytes
    sha256: str
    path: Path

    @property
    def text(self) -> str:
        """Unpacked anew at each call. Raises UnavailableError when it has changed on disk."""
        data = _unpack(self.packed)
        if data is None or _digest(data) != self.sha256:
            what = f"revision {self.number} has changed on disk"
            raise UnavailableError(_damaged(self.path, what))
        return data.decode()


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
                _check_no_log(self._path)
                _create(self._path)
            self._connection = _open(self._path)
            self._place = _place_of(self._path)
            self._beside = _connect(self._path)
        self._checkpoint = Thread(target=_make_checkpoint, args=(self._beside,))

    def latest(self) -> tuple[int, str] | None:
        """The newest revision's number and text; None when there is none."""
        newest = "SELECT max(number) FROM revisions"
        with self._explained():
            (number,) = self._connection.execute(newest).fetchone()
        return None if number is None else (number, self.at(number).text)

    def append(self, text: str, *, author: str) -> int:
        """Keep a text as the next revision, durable when this returns; its number."""
        self._check_place()
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
        if number % _CHECKPOINT_EVERY == 0 and not self._checkpoint.is_alive():
            self._checkpoint = Thread(target=_make_checkpoint, args=(self._beside,))
            self._checkpoint.start()
        return number

    def history(self, limit: int = LIMIT_REVISIONS) -> list[PackedRevision]:
        """The newest revisions that are kept, newest first; the text of each may be damaged."""
        select = (
            "SELECT number, time, author, text, sha256 FROM revisions ORDER BY number DESC LIMIT ?"
        )
        with self._explained():
            rows = self._connection.execute(select, (limit,)).fetchall()
        return [self._packed(*row) for row in rows]

    def at(self, number: int) -> Revision:
        """The revision of this number, whole.

        Raises NotFoundError when it was never made or is not kept.
        """
        select = "SELECT number, time, author, text, sha256 FROM revisions WHERE number = ?"
        with self._explained():
            row = self._connection.execute(select, (number,)).fetchone()
        if row is None:
            raise NotFoundError(f"revision {number} is not kept; history lists those that are")
        packed = self._packed(*row)
        return Revision(packed.number, packed.time, packed.author, packed.text)

    def close(self) -> None:
        """Let go of the file; what was appended stays."""
        if self._checkpoint.is_alive():
            self._checkpoint.join()
        with self._explained():
            self._beside.close()
            self._connection.close()

    def _check_place(self) -> None:
        """Raise UnavailableError where the file that is open is not the one that has its name.

        What is written to a file that was removed is lost with the last who has it open.
        """
        try:
            is_same = _place_of(self._path) == self._place
        except OSError:
            is_same = False
        if not is_same:
            raise UnavailableError(
                f"{self._path}: was removed or replaced while the daemon runs; nothing was "
                "changed. Keep what `headrace export` shows, and start the daemon once with it as "
                "--document"
            )

    def _packed(
        self, number: int, time: str, author: str, packed: bytes, sha256: str
    ) -> PackedRevision:
        try:
            when = datetime.fromisoformat(time)
        except ValueError as error:
            what = f"the time of revision {number} has changed on disk"
            raise UnavailableError(_damaged(self._path, what)) from error
        return PackedRevision(number, when, author, packed, sha256, self._path)

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


def _place_of(path: Path) -> tuple[int, int]:
    status = path.stat()
    return status.st_dev, status.st_ino


def _check_no_log(path: Path) -> None:
    """Raise UnavailableError if the log of a file that is gone would be taken for the new one's."""
    log = path.with_name(f"{path.name}-wal")
    if log.exists():
        raise UnavailableError(
            f"{path}: is gone, and its log {log.name} is there; put the file back, or move the log "
            f"away, too, with {path.name}-shm, and start the daemon once with --document"
        )


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
    connection = _connect(path)
    try:
        version = _readable_version(connection, path)
        connection.execute("PRAGMA journal_mode = WAL")
        connection.execute("PRAGMA synchronous = FULL")
        connection.execute(f"PRAGMA wal_autocheckpoint = {_CHECKPOINT_PAGES_MAX}")
        if version == 1:
            connection.create_function("pack", 1, lambda text: _pack(text.encode()))
            connection.executescript(
                "BEGIN IMMEDIATE; ALTER TABLE revisions RENAME TO plain;"
                f"{_SCHEMA} {_PACK_PLAIN_TEXTS} COMMIT;"
            )
        connection.execute("SELECT number, time, author, sha256 FROM revisions LIMIT 1").fetchone()
    except (sqlite3.Error, UnavailableError):
        connection.close()
        raise
    return connection


def _readable_version(connection: sqlite3.Connection, path: Path) -> int:
    """The version of the file's format. Raises UnavailableError where that is a later one."""
    version = int(connection.execute("PRAGMA user_version").fetchone()[0])
    if version > _VERSION:
        raise UnavailableError(
            f"{path}: is of format {version}, written by a newer Headrace; start that one, or "
            "`headrace export` there, move the file away (with its -wal and -shm files) and apply "
            "the document here"
        )
    return version


def _connect(path: Path) -> sqlite3.Connection:
    """For calls that may come from a worker thread, one at a time."""
    connection = sqlite3.connect(path, timeout=_LOCK_WAIT_S, check_same_thread=False)
    connection.execute(f"PRAGMA cache_size = -{_CACHE_KIB}")
    return connection


def _make_checkpoint(connection: sqlite3.Connection) -> None:
    """Take what was committed from the log to the file; commits go on meanwhile."""
    with suppress(sqlite3.Error):  # what it could not do stays in the log
        connection.execute("PRAGMA wal_checkpoint(PASSIVE)").fetchone()


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
