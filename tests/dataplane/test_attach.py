"""Links on real interfaces, in a network namespace of the test's own."""

import json
import os
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

pytestmark = [pytest.mark.bpf, pytest.mark.netns]

PRELUDE = """
import json, socket, sys
from pathlib import Path
from headrace.dataplane import Dataplane
from headrace.dataplane.selftest import loses_big_redirects
from headrace.model import Port

def port(name):
    return Port(name, socket.if_nametoindex(name), (bytes(6),))

plane = Dataplane(Path(sys.argv[1]))
"""


@pytest.fixture
def namespace() -> Iterator[str]:
    """A network namespace with two veth pairs, v0 and v1 towards p0 and p1."""
    name = f"hr-test-{os.getpid()}-attach"
    run("ip", "netns", "add", name)
    try:
        for number in range(2):
            ends = ("name", f"v{number}", "type", "veth", "peer", "name", f"p{number}")
            run("ip", "-n", name, "link", "add", *ends)
            for end in (f"v{number}", f"p{number}"):
                run("ip", "-n", name, "link", "set", end, "up")
        yield name
    finally:
        run("ip", "netns", "del", name)


def run(*argv: str) -> str:
    return subprocess.run(argv, check=True, capture_output=True, text=True).stdout


def inside(namespace: str, pins: Path, program: str, *arguments: str) -> Any:
    """Run a program that has `plane` and `port(name)` in the namespace; what it prints as JSON."""
    enter = ("nsenter", f"--net=/run/netns/{namespace}")
    shown = run(*enter, sys.executable, "-c", PRELUDE + program, str(pins), *arguments)
    return json.loads(shown.splitlines()[-1])  # what comes before is the log


def links_of(namespace: str) -> dict[str, int]:
    """The XDP mode that the kernel itself shows for each interface that has one."""
    shown = json.loads(run("ip", "-n", namespace, "-d", "-j", "link"))
    return {link["ifname"]: link["xdp"]["mode"] for link in shown if "xdp" in link}


NATIVE = 1


def test_attached_program_outlives_its_daemon(namespace: str, pins: Path) -> None:
    attach = 'plane.attach([port("v0")]); print(json.dumps(plane.modes()))'
    assert inside(namespace, pins, attach) == {"v0": "native"}
    assert links_of(namespace) == {"v0": NATIVE}

    seen = inside(namespace, pins, "print(json.dumps(plane.modes()))")

    assert seen == {"v0": "native"}


def test_link_that_runs_already_is_left_alone(namespace: str, pins: Path) -> None:
    program = """
from headrace.dataplane import libbpf

def link_id():
    descriptor = libbpf.open_pin(Path(sys.argv[1], "links", "v0"))
    return Path(f"/proc/self/fdinfo/{descriptor}").read_text().split("link_id:")[1].split()[0]

plane.attach([port("v0")])
before = link_id()
plane.attach([port("v0")])
print(json.dumps([before, link_id()]))
"""
    before, after = inside(namespace, pins, program)
    assert before == after


def test_ports_are_exactly_those_asked_for(namespace: str, pins: Path) -> None:
    inside(namespace, pins, 'plane.attach([port("v0")]); print(0)')

    inside(namespace, pins, 'plane.attach([port("v1")]); print(0)')

    assert links_of(namespace) == {"v1": NATIVE}


def test_interface_that_is_made_again_gets_a_new_link(namespace: str, pins: Path) -> None:
    inside(namespace, pins, 'plane.attach([port("v0")]); print(0)')
    run("ip", "-n", namespace, "link", "del", "v0")
    assert inside(namespace, pins, "print(json.dumps(plane.modes()))") == {"v0": "missing"}
    run("ip", "-n", namespace, "link", "add", "v0", "type", "veth", "peer", "name", "p0")

    seen = inside(namespace, pins, 'plane.attach([port("v0")]); print(json.dumps(plane.modes()))')

    assert seen == {"v0": "native"}


def test_interface_that_refuses_native_mode_gets_generic(namespace: str, pins: Path) -> None:
    run("ip", "-n", namespace, "link", "add", "br0", "type", "bridge")
    run("ip", "-n", namespace, "link", "set", "br0", "up")

    seen = inside(namespace, pins, 'plane.attach([port("br0")]); print(json.dumps(plane.modes()))')

    assert seen == {"br0": "generic"}


LOSSY = """
from headrace.dataplane import loader
loader.loses_big_redirects = lambda: True
plane.attach([port("v0")])
print(json.dumps(plane.modes()))
"""


@pytest.mark.parametrize(("mtu", "mode"), [(3506, "native"), (3507, "generic")])
def test_kernel_that_loses_big_redirects_gets_generic_where_packets_are_big(
    namespace: str, pins: Path, mtu: int, mode: str
) -> None:
    for end in ("v0", "p0"):
        run("ip", "-n", namespace, "link", "set", end, "mtu", str(mtu))

    assert inside(namespace, pins, LOSSY) == {"v0": mode}


def test_kernel_that_carries_big_redirects_gets_native_mode(namespace: str, pins: Path) -> None:
    for end in ("v0", "p0"):
        run("ip", "-n", namespace, "link", "set", end, "mtu", "9000")

    seen = inside(namespace, pins, 'plane.attach([port("v0")]); print(json.dumps(plane.modes()))')

    lossy = inside(namespace, pins, "print(json.dumps(loses_big_redirects()))")
    assert seen == {"v0": "generic" if lossy else "native"}


LINK_IDS = """
from headrace.dataplane import libbpf

def link_ids():
    found = {}
    for path in Path(sys.argv[1], "links").iterdir():
        descriptor = libbpf.open_pin(path)
        told = Path(f"/proc/self/fdinfo/{descriptor}").read_text()
        found[path.name] = told.split("link_id:")[1].split()[0]
    return found
"""


def test_links_follow_interfaces_that_are_renamed(namespace: str, pins: Path) -> None:
    attach = 'plane.attach([port("v0"), port("v1")]); print(json.dumps(link_ids()))'
    before = inside(namespace, pins, LINK_IDS + attach)
    for old, new in (("v0", "v9"), ("v1", "v0"), ("v9", "v1")):
        run("ip", "-n", namespace, "link", "set", old, "down")
        run("ip", "-n", namespace, "link", "set", old, "name", new)

    after = inside(namespace, pins, LINK_IDS + attach)

    assert after == {"v0": before["v1"], "v1": before["v0"]}
    assert links_of(namespace) == {"v0": NATIVE, "v1": NATIVE}


def test_link_that_was_severed_is_made_anew(namespace: str, pins: Path) -> None:
    program = """
import ctypes, os

plane.attach([port("v0")])
refused = os.system("ip link set dev v0 xdp off 2>/dev/null")
link = libbpf.open_pin(Path(sys.argv[1], "links", "v0"))
severed = ctypes.CDLL("libbpf.so.1").bpf_link_detach(link)
modes = [plane.modes()]
plane.attach([port("v0")])
print(json.dumps([refused != 0, severed, *modes, plane.modes()]))
"""
    assert inside(namespace, pins, LINK_IDS + program) == [
        True,
        0,
        {"v0": "missing"},
        {"v0": "native"},
    ]


def test_interface_that_has_gone_is_a_kernel_error_and_keeps_no_other_from_its_link(
    namespace: str, pins: Path
) -> None:
    program = """
from headrace.model import KernelError

gone = Port("gone", 4711, (bytes(6),))
try:
    plane.attach([gone, port("v0")])
except KernelError as error:
    print(json.dumps([str(error), plane.modes()]))
"""
    error, modes = inside(namespace, pins, program)

    assert "gone" in error or "4711" in error
    assert modes == {"v0": "native"}


OF_ANOTHER = """
import os, time
from headrace.dataplane import libbpf
from headrace.model import UnavailableError

MODES = {"native": libbpf.XDP_FLAGS_DRV_MODE, "generic": libbpf.XDP_FLAGS_SKB_MODE}
other = libbpf.load_xdp_instructions(bytes.fromhex("b700000002000000 9500000000000000"))
held = libbpf.create_xdp_link(other, port("v0").ifindex, MODES[sys.argv[2]])
refused = []
for _ in range(3):
    try:
        plane.attach([port("v0"), port("v1")])
    except UnavailableError as error:
        refused.append(str(error))
modes = plane.modes()
os.close(held)
while libbpf.xdp_mode(port("v0").ifindex):  # the kernel lets go of a link a little later
    time.sleep(0.01)
plane.attach([port("v0"), port("v1")])
print(json.dumps([refused, modes, plane.modes()]))
"""


@pytest.mark.parametrize("mode", ["native", "generic"])
def test_interface_of_another_program_is_named_with_the_remedy_until_it_is_free(
    namespace: str, pins: Path, mode: str
) -> None:
    refused, modes, later = inside(namespace, pins, OF_ANOTHER, mode)

    assert set(refused) == {
        (
            "v0, or a device over it, has another program's XDP; `ip link show v0` names it: "
            "end that, or leave v0 out of node.interfaces"
        )
    }
    assert len(refused) == 3
    assert modes == {"v1": "native"}
    assert later == {"v0": "native", "v1": "native"}


OF_AN_INSTANCE = """
from headrace.dataplane import Decapsulator, detach_all
from headrace.model import UnavailableError

plane.attach([port("v0")])
pins = Path(sys.argv[2])
try:
    Decapsulator(pins).attach([port("v0"), port("v1")])
except UnavailableError as error:
    print(json.dumps([str(error), sorted(each.name for each in (pins / "links").iterdir())]))
finally:
    detach_all(pins)
"""


def test_an_interface_of_another_program_keeps_the_agent_from_no_other_and_names_its_own_option(
    namespace: str, pins: Path, tmp_path: Path
) -> None:
    refused, links = inside(namespace, pins, OF_AN_INSTANCE, str(tmp_path / "tail"))

    assert refused.endswith("end that, or leave v0 out of --interface")
    assert links == ["v1"]


def test_reason_against_native_mode_is_logged_once_while_it_stays(
    namespace: str, pins: Path
) -> None:
    run("ip", "-n", namespace, "link", "add", "br0", "type", "bridge")
    run("ip", "-n", namespace, "link", "set", "br0", "up")
    again = """
import time
from headrace.dataplane import libbpf

for _ in range(3):
    plane.attach([port("br0")])
    plane.attach([])
    while libbpf.xdp_mode(port("br0").ifindex):  # the kernel lets go of a link a little later
        time.sleep(0.01)
"""
    enter = ("nsenter", f"--net=/run/netns/{namespace}")

    log = run(*enter, sys.executable, "-c", PRELUDE + again, str(pins))

    assert log.count("xdp_generic") == 1
    assert "attach XDP to br0: " in log
