"""The systemd units under a live systemd, PID 1 of a box in namespaces of its own."""

import json
import subprocess
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import pytest

from headrace.daemon.privileges import KEPT
from tests.bgp.namespaces import eventually
from tests.conftest import missing_privilege
from tests.house.source import ROOT

LIMIT_S = 60.0
SYSTEMD = Path("/usr/lib/systemd/systemd")
DOCUMENT = """
node: {name: box, interfaces: [eth1]}
cluster: {hash_seed: 1}
services:
- {vip: 192.0.2.1, protocol: tcp, port: 80, endpoints: [{address: 10.0.0.11}]}
"""
PREPARE = f"""
ip link add eth1 type veth peer name eth2
ip address add 10.0.0.1/24 dev eth1
ip link set eth1 up; ip link set eth2 up
mkdir -p /etc/headrace /etc/default
echo '{DOCUMENT}' >/etc/headrace/document.yaml
echo HEADRACE_OPTIONS=--document /etc/headrace/document.yaml >/etc/default/headrace
echo TAILRACE_OPTIONS=--from 10.0.0.1 --vip 192.0.2.1 --interface eth2 >/etc/default/tailrace
"""


def control_groups() -> Path | None:
    """Where the second version of control groups is mounted; None: nowhere."""
    mounts = (line.split() for line in Path("/proc/mounts").read_text().splitlines())
    return next((Path(mount[1]) for mount in mounts if mount[2] == "cgroup2"), None)


def missing() -> str:
    """What keeps the box from being built here; empty when nothing does."""
    if not SYSTEMD.exists():
        return "there is no systemd"
    return "there are no control groups" if control_groups() is None else missing_privilege()


class Box:
    """A machine whose first process is systemd."""

    def __init__(self, pid: int) -> None:
        self._enter = ["nsenter", "--target", str(pid), *["-p", "-m", "-n", "-i", "-u", "-C", "--"]]

    def ask(self, *command: str) -> str:
        """What a command inside prints, whether it fails or not."""
        done = subprocess.run(
            [*self._enter, *command], capture_output=True, text=True, timeout=LIMIT_S, check=False
        )
        return (done.stdout + done.stderr).strip()

    def start(self, unit: str) -> None:
        assert self.ask("systemctl", "start", unit) == "", self.story(unit)

    def story(self, unit: str) -> str:
        """What the unit did, for a failure."""
        return self.ask("systemctl", "status", unit) + self.ask("cat", f"/{unit}.log")

    def pid(self, unit: str) -> str:
        """The main process's number; "0" where there is none."""
        return self.ask("systemctl", "show", "--property=MainPID", "--value", unit)

    def program(self, device: str) -> int:
        """The number of the device's XDP program; 0 where there is none."""
        (link,) = json.loads(self.ask("ip", "-json", "link", "show", "dev", device))
        return int(link.get("xdp", {}).get("prog", {}).get("id", 0))

    def link(self) -> str:
        """The inode of the pin that attaches the load balancer to its interface."""
        return self.ask("stat", "--format=%i", "/run/headrace/main/bpf/links/eth1")

    def status(self, pid: str, key: str) -> str:
        """A line of a process's status."""
        lines = self.ask("cat", f"/proc/{pid}/status").splitlines()
        return next(line.split()[1] for line in lines if line.startswith(f"{key}:"))


@contextmanager
def group(name: str) -> Iterator[Path]:
    """A control group, which is gone after the block with all below it."""
    mounted = control_groups()
    assert mounted is not None
    folder = mounted / name
    folder.mkdir()
    try:
        yield folder
    finally:
        eventually(lambda: removed(folder), within_s=LIMIT_S)


def removed(folder: Path) -> bool:
    """Whether the groups below and this one could be removed: no process is in them any more."""
    done = subprocess.run(
        ["find", folder, "-depth", "-type", "d", "-exec", "rmdir", "{}", "+"],
        capture_output=True,
        check=False,
    )
    return done.returncode == 0 or not folder.exists()


@pytest.fixture(scope="module")
def box(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Box]:
    if reason := missing():
        pytest.skip(reason)
    folder = tmp_path_factory.mktemp("box")
    programs = Path(sys.executable).parent
    apart = "unshare --pid --mount --propagation=private --net --ipc --uts --cgroup --fork"
    with group(f"hr-{folder.parent.name}-{folder.name}") as joined:
        command = f'echo $$ >{joined}/cgroup.procs && exec {apart} --kill-child "$@"'
        script = ROOT / "tests/house/systemd_box.sh"
        arguments = [script, folder, ROOT, programs, Path(sys.base_prefix)]
        log = folder.with_suffix(".log").open("w+")
        with log, subprocess.Popen(["sh", "-c", command, "sh", *arguments], stderr=log) as process:
            try:
                yield booted(process.pid, Path(log.name))
            finally:
                process.kill()


def booted(pid: int, log: Path) -> Box:
    """The box, once its systemd has come up."""
    children = Path(f"/proc/{pid}/task/{pid}/children")
    (first,) = eventually(lambda: children.read_text().split(), within_s=LIMIT_S)
    box = Box(int(first))
    running = ["running", "degraded"]
    try:
        eventually(lambda: box.ask("systemctl", "is-system-running") in running, within_s=LIMIT_S)
    except AssertionError as error:
        raise AssertionError(log.read_text()) from error
    box.ask("sh", "-ec", PREPARE)
    return box


def test_a_daemon_that_is_killed_comes_back_to_the_data_plane_that_went_on(box: Box) -> None:
    box.start("headrace")
    first, program, link = box.pid("headrace"), box.program("eth1"), box.link()

    box.ask("systemctl", "kill", "--kill-whom=main", "--signal=KILL", "headrace")
    meanwhile = box.program("eth1")
    eventually(lambda: box.pid("headrace") not in {first, "0"}, within_s=LIMIT_S)
    box.start("headrace")  # waits until it is ready

    assert meanwhile == program != 0
    assert box.link() == link
    assert box.ask("grep", "-c", " /run/headrace/main/bpf bpf ", "/proc/mounts") == "1"


def test_what_forwards_outlives_a_daemon_that_is_stopped(box: Box) -> None:
    box.start("headrace")
    program = box.program("eth1")

    box.ask("systemctl", "stop", "headrace")

    assert box.pid("headrace") == "0"
    assert box.program("eth1") == program != 0


def test_a_daemon_has_the_capabilities_that_it_keeps_and_a_filter(box: Box) -> None:
    box.start("headrace")
    pid = box.pid("headrace")

    assert int(box.status(pid, "CapEff"), 16) == sum(1 << each for each in KEPT)
    assert box.status(pid, "NoNewPrivs") == "1"
    assert box.status(pid, "Seccomp") == "2"


def test_a_daemon_cannot_ask_systemd_to_start_something(box: Box) -> None:
    box.start("headrace")
    inside = ["nsenter", "--target", box.pid("headrace"), "--mount", "--"]

    seen = box.ask(*inside, "stat", "--format=%a", "/run/systemd/private")

    assert box.ask("stat", "--format=%a", "/run/systemd/private") != "0"
    assert seen == "0"


def test_a_tailrace_that_is_stopped_leaves_its_program(box: Box) -> None:
    box.start("tailrace")
    program = eventually(lambda: box.program("eth2"), within_s=LIMIT_S)

    box.ask("systemctl", "restart", "tailrace")
    box.ask("systemctl", "stop", "tailrace")

    assert box.program("eth2") == program, box.story("tailrace")
