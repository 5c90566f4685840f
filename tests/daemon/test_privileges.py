"""What is left of root's powers, in the daemon and in what it starts."""

import os
import socket
import subprocess
import sys
from contextlib import ExitStack
from pathlib import Path

import pytest

from headrace.daemon.privileges import KEPT, Capability
from headrace.daemon.readiness import tell_manager
from tests.api.authority import Authority
from tests.bgp.support import eventually
from tests.daemon.node import BGP, DOCUMENT, PREFIX, Node

DROP = "from headrace.daemon.privileges import *; drop_privileges(); "
STATUS = "print(open('/proc/self/status').read())"


def fields(status: str) -> dict[str, str]:
    """The lines of /proc/PID/status by name."""
    return {
        name: value.strip()
        for name, _, value in (line.partition(":") for line in status.splitlines())
    }


def mask(capabilities: frozenset[Capability]) -> int:
    return sum(1 << each for each in capabilities)


def run_python(program: str) -> str:
    done = subprocess.run(
        [sys.executable, "-c", program], capture_output=True, text=True, check=False
    )
    assert done.returncode == 0, done.stderr
    return done.stdout


@pytest.mark.netns
@pytest.mark.parametrize(
    "program",
    [
        pytest.param(DROP + STATUS, id="itself"),
        pytest.param(
            DROP + "import threading; "
            f"t = threading.Thread(target=lambda: {STATUS.replace('self', 'thread-self')}); "
            "t.start(); t.join()",
            id="a later thread",
        ),
        pytest.param(
            DROP + "import os; os.execv('/bin/cat', ['cat', '/proc/self/status'])", id="a child"
        ),
    ],
)
def test_only_what_is_needed_is_left(program: str) -> None:
    status = fields(run_python(program))

    assert int(status["CapEff"], 16) == int(status["CapPrm"], 16) == mask(KEPT)
    assert status["NoNewPrivs"] == "1"


@pytest.mark.netns
@pytest.mark.parametrize(
    "act",
    [
        pytest.param("os.chown('/etc/hostname', 1, 1)", id="give files away"),
        pytest.param("os.setuid(1)", id="become another user"),
        pytest.param("os.setgroups([1])", id="join groups"),
        pytest.param("os.chroot('/')", id="leave the file system"),
        pytest.param("os.sched_setscheduler(0, 1, os.sched_param(1))", id="run before others"),
    ],
)
def test_root_can_no_longer(act: str) -> None:
    program = f"{DROP}import os\ntry:\n    {act}\nexcept PermissionError: print('refused')"

    assert run_python(program) == "refused\n"


@pytest.mark.bpf
@pytest.mark.netns
@pytest.mark.parametrize("speaker", ["exabgp", "bird"])
def test_nothing_of_a_daemon_that_announces_has_more(tmp_path: Path, speaker: str) -> None:
    with ExitStack() as stack:
        node = Node(stack, tmp_path)
        with node.router() as router:
            daemon = node.start_up(DOCUMENT | {"bgp": BGP | {"speaker": speaker}})
            eventually(lambda: router.hears("announce", PREFIX))
            threads = [
                task for pid in node.processes() for task in Path(f"/proc/{pid}/task").iterdir()
            ]
            statuses = [fields((task / "status").read_text()) for task in threads]
            code = daemon.end()

    assert len(statuses) >= 4  # the daemon with a thread that worked, the relay, the speaker
    assert {int(status["CapPrm"], 16) for status in statuses} == {mask(KEPT)}
    assert {status["NoNewPrivs"] for status in statuses} == {"1"}
    assert code == 0


@pytest.mark.bpf
@pytest.mark.netns
def test_a_daemon_that_others_can_reach_takes_tokens_or_does_not_start(tmp_path: Path) -> None:
    authority = Authority(tmp_path)
    pair = authority.sign("server", address="127.0.0.1")
    tls = ["--tls-certificate", str(pair.certificate), "--tls-key", str(pair.key)]
    state = ["--state", str(tmp_path / "state")]
    token_file = tmp_path / "token"
    with ExitStack() as stack:
        node = Node(stack, tmp_path)
        refused = node.start(DOCUMENT, *tls, listen="0.0.0.0:11111")
        code = refused.wait()
        made = node.headrace("token", "create", "ci", "--role", "write", *state)
        token_file.write_text(made.stdout)
        daemon = node.start(DOCUMENT, *tls, listen="0.0.0.0:11111")
        eventually(lambda: node.headrace("status").returncode == 0)
        known = ["--token-file", str(token_file), "--ca-file", str(authority.own.certificate)]
        server = ["--server", "https://127.0.0.1:11111"]
        drained = node.headrace(*known, "undrain", "node", *server)
        node.headrace("token", "revoke", "ci", *state)
        revoked = node.headrace(*known, "undrain", "node", *server)

    assert (code, "needs TLS and a token; run `headrace token" in refused.said) == (1, True)
    assert (drained.returncode, drained.stderr) == (0, "")
    assert "this token opens nothing" in revoked.stderr
    assert made.stdout.strip() not in daemon.said


@pytest.mark.netns
def test_fewer_can_be_kept() -> None:
    program = (
        "from headrace.daemon.privileges import *; "
        f"drop_privileges([Capability.NET_RAW]); drop_privileges(); {STATUS}"
    )

    assert int(fields(run_python(program))["CapPrm"], 16) == mask(frozenset({Capability.NET_RAW}))


def test_the_manager_is_told(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    path = str(tmp_path / "notify")
    with socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM) as manager:
        manager.bind(path)
        monkeypatch.setenv("NOTIFY_SOCKET", path)
        tell_manager("READY=1")

        assert manager.recv(100) == b"READY=1"


def test_an_abstract_address_of_the_manager_is_understood(monkeypatch: pytest.MonkeyPatch) -> None:
    name = f"headrace-test-{os.getpid()}"
    with socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM) as manager:
        manager.bind(f"\0{name}")
        monkeypatch.setenv("NOTIFY_SOCKET", f"@{name}")
        tell_manager("STOPPING=1")

        assert manager.recv(100) == b"STOPPING=1"


def test_without_a_manager_nothing_is_told(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    path = str(tmp_path / "notify")
    with socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM) as manager:
        manager.bind(path)
        manager.setblocking(False)  # noqa: FBT003 - the socket module's own
        monkeypatch.delenv("NOTIFY_SOCKET", raising=False)
        tell_manager("READY=1")

        with pytest.raises(BlockingIOError):
            manager.recv(100)
