"""`headrace create|get|delete lb`: the grammar and tables of `loxicmd`."""

import json
import shlex
from pathlib import Path

import pytest
import yaml

from headrace.api import rules as api_rules
from headrace.cli import rules as cli_rules
from headrace.model import UnavailableError
from tests.api.fakes import FakeOperator
from tests.cli.conftest import Headrace

SEED = shlex.split(
    "create lb 20.20.20.1 --select=hash --tcp=8080:8080 "
    "--endpoints=56.56.56.1:1,57.57.57.1:1,58.58.58.1:1 --mode=dsr --bgp"
)


def test_the_seeds_command_creates_its_rule(headrace: Headrace, operator: FakeOperator) -> None:
    done = headrace(*SEED)

    assert (done.code, done.out, done.err) == (0, "Success\n", "")
    service = operator.document.services[0]
    assert service.label == "20.20.20.1:8080/tcp"
    assert service.announce
    assert [(str(e.address), e.weight) for e in service.endpoints or ()] == [
        ("56.56.56.1", 1),
        ("57.57.57.1", 1),
        ("58.58.58.1", 1),
    ]


def test_several_ports_and_protocols_are_as_many_rules(
    headrace: Headrace, operator: FakeOperator
) -> None:
    done = headrace(
        *("create", "lb", "20.20.20.1", "--tcp=80:80,443:443", "--tcp", "8080:8080"),
        *("--udp=53:53", "--endpoints=[56.56.56.1]:3", "--endpoints", "57.57.57.1:1"),
        *("--select=hash", "--mode=dsr", "--name=web", "--inatimeout=30"),
    )

    assert (done.code, done.out) == (0, "Success\n" * 4)
    assert [each.label for each in operator.document.services] == [
        "20.20.20.1:80/tcp",
        "20.20.20.1:443/tcp",
        "20.20.20.1:8080/tcp",
        "20.20.20.1:53/udp",
    ]
    assert {each.name for each in operator.document.services} == {"web"}
    assert not any(each.announce for each in operator.document.services)


def test_a_rule_may_have_what_layer_4_has(headrace: Headrace, operator: FakeOperator) -> None:
    done = headrace(
        *("create", "lb", "2001:db8::1", "--sctp=2020:2020", "--udp=80-89:80-89"),
        *("--endpoints=2001:db8::56:3,[2001:db8::57]:1,56.56.56.1:1", "--sources=2001:db8:1::/48"),
        *("--select=persist", "--mode=dsr"),
    )
    table = headrace("get", "lb", "-o", "wide").out

    assert (done.code, done.out, done.err) == (0, "Success\n" * 2, "")
    assert [each.label for each in operator.document.services] == [
        "[2001:db8::1]:80-89/udp",
        "[2001:db8::1]:2020/sctp",
    ]
    assert {each.affinity for each in operator.document.services} == {"source-ip"}
    assert [str(e.address) for e in operator.document.services[0].endpoints or ()] == [
        "2001:db8::56",
        "2001:db8::57",
        "56.56.56.1",
    ]
    assert "| 2001:db8::1 |         | 2001:db8:1::/48 |      | 80-89 | udp " in table
    assert "| persist | dsr " in table


def test_a_range_is_deleted_as_it_was_created(headrace: Headrace, operator: FakeOperator) -> None:
    headrace(*shlex.split(" ".join(SEED).replace("8080:8080", "80-89:80")))

    done = headrace("delete", "lb", "20.20.20.1", "--tcp=80-89")

    assert (done.code, done.out) == (0, "Success\n")
    assert operator.document.services == ()


def test_endpoints_are_attached_and_detached(headrace: Headrace, operator: FakeOperator) -> None:
    rule = ("create", "lb", "20.20.20.1", "--tcp=8080:8080", "--select=hash", "--mode=dsr")
    headrace(*SEED)

    attached = headrace(*rule, "--endpoints=59.59.59.1:2", "--attachEP")
    detached = headrace(*rule, "--endpoints=56.56.56.1:1,57.57.57.1:1", "--detachEP")

    assert (attached.code, detached.code) == (0, 0)
    assert [str(e.address) for e in operator.document.services[0].endpoints or ()] == [
        "58.58.58.1",
        "59.59.59.1",
    ]


@pytest.mark.parametrize(
    ("replaced", "said"),
    [
        pytest.param({"--mode=dsr": ""}, "use dsr (--mode=dsr, in", id="no mode"),
        pytest.param({"--mode=dsr": "--mode=fullnat"}, "mode fullnat is not served", id="NAT"),
        pytest.param({"--mode=dsr": "--mode=x"}, "--mode 'x' is none of default, one", id="x"),
        pytest.param({"--select=hash": ""}, "DSR mode: use --select=hash", id="rr"),
        pytest.param({"--select=hash": "--select=lc"}, "Only Hash Selection criteria", id="lc"),
        pytest.param({"--select=hash": "--select=x"}, "--select 'x' is none of rr, hash", id="sel"),
        pytest.param({"--bgp": "--mark=7"}, "marks are not served", id="mark"),
        pytest.param({"--bgp": "--secips=1.1.1.1"}, "DSR has no secondary", id="secips"),
        pytest.param({"--bgp": "--sources=::/8"}, "is no client of VIP 20.20.20.1", id="sources"),
        pytest.param({"--bgp": "--security=https"}, "not for layer 4", id="security"),
        pytest.param({"--bgp": "--security=x"}, "--security 'x' is none of", id="no sec"),
        pytest.param({"--bgp": "--host=a.org"}, "not for layer 4", id="host"),
        pytest.param({"--bgp": "--ppv2en"}, "not for DSR", id="ppv2en"),
        pytest.param({"--bgp": "--egress"}, "not for DSR", id="egress"),
        pytest.param({"--tcp=8080:8080": "--tcp=80:8080"}, "DSR rewrites no port", id="port"),
        pytest.param({"--tcp=8080:8080": "--tcp=80-90:80-91"}, "different sizes", id="range"),
        pytest.param({"--tcp=8080:8080": "--tcp=90-80:90-80"}, "the range must", id="backward"),
        pytest.param({"--tcp=8080:8080": "--tcp=80"}, "'80' is not PORT:TARGET, as 80", id="one"),
        pytest.param(
            {"--tcp=8080:8080": "--tcp=a:b"}, "'a' is not PORT or PORT-MAX, as", id="text"
        ),
        pytest.param({"--tcp=8080:8080": "--tcp=1:70000"}, "not in 0..65535", id="high"),
        pytest.param({"--tcp=8080:8080": ""}, "say what to listen on", id="nothing"),
        pytest.param({"20.20.20.1": "20.20.20.x"}, "'20.20.20.x' is not an IP addr", id="vip"),
        pytest.param({"56.56.56.1:1": "56.56.56.1"}, "' is not IP:WEIGHT, as 56.", id="weight"),
        pytest.param({"56.56.56.1:1": "e:1"}, "'e' is not an IP address", id="endpoint"),
        pytest.param({"56.56.56.1:1": "56.56.56.1:999"}, "999 is not a whole number", id="heavy"),
    ],
)
def test_what_is_not_served_is_refused_by_its_name(
    headrace: Headrace, operator: FakeOperator, replaced: dict[str, str], said: str
) -> None:
    command = " ".join(SEED)
    for old, new in replaced.items():
        command = command.replace(old, new)

    done = headrace(*shlex.split(command))

    assert done.code == 1
    assert done.err.startswith("headrace: ")
    assert said in done.err
    assert operator.revision == 0


@pytest.mark.parametrize(
    ("words", "remedy"),
    [
        ("create route 10.1.0.0/16 10.0.0.1", "ip route add 10.1.0.0/16 via 10.0.0.1"),
        ("create route 10.1.0.0/16 10.0.0.1 --proto=static", "via 10.0.0.1"),
        ("delete route 10.1.0.0/16", "ip route del 10.1.0.0/16"),
    ],
)
def test_routes_are_left_to_the_kernel_with_the_command_to_run(
    headrace: Headrace, words: str, remedy: str
) -> None:
    done = headrace(*words.split())

    assert done.code == 1
    assert done.err.startswith("headrace: the kernel's routes are used as they are")
    assert done.err.rstrip().endswith(remedy)


def test_an_endpoint_given_twice_is_told_by_its_place_in_the_rule(headrace: Headrace) -> None:
    headrace(*SEED)
    twice = " ".join(SEED).replace("20.20.20.1", "20.20.20.2").replace("57.57.57.1", "56.56.56.1")

    done = headrace(*shlex.split(twice))

    assert done.err == (
        "headrace: endpoints[1].address: 56.56.56.1 is already endpoints[0]; keep one of them\n"
    )


def test_the_very_same_rule_again_is_told_to_be_there(headrace: Headrace) -> None:
    headrace(*SEED)

    again = headrace(*SEED)

    assert (again.code, again.out) == (1, "")
    assert again.err.startswith("headrace: lbrule-exists error: the very same rule is there;")


def test_what_loxilb_says_is_known_by_the_texts_that_the_api_sends() -> None:
    known = (cli_rules.ONLY_HASH, cli_rules.RULE_EXISTS, cli_rules.NO_RULE)

    assert known == (api_rules.ONLY_HASH, api_rules.RULE_EXISTS, api_rules.NO_RULE)


def test_ping_is_refused_after_the_ports_were_taken(
    headrace: Headrace, operator: FakeOperator
) -> None:
    done = headrace(*SEED, "--icmp")

    assert (done.code, done.out) == (1, "Success\n")
    assert "pings of a VIP are answered without a rule" in done.err
    assert [each.label for each in operator.document.services] == ["20.20.20.1:8080/tcp"]


def test_rules_are_shown_as_a_table_in_order(headrace: Headrace) -> None:
    headrace(*SEED)
    headrace(*shlex.split(" ".join(SEED).replace("8080", "80").replace("--bgp", "--name=web")))

    assert headrace("get", "lb").out.splitlines() == [
        (
            "| EXT IP     | PORT | PROTO | NAME | MARK | SEL  | MODE "
            "| # OF ENDPOINTS | TIMEOUT | MONITOR |"
        ),
        (
            "|------------|------|-------|------|------|------|------"
            "|----------------|---------|---------|"
        ),
        (
            "| 20.20.20.1 | 80   | tcp   | web  | 0    | hash | dsr  "
            "| 3              | 0       | Off     |"
        ),
        (
            "| 20.20.20.1 | 8080 | tcp   |      | 0    | hash | dsr  "
            "| 3              | 0       | Off     |"
        ),
    ]


def test_the_wide_table_has_a_line_an_endpoint(headrace: Headrace, operator: FakeOperator) -> None:
    operator.unreachable.add("57.57.57.1")
    headrace(*SEED)

    rows = [
        [cell.strip() for cell in line.strip("|").split("|")]
        for line in headrace("get", "lb", "-o", "wide").out.splitlines()
    ]

    assert rows[0] == [
        *("EXT IP", "SEC IPS", "SOURCES", "HOST", "PORT", "PROTO", "NAME", "MARK", "SEL", "MODE"),
        *("ENDPOINT", "EPORT", "WEIGHT", "STATE", "COUNTERS"),
    ]
    assert [row[10:] for row in rows[2:]] == [
        ["56.56.56.1", "8080", "1", "active", "3:300"],
        ["57.57.57.1", "8080", "1", "inactive", "3:300"],
        ["58.58.58.1", "8080", "1", "active", "3:300"],
    ]


def test_rules_are_shown_as_json_and_yaml_with_the_keys_of_clients(headrace: Headrace) -> None:
    headrace(*SEED)

    as_json = json.loads(headrace("get", "loadbalancer", "-o", "json").out)
    as_yaml = yaml.safe_load(headrace("get", "lb", "-o", "yaml").out)

    assert as_json == as_yaml
    assert as_json["lbAttr"][0]["serviceArguments"] == {
        "externalIP": "20.20.20.1",
        "port": 8080,
        "protocol": "tcp",
        "sel": 1,
        "mode": 3,
        "BGP": True,
        "Monitor": False,
        "name": "",
        "inactiveTimeOut": 0,
        "block": 0,
    }


def test_rules_are_shown_by_name(headrace: Headrace) -> None:
    headrace(*SEED)

    assert len(headrace("get", "lb", "--servName", "web").out.splitlines()) == 1


@pytest.mark.parametrize(
    "arguments",
    [
        ["20.20.20.1", "--tcp=8080"],
        ["20.20.20.1", "--tcp=8080", "--bgp"],
        ["--name", "web"],
    ],
)
def test_a_rule_is_deleted(
    headrace: Headrace, operator: FakeOperator, arguments: list[str]
) -> None:
    headrace(*SEED, "--name=web")

    done = headrace("delete", "lb", *arguments)

    assert (done.code, done.out) == (0, "Success\n")
    assert operator.document.services == ()


@pytest.mark.parametrize(
    ("arguments", "said"),
    [
        (["9.9.9.9", "--tcp=80"], "no-rule error: no rule for 9.9.9.9 tcp 80; `headrace get lb`"),
        (["20.20.20.1", "--udp=8080"], "no rule for 20.20.20.1 udp 8080;"),
        (["20.20.20.1", "--tcp=8080", "--mark=3"], "no rule for 20.20.20.1 tcp 8080 mark 3;"),
        (["20.20.20.1", "--tcp=8080", "--host=a.org"], "tcp 8080 host a.org;"),
        (["20.20.20.1", "--icmp"], "no rule for 20.20.20.1 icmp 0;"),
        (["20.20.20.1", "--tcp=8080-8090"], "no rule for 20.20.20.1 tcp 8080-8090;"),
        (["20.20.20.1"], "say which rule"),
        (["--tcp=8080"], "say which rule"),
    ],
)
def test_a_rule_that_is_not_there_is_not_deleted(
    headrace: Headrace, operator: FakeOperator, arguments: list[str], said: str
) -> None:
    headrace(*SEED)

    done = headrace("delete", "lb", *arguments)

    assert (done.code, done.out) == (1, "")
    assert said in done.err
    assert len(operator.document.services) == 1


def test_the_servers_own_message_is_shown(headrace: Headrace, operator: FakeOperator) -> None:
    operator.failure = UnavailableError("revisions.sqlite: the disk is full; free some space")

    done = headrace(*SEED)

    assert (done.code, done.out) == (1, "")
    assert done.err == "headrace: revisions.sqlite: the disk is full; free some space\n"


def test_no_daemon_is_told_with_the_remedy(
    headrace: Headrace, monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    monkeypatch.setenv("HEADRACE_SERVER", f"unix:{tmp_path}/nothing")

    done = headrace("get", "lb")

    assert done.code == 1
    assert done.err.startswith(f"headrace: no daemon answers at unix:{tmp_path}/nothing (")
    assert "start it with `headrace run`" in done.err


def test_an_instance_is_found_by_its_name(
    headrace: Headrace, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.delenv("HEADRACE_SERVER")
    monkeypatch.setenv("HEADRACE_INSTANCE", "no-such-instance")

    by_variable = headrace("get", "lb").err
    by_option = headrace("get", "lb", "--instance", "nor-this").err

    assert "unix:/run/headrace/no-such-instance/api.sock" in by_variable
    assert "unix:/run/headrace/nor-this/api.sock" in by_option


@pytest.mark.parametrize(
    "server",
    [
        "ftp://127.0.0.1",
        "http://",
        "http://127.0.0.1:65536",
        "http://127.0.0.1:x",
        "http://[::1",
        "http://a b",
        "::1",
    ],
)
def test_a_server_that_is_no_address_is_refused(headrace: Headrace, server: str) -> None:
    done = headrace("get", "lb", "--server", server)

    remedy = "write https://HOST:PORT, http://127.0.0.1:PORT or unix:PATH"
    assert done.err == f"headrace: --server {server}: {remedy}\n"


def test_a_server_by_http_is_asked(headrace: Headrace) -> None:
    done = headrace("get", "lb", "--server", "http://127.0.0.1:1")

    assert "no daemon answers at http://127.0.0.1:1" in done.err


def test_an_unknown_command_fails(headrace: Headrace) -> None:
    assert headrace("frobnicate").code == 2


@pytest.mark.parametrize("command", ["create lb", "delete lb", "get lb", "run", "lab", "status"])
def test_the_shells_completion_is_no_business_of_a_command(
    headrace: Headrace, command: str
) -> None:
    assert "completion" not in headrace(*command.split(), "--help").out


def test_help_lists_every_command(headrace: Headrace) -> None:
    out = headrace("--help").out

    for command in ("run", "create", "get", "delete", "apply", "status", "explain", "version"):
        assert f" {command} " in out


@pytest.mark.parametrize(
    ("words", "said"),
    [
        ("get lb -s 127.0.0.1:1", "no daemon answers at 127.0.0.1:1 "),
        ("get lb -s 127.0.0.1 -p 1", "no daemon answers at 127.0.0.1:1 "),
        ("get lb --apiserver [::1]/ --port 1", "no daemon answers at [::1]:1 "),
        ("get lb -s http://localhost:2 -p 1", "no daemon answers at http://localhost:2 "),
        ("get lb -s unix:/nowhere -p 1", "no daemon answers at unix:/nowhere "),
        ("-s 127.0.0.1 -p 1 get lb", "no daemon answers at 127.0.0.1:1 "),
        ("-p 1 -s 127.0.0.1 status", "no daemon answers at 127.0.0.1:1 "),
    ],
)
def test_a_server_is_named_as_loxicmd_names_it(headrace: Headrace, words: str, said: str) -> None:
    done = headrace(*words.split())

    assert (done.code, done.out) == (1, "")
    assert said in done.err


def test_a_port_alone_is_one_of_this_host(
    headrace: Headrace, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.delenv("HEADRACE_SERVER")

    behind = headrace("get", "lb", "-p", "1")
    alone = headrace("-p", "1", "status")

    assert "no daemon answers at 127.0.0.1:1 " in alone.err
    assert "no daemon answers at 127.0.0.1:1 " in behind.err


def test_several_servers_may_be_named_before_the_command(headrace: Headrace) -> None:
    done = headrace("-s", "127.0.0.1:1", "-s", "127.0.0.1:2", "get", "lb")

    assert done.out == "127.0.0.1:1:\n127.0.0.1:2:\n"
    assert "2 of 2 servers failed" in done.err
