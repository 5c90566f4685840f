"""What a lab must remember to be removed by another process than the one that built it.

Under `/run/headrace-lab` a lab has a lock, held by the process that runs it, so that a lab whose
process has died is known at once; and a folder with `state.json`, which lists what there is to
remove, with logs and sockets.
"""

import fcntl
import json
import os
import shutil
from dataclasses import asdict, dataclass, field
from pathlib import Path
from typing import Any, Self

from headrace.lab.processes import ProcessId
from headrace.model.errors import ConflictError

RUN_FOLDER = Path("/run/headrace-lab")


@dataclass(slots=True)
class LabState:
    """Everything a lab has made, and how it is undone."""

    topology: str
    kept: bool = False  # left running on purpose; otherwise it lives as long as its process
    has_ipip: bool = False  # the kernel made the topology's `ipip` devices
    namespaces: dict[str, str] = field(default_factory=dict)  # names by node
    inodes: dict[str, int] = field(default_factory=dict)  # which namespaces they were
    processes: list[ProcessId] = field(default_factory=list)
    runtime_folders: list[str] = field(default_factory=list)  # of daemons, with their BPF pins
    environments: dict[str, dict[str, str]] = field(default_factory=dict)  # of a node's programs

    @classmethod
    def from_json(cls, text: str) -> Self:
        """The state that `to_json` wrote."""
        raw: dict[str, Any] = json.loads(text)
        raw["processes"] = [ProcessId(**entry) for entry in raw["processes"]]
        return cls(**raw)

    def to_json(self) -> str:
        """The state as text."""
        return json.dumps(asdict(self), indent=1)


class LabFolder:
    """The folder of one lab: its lock, its state, and a place for logs and sockets."""

    def __init__(self, name: str, run_folder: Path = RUN_FOLDER) -> None:
        self.name = name
        self.path = run_folder / name
        self._lock_path = run_folder / f"{name}.lock"
        self._state_path = self.path / "state.json"
        self._lock_fd: int | None = None

    def lock(self) -> None:
        """Own the lab until `unlock` or our end; ConflictError when another process does."""
        self._lock_path.parent.mkdir(mode=0o700, parents=True, exist_ok=True)
        while self._lock_fd is None:
            fd = self._open_locked()
            if self._is_current(fd):
                self._lock_fd = fd
            else:  # removed by its last owner between our open and our lock
                os.close(fd)
        os.ftruncate(self._lock_fd, 0)
        os.pwrite(self._lock_fd, f"{os.getpid()}\n".encode(), 0)

    def unlock(self) -> None:
        """Let another process own the lab; nothing is left of one that is removed."""
        if self._lock_fd is None:
            return
        if not self.path.exists():
            self._lock_path.unlink()
        os.close(self._lock_fd)
        self._lock_fd = None

    def _open_locked(self) -> int:
        fd = os.open(self._lock_path, os.O_RDWR | os.O_CREAT | os.O_CLOEXEC, 0o600)
        try:
            fcntl.flock(fd, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError as error:
            owner = os.pread(fd, 32, 0).decode().strip()
            os.close(fd)
            raise ConflictError(
                f"lab {self.name} is in use by process {owner}; end that one first"
            ) from error
        return fd

    def _is_current(self, fd: int) -> bool:
        try:
            return self._lock_path.stat().st_ino == os.fstat(fd).st_ino
        except FileNotFoundError:
            return False

    def read(self) -> LabState | None:
        """What the lab of this name has made; None when there is none."""
        try:
            return LabState.from_json(self._state_path.read_text())
        except FileNotFoundError:
            return None

    def write(self, state: LabState) -> None:
        """Replace the state as a whole, so that a crash leaves the old or the new one."""
        self.path.mkdir(mode=0o700, parents=True, exist_ok=True)
        new = self._state_path.with_suffix(".new")
        new.write_text(state.to_json())
        new.replace(self._state_path)

    def remove(self) -> None:
        """Forget the lab: its state, logs and sockets."""
        if self.path.exists():
            shutil.rmtree(self.path)
