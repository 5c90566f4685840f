"""LoxiLB's saved configuration: taken whole, or refused with every problem by its place."""

import json
import time
from typing import Any

import pytest
from hypothesis import example, given, settings
from hypothesis import strategies as st

from headrace.api import import_configuration, read_files
from headrace.model import ConfigError, Document, build_document, dump_document
from headrace.model.limits import LIMIT_POOLS
from tests.api.fakes import Api, FakeOperator
from tests.api.loxilb_clients import KUBE, LOXICMD, RULE, assert_success, changed, listed

IMPORT = "/netlox/v1/config/import"
EXPORT = "/netlox/v1/config/export"

HOST = {
    "hostName": "56.56.56.1",
    "name": "",
    "inactiveReTries": 2,
    "probeType": "http",
    "probeReq": "health",
    "probeResp": "",
    "probeDuration": 10,
    "probePort": 80,
}
BFD = {"instance": "default", "remoteIp": "11.11.11.254", "interval": 200000, "retryCount": 3}
FILES = {"lbconfig.txt": {"lbAttr": [LOXICMD]}, "EPconfig.txt": {"Attr": [HOST]}}
WITH_BGP = {
    "bgp": {
        "as": 64512,
        "router_id": "10.0.0.1",
        "peers": [{"address": "11.11.11.254", "as": 65001}],
    }
}


def form(content: str, name: str = "configuration", encoding: str = "8bit") -> tuple[str, str]:
    """A form with one file, and its content type, as `curl -F` sends it."""
    body = (
        f'--XX\r\nContent-Disposition: form-data; name="{name}"; filename="c.json"\r\n'
        f"Content-Type: application/octet-stream\r\nContent-Transfer-Encoding: {encoding}\r\n\r\n"
        f"{content}\r\n--XX--\r\n"
    )
    return body, "multipart/form-data; boundary=XX"


def problems_of(raw: object, document: Document | None = None) -> list[str]:
    with pytest.raises(ConfigError) as caught:
        import_configuration(document or Document(), raw, replace=False)
    return [str(problem) for problem in caught.value.problems]


def test_the_files_that_loxilb_reads_at_its_start_are_taken() -> None:
    raw = FILES | {"BFDconfig.txt": {"Attr": [BFD]}, "FWconfig.txt": {"fwAttr": []}}

    document = import_configuration(build_document(WITH_BGP), raw, replace=False)

    assert [service.label for service in document.services] == ["20.20.20.1:8080/tcp"]
    checks = {str(e.address): e.health for e in document.services[0].endpoints or ()}
    assert checks["56.56.56.1"] == "56.56.56.1/http_80"
    assert document.bgp is not None
    assert document.bgp.is_watched(document.bgp.peers[0])


def test_every_entry_that_is_refused_is_named_with_the_rule_and_the_remedy() -> None:
    rules = [
        changed(LOXICMD, sel=0),
        changed(LOXICMD, externalIP="20.20.20.2", mode=0),
        LOXICMD,
        changed(LOXICMD, name="again"),
        changed(LOXICMD, externalIP="20.20.20.3") | {"endpoints": []},
        {"serviceArguments": {}},
        7,
    ]
    raw = {
        "lbconfig.txt": {"lbAttr": rules},
        "EPconfig.txt": {"Attr": [HOST | {"probeType": "x"}]},
        "BFDconfig.txt": {"Attr": [BFD]},
        "sessionconfig.txt": {"sessionAttr": [{}]},
    }

    problems = problems_of(raw)

    assert [each.partition(": ")[2].partition(": ")[0] for each in problems[:6]] == [
        "lbAttr[0]",
        "lbAttr[1]",
        "lbAttr[3]",
        "lbAttr[4]",
        "lbAttr[5]",
        "lbAttr[6]",
    ]
    text = "\n".join(problems)
    for said in (
        'Only Hash Selection criteria allowed for DSR mode; write "sel": 1 (hash), or 3',
        "mode default (DNAT) is not served",
        "is the rule 20.20.20.1:8080/tcp as lbconfig.txt: lbAttr[2] is; keep one of them",
        "give at least one endpoint",
        "externalIP in body is required",
        "EPconfig.txt: Attr[0]: malformed endpoint probe",
        "BFDconfig.txt: Attr[0]: loxilb bgp mode is disabled",
        "sessionconfig.txt: sessionAttr[0]: session is not served",
    ):
        assert said in text


def test_what_contradicts_between_rules_is_told_by_their_entries() -> None:
    wide = changed(LOXICMD, port=8080, portMax=8090)

    problems = problems_of(
        {"loadbalancer": [changed(LOXICMD, externalIP="20.20.20.9"), LOXICMD, wide]}
    )

    assert [each for each in problems if each.startswith("loadbalancer[2]")]


@pytest.mark.parametrize(
    ("raw", "said"),
    [
        ([], "is no saved configuration"),
        ({"loadbalancer": {}}, "loadbalancer: is not a list"),
        ({"lbconfig.txt": {"lbAttr": 7}}, "lbconfig.txt: lbAttr: is not a list"),
        ({"cluster": [{"state": "BACKUP"}]}, "cluster[0]: BACKUP needs BGP"),
    ],
)
def test_what_is_no_configuration_is_refused(raw: object, said: str) -> None:
    assert any(each.lstrip(": ").startswith(said) for each in problems_of(raw))


@pytest.mark.parametrize(
    ("raw", "place", "remedy"),
    [
        ({"loadbalancers": []}, "loadbalancers", "there are loadbalancer, cluster"),
        ({"lbAttr": []}, "lbAttr", "lbconfig.txt"),
        ({"lbconfig.txt": {"lbAtr": []}}, "lbconfig.txt: lbAtr", "lbconfig.txt is lbAttr"),
        ({"EPconfig.txt": {"epAttr": []}}, "EPconfig.txt: epAttr", "EPconfig.txt is Attr"),
    ],
)
@pytest.mark.parametrize("replace", [False, True])
def test_a_key_that_is_not_known_is_refused_by_its_name(
    raw: object, place: str, remedy: str, *, replace: bool
) -> None:
    with pytest.raises(ConfigError) as caught:
        import_configuration(Document(), raw, replace=replace)

    (problem,) = caught.value.problems
    assert problem.path.replace("'", "") == place
    assert problem.message.startswith("no such key here")
    assert remedy in problem.message


def test_all_that_loxilb_exports_is_known() -> None:
    lists = ("loadbalancer", "cluster", "endpoint", "firewall", "mirror", "policy")
    raw = {"timestamp": "2026-01-01", "version": "0.9.8", **{name: [] for name in lists}}

    assert import_configuration(Document(), raw, replace=True) == Document()


@pytest.mark.parametrize(
    "raw",
    [
        {},
        {"loadbalancer": None},
        {"loadbalancers": []},
        {"endpoint": []},
        {"lbconfig.txt": {}},
        {"lbconfig.txt": {"lbAttr": None}},
    ],
)
def test_a_replace_without_a_list_of_rules_leaves_the_rules(
    api: Api, operator: FakeOperator, raw: object
) -> None:
    api.ask("POST", RULE, KUBE)
    before = operator.document

    answer = api.ask("POST", IMPORT, raw)

    assert answer.status == 400
    assert "no list of rules" in answer.json["result"] or "no such key" in answer.json["result"]
    assert (operator.document, operator.revision) == (before, 1)


@pytest.mark.parametrize("raw", [{"loadbalancer": []}, {"lbconfig.txt": {"lbAttr": []}}])
def test_a_replace_by_an_empty_list_removes_every_rule(
    api: Api, operator: FakeOperator, raw: object
) -> None:
    api.ask("POST", RULE, KUBE)

    assert_success(api.ask("POST", IMPORT, raw))

    assert operator.document.services == ()


def test_several_problems_are_told_on_one_line_and_one_by_one(api: Api) -> None:
    rules = [changed(LOXICMD, mode=1), changed(LOXICMD, externalIP="20.20.20.2", sel=0)]

    several = api.ask("POST", IMPORT, {"loadbalancer": rules}).json
    one = api.ask("POST", IMPORT, {"loadbalancer": rules[:1]}).json

    assert [each.partition(":")[0] for each in several["lines"]] == [
        "loadbalancer[0]",
        "loadbalancer[1]",
    ]
    assert several["result"] == "; ".join(several["lines"])
    assert "lines" not in one


def test_an_entry_is_named_by_its_place_in_what_is_wrong_with_it() -> None:
    twice = {"endpointIP": "56.56.56.1", "targetPort": 8080, "weight": 1}
    rule = changed(LOXICMD, externalIP="20.20.20.9") | {"endpoints": [twice, twice]}

    (problem,) = problems_of({"loadbalancer": [LOXICMD, rule]})

    assert problem == (
        "loadbalancer[1].endpoints[1].address: 56.56.56.1 is already loadbalancer[1].endpoints[0]; "
        "keep one of them"
    )


def test_files_that_are_no_json_are_all_named() -> None:
    with pytest.raises(ConfigError) as caught:
        read_files({"lbconfig.txt": "{", "EPconfig.txt": "", "BFDconfig.txt": "x"})

    assert [each.path for each in caught.value.problems] == ["lbconfig.txt", "BFDconfig.txt"]


def test_nothing_is_half_imported(api: Api, operator: FakeOperator) -> None:
    api.ask("POST", RULE, KUBE)
    before = operator.document

    answer = api.ask("POST", IMPORT, {"loadbalancer": [LOXICMD, changed(LOXICMD, mode=1)]})

    assert answer.status == 400
    assert "loadbalancer[1]: malformed-service mode error" in answer.json["result"]
    assert (operator.document, operator.revision) == (before, 1)


@pytest.mark.parametrize("mode", ["add", "replace"])
def test_an_import_adds_or_replaces(api: Api, operator: FakeOperator, mode: str) -> None:
    api.ask("POST", RULE, changed(KUBE, externalIP="20.20.20.2"))

    assert_success(api.ask("POST", f"{IMPORT}?mode={mode}", FILES))

    vips = [str(service.vip) for service in operator.document.services]
    assert vips == ["20.20.20.2"] * (mode == "add") + ["20.20.20.1"]
    assert operator.revision == 2


def test_what_was_exported_is_imported_as_a_form_and_changes_nothing(
    api: Api, operator: FakeOperator
) -> None:
    operator.document = build_document(WITH_BGP | {"bgp": WITH_BGP["bgp"] | {"bfd": {}}})
    api.ask("POST", RULE, KUBE)
    api.ask("POST", RULE, changed(LOXICMD, externalIP="20.20.20.2", Monitor=True))
    api.ask("POST", "/netlox/v1/config/endpoint", HOST)
    before = operator.document

    exported = api.ask("GET", EXPORT)
    body, kind = form(exported.text)

    assert {"timestamp", "version", "loadbalancer", "endpoint", "cluster"} <= set(exported.json)
    assert_success(api.ask("POST", IMPORT, body, Content_Type=kind))
    assert operator.document == before


REQUESTS = st.one_of(
    st.builds(
        lambda vip, kind, monitor, retries, sel: (
            "POST",
            "loadbalancer",
            changed(
                LOXICMD,
                externalIP=f"20.20.20.{vip}",
                probetype=kind,
                probeport=8080 if kind == "tcp" else 0,
                Monitor=monitor,
                probeRetries=retries,
                sel=sel,
            ),
        ),
        st.integers(1, 2),
        st.sampled_from(["", "tcp", "ping", "none"]),
        st.booleans(),
        st.sampled_from([0, 2, 3]),
        st.sampled_from([1, 3]),
    ),
    st.builds(
        lambda host, kind, port, retries, name: (
            "POST",
            "endpoint",
            HOST
            | {"hostName": f"{host}.{host}.{host}.1", "probeType": kind, "probePort": port}
            | {"inactiveReTries": retries, "name": name, "probeReq": ""},
        ),
        st.sampled_from([56, 57, 99]),
        st.sampled_from(["tcp", "http", "ping"]),
        st.sampled_from([80, 8080]),
        st.sampled_from([0, 2, 3]),
        st.sampled_from(["", "own"]),
    ),
    st.builds(
        lambda host, state: (
            "POST",
            "endpointhoststate",
            {"hostName": f"{host}.{host}.{host}.1", "state": state},
        ),
        st.sampled_from([56, 57]),
        st.sampled_from(["green", "yellow", "red"]),
    ),
    st.builds(
        lambda source, action: (
            "POST",
            "firewall",
            {
                "ruleArguments": {"sourceIP": source, "destinationIP": "20.20.20.1/32"},
                "opts": {action: True},
            },
        ),
        st.sampled_from(["1.2.3.0/24", "1.2.0.0/16"]),
        st.sampled_from(["drop", "allow"]),
    ),
    st.builds(
        lambda state: ("POST", "cistate", {"instance": "llb-inst0", "state": state}),
        st.sampled_from(["MASTER", "BACKUP"]),
    ),
    st.just(("POST", "bfd", BFD)),
    st.just(("DELETE", "loadbalancer/externalipaddress/20.20.20.2/port/8080/protocol/tcp", {})),
)


KNOWN_CASES: tuple[list[tuple[str, str, Any]], ...] = (
    # A rule's own check, and another of one of its hosts, in either order.
    [("POST", "endpoint", HOST), ("POST", "loadbalancer", changed(LOXICMD, Monitor=True))],
    [("POST", "loadbalancer", changed(LOXICMD, Monitor=True)), ("POST", "endpoint", HOST)],
    # A host that was checked before a rule without checks came.
    [("POST", "endpoint", HOST), ("POST", "loadbalancer", LOXICMD)],
)


def test_whatever_clients_make_is_exported_and_imported_by_another_node(
    api: Api, operator: FakeOperator
) -> None:
    @settings(max_examples=15)
    @given(st.lists(REQUESTS, min_size=1, max_size=8))
    @example(KNOWN_CASES[0])
    @example(KNOWN_CASES[1])
    @example(KNOWN_CASES[2])
    def check(requests: list[tuple[str, str, Any]]) -> None:
        operator.document = empty = build_document(WITH_BGP)
        for method, path, body in requests:
            api.ask(method, f"/netlox/v1/config/{path}", body)
        made = operator.document
        exported = api.ask("GET", EXPORT).json

        operator.document = empty
        assert_success(api.ask("POST", IMPORT, exported))

        assert dump_document(operator.document) == dump_document(made)

    check()


def test_what_a_rule_cannot_say_survives_an_import(api: Api, operator: FakeOperator) -> None:
    service: dict[str, Any] = {"vip": "20.20.20.1", "protocol": "tcp", "port": 8080}
    service |= {
        "encapsulation": "gue",
        "endpoints": [{"address": "56.56.56.1", "state": "draining"}],
    }
    operator.document = build_document({"services": [service]})

    api.ask("POST", IMPORT, {"loadbalancer": [LOXICMD]})

    (kept,) = operator.document.services
    assert kept.encapsulation == "gue"
    assert "inactive" in {each["state"] for each in listed(api)[0]["endpoints"]}


@pytest.mark.parametrize(
    ("body", "kind", "said"),
    [
        (*form("{}", "other"), "the form has no file 'configuration'"),
        (*form("{"), "configuration: is not JSON"),
        ("{", "application/json", "configuration: is not JSON"),
        ("", "multipart/form-data", "the form has no file 'configuration'"),
        (*form("/////w==", encoding="base64"), "the body is not UTF-8"),
        ("[" * 90_000 + "]" * 90_000, "application/json", "is nested too deeply; write it flat"),
        ("loadbalancer: []", "application/json", "is not JSON"),
        (
            '{"lbconfig.txt": {"lbAttr": [], "lbAttr": []}}',
            "application/json",
            "the key 'lbAttr' is given twice; keep one of them",
        ),
    ],
)
def test_a_body_that_is_no_configuration_is_refused(
    api: Api, body: str, kind: str, said: str
) -> None:
    answer = api.ask("POST", IMPORT, body, Content_Type=kind)

    assert answer.status == 400
    assert said in answer.json["result"]


def test_another_mode_is_refused(api: Api) -> None:
    assert api.ask("POST", f"{IMPORT}?mode=merge", FILES).status == 400


def test_the_names_of_an_export_are_those_of_a_request() -> None:
    internal = changed(LOXICMD, path="example.org", lbsec=1)

    (problem,) = problems_of(json.loads(json.dumps({"loadbalancer": [internal]})))

    assert "host and security are not for layer 4" in problem


def test_as_many_rules_as_a_node_takes_are_imported_in_seconds() -> None:
    vips = [f"20.20.{index // 250}.{1 + index % 250}" for index in range(LIMIT_POOLS)]
    rules = [changed(LOXICMD, externalIP=vip, Monitor=True) for vip in vips]
    start = time.monotonic()

    document = import_configuration(Document(), {"loadbalancer": rules}, replace=True)

    assert len(document.services) == LIMIT_POOLS
    assert time.monotonic() - start < 30
