"""An agent that runs follows the host; nothing else touches its instance meanwhile."""

import os
import subprocess
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import pytest

from headrace.dataplane.pins import read_links
from tests.bgp.support import eventually
from tests.underlay.network import Namespace, namespaces

pytestmark = [pytest.mark.bpf, pytest.mark.netns]

INSTANCE = f"test-following-{os.getpid()}"
PINS = Path("/run/tailrace", INSTANCE, "bpf")
WAIT_S = 10.0


def tailrace(endpoint: Namespace, *arguments: str) -> list[str]:
    """The command that runs tailrace on the endpoint."""
    program = [sys.executable, "-c", "from headrace.cli.tailrace import main; main()"]
    where = ["nsenter", f"--net=/run/netns/{endpoint.name}"]
    return [*where, *program, *arguments, "--instance", INSTANCE]


@contextmanager
def running(endpoint: Namespace, log: Path) -> Iterator[None]:
    """An agent that has started, until the end of the block."""
    command = tailrace(endpoint, "run", "--vip", "20.20.20.1", "--from", "10.0.0.1")
    environment = os.environ | {"PYTHONUNBUFFERED": "1"}
    with log.open("wb") as out, subprocess.Popen(command, stdout=out, env=environment) as agent:
        try:
            eventually(lambda: "started" in log.read_text(), within_s=WAIT_S)
            yield
        finally:
            agent.terminate()


@pytest.fixture
def endpoint() -> Iterator[Namespace]:
    with namespaces("endpoint") as (made,):
        made.ip("link add e0 type veth peer name e1")
        made.ip("link set e0 up")
        made.ip("addr add 10.0.0.2/24 dev e0")
        try:
            yield made
        finally:
            subprocess.run(tailrace(made, "detach"), check=True)


def test_interfaces_and_addresses_that_come_go_and_are_renamed_are_followed(
    endpoint: Namespace, tmp_path: Path
) -> None:
    log = tmp_path / "log"
    with running(endpoint, log):
        endpoint.ip("link set e1 up")
        eventually(lambda: set(read_links(PINS)) == {"e0", "e1"}, within_s=WAIT_S)
        endpoint.ip("link set e1 down")
        endpoint.ip("link set e1 name dmz")
        endpoint.ip("link set dmz up")
        eventually(lambda: set(read_links(PINS)) == {"e0", "dmz"}, within_s=WAIT_S)
        endpoint.ip("link del e0")
        endpoint.ip("link add e0 type veth peer name e1")
        endpoint.ip("link set e0 up")
        for number in (3, 4):
            endpoint.ip(f"addr add 10.0.0.{number}/24 dev e0")
        eventually(lambda: set(read_links(PINS)) == {"e0"}, within_s=WAIT_S)
        eventually(lambda: "own=2" in log.read_text().splitlines()[-1], within_s=WAIT_S)
        links = read_links(PINS)

    assert all(links.values())


def test_a_link_by_an_earlier_name_is_taken_over(endpoint: Namespace, tmp_path: Path) -> None:
    with running(endpoint, tmp_path / "one"):
        pass
    endpoint.ip("link set e0 down")
    endpoint.ip("link set e0 name wan")
    endpoint.ip("link set wan up")

    with running(endpoint, tmp_path / "two"):
        links = read_links(PINS)

    assert set(links) == {"wan"}


def test_a_second_agent_and_detach_are_refused_while_one_runs(
    endpoint: Namespace, tmp_path: Path
) -> None:
    options = ["--vip", "20.20.20.2", "--from", "10.0.0.9"]
    with running(endpoint, tmp_path / "log"):
        for command in (["run", *options], ["detach"]):
            done = subprocess.run(
                tailrace(endpoint, *command), capture_output=True, text=True, check=False
            )

            assert done.returncode == 1
            assert f"instance {INSTANCE} is run by process" in done.stderr
        links = read_links(PINS)

    assert set(links) == {"e0"}
