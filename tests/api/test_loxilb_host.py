"""What LoxiLB's clients read of a node: flows, interfaces, routes, the machine, its log level."""

from ipaddress import ip_address
from itertools import product

import pytest
import structlog
from structlog.typing import EventDict

from headrace.control.flows import current_flows
from headrace.control.log_level import Level
from headrace.model import Flow, Protocol, RememberedFlow, build_document
from tests.api.fakes import OWN_USER, Api, FakeOperator
from tests.api.loxilb_clients import assert_success

V1 = "/netlox/v1"
CONFIG = f"{V1}/config"

DOCUMENT = build_document(
    {
        "services": [
            {
                "vip": "20.20.20.1",
                "protocol": "udp",
                "port": 53,
                "name": "dns",
                "endpoints": [{"address": "56.56.56.1"}],
                "flow_table": "always",
            },
            {
                "vip": "20.20.20.0/24",
                "protocol": "tcp",
                "port": "any",
                "endpoints": [{"address": "57.57.57.1"}],
            },
            {
                "vip": "20.20.20.1",
                "protocol": "sctp",
                "port": 53,
                "endpoints": [{"address": "57.57.57.1"}],
                "flow_table": "never",
            },
        ],
        "cluster": {"udp_idle_s": 30, "transition_idle_s": 600},
    }
)


def flow(
    protocol: Protocol, vip: str = "20.20.20.1", port: int = 53, idle_s: int = 1
) -> RememberedFlow:
    client = ip_address("10.0.0.9")
    return RememberedFlow(
        Flow(protocol, client, 40_000, ip_address(vip), port), ip_address("57.57.57.1"), idle_s
    )


def test_remembered_flows_are_listed_as_connections(api: Api, operator: FakeOperator) -> None:
    operator.document = DOCUMENT
    operator.flows = [flow(Protocol.UDP), flow(Protocol.TCP, "20.20.20.7", 443)]

    listed = api.ask("GET", f"{CONFIG}/conntrack/all").json["ctAttr"]

    assert listed[0] == {
        "destinationIP": "20.20.20.1",
        "sourceIP": "10.0.0.9",
        "destinationPort": 53,
        "sourcePort": 40_000,
        "protocol": "udp",
        "conntrackState": "udp-est",
        "ident": "0:0",
        "conntrackAct": "ddsr-57.57.57.1:53:w0",
        "servName": "dns",
    }
    assert [(each["conntrackState"], each["servName"]) for each in listed[1:]] == [("est", "-")]


@pytest.mark.parametrize(
    ("remembered", "counts"),
    [
        pytest.param(flow(Protocol.UDP, idle_s=29), True, id="UDP that is not idle yet"),
        pytest.param(flow(Protocol.UDP, idle_s=30), False, id="UDP that is over"),
        pytest.param(
            flow(Protocol.TCP, "20.20.20.7", idle_s=599), True, id="by the VIP's prefix, any port"
        ),
        pytest.param(
            flow(Protocol.TCP, "20.20.20.7", idle_s=600), False, id="its slot has settled"
        ),
        pytest.param(flow(Protocol.SCTP), False, id="a service that remembers none"),
        pytest.param(flow(Protocol.UDP, "20.20.20.7"), False, id="no service"),
        pytest.param(flow(Protocol.TCP, "20.20.21.1"), False, id="no VIP"),
    ],
)
def test_a_note_counts_while_its_service_remembers(
    remembered: RememberedFlow,
    counts: bool,  # noqa: FBT001 - a case's
) -> None:
    assert current_flows(DOCUMENT, [remembered]) == [remembered] * counts


def test_the_attached_interfaces_are_listed_as_ports(api: Api) -> None:
    (port,) = api.ask("GET", f"{CONFIG}/port/all").json["portAttr"]

    assert (port["portName"], port["portNo"], port["zone"]) == ("eth0", 2, "root")
    assert port["portSoftwareInformation"]["bpfLoaded"] is True
    assert port["portHardwareInformation"]["rawMacAddress"] == [2, 0, 0, 0, 0, 1]
    assert port["portHardwareInformation"]["macAddress"] == "02:00:00:00:00:01"
    assert port["portStatisticInformation"]["rxBytes"] == 100
    assert port["portL3Information"]["IPv4Address"] == ["10.0.0.1/24"]
    assert port["portL3Information"]["IPv6Address"] == ["2001:db8::1/64"]


def test_the_kernels_routes_are_listed(api: Api) -> None:
    listed = api.ask("GET", f"{CONFIG}/route/all").json["routeAttr"]

    keys = ("destinationIPNet", "gateway", "protocol", "flags")
    assert [tuple(each[key] for key in keys) for each in listed] == [
        ("0.0.0.0/0", "10.0.0.254", "static", "Ind"),
        ("10.0.0.0/24", "", "kernel", "Self"),
        ("56.56.56.1/32", "10.0.0.254,10.0.0.253", "186", "Ind Host"),
    ]


@pytest.mark.parametrize(
    ("asked", "level"),
    [
        ("trace", Level.DEBUG),
        ("notice", Level.INFO),
        ("warning", Level.WARNING),
        ("emergency", Level.ERROR),
    ],
)
def test_the_log_level_is_set(api: Api, operator: FakeOperator, asked: str, level: Level) -> None:
    assert_success(api.ask("POST", f"{CONFIG}/params", {"LogLevel": asked}))

    assert operator.log_level.level is level
    assert api.ask("GET", f"{CONFIG}/params").json == {"logLevel": str(level)}


@pytest.mark.parametrize(
    ("before", "level"), [pair for pair in product(Level, Level) if set(pair) != {Level.ERROR}]
)
@pytest.mark.parametrize(
    ("method", "path", "key"),
    [("PUT", "/v1/log-level", "level"), ("POST", f"{CONFIG}/params", "logLevel")],
)
def test_who_sets_the_log_level_is_logged(  # noqa: PLR0917 - two levels by two ways
    api: Api, operator: FakeOperator, method: str, path: str, key: str, before: Level, level: Level
) -> None:
    operator.log_level.level = before
    told: list[EventDict] = []

    def note(_logger: object, _method: str, event: EventDict) -> EventDict:
        told.append(event)
        raise structlog.DropEvent

    structlog.configure(processors=[operator.log_level, note])
    try:
        api.ask(method, path, {key: level})
    finally:
        structlog.reset_defaults()

    (event,) = told
    assert (event["event"], event["to"]) == ("log_level_changed", level)
    assert event["author"].startswith(OWN_USER)


def test_a_log_level_that_is_none_is_refused(api: Api, operator: FakeOperator) -> None:
    answer = api.ask("POST", f"{CONFIG}/params", {"logLevel": "loud"})

    assert answer.status == 400
    assert "'loud': it is none of trace, debug" in answer.json["result"]
    assert operator.log_level.level is Level.INFO


def test_the_machine_is_told_in_texts(api: Api) -> None:
    (process,) = api.ask("GET", f"{V1}/status/process").json["processAttr"]
    (filesystem,) = api.ask("GET", f"{V1}/status/filesystem").json["filesystemAttr"]
    device = api.ask("GET", f"{V1}/status/device").json

    assert {type(value) for each in (process, filesystem, device) for value in each.values()} == {
        str
    }
    assert (process["pid"], process["residentSize"], process["time"]) == ("7", "1", "1:01.50")
    assert (filesystem["size"], filesystem["usePercent"]) == ("10", "50%")
    assert (device["hostName"], device["uptime"]) == ("llb1", "1 day, 0:00:00")


@pytest.mark.parametrize("path", ["", "/config/loadbalancer/all", "/config/params"])
def test_who_asks_what_a_path_takes_is_told_and_no_browser_is_let_in(api: Api, path: str) -> None:
    own = api.ask("OPTIONS", f"{V1}{path}")
    foreign = api.ask("OPTIONS", f"{V1}{path}", Origin="http://evil.example")

    assert_success(own)
    assert foreign.status == 403
    told = own.headers | foreign.headers
    assert not [name for name in told if name.startswith("access-control-")]


def test_the_bodies_fields_are_told(api: Api) -> None:
    meta = api.ask("GET", f"{V1}/meta").json

    rule = meta["/config/loadbalancer"]
    assert rule["method"] == "POST"
    assert rule["fields"]["serviceArguments"]["externalIP"] == {"type": "string", "required": True}
    assert rule["fields"]["endpoints"]["items"]["weight"] == {"type": "integer", "required": True}
    assert meta["/config/params"]["fields"] == {"logLevel": {"type": "string", "required": True}}
