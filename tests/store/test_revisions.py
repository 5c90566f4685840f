"""The store keeps every revision, whatever happens to the process or the disk."""

import hashlib
import os
import random
import signal
import sqlite3
import stat
import subprocess
import sys
import tracemalloc
import zlib
from collections.abc import Iterator
from datetime import UTC, datetime
from pathlib import Path

import pytest

from headrace.model import NotFoundError, UnavailableError
from headrace.store import Store
from headrace.store import revisions as revisions_module


def noise(length: int) -> str:
    """A text that no packing makes much smaller."""
    return random.Random(length).randbytes(length // 2).hex()


@pytest.fixture
def directory(tmp_path: Path) -> Path:
    return tmp_path / "state" / "main"


@pytest.fixture
def store(directory: Path) -> Iterator[Store]:
    opened = Store(directory)
    yield opened
    opened.close()


def test_a_new_store_has_no_revision(store: Store) -> None:
    assert store.latest() is None
    assert store.history() == []


def test_revisions_are_numbered_and_kept_with_time_and_author(store: Store) -> None:
    before = datetime.now(UTC)

    numbers = [store.append("one", author="ann"), store.append("two: ü\n", author="bob")]

    assert numbers == [1, 2]
    assert store.latest() == (2, "two: ü\n")
    assert [(r.number, r.author, r.text) for r in store.history()] == [
        (2, "bob", "two: ü\n"),
        (1, "ann", "one"),
    ]
    assert before <= store.at(1).time <= store.at(2).time <= datetime.now(UTC)


def test_the_log_is_taken_to_the_file_beside_the_commits(store: Store, directory: Path) -> None:
    file = directory / revisions_module.FILE_NAME
    empty = file.stat().st_size
    text = noise(20_000)
    for _ in range(revisions_module._CHECKPOINT_EVERY):
        store.append(text, author="ann")

    store._checkpoint.join()

    assert file.stat().st_size > empty + len(text)
    assert store.append("last", author="ann") == revisions_module._CHECKPOINT_EVERY + 1
    assert store.latest() == (revisions_module._CHECKPOINT_EVERY + 1, "last")


def test_a_checkpoint_that_fails_fails_no_commit(
    store: Store, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(revisions_module, "_CHECKPOINT_EVERY", 1)
    store._beside.close()

    assert store.append("one", author="ann") == 1
    store._checkpoint.join()
    assert store.append("two", author="ann") == 2


def test_a_revision_that_is_not_there_is_not_found(store: Store) -> None:
    store.append("one", author="ann")

    with pytest.raises(NotFoundError, match="revision 2 is not kept"):
        store.at(2)


def test_revisions_outlive_the_store(directory: Path) -> None:
    first = Store(directory)
    first.append("one", author="ann")
    first.close()

    second = Store(directory)

    assert second.latest() == (1, "one")
    second.close()


def test_only_the_owner_may_enter(store: Store, directory: Path) -> None:
    store.append("secret", author="ann")

    assert stat.S_IMODE(directory.stat().st_mode) == 0o700
    assert {stat.S_IMODE(file.stat().st_mode) for file in directory.iterdir()} == {0o600}


def test_a_directory_that_is_open_to_others_is_closed_to_them(tmp_path: Path) -> None:
    tmp_path.chmod(0o755)

    Store(tmp_path).close()

    assert stat.S_IMODE(tmp_path.stat().st_mode) == 0o700


def test_the_oldest_make_room_at_the_limit_and_numbers_go_on(
    store: Store, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(revisions_module, "LIMIT_REVISIONS", 3)

    for count in range(5):
        store.append(f"text {count}", author="ann")

    assert [revision.number for revision in store.history()] == [5, 4, 3]
    assert [revision.number for revision in store.history(2)] == [5, 4]


def test_a_commit_is_on_the_disk_before_it_counts(store: Store) -> None:
    pragmas = [
        store._connection.execute(f"PRAGMA {name}").fetchone()[0]
        for name in ("journal_mode", "synchronous")
    ]

    assert pragmas == ["wal", 2]


APPENDER = """
import sys
from pathlib import Path
from headrace.store import Store
store = Store(Path(sys.argv[1]))
while True:
    number = (store.latest() or (0, ""))[0] + 1
    assert store.append(f"{number}:" + "x" * 20_000, author="loop") == number
    print(number, flush=True)
"""


def test_the_last_whole_revision_is_there_after_any_kill(directory: Path) -> None:
    chance = random.Random(1)  # moments to kill at
    for _ in range(12):
        process = subprocess.Popen(
            [sys.executable, "-c", APPENDER, directory], stdout=subprocess.PIPE, text=True
        )
        assert process.stdout is not None
        told = 0
        for _ in range(chance.randint(1, 15)):
            told = int(process.stdout.readline())
        process.send_signal(signal.SIGKILL)
        rest = process.communicate()[0].splitlines()
        told = int(rest[-1]) if rest else told

        store = Store(directory)
        latest = store.latest()
        history = store.history()
        store.close()

        assert latest is not None
        assert latest[0] in {told, told + 1}  # killed after the commit, before it was told
        assert latest[1] == f"{latest[0]}:" + "x" * 20_000
        assert [revision.number for revision in history] == list(range(latest[0], 0, -1))


def test_a_kill_while_the_file_is_made_leaves_a_fresh_start(directory: Path) -> None:
    directory.mkdir(parents=True)
    (directory / "revisions.new").write_bytes(b"half a database")

    store = Store(directory)

    assert store.append("one", author="ann") == 1
    store.close()


@pytest.fixture
def full(directory: Path) -> Path:
    store = Store(directory)
    for count in range(20):
        store.append(f"{count}:" + noise(10_000), author="ann")
    store.close()
    return directory / "revisions.sqlite"


@pytest.mark.parametrize("share", [0.0, 0.001, 0.03, 0.5, 0.97])
def test_a_truncated_file_is_refused_with_the_remedy(full: Path, share: float) -> None:
    os.truncate(full, int(full.stat().st_size * share))

    with pytest.raises(UnavailableError, match=r"revisions\.sqlite: .*; move it away") as caught:
        Store(full.parent).latest()

    assert str(full) in str(caught.value)


def test_a_file_of_something_else_is_refused_with_the_remedy(full: Path) -> None:
    full.write_bytes(b"no database at all\n" * 1_000)

    with pytest.raises(UnavailableError, match=r"is damaged \(file is not a database\); move it"):
        Store(full.parent)


@pytest.mark.parametrize("other", [b"other", zlib.compress(b"other")])
def test_a_text_that_changed_on_the_disk_is_refused(full: Path, other: bytes) -> None:
    connection = sqlite3.connect(full)
    with connection:
        connection.execute("UPDATE revisions SET text = ? WHERE number = 20", (other,))
    connection.close()
    store = Store(full.parent)

    with pytest.raises(UnavailableError, match="revision 20 has changed on disk; move it away"):
        store.latest()
    with pytest.raises(UnavailableError, match="revision 20 has changed on disk"):
        store.at(20)

    assert [each.number for each in store.history(2)] == [20, 19]
    assert store.history(2)[1].text == store.at(19).text
    assert store.at(19).text.startswith("18:")
    store.close()


def test_a_full_disk_is_told_and_loses_nothing(directory: Path) -> None:
    store = Store(directory)
    store.append("one", author="ann")
    pages = store._connection.execute("PRAGMA page_count").fetchone()[0]
    store._connection.execute(f"PRAGMA max_page_count = {pages + 2}")

    with pytest.raises(UnavailableError, match="the disk is full; free some space"):
        store.append(noise(1_000_000), author="ann")

    assert store.latest() == (1, "one")
    assert store.append("two", author="ann") == 2
    store.close()


FILE_LIMIT = """
import random, resource, signal, sys
from pathlib import Path
from headrace.store import Store
from headrace.model import UnavailableError
store = Store(Path(sys.argv[1]))
signal.signal(signal.SIGXFSZ, signal.SIG_IGN)
resource.setrlimit(resource.RLIMIT_FSIZE, (200_000, 200_000))
try:
    store.append(random.randbytes(500_000).hex(), author="ann")
except UnavailableError as error:
    print(error)
"""


def test_a_write_that_the_kernel_refuses_is_told_and_loses_nothing(full: Path) -> None:
    done = subprocess.run(
        [sys.executable, "-c", FILE_LIMIT, full.parent], capture_output=True, text=True, check=True
    )
    store = Store(full.parent)

    assert f"{full}: " in done.stdout
    assert "nothing was changed" in done.stdout
    assert [revision.number for revision in store.history()] == list(range(20, 0, -1))
    store.close()


def test_another_process_that_holds_the_file_is_named(
    full: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(revisions_module, "_LOCK_WAIT_S", 0.01)
    other = sqlite3.connect(full, isolation_level=None)
    other.execute("BEGIN IMMEDIATE")
    store = Store(full.parent)

    with pytest.raises(UnavailableError, match="another process holds it; end that one"):
        store.append("x", author="ann")

    other.execute("ROLLBACK")
    other.close()
    store.close()


def test_a_place_where_no_folder_can_be_made_is_told(tmp_path: Path) -> None:
    (tmp_path / "file").write_text("in the way")

    with pytest.raises(UnavailableError, match=r"Not a directory; give the daemon a folder"):
        Store(tmp_path / "file" / "state")


READ_ONLY = """
import os, sys
from pathlib import Path
from headrace.store import Store
from headrace.model import UnavailableError
os.setgid(65534)
os.setuid(65534)
try:
    Store(Path(sys.argv[1])).append("x", author="ann")
except UnavailableError as error:
    print(error)
"""


@pytest.mark.skipif(os.geteuid() != 0, reason="only root can become another user")
def test_a_file_that_cannot_be_written_is_told(tmp_path: Path) -> None:
    tmp_path.chmod(0o755)
    database = tmp_path / "revisions.sqlite"
    done = subprocess.run(
        [sys.executable, "-c", READ_ONLY, tmp_path], capture_output=True, text=True, check=True
    )

    assert done.stdout.endswith("denied; give the daemon a folder that it can write\n")
    assert str(database) in done.stdout


def test_a_read_only_database_is_told(full: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    connect = sqlite3.connect
    monkeypatch.setattr(
        sqlite3, "connect", lambda path, **rest: connect(f"file:{path}?mode=ro", uri=True, **rest)
    )
    store = Store(full.parent)

    with pytest.raises(UnavailableError, match="cannot be opened for writing; check its owner"):
        store.append("x", author="ann")

    assert store.latest() is not None
    store.close()


def write_version_1(directory: Path, number: int, text: str) -> None:
    """Make the file as it was before texts were packed, with one revision."""
    directory.mkdir(parents=True)
    connection = sqlite3.connect(directory / "revisions.sqlite")
    connection.executescript(
        "CREATE TABLE revisions (number INTEGER PRIMARY KEY AUTOINCREMENT, time TEXT NOT NULL,"
        " author TEXT NOT NULL, text TEXT NOT NULL, sha256 TEXT NOT NULL) STRICT;"
        "PRAGMA user_version = 1;"
    )
    row = (
        number,
        datetime.now(UTC).isoformat(),
        text,
        hashlib.sha256(text.encode()).hexdigest(),
    )
    with connection:
        connection.execute("INSERT INTO revisions VALUES (?, ?, 'ann', ?, ?)", row)
    connection.close()


def test_a_file_whose_texts_are_not_packed_is_read_and_goes_on(directory: Path) -> None:
    write_version_1(directory, 7, "first")

    store = Store(directory)

    assert store.latest() == (7, "first")
    assert store.append("second", author="bob") == 8
    store.close()
    again = Store(directory)
    assert [(each.number, each.text) for each in again.history()] == [(8, "second"), (7, "first")]
    again.close()


def test_a_file_of_a_newer_version_is_refused_and_left_as_it_is(full: Path) -> None:
    connection = sqlite3.connect(full)
    connection.execute("PRAGMA user_version = 3")
    connection.close()
    before = full.read_bytes()

    with pytest.raises(UnavailableError, match="of format 3, written by a newer Headrace; start"):
        Store(full.parent)

    assert full.read_bytes() == before


def test_many_revisions_take_little_memory(store: Store) -> None:
    text = "".join(f"service {number}: the same\n" for number in range(10_000))
    for _ in range(20):
        store.append(text, author="ann")

    tracemalloc.start()
    kept = store.history()
    taken = tracemalloc.get_traced_memory()[0]
    tracemalloc.stop()

    assert taken < 10 * len(text)
    assert [each.text == text for each in kept] == [True] * 20


def test_a_large_text_takes_little_of_the_disk(store: Store) -> None:
    text = "".join(f"service {number}: the same\n" for number in range(10_000))

    store.append(text, author="ann")

    pages, size = (
        store._connection.execute(f"PRAGMA {name}").fetchone()[0]
        for name in ("page_count", "page_size")
    )
    assert pages * size < len(text) / 2
    assert store.latest() == (1, text)


def test_a_start_that_fails_half_way_leaves_no_file_behind(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    with monkeypatch.context() as failing:
        failing.setattr("headrace.store.revisions._SCHEMA", "CREATE TABLE torn (;")
        with pytest.raises(UnavailableError):
            Store(tmp_path)

    store = Store(tmp_path)

    assert store.latest() is None
    store.close()


def test_the_new_file_cannot_be_lost_with_its_folders_entry(
    directory: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    synced: list[Path] = []
    monkeypatch.setattr(
        "headrace.store.revisions.os.fsync",
        lambda descriptor: synced.append(Path(f"/proc/self/fd/{descriptor}").readlink()),
    )

    Store(directory).close()

    assert synced == [directory]
