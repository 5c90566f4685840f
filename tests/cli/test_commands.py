"""`headrace apply|status|explain|version|run`, and how the program starts."""

import json
import os
import resource
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest

from headrace import __version__
from tests.api.fakes import Api, FakeOperator
from tests.cli.conftest import Headrace

LIMIT_START = 15
"""Starts of a bare interpreter, 10 ms each on a quiet machine: this one may be shared."""
STARTS = 7
NOT_ON_THE_WAY = ("pydantic", "fastapi", "uvicorn", "aiohttp", "httpx", "yaml", "rich", "pyroute2")

PROGRAM = "import sys; sys.argv[0] = 'headrace'; from headrace.cli.main import main; main()"
WEB: dict[str, Any] = {
    "vip": "20.20.20.1",
    "protocol": "tcp",
    "port": 8080,
    "endpoints": [{"address": "56.56.56.1"}, {"address": "57.57.57.1"}],
    "announce": True,
}


def test_a_document_is_applied_from_a_file(
    headrace: Headrace, operator: FakeOperator, tmp_path: Path
) -> None:
    file = tmp_path / "document.yaml"
    file.write_text(
        "services:\n- {vip: 20.20.20.1, protocol: tcp, port: 80, endpoints: [{address: 1.1.1.1}]}"
    )

    first, second = headrace("apply", "-f", str(file)), headrace("apply", "--file", str(file))

    assert (first.code, first.out) == (0, "revision 1 is in force\n")
    assert (second.code, second.out) == (0, "revision 1 is in force already, nothing changed\n")
    assert len(operator.document.services) == 1


def test_a_document_is_applied_from_stdin(headrace: Headrace, operator: FakeOperator) -> None:
    done = headrace("apply", "-f", "-", stdin=json.dumps({"services": [WEB]}))

    assert done.code == 0
    assert operator.document.services[0].announce


def test_a_wrong_document_is_refused_with_every_problem(
    headrace: Headrace, operator: FakeOperator
) -> None:
    text = json.dumps({"services": [WEB | {"port": 0}, WEB | {"weight": 1}]})

    done = headrace("apply", "-f", "-", stdin=text)

    assert (done.code, done.out) == (1, "")
    assert done.err.splitlines() == [
        (
            "headrace: services[0].port: 0 is not a port: use 1..65535, a range as 8000-8010, or "
            '"any" for all'
        ),
        "services[1].weight: no such key here; remove it or correct its spelling",
    ]
    assert operator.revision == 0


def test_a_file_that_is_not_there_is_told(headrace: Headrace) -> None:
    done = headrace("apply", "-f", "/nowhere/document.yaml")

    assert done.code == 1
    assert "/nowhere/document.yaml" in done.err


def test_the_status_is_one_screen(headrace: Headrace, operator: FakeOperator) -> None:
    operator.unreachable.add("57.57.57.1")
    headrace("apply", "-f", "-", stdin=json.dumps({"services": [WEB]}))

    out = headrace("status").out

    for part in (
        "llb1  headrace 0.0  revision 1",
        "cluster.hash_seed is the default",
        "20.20.20.1:8080/tcp",
        "56.56.56.1",
        "unreachable",
        "11.11.11.254",
        "20.20.20.1/32",
        "eth0",
        "native",
        "SENT",
        "! endpoint 57.57.57.1 cannot be reached",
    ):
        assert part in out
    assert "DROP_SHORT" not in out
    assert "\x1b" not in out


WIDTH = 80


def test_the_status_is_as_wide_as_a_terminal_and_wraps_no_name(
    headrace: Headrace, monkeypatch: pytest.MonkeyPatch
) -> None:
    headrace("apply", "-f", "-", stdin=json.dumps({"services": [WEB]}))
    monkeypatch.setenv("COLUMNS", str(WIDTH))

    lines = headrace("status").out.splitlines()

    rows = [line.split() for line in lines]
    assert max(map(len, lines)) <= WIDTH
    assert ["20.20.20.1:8080/tcp"] in rows
    assert [
        *("56.56.56.1", "50.0%", "active", "unchecked", "3"),
        *("ipip", "to", "31.31.31.1"),
    ] in rows
    assert ["20.20.20.1:8080/tcp", "yes", "yes", "2/2", "9"] in rows


def test_the_wide_status_has_the_whole_path_on_one_line(
    headrace: Headrace, monkeypatch: pytest.MonkeyPatch
) -> None:
    headrace("apply", "-f", "-", stdin=json.dumps({"services": [WEB]}))
    monkeypatch.setenv("COLUMNS", str(WIDTH))

    assert (
        "ipip 31.31.31.254 > 31.31.31.1 by 02:00:00:00:00:01"
        in headrace("status", "-o", "wide").out
    )


def test_the_wide_status_tells_what_is_particular_to_a_service(headrace: Headrace) -> None:
    particular = {"affinity": "source-ip", "unserved": "pass", "sources": ["10.0.0.0/8"]}
    headrace("apply", "-f", "-", stdin=json.dumps({"services": [WEB | particular]}))

    assert "affinity source-ip, unserved pass, 1 sources" in headrace("status", "-o", "wide").out
    assert "source-ip" not in headrace("status").out


def test_a_key_with_brackets_is_shown_as_it_is(headrace: Headrace) -> None:
    done = headrace("apply", "-f", "-", stdin=json.dumps({"services": [WEB | {"name": "[red]"}]}))

    assert done.code == 0, done.err
    assert "[red]" in headrace("status").out


def test_a_status_without_problems_says_so(headrace: Headrace) -> None:
    assert "no problem is known" in headrace("status").out


def test_the_status_is_shown_as_json_and_yaml(headrace: Headrace, api: Api) -> None:
    told = api.ask("GET", "/v1/status").json

    assert json.loads(headrace("status", "-o", "json").out) == told
    assert "node: llb1\n" in headrace("status", "-o", "yaml").out


FLOW = {
    "protocol": "tcp",
    "source": "1.1.1.1",
    "source_port": 57538,
    "destination": "20.20.20.1",
    "destination_port": 8080,
}


@pytest.fixture
def web(headrace: Headrace) -> None:
    assert headrace("apply", "-f", "-", stdin=json.dumps({"services": [WEB]})).code == 0


@pytest.mark.usefixtures("web")
def test_one_flow_is_explained_step_by_step(headrace: Headrace, api: Api) -> None:
    told = api.ask("POST", "/v1/explain", {"flows": [FLOW]}).json[0]

    done = headrace("explain", "tcp", "1.1.1.1:57538", "20.20.20.1:8080")

    assert done.out.splitlines() == [
        "1. the service takes it",
        f"2. slot {told['slot']}",
        f"SENT, endpoint {told['endpoint']}",
    ]


@pytest.mark.usefixtures("web")
def test_one_flow_is_explained_as_json(headrace: Headrace, api: Api) -> None:
    done = headrace("explain", "tcp", "1.1.1.1:57538", "20.20.20.1:8080", "-o", "json")

    assert json.loads(done.out) == api.ask("POST", "/v1/explain", {"flows": [FLOW]}).json


@pytest.mark.usefixtures("web")
def test_many_flows_are_explained_in_their_order(headrace: Headrace, tmp_path: Path) -> None:
    flows = [FLOW | {"source_port": 1 + n} for n in range(10_001)]
    file = tmp_path / "flows"
    file.write_text("".join(json.dumps(flow) + "\n" for flow in flows))

    from_file = json.loads(headrace("explain", "--flows", str(file), "-o", "json").out)
    from_stdin = headrace("explain", "--flows", "-", stdin=file.read_text()).out.splitlines()

    assert [each["flow"] for each in from_file] == flows
    assert {each["endpoint"] for each in from_file} == {"56.56.56.1", "57.57.57.1"}
    assert from_stdin == [
        f"tcp 1.1.1.1:{each['flow']['source_port']} 20.20.20.1:8080 {each['endpoint']} SENT"
        for each in from_file
    ]


def test_a_flow_without_a_service_has_no_endpoint(headrace: Headrace) -> None:
    out = headrace("explain", "sctp", "[2001:db8::2]:1", "[2001:db8::1]:80").out

    assert out.splitlines() == ["1. no service listens there", "PASS_NO_SERVICE"]


@pytest.mark.parametrize(
    ("arguments", "stdin", "said"),
    [
        (["explain"], "", "give PROTOCOL SOURCE:PORT VIP:PORT"),
        (["explain", "tcp", "1.1.1.1:1"], "", "give PROTOCOL SOURCE:PORT VIP:PORT"),
        (["explain", "tcp", "1.1.1.1", "2.2.2.2:80"], "", "'1.1.1.1' is not ADDRESS:PORT"),
        (["explain", "tcp", "1.1.1.x:1", "2.2.2.2:80"], "", "flows[0].source: '1.1.1.x' is not"),
        (["explain", "icmp", "1.1.1.1:1", "2.2.2.2:80"], "", "flows[0].protocol: 'icmp' is not"),
        (["explain", "tcp", "1.1.1.1:1", "[::2]:80"], "", "flows[0]: 1.1.1.1 and ::2 are of"),
        (["explain", "--flows", "-"], "{}\n{", "- line 2: is not JSON"),
        (["explain", "--flows", "-"], "[1]\n", "flows[0]: [1] is not a mapping"),
        (["explain", "--flows", "/nowhere"], "", "/nowhere"),
    ],
)
def test_what_is_no_flow_is_told(
    headrace: Headrace, arguments: list[str], stdin: str, said: str
) -> None:
    done = headrace(*arguments, stdin=stdin)

    assert done.code == 1
    assert said in done.err


def test_a_wrong_flow_far_down_is_told_by_its_place(headrace: Headrace) -> None:
    flows = [FLOW] * 1_234 + [FLOW | {"source_port": -1}]

    done = headrace("explain", "--flows", "-", stdin="\n".join(map(json.dumps, flows)))

    assert done.err == ("headrace: flows[1234].source_port: -1 is not a whole number in 0..65535\n")


def test_the_version_is_told(headrace: Headrace) -> None:
    assert headrace("version").out == f"headrace {__version__}\n"


@pytest.mark.parametrize("name", ["", "../etc", "a/b", "x" * 33, "-x"])
def test_an_instance_name_that_is_no_name_is_refused(headrace: Headrace, name: str) -> None:
    done = headrace("run", f"--instance={name}")

    assert done.code == 1
    assert "is not a name of letters, digits and _ . -" in done.err


def started(*arguments: str, code: str = PROGRAM) -> subprocess.CompletedProcess[str]:
    return subprocess.run(
        [sys.executable, "-c", code, *arguments], capture_output=True, text=True, check=False
    )


def test_get_imports_nothing_that_it_does_not_need(
    api: Api, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("HEADRACE_SERVER", f"unix:{api.path}")
    code = PROGRAM.replace("main()", "\ntry: main()\nfinally: print(*sys.modules, file=sys.stderr)")

    done = started("get", "lb", code=code)

    assert done.stdout.startswith("| EXT IP")
    assert [name for name in NOT_ON_THE_WAY if name in done.stderr.split()] == []


def processor_s(code: str, *arguments: str) -> float:
    """The least processor time of several starts: other work on the machine must not count."""
    used = []
    for _ in range(STARTS):
        before = resource.getrusage(resource.RUSAGE_CHILDREN)
        assert started(*arguments, code=code).returncode == 0
        after = resource.getrusage(resource.RUSAGE_CHILDREN)
        used.append(after.ru_utime + after.ru_stime - before.ru_utime - before.ru_stime)
    return min(used)


def test_get_starts_in_time(api: Api, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("HEADRACE_SERVER", f"unix:{api.path}")

    assert processor_s(PROGRAM, "get", "lb") <= LIMIT_START * processor_s("pass")


def test_no_failure_shows_a_traceback() -> None:
    done = started("get", "lb", "--server", "unix:/nowhere/api.sock")

    assert (done.returncode, done.stdout) == (1, "")
    assert done.stderr.startswith("headrace: no daemon answers at unix:/nowhere/api.sock")
    assert len(done.stderr.splitlines()) == 1


def test_a_reader_that_has_seen_enough_is_no_failure_to_talk_of(
    api: Api, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("HEADRACE_SERVER", f"unix:{api.path}")
    reading, writing = os.pipe()
    os.close(reading)

    done = subprocess.run(
        [sys.executable, "-u", "-c", PROGRAM, "get", "lb"],
        stdout=writing,
        stderr=subprocess.PIPE,
        text=True,
        check=False,
    )
    os.close(writing)

    assert (done.stderr, done.returncode) == ("", 1)
