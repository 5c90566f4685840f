"""`headrace get`, `set`, `save`, `import` and `apply` with what LoxiLB's clients know."""

import json
import shlex
from ipaddress import ip_address
from pathlib import Path

import pytest
import yaml

from headrace.control.log_level import Level
from headrace.model import Bfd, Bgp, Flow, Protocol, RememberedFlow, build_document
from tests.api.fakes import FakeOperator
from tests.cli.conftest import Headrace

SEED = shlex.split(
    "create lb 20.20.20.1 --select=hash --tcp=8080:8080 "
    "--endpoints=56.56.56.1:1,57.57.57.1:1 --mode=dsr --bgp --name=web"
)
KIND = {
    "apiVersion": "netlox/v1",
    "kind": "Loadbalancer",
    "metadata": {"name": "x"},
    "spec": {
        "serviceArguments": {
            "externalIP": "20.20.20.2",
            "port": 80,
            "portmax": 0,
            "protocol": "tcp",
            "sel": 1,
            "mode": 3,
            "BGP": True,
        },
        "endpoints": [{"endpointIP": "56.56.56.1", "targetPort": 80, "weight": 1}],
    },
}


def bgp(**rest: object) -> dict[str, object]:
    peers = [{"address": "11.11.11.254", "as": 65001}]
    return {"bgp": {"as": 64512, "router_id": "10.0.0.1", "peers": peers, **rest}}


def test_flows_are_shown_as_connections(headrace: Headrace, operator: FakeOperator) -> None:
    headrace(*SEED)
    flow = Flow(Protocol.TCP, ip_address("10.0.0.9"), 40_000, ip_address("20.20.20.1"), 8080)
    operator.flows = [RememberedFlow(flow, ip_address("57.57.57.1"), 1)]

    table = headrace("get", "conntrack").out
    others = headrace("get", "ct", "--servName=other", "-o", "json").out

    assert "| SERVICE NAME | DESTIP " in table
    assert "| web          | 20.20.20.1 | 10.0.0.9 | 8080  | 40000 | tcp " in table
    assert "| ddsr-57.57.57.1:8080:w0 | -       | -     |" in table
    assert json.loads(others) == {"ctAttr": []}


@pytest.mark.parametrize(
    ("words", "said"),
    [
        ("get port", "| 2     | eth0     | 02:00:00:00:00:01 | true/true  | 10.0.0.1/24, 2001"),
        ("get route", "| 56.56.56.1/32    | 10.0.0.254,10.0.0.253 | Ind Host |"),
        ("get route -o wide", "| 10.0.0.0/24      |                       | Self     | kernel   |"),
        ("get process", "| 7   | root "),
        ("get log-level", "| info      |"),
        ("get lbversion", "| VERSION "),
        ("get port -o yaml", "portName: eth0"),
        ("get log-level -o json", '"logLevel": "info"'),
    ],
)
def test_the_node_is_shown(headrace: Headrace, words: str, said: str) -> None:
    done = headrace(*words.split())

    assert (done.code, done.err) == (0, "")
    assert said in done.out


def test_the_log_level_is_set(headrace: Headrace, operator: FakeOperator) -> None:
    done = headrace("set", "log-level", "warning")
    wrong = headrace("set", "log-level", "loud")

    assert (done.code, done.out, operator.log_level.level) == (0, "Success\n", Level.WARNING)
    assert wrong.code == 1
    assert "'loud': it is none of trace" in wrong.err


def test_bfd_is_made_faster(headrace: Headrace, operator: FakeOperator) -> None:
    operator.document = build_document(bgp(bfd={}))

    done = headrace("set", "bfd", "11.11.11.254", "--interval=300000", "--retryCount=5")

    assert (done.code, done.out) == (0, "Success\n")
    assert isinstance(operator.document.bgp, Bgp)
    assert isinstance(operator.document.bgp.bfd, Bfd)
    assert (operator.document.bgp.bfd.interval_ms, operator.document.bgp.bfd.multiplier) == (300, 5)


def test_what_was_saved_is_imported_by_another_node(
    headrace: Headrace, operator: FakeOperator, tmp_path: Path
) -> None:
    headrace(*SEED)
    headrace("create", "endpoint", "56.56.56.1", "--probetype=tcp", "--probeport=8080")
    before = operator.document
    (tmp_path / "lbconfig.txt").write_text("old")

    saved = headrace("save", "--all", "-c", str(tmp_path))
    operator.document = build_document({})
    imported = headrace("import", str(tmp_path))

    assert (saved.code, len(saved.out.splitlines())) == (0, 4)
    assert (tmp_path / "lbconfig.txt.bk").read_text() == "old"
    rule = json.loads((tmp_path / "lbconfig.txt").read_text())["lbAttr"][0]
    assert rule["serviceArguments"]["BGP"] is True
    assert {each["counter"] for each in rule["endpoints"]} == {""}
    assert (imported.code, imported.out, imported.err) == (0, "Success\n", "")
    assert operator.document == before


def test_an_import_that_is_refused_names_the_entries(
    headrace: Headrace, operator: FakeOperator, tmp_path: Path
) -> None:
    headrace(*SEED)
    headrace("save", "-l", "-c", str(tmp_path))
    file = tmp_path / "lbconfig.txt"
    file.write_text(file.read_text().replace('"sel": 1', '"sel": 0'))

    done = headrace("import", str(file))

    assert done.code == 1
    assert "lbconfig.txt: lbAttr[0]: Error: Only Hash Selection" in done.err
    assert operator.revision == 1


def test_an_import_that_is_refused_has_a_line_for_each_problem(
    headrace: Headrace, tmp_path: Path
) -> None:
    headrace(*SEED)
    headrace(*SEED[:2], "20.20.20.2", *SEED[3:])
    headrace("save", "-l", "-c", str(tmp_path))
    file = tmp_path / "lbconfig.txt"
    file.write_text(file.read_text().replace('"sel": 1', '"sel": 0'))

    done = headrace("import", str(file))

    first, second = done.err.splitlines()
    assert first.startswith("headrace: lbconfig.txt: lbAttr[0]: ")
    assert second.startswith("lbconfig.txt: lbAttr[1]: ")


@pytest.mark.parametrize("content", ["", "{}", '{"lbAttr": null}', '{"lbAtr": []}'])
def test_a_replace_by_a_file_without_a_list_of_rules_leaves_the_rules(
    headrace: Headrace, operator: FakeOperator, tmp_path: Path, content: str
) -> None:
    headrace(*SEED)
    file = tmp_path / "lbconfig.txt"
    file.write_text(content)

    done = headrace("import", "--replace", str(file))

    assert done.code == 1
    assert "lbAttr" in done.err
    assert operator.revision == 1


@pytest.mark.parametrize(
    ("words", "said"),
    [
        ("save", "say what to save: --all, --lb"),
        ("save --all -c {}/none", "none: no such folder; make it first, or name another by --con"),
        ("apply", "say what to put in force, as -f"),
        ("import {}/nothing.txt", "nothing.txt: No such file"),
        ("import {}/lbconfig.txt", "lbconfig.txt: No such file"),
        ("import {}", "there is none of lbconfig.txt, EPconfig.txt"),
        ("apply -l {}/lbconfig.txt", "No such file"),
    ],
)
def test_what_cannot_be_done_says_why(
    headrace: Headrace, tmp_path: Path, words: str, said: str
) -> None:
    done = headrace(*words.format(tmp_path).split())

    assert done.code == 1
    assert said in done.err
    assert not (tmp_path / "none").exists()


@pytest.mark.parametrize(
    ("content", "said"),
    [
        (b"\xff", "lbconfig.txt: 'utf-8' codec can't decode"),
        (b"{", "lbconfig.txt: is not JSON"),
        (b"lbAttr: []", "lbconfig.txt: is not JSON"),
        (b"[" * 90_000, "lbconfig.txt: is nested too deeply"),
        (b'{"lbAttr": [], "lbAttr": []}', "lbconfig.txt: the key 'lbAttr' is given twice"),
    ],
)
@pytest.mark.parametrize("words", [("import",), ("apply", "-l")])
def test_a_broken_file_is_told_by_its_name(
    headrace: Headrace, tmp_path: Path, words: tuple[str, ...], content: bytes, said: str
) -> None:
    file = tmp_path / "lbconfig.txt"
    file.write_bytes(content)

    done = headrace(*words, str(file))

    assert (done.code, done.out) == (1, "")
    assert said in done.err


def test_files_are_not_overlooked(
    headrace: Headrace, operator: FakeOperator, tmp_path: Path
) -> None:
    headrace(*SEED)
    headrace("save", "-l", "-c", str(tmp_path))
    rules = tmp_path / "lbconfig.txt"
    (tmp_path / "lbconfig.txt.bk").write_text(rules.read_text())
    (tmp_path / "rules.txt").write_text("{}")
    (tmp_path / "sessionconfig.txt").write_text('{"sessionAttr": [{"ident": "u1"}]}')

    twice = headrace("import", str(tmp_path), f"{rules}.bk")
    session = headrace("import", str(tmp_path))
    other = headrace("import", str(tmp_path / "rules.txt"))

    assert "lbconfig.txt.bk: another lbconfig.txt is named before it" in twice.err
    assert "sessionconfig.txt: sessionAttr[0]: session is not served" in session.err
    assert "rules.txt: what is in it is told by its name; call it lbconfig.txt" in other.err
    assert operator.revision == 1


def test_clients_are_denied_and_allowed_by_the_words_of_loxicmd(
    headrace: Headrace, operator: FakeOperator
) -> None:
    headrace(*SEED)
    rule = "--firewallRule=sourceIP:1.2.3.0/24,destinationIP:20.20.20.1/32,preference:200"

    created = headrace("create", "firewall", rule, "--drop")
    again = headrace("create", "fw", rule, "--drop")
    table = headrace("get", "fw").out.splitlines()
    listed = json.loads(headrace("get", "firewall", "-o", "json").out)
    denied = operator.document.services[0].denied_sources
    deleted = headrace("delete", "fw", rule)
    gone = headrace("delete", "firewall", rule)

    assert (created.code, created.out) == (deleted.code, deleted.out) == (0, "Success\n")
    assert "the very same rule is there" in again.err
    assert table[0].startswith("| SOURCE IP  | DESTINATION IP | MIN SPORT ")
    assert table[2].endswith(
        "| 8080      | 8080      | 6        |           | 0          | drop   |"
    )
    assert listed["fwAttr"][0]["opts"] == {"drop": True}
    assert [str(each) for each in denied] == ["1.2.3.0/24"]
    assert gone.err == "headrace: no such fwrule: `headrace get firewall` lists them\n"
    assert not operator.document.services[0].denied_sources


@pytest.mark.parametrize(
    ("words", "said"),
    [
        ("--firewallRule=sourceIP:1.2.3.0/24", "a rule either drops or allows"),
        ("--firewallRule=sourceIP:1.2.3.0/24 --redirect=eth0", "redirect: packets go to"),
        ("--firewallRule=source:1.2.3.0/24 --drop", "is not KEY:VALUE with one of sourceIP"),
        ("--firewallRule=sourceIP --drop", "is not KEY:VALUE"),
        ("--firewallRule=protocol:tcp --drop", "'tcp' is not a whole number"),
        ("--firewallRule= --drop", "say what it matches"),
        ("--firewallRule=sourceIP:2001:db8::/32 --drop", "no such service"),
    ],
)
def test_a_firewall_rule_that_cannot_be_is_refused(
    headrace: Headrace, words: str, said: str
) -> None:
    headrace(*SEED)

    done = headrace("create", "firewall", *words.split())

    assert (done.code, done.out) == (1, "")
    assert said in done.err


def test_a_file_of_rules_is_applied_with_all_that_it_says(
    headrace: Headrace, operator: FakeOperator, tmp_path: Path
) -> None:
    headrace(*SEED)
    headrace("save", "-l", "-c", str(tmp_path))
    before = operator.document
    headrace("delete", "lb", "--name", "web")

    done = headrace("apply", "-l", str(tmp_path / "lbconfig.txt"))

    assert (done.code, done.out) == (0, "Success\n")
    assert operator.document == before


def test_an_object_of_loxilbs_is_applied_twice(headrace: Headrace, operator: FakeOperator) -> None:
    text = yaml.safe_dump(KIND)

    first = headrace("apply", "-f", "-", stdin=text)
    second = headrace("apply", "-f", "-", stdin=json.dumps(KIND))

    assert (first.code, first.out) == (0, "Success\n")
    assert (second.code, second.out) == (0, "Success, as it was already\n")
    assert [each.label for each in operator.document.services] == ["20.20.20.2:80/tcp"]


@pytest.mark.parametrize(
    ("changed", "said"),
    [
        ({"kind": "Session"}, "kind 'Session' is not served by headrace; use Loadbalancer"),
        ({"spec": None}, "spec is no mapping"),
        ({"spec": {"serviceArguments": {}}}, "is required"),
    ],
)
def test_an_object_that_is_not_served_is_refused(
    headrace: Headrace, changed: dict[str, object], said: str
) -> None:
    done = headrace("apply", "-f", "-", stdin=yaml.safe_dump(KIND | changed))

    assert done.code == 1
    assert said in done.err


def test_a_document_with_checks_is_no_object_of_loxilbs(
    headrace: Headrace, operator: FakeOperator
) -> None:
    text = "health:\n  web:\n    kind: tcp\n"

    done = headrace("apply", "-f", "-", stdin=text)

    assert done.out == "revision 1 is in force\n"
    assert "web" in operator.document.health
