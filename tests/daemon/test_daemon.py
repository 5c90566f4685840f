"""The daemon as an operator has it: started, killed, stopped and detached in a namespace."""

import json
import os
import signal
from collections.abc import Iterator
from contextlib import ExitStack
from ipaddress import IPv4Network
from pathlib import Path

import pytest

from headrace.model import dump_document, parse_document
from tests.bgp.support import eventually
from tests.daemon.node import BGP, DOCUMENT, PREFIX, ROUTER_ADDRESS, VIP, Node
from tests.daemon.router import Heard
from tests.store.test_revisions import write_version_1

pytestmark = [pytest.mark.bpf, pytest.mark.netns]

WITH_BGP = DOCUMENT | {"bgp": BGP}
PACKETS = 50


@pytest.fixture
def node(tmp_path: Path) -> Iterator[Node]:
    with ExitStack() as stack:
        yield Node(stack, tmp_path)


def test_a_second_daemon_is_refused_and_told_who_runs(node: Node) -> None:
    first = node.start_up()

    second = node.start()
    code = second.wait()

    assert code == 1
    assert f"is run by process {first.pid} already" in second.said
    assert first.end() == 0


def test_a_daemon_on_the_state_of_another_is_refused_and_told_whose_it_is(
    node: Node, tmp_path: Path
) -> None:
    first = node.start_up()

    with ExitStack() as stack:
        second = Node(stack, tmp_path).start()
        code = second.wait()

    assert code == 1
    assert (
        f"{tmp_path / 'state'} holds the state of process {first.pid} already; "
        "stop that one, or choose another --state"
    ) in second.said
    assert node.explained()
    assert first.end() == 0


def test_a_daemon_goes_on_from_the_revisions_of_an_earlier_version(
    node: Node, tmp_path: Path
) -> None:
    text = dump_document(parse_document(json.dumps(DOCUMENT)))
    write_version_1(tmp_path / "state", 7, text)

    node.start_up({"services": []})
    drained = node.headrace("drain", "endpoint", "56.56.56.1")
    history = node.headrace("history").stdout

    assert drained.stdout == "56.56.56.1 drains (revision 8)\n", drained.stderr
    assert "not known, the revision before is not kept any more" in history


def test_a_killed_daemon_leaves_a_data_plane_that_its_successor_takes_over(node: Node) -> None:
    daemon = node.start_up()
    node.send_packets(PACKETS)
    eventually(lambda: node.sent_packets() >= PACKETS)
    sent, pins, explained = node.sent_packets(), node.pins(), node.explained()

    daemon.kill()
    has_xdp_meanwhile, pins_meanwhile = node.runs_xdp(), node.pins()
    node.send_packets(PACKETS)
    node.start_up()

    assert has_xdp_meanwhile
    assert pins_meanwhile == pins
    assert node.sent_packets() == sent + PACKETS
    assert (node.runs_xdp(), node.pins()) == (True, pins)
    assert node.explained() == explained
    assert len(set(explained)) == 3


def test_a_daemon_withdraws_before_it_ends_its_sessions(node: Node) -> None:
    prefixes = (IPv4Network(PREFIX),)
    with node.router() as router:
        daemon = node.start_up(WITH_BGP)
        eventually(lambda: router.hears("announce", PREFIX))

        code = daemon.end()
        eventually(lambda: Heard("end") in router.heard)

    assert code == 0
    assert router.heard[:2] == [Heard("announce", prefixes), Heard("withdraw", prefixes)]
    assert Heard("announce", prefixes) not in router.heard[2:]
    assert node.processes() == []
    assert node.runs_xdp()


def test_a_daemon_ends_in_order_although_its_speaker_is_silent(node: Node) -> None:
    with node.router() as router:
        daemon = node.start_up(WITH_BGP)
        eventually(lambda: router.hears("announce", PREFIX))
        os.kill(node.exabgp_pid(), signal.SIGSTOP)

        code = daemon.end()
        eventually(lambda: Heard("end") in router.heard)

    assert code == 0
    assert "not_withdrawn" in daemon.said
    eventually(lambda: node.processes() == [])
    assert node.runs_xdp()


def test_an_error_in_a_task_ends_the_daemon_with_one_clear_line(node: Node) -> None:
    with node.taken_port() as port:
        daemon = node.start(listen=f"127.0.0.1:{port}")
        code = daemon.wait()

    lines = [line for line in daemon.said.splitlines() if not line.startswith("{")]
    assert code == 1
    assert len(lines) == 1
    assert lines[0].startswith(f"headrace: listen 127.0.0.1:{port}: Address already in use; ")


def test_a_running_instance_is_not_detached(node: Node) -> None:
    daemon = node.start_up()

    refused = node.headrace("detach")

    assert refused.returncode == 1
    assert f"is run by process {daemon.pid} already" in refused.stderr
    assert node.runs_xdp()


def test_detach_leaves_nothing_of_a_stopped_daemon(node: Node) -> None:
    assert node.start_up().end() == 0
    ran_on = node.runs_xdp()

    detached = node.headrace("detach")

    assert ran_on
    assert detached.returncode == 0, detached.stderr
    assert not node.runs_xdp()
    assert not node.runtime_dir.exists()


def test_detach_ends_the_sessions_that_a_killed_daemon_left(node: Node) -> None:
    with node.router() as router:
        daemon = node.start_up(WITH_BGP)
        eventually(lambda: router.hears("announce", PREFIX))
        daemon.kill()
        still_announced = Heard("end") not in router.heard

        detached = node.headrace("detach")
        eventually(lambda: Heard("end") in router.heard)

    assert still_announced
    assert detached.returncode == 0, detached.stderr
    assert node.processes() == []
    assert not node.runtime_dir.exists()


def test_a_daemon_starts_on_what_an_ended_one_left(node: Node) -> None:
    node.start_up().end()
    pins = node.pins()

    daemon = node.start_up()

    assert node.pins() == pins
    assert daemon.end() == 0


PROBED_PORT = 8053
CHECK = {
    "kind": "tcp",
    "path": "direct",
    "port": PROBED_PORT,
    "interval_s": 0.1,
    "timeout_s": 0.2,
    "rise": 1,
    "fall": 2,
}
CHECKED = {
    "services": [
        {
            "vip": VIP,
            "protocol": "udp",
            "port": 53,
            "announce": True,
            "hold_down_s": 0.5,
            "health": CHECK,
            "endpoints": [{"address": ROUTER_ADDRESS}],
        }
    ],
    "bgp": BGP,
}


def test_a_vip_is_announced_only_while_its_endpoint_answers_probes(node: Node) -> None:
    with node.router() as router:
        with node.serving_endpoint(PROBED_PORT):
            node.start_up(CHECKED)
            eventually(lambda: router.hears("announce", PREFIX))
        eventually(lambda: router.hears("withdraw", PREFIX))
        why_not = node.why_not()
        with node.serving_endpoint(PROBED_PORT):
            prefixes = (IPv4Network(PREFIX),)
            eventually(lambda: router.heard.count(Heard("announce", prefixes)) == 2)

    assert why_not.startswith(f"0 of 1 endpoints are healthy: {ROUTER_ADDRESS}: ")


def test_a_drained_node_withdraws_and_is_taken_back(node: Node) -> None:
    with node.router() as router:
        node.start_up(WITH_BGP)
        eventually(lambda: router.hears("announce", PREFIX))

        drained = node.headrace("drain", "node", "--wait=0.2")
        eventually(lambda: router.hears("withdraw", PREFIX))
        before = len(router.heard)
        undrained = node.headrace("undrain", "node")
        eventually(lambda: Heard("announce", (IPv4Network(PREFIX),)) in router.heard[before:])

    assert drained.stdout.endswith("this node is drained: no VIP is announced\n"), drained.stderr
    assert undrained.returncode == 0


def test_what_loxilb_saved_is_imported_at_the_first_start_only(node: Node, tmp_path: Path) -> None:
    saved = tmp_path / "saved"
    saved.mkdir()
    rule = {
        "serviceArguments": {"externalIP": VIP, "port": 53, "protocol": "udp", "mode": 3, "sel": 1},
        "endpoints": [{"endpointIP": "56.56.56.1", "targetPort": 53, "weight": 1}],
    }
    (saved / "lbconfig.txt").write_text(json.dumps({"lbAttr": [rule]}))
    document = {"node": DOCUMENT["node"]}
    imported = node.start_up(document, "--import", str(saved))
    first = node.headrace("get", "lb", "-o", "json").stdout
    imported.end()
    (saved / "lbconfig.txt").write_text("not looked at again")

    node.start_up(document, "--import", str(saved))

    assert json.loads(first)
    assert VIP in first
    assert node.headrace("get", "lb", "-o", "json").stdout == first


def test_a_folder_to_import_that_is_not_there_is_named(node: Node, tmp_path: Path) -> None:
    daemon = node.start(DOCUMENT, "--import", str(tmp_path / "nowhere"))

    assert daemon.wait() == 1
    assert f"{tmp_path / 'nowhere'}: no such folder; check the path of --import" in daemon.said


@pytest.mark.parametrize("option", ["--import", "--document"])
def test_a_file_that_is_no_text_is_named(node: Node, tmp_path: Path, option: str) -> None:
    file = tmp_path / "lbconfig.txt"
    file.write_bytes(b"{}\xff")
    daemon = node.start(DOCUMENT, option, str(tmp_path if option == "--import" else file))

    assert daemon.wait() == 1
    assert f"{file}: is not UTF-8 text from byte 2 on; save it as UTF-8" in daemon.said
    assert "Traceback" not in daemon.said


def test_a_daemon_may_leave_its_vips_announced_for_a_successor(node: Node) -> None:
    with node.router() as router:
        daemon = node.start_up(WITH_BGP, "--keep-announced")
        eventually(lambda: router.hears("announce", PREFIX))

        code = daemon.end()
        node.start_up().end()
        eventually(lambda: router.hears("withdraw", PREFIX))

    withdrawals = [each for each in router.heard if each.what == "withdraw"]
    assert code == 0
    assert len(withdrawals) == 1
