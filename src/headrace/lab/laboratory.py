"""One lab from its first namespace to its last: build, run programs inside, remove."""

import os
import shutil
from collections.abc import Mapping, Sequence
from pathlib import Path

import structlog

from headrace.dataplane import detach_all
from headrace.lab.namespaces import (
    command_in_namespace,
    create_namespace,
    has_ipip_device,
    namespace_inode,
    processes_in_namespaces,
    remove_namespace,
)
from headrace.lab.network import build_network, namespaces_needed, set_links
from headrace.lab.processes import (
    ProcessId,
    end_processes,
    kill_processes,
    start_detached,
)
from headrace.lab.state import RUN_FOLDER, LabFolder, LabState
from headrace.lab.topology import Topology
from headrace.model.errors import ConfigError, ConflictError, LbError, NotFoundError, Problem

LIMIT_LAB_NAME_BYTES = 24
"""With prefix and node the names of namespaces stay short enough to read in a table."""

LIMIT_KILL_ROUNDS = 20
"""A process may fork between being listed and being killed; none of ours does so for long."""

_log = structlog.get_logger()


class Laboratory:
    """A topology that exists: namespaces `hr-LAB-NODE`, and the programs that run in them."""

    def __init__(self, topology: Topology, folder: LabFolder, state: LabState) -> None:
        self.topology = topology
        self._folder = folder
        self._state = state

    @classmethod
    def create(
        cls, topology: Topology, name: str | None = None, run_folder: Path = RUN_FOLDER
    ) -> "Laboratory":
        """Build a topology; what a crashed lab of the same name has left is removed first."""
        name = name or topology.name
        _check_name(name)
        folder = LabFolder(name, run_folder)
        folder.lock()
        try:
            _remove_stale(folder)
            _check_topology(topology)
            return cls._build(topology, folder)
        except BaseException:
            folder.unlock()
            raise

    @classmethod
    def _build(cls, topology: Topology, folder: LabFolder) -> "Laboratory":
        names = {node: f"hr-{folder.name}-{node}" for node in namespaces_needed(topology)}
        lab = cls(topology, folder, LabState(topology.name, namespaces=names))
        folder.write(lab._state)  # before the first namespace: names are removed by it
        try:
            for node, namespace in names.items():
                lab._state.inodes[node] = create_namespace(namespace)
            folder.write(lab._state)
            lab._state.has_ipip = has_ipip_device(f"hr-{folder.name}-scratch")
            build_network(topology, names, with_tunnels=lab.has_ipip)
            folder.write(lab._state)
        except BaseException:
            lab.remove()
            raise
        return lab

    @classmethod
    def attach(cls, topology: Topology, name: str, run_folder: Path = RUN_FOLDER) -> "Laboratory":
        """The lab of that name that somebody has built, to run programs in it."""
        folder = LabFolder(name, run_folder)
        state = folder.read()
        if state is None:
            raise NotFoundError(f"there is no lab {name}; `headrace lab up` makes one")
        return cls(topology, folder, state)

    @property
    def name(self) -> str:
        """The lab's own name, which is part of every name it makes."""
        return self._folder.name

    @property
    def path(self) -> Path:
        """The folder for the lab's logs, sockets and configurations."""
        return self._folder.path

    @property
    def has_ipip(self) -> bool:
        """Whether the kernel has `ipip` devices, so that the topology's tunnels were made."""
        return self._state.has_ipip

    def namespace(self, node: str) -> str:
        """The name of a node's network namespace."""
        try:
            return self._state.namespaces[node]
        except KeyError:
            nodes = ", ".join(self._state.namespaces)
            raise NotFoundError(f"lab {self.name} has no node {node}; it has {nodes}") from None

    def command(self, node: str, argv: Sequence[str]) -> list[str]:
        """The command line that runs a program on a node."""
        return command_in_namespace(self.namespace(node), argv)

    def environment(self, node: str) -> dict[str, str]:
        """The environment of a node's programs: ours, and what belongs to the node."""
        return {**os.environ, **self._state.environments.get(node, {})}

    def set_environment(self, node: str, variables: Mapping[str, str]) -> None:
        """Give all later programs of a node these variables, those of `lab exec` too."""
        self._state.environments.setdefault(node, {}).update(variables)
        self._folder.write(self._state)

    def start(self, node: str, argv: Sequence[str], log_name: str) -> ProcessId:
        """Start a program on a node that runs until it is ended or the lab is removed."""
        command = self.command(node, argv)
        log = self.path / f"{log_name}.log"
        process = start_detached(command, log, self.environment(node))
        self._state.processes.append(process)
        self._folder.write(self._state)
        return process

    def end(self, processes: Sequence[ProcessId]) -> None:
        """End programs that `start` started."""
        end_processes(processes)
        self._state.processes = [item for item in self._state.processes if item not in processes]
        self._folder.write(self._state)

    def kill(self, processes: Sequence[ProcessId]) -> None:
        """End programs that `start` started, without letting them say anything."""
        kill_processes(processes)
        self._state.processes = [item for item in self._state.processes if item not in processes]
        self._folder.write(self._state)

    def kill_inside(self, node: str) -> int:
        """Kill every process on a node, whose kernel goes on; how many there were."""
        return _kill_inside([self._state.inodes[node]])

    def processes_inside(self, node: str) -> list[ProcessId]:
        """Every process on a node, whoever started it."""
        pids = processes_in_namespaces([self._state.inodes[node]])
        return [process for pid in pids if (process := ProcessId.of(pid)) is not None]

    def kill_node(self, node: str) -> int:
        """Cut a node's power: its cables first, then every process on it; how many there were.

        With the cables gone before the processes, no farewell of theirs reaches anybody.
        """
        self.set_cables(node, plugged=False)
        return self.kill_inside(node)

    def set_cables(self, node: str, *, plugged: bool) -> None:
        """Plug in or pull every cable of a node."""
        devices = [end.device for end in self.topology.link_ends(node)]
        set_links(self.namespace(node), devices, up=plugged)

    def remove_at_end(self, runtime_folder: Path) -> None:
        """Have a daemon's folder and pins removed with the lab, by whoever removes it."""
        self._state.runtime_folders.append(str(runtime_folder))
        self._folder.write(self._state)

    def keep(self) -> None:
        """Leave the lab running after this process; `remove_lab` ends it."""
        self._state.kept = True
        self._folder.write(self._state)
        self._folder.unlock()

    def remove(self) -> None:
        """End every program, undo what was left outside, remove every namespace."""
        _remove_all(self._folder, self._state)
        self._folder.unlock()


def remove_lab(name: str, run_folder: Path = RUN_FOLDER) -> bool:
    """Remove a lab that nobody runs any more, kept or crashed; whether there was one."""
    _check_name(name)
    folder = LabFolder(name, run_folder)
    folder.lock()
    try:
        state = folder.read()
        if state is not None:
            _remove_all(folder, state)
        return state is not None
    finally:
        folder.unlock()


def _remove_stale(folder: LabFolder) -> None:
    """Remove what a crashed lab has left; ConflictError when the lab was left on purpose."""
    state = folder.read()
    if state is None:
        return
    alive = any(namespace_inode(name) is not None for name in state.namespaces.values())
    if state.kept and alive:
        raise ConflictError(
            f"lab {folder.name} is up; `headrace lab down {folder.name}` removes it"
        )
    _log.info("stale_lab_removed", lab=folder.name)
    _remove_all(folder, state)


def _remove_all(folder: LabFolder, state: LabState) -> None:
    """Undo a lab in the order that lets each part still reach what it needs.

    Processes are ended by pid and start time, or because they are inside a namespace that this lab
    made and that is still the same one (the inode says so).
    """
    end_processes(state.processes)
    present = {
        node: name for node, name in state.namespaces.items() if namespace_inode(name) is not None
    }
    made = [
        inode
        for node, inode in state.inodes.items()
        if node in present and namespace_inode(present[node]) == inode
    ]
    _kill_inside(made)
    for folder_of_daemon in state.runtime_folders:
        _remove_runtime(Path(folder_of_daemon))
    for name in present.values():
        remove_namespace(name)
    folder.remove()


def _kill_inside(inodes: Sequence[int]) -> int:
    """Kill whatever runs in these namespaces, also what starts meanwhile; how many there were."""
    count = 0
    for _ in range(LIMIT_KILL_ROUNDS):
        pids = processes_in_namespaces(inodes)
        if not pids:
            break
        processes = [process for pid in pids if (process := ProcessId.of(pid)) is not None]
        kill_processes(processes)
        count += len(processes)
    return count


def _remove_runtime(folder: Path) -> None:
    """Take away what a daemon left outside of its namespace; a failure does not stop the removal.

    Not by `headrace detach`, which takes two seconds to start, and needs a source that can run.
    """
    try:
        detach_all(folder / "bpf")
        shutil.rmtree(folder)
    except FileNotFoundError:  # it never got so far
        return
    except (OSError, LbError) as error:
        _log.warning("cleanup_failed", folder=str(folder), reason=str(error))


def _check_name(name: str) -> None:
    allowed = name.replace("-", "").isalnum() and name.isascii() and not name.startswith("-")
    if not allowed or len(name) > LIMIT_LAB_NAME_BYTES:
        raise ConfigError.at(
            "lab", f"{name!r} is not a name of at most {LIMIT_LAB_NAME_BYTES} letters and digits"
        )


def _check_topology(topology: Topology) -> None:
    problems = [Problem("topology", problem) for problem in topology.problems()]
    if problems:
        raise ConfigError(problems)
