"""The rest of LoxiLB's REST API, as `loxicmd` and `kube-loxilb` use it."""

import pytest

from tests.api.fakes import OWN_USER, Api, FakeOperator
from tests.api.loxilb_clients import KUBE, LOXICMD, RULE, assert_success, changed, listed

SHAPES = [
    "externalipaddress/20.20.20.1/port/8080/protocol/tcp",
    "externalipaddress/20.20.20.1/port/8080/protocol/tcp?bgp=true&block=0",
    "externalipaddress/20.20.20.1/port/8080/portmax/0/protocol/tcp?bgp=false",
    "externalipaddress/20.20.20.1/port/8080/portmax/8080/protocol/tcp",
    "hosturl/any/externalipaddress/20.20.20.1/port/8080/protocol/tcp",
    "hosturl/any/externalipaddress/20.20.20.1/port/8080/portmax/0/protocol/tcp?bgp=true&block=0",
    "name/default_nginx:llb-inst0",
    "name/default_nginx%3Allb-inst0",
    "all",
]


@pytest.mark.parametrize("shape", SHAPES)
def test_every_shape_of_delete_removes_the_rule(api: Api, shape: str) -> None:
    api.ask("POST", RULE, KUBE)
    api.ask("POST", RULE, changed(KUBE, externalIP="20.20.20.2", name="other"))

    assert_success(api.ask("DELETE", f"{RULE}/{shape}", "{}"))

    left = [each["serviceArguments"]["externalIP"] for each in listed(api)]
    assert left == ([] if shape == "all" else ["20.20.20.2"])


@pytest.mark.parametrize(
    "shape",
    [
        "externalipaddress/20.20.20.9/port/8080/protocol/tcp",
        "externalipaddress/20.20.20.1/port/8081/protocol/tcp",
        "externalipaddress/20.20.20.1/port/8080/protocol/udp",
        "externalipaddress/20.20.20.1/port/8080/protocol/sctp",
        "externalipaddress/20.20.20.1/port/x/protocol/tcp",
        "externalipaddress/nowhere/port/8080/protocol/tcp",
        "externalipaddress/20.20.20.1/port/8080/portmax/8090/protocol/tcp",
        "externalipaddress/20.20.20.1/port/8080/protocol/tcp?block=3",
        "hosturl/example.org/externalipaddress/20.20.20.1/port/8080/protocol/tcp",
        "externalipaddress/2001:db8::1/port/8080/protocol/tcp",
    ],
)
def test_a_rule_that_is_not_there_is_not_found(api: Api, shape: str) -> None:
    api.ask("POST", RULE, KUBE)

    answer = api.ask("DELETE", f"{RULE}/{shape}")

    assert (answer.status, answer.json) == (
        404,
        {"code": 404, "message": "Not Found", "result": "no-rule error"},
    )
    assert len(listed(api)) == 1


@pytest.mark.parametrize("shape", ["all", "name/nothing"])
def test_deleting_all_of_nothing_is_a_success(api: Api, shape: str) -> None:
    assert_success(api.ask("DELETE", f"{RULE}/{shape}"))


def test_a_rule_for_all_ports_is_listed_with_port_0_and_deleted_so(
    api: Api, operator: FakeOperator
) -> None:
    rule = changed(LOXICMD, port=0)
    for endpoint in rule["endpoints"]:
        endpoint["targetPort"] = 0
    api.ask("POST", RULE, rule)

    assert operator.document.services[0].port == "any"
    assert listed(api)[0]["serviceArguments"]["port"] == 0
    assert_success(
        api.ask("DELETE", f"{RULE}/externalipaddress/20.20.20.1/port/0/protocol/tcp?bgp=true")
    )


@pytest.mark.parametrize("path", ["/netlox/v1", "/netlox/v1/"])
def test_the_root_says_that_the_node_lives(api: Api, path: str) -> None:
    assert_success(api.ask("GET", path))


def test_the_version_is_told(api: Api) -> None:
    assert set(api.ask("GET", "/netlox/v1/version").json) == {"version", "buildInfo"}


@pytest.mark.parametrize(
    ("path", "name"),
    [
        ("endpoint/all", "Attr"),
        ("bfd/all", "Attr"),
        ("conntrack/all", "ctAttr"),
        ("firewall/all", "fwAttr"),
        ("bgp/policy/definitions/all", "bgpPolicyAttr"),
        ("bgp/policy/definedsets/prefix/all", "definedsetsAttr"),
        ("sessionulcl/all", "ulclAttr"),
        ("tunnel/vxlan/all", "vxlanAttr"),
    ],
)
def test_what_is_not_here_is_an_empty_list(api: Api, path: str, name: str) -> None:
    answer = api.ask("GET", f"/netlox/v1/config/{path}")

    assert (answer.status, answer.json) == (200, {name: []})
    assert answer.headers["content-type"] == "application/json"


def test_the_bgp_peers_are_listed(api: Api) -> None:
    assert api.ask("GET", "/netlox/v1/config/bgp/neigh/all").json == {
        "bgpNeiAttr": [
            {
                "ipAddress": "11.11.11.254",
                "remoteAs": 65001,
                "state": "ESTABLISHED",
                "updowntime": "1d 02:03:04",
            }
        ]
    }


@pytest.mark.parametrize(
    ("method", "path", "status"),
    [
        ("PUT", "/netlox/v1/config/bgp/policy/apply", 501),
        ("GET", "/netlox/v1/logs", 501),
        ("POST", "/netlox/v1/auth/login", 501),
        ("POST", "/netlox/v1/config/k8smeta", 501),
        ("GET", "/netlox/v1/nodegraph/all", 501),
        ("POST", "/netlox/v1/sni/certificates", 501),
        ("POST", "/netlox/v1/config/cors", 501),
        ("GET", "/netlox/v1/metrics/requestcount", 501),
        ("POST", "/netlox/v1/config/route", 501),
        ("GET", "/netlox/v1/nowhere", 404),
        ("PATCH", RULE, 405),
    ],
)
def test_what_is_not_served_says_so(api: Api, method: str, path: str, status: int) -> None:
    answer = api.ask(method, path)

    assert answer.status == status
    assert answer.json["code"] == status
    assert answer.headers["content-type"] == "application/json"
    assert "exist" not in answer.json["result"]


def test_the_author_is_kept_with_the_revision(api: Api, operator: FakeOperator) -> None:
    api.ask("POST", RULE, LOXICMD)

    assert operator.authors == [f"{OWN_USER} by loxilb"]
