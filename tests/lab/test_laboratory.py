"""Labs are built, and nothing is left of them, whoever removes them."""

import os
import signal
import socket
import subprocess
import sys
from dataclasses import replace
from functools import partial
from ipaddress import IPv4Interface
from pathlib import Path

import pytest

from headrace.dataplane import Dataplane
from headrace.lab.laboratory import Laboratory, remove_lab
from headrace.lab.namespaces import (
    NETNS_FOLDER,
    create_namespace,
    namespace_inode,
    remove_namespace,
    run_in_namespace,
)
from headrace.lab.processes import ProcessId
from headrace.lab.state import LabFolder
from headrace.lab.topologies import DEMO
from headrace.lab.topology import Address
from headrace.model.errors import ConfigError, ConflictError, KernelError, NotFoundError
from tests.lab.conftest import MakeLab
from tests.lab.lines import CLIENT, SERVER, line_topology, own_name

pytestmark = [pytest.mark.netns, pytest.mark.bpf]


def namespaces_of(name: str) -> list[str]:
    return sorted(path.name for path in NETNS_FOLDER.glob(f"hr-{name}-*"))


def devices_here() -> list[str]:
    return sorted(name for _, name in socket.if_nameindex())


def test_a_lab_has_the_devices_of_its_topology_and_no_other(make_lab: MakeLab) -> None:
    lab = make_lab(DEMO)

    devices = run_in_namespace(lab.namespace("llb1"), devices_here)

    assert [name for name in devices if "tunl" not in name and "ipip" not in name] == sorted(
        [
            "lo",
            "ellb1r1",
            "ellb1ep1",
            "ellb1ep2",
            "ellb1ep3",
            "vlan11",
            "vlan31",
            "vlan32",
            "vlan33",
        ]
    )


def test_the_root_namespace_is_not_touched(make_lab: MakeLab) -> None:
    before = devices_here()

    make_lab(DEMO)

    assert [name for name in devices_here() if name != "tunl0"] == before


def test_nothing_is_left_of_a_removed_lab(tmp_path: Path) -> None:
    name = own_name("gone")
    lab = Laboratory.create(line_topology(tapped=True), name, tmp_path)
    process = lab.start(CLIENT, ["sleep", "60"], "sleep")

    lab.remove()

    assert not process.is_alive()
    assert namespaces_of(name) == []
    assert list(tmp_path.iterdir()) == []


def test_a_process_that_nobody_recorded_ends_with_its_namespace(make_lab: MakeLab) -> None:
    lab = make_lab(line_topology())
    with subprocess.Popen(lab.command(SERVER, ["sleep", "60"])) as stranger:
        lab.start(SERVER, ["sleep", "60"], "sleep")

        lab.remove()

        assert stranger.wait() == -signal.SIGKILL


def test_two_labs_stand_side_by_side(make_lab: MakeLab) -> None:
    first, second = make_lab(line_topology()), make_lab(line_topology())

    first.remove()

    assert namespace_inode(second.namespace(CLIENT)) is not None


def test_a_lab_in_use_is_not_built_again(make_lab: MakeLab, tmp_path: Path) -> None:
    lab = make_lab(line_topology())

    with pytest.raises(ConflictError, match=f"in use by process {os.getpid()}"):
        Laboratory.create(line_topology(), lab.name, tmp_path)


CRASH = """
import os, signal, sys
from pathlib import Path
from headrace.lab.laboratory import Laboratory
from tests.lab.lines import line_topology
lab = Laboratory.create(line_topology(), sys.argv[1], Path(sys.argv[2]))
print(lab.start("user", ["sleep", "60"], "sleep").pid, flush=True)
os.kill(os.getpid(), signal.SIGKILL)
"""


def test_what_a_killed_lab_left_is_removed_by_the_next_one(tmp_path: Path) -> None:
    name = own_name("crash")
    crashed = subprocess.run(
        [sys.executable, "-c", CRASH, name, tmp_path], capture_output=True, text=True, check=False
    )
    left = ProcessId.of(int(crashed.stdout))
    inode = namespace_inode(f"hr-{name}-{CLIENT}")

    lab = Laboratory.create(line_topology(), name, tmp_path)
    try:
        assert crashed.returncode == -signal.SIGKILL
        assert inode is not None
        assert namespace_inode(lab.namespace(CLIENT)) is not None
        assert left is not None
        assert not left.is_alive()
    finally:
        lab.remove()


def test_a_lab_that_is_left_on_purpose_is_not_taken_for_a_crashed_one(
    make_lab: MakeLab, tmp_path: Path
) -> None:
    lab = make_lab(line_topology())
    lab.keep()

    with pytest.raises(ConflictError, match=f"headrace lab down {lab.name}"):
        Laboratory.create(line_topology(), lab.name, tmp_path)

    assert remove_lab(lab.name, tmp_path)
    assert not remove_lab(lab.name, tmp_path)
    assert namespaces_of(lab.name) == []


def test_a_lab_can_be_entered_by_another_process(make_lab: MakeLab, tmp_path: Path) -> None:
    lab = make_lab(line_topology())
    lab.set_environment(CLIENT, {"HEADRACE_INSTANCE": "other"})

    same = Laboratory.attach(lab.topology, lab.name, tmp_path)

    assert same.namespace(CLIENT) == lab.namespace(CLIENT)
    assert same.environment(CLIENT)["HEADRACE_INSTANCE"] == "other"


def test_an_unknown_node_is_answered_with_those_there_are(make_lab: MakeLab) -> None:
    lab = make_lab(line_topology())

    with pytest.raises(NotFoundError, match=r"no node moon; it has user, ep1"):
        lab.namespace("moon")


def test_an_unknown_lab_is_answered_with_how_to_make_one(tmp_path: Path) -> None:
    with pytest.raises(NotFoundError, match="headrace lab up"):
        Laboratory.attach(line_topology(), own_name("never"), tmp_path)


def test_what_a_daemon_pinned_goes_with_the_lab(make_lab: MakeLab, tmp_path: Path) -> None:
    lab = make_lab(line_topology())
    runtime = tmp_path / "daemon"
    Dataplane(runtime / "bpf").close()
    lab.remove_at_end(runtime)
    lab.remove_at_end(tmp_path / "never there")
    had_mount = (runtime / "bpf").is_mount()

    lab.remove()

    assert had_mount
    assert not runtime.exists()


def test_what_cannot_be_removed_does_not_keep_the_rest(make_lab: MakeLab, tmp_path: Path) -> None:
    lab = make_lab(line_topology())
    no_folder = tmp_path / "file"
    no_folder.touch()
    lab.remove_at_end(no_folder)

    lab.remove()

    assert namespaces_of(lab.name) == []


def test_a_lab_that_cannot_be_built_leaves_nothing(tmp_path: Path) -> None:
    topology = line_topology()
    client = topology.node(CLIENT)
    twice = Address("euserep1", IPv4Interface("20.20.20.2/24"))
    broken = replace(client, addresses=(*client.addresses, twice))
    topology = replace(topology, nodes=(broken, *topology.nodes[1:]))
    name = own_name("broken")

    with pytest.raises(KernelError, match=r"add address 20\.20\.20\.2/24 to euserep1"):
        Laboratory.create(topology, name, tmp_path)

    assert namespaces_of(name) == []
    assert list(tmp_path.iterdir()) == []


def test_a_topology_with_problems_is_refused_with_all_of_them(tmp_path: Path) -> None:
    topology = replace(line_topology(), links=())

    with pytest.raises(ConfigError) as refused:
        Laboratory.create(topology, own_name("wrong"), tmp_path)

    assert len(refused.value.problems) == 2


@pytest.mark.parametrize("name", ["", "a/b", "-a", "x" * 25, "a b", ".."])
def test_a_name_that_would_not_be_one_everywhere_is_refused(name: str, tmp_path: Path) -> None:
    with pytest.raises(ConfigError, match="is not a name"):
        remove_lab(name, tmp_path)


def test_a_lock_that_its_last_owner_removed_is_no_lock(tmp_path: Path) -> None:
    first, second = LabFolder("x", tmp_path), LabFolder("x", tmp_path)
    first.lock()
    first.unlock()

    second.lock()
    second.unlock()

    assert list(tmp_path.iterdir()) == []


def test_cables_are_pulled_and_plugged(make_lab: MakeLab) -> None:
    lab = make_lab(line_topology())

    def carrier(node: str, device: str) -> bool:
        command = lab.command(node, ["ip", "-br", "link", "show", device])
        return "LOWER_UP" in subprocess.check_output(command, text=True)

    lab.set_cables(SERVER, plugged=False)
    pulled = carrier(CLIENT, "euserep1")
    lab.set_cables(SERVER, plugged=True)

    assert not pulled
    assert carrier(CLIENT, "euserep1")


def test_killing_a_node_ends_its_processes_and_no_others(make_lab: MakeLab) -> None:
    lab = make_lab(line_topology())
    here, there = (lab.start(node, ["sleep", "60"], node) for node in (SERVER, CLIENT))

    count = lab.kill_node(SERVER)

    assert (count, here.is_alive(), there.is_alive()) == (1, False, True)


def test_a_namespace_of_that_name_is_not_taken_over() -> None:
    name = f"hr-{own_name('twice')}"
    create_namespace(name)
    try:
        with pytest.raises(ConflictError, match=f"{name} exists already"):
            create_namespace(name)
    finally:
        remove_namespace(name)


def test_the_thread_that_enters_a_namespace_is_not_ours(make_lab: MakeLab) -> None:
    lab = make_lab(line_topology())
    read_inode = partial(os.stat, "/proc/thread-self/ns/net")

    inside = run_in_namespace(lab.namespace(CLIENT), read_inode).st_ino

    assert inside == namespace_inode(lab.namespace(CLIENT))
    assert read_inode().st_ino != inside
