"""A lock needs no room on the disk that it guards, and says who has it."""

import os
from pathlib import Path

import pytest

from headrace.daemon.lock import state_lock
from headrace.dataplane import LOCK_NAME, lock_holder
from headrace.model import ConflictError
from tests.bgp.support import run
from tests.operate.faults import small_disk


@pytest.mark.parametrize("how", ["full", "read-only"])
def test_the_state_of_a_disk_that_takes_nothing_can_be_held(tmp_path: Path, how: str) -> None:
    with small_disk(tmp_path / "state") as disk:
        with state_lock(disk):  # as an earlier daemon did
            pass
        if how == "full":
            with pytest.raises(OSError, match="No space left"):
                (disk / "all").write_bytes(bytes(2 * 1024 * 1024))
        else:
            run("mount", "-o", "remount,ro", str(disk))

        with state_lock(disk):
            assert lock_holder(disk / LOCK_NAME) == os.getpid()
            with pytest.raises(ConflictError, match=f"process {os.getpid()} already"):
                state_lock(disk).__enter__()

        assert lock_holder(disk / LOCK_NAME) is None


def test_a_file_of_the_same_number_on_another_disk_is_not_the_one_that_is_held(
    tmp_path: Path,
) -> None:
    with small_disk(tmp_path / "one") as one, small_disk(tmp_path / "other") as other:
        for disk in (one, other):
            with state_lock(disk):
                pass
        inodes = {(disk / LOCK_NAME).stat().st_ino for disk in (one, other)}

        with state_lock(one):
            holders = [lock_holder(disk / LOCK_NAME) for disk in (one, other)]
            with state_lock(other):
                pass

    assert len(inodes) == 1
    assert holders == [os.getpid(), None]
