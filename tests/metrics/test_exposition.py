"""The text: what Prometheus' grammar asks, and what each number says."""

import re
from dataclasses import replace
from ipaddress import ip_address

import pytest
from hypothesis import given
from hypothesis import strategies as st
from prometheus_client.parser import text_string_to_metric_families as parse

from headrace.dataplane import all_verdicts
from headrace.metrics import CONTENT_TYPE, LEGACY, METRICS, Kind, Metric, read_process, render
from headrace.metrics.scene import label_text
from headrace.model import BfdState, Count, Encapsulation, Health, parse_document
from tests.metrics.node import PROCESS, VIP_KEY, Node, busy_node, names_of, samples_of

TABLE = {metric.name: metric for metric in (*METRICS, *LEGACY)}

LABEL = r'[a-zA-Z_][a-zA-Z0-9_]*="(?:[^"\\\n]|\\[\\"n])*"'
SAMPLE = re.compile(
    rf"(?P<name>[a-zA-Z_:][a-zA-Z0-9_:]*)(?P<labels>\{{{LABEL}(?:,{LABEL})*\}})? "
    r"(?P<value>[0-9]+(?:\.[0-9]+)?(?:e[+-]?[0-9]+)?)"
)


def families_by_hand(text: str) -> dict[str, list[tuple[str, str]]]:
    """Each family's series and values, read line by line by the format's own grammar."""
    families: dict[str, list[tuple[str, str]]] = {}
    lines = iter(text.removesuffix("\n").split("\n"))
    for line in lines:
        if line.startswith("# HELP "):
            name, _, told = line.removeprefix("# HELP ").partition(" ")
            assert told
            assert "\\" not in told
            assert next(lines) in {f"# TYPE {name} counter", f"# TYPE {name} gauge"}
            assert name not in families, "a family is in one piece"
            families[name] = []
        else:
            read = SAMPLE.fullmatch(line)
            assert read, line
            assert read["name"] == name, "a sample follows the head of its family"
            families[name].append((read["labels"] or "", read["value"]))
    return families


@pytest.mark.parametrize("legacy", [False, True])
def test_the_text_follows_the_grammar(*, legacy: bool) -> None:
    text = busy_node().text(legacy=legacy)

    families = families_by_hand(text)

    assert text.endswith("\n")
    assert CONTENT_TYPE == "text/plain; version=0.0.4; charset=utf-8"
    for samples in families.values():
        series = [labels for labels, _ in samples]
        assert len(series) == len(set(series)), "no series is there twice"


def test_the_text_holds_the_whole_table_and_nothing_else() -> None:
    text = busy_node().text(legacy=True)

    read = {family.name: family for family in parse(text)}

    # The parser takes the ending from a counter's name, and adds one that a LoxiLB name has not.
    assert names_of(text) == set(TABLE)
    for name, metric in TABLE.items():
        family = read[name.removesuffix("_total") if metric.kind is Kind.COUNTER else name]
        assert (family.type, family.documentation) == (metric.kind, metric.help)
        assert {tuple(sample.labels) for sample in family.samples} == {metric.labels}


@pytest.mark.parametrize("metric", METRICS, ids=lambda metric: metric.name)
def test_a_name_says_its_type_and_its_unit(metric: Metric) -> None:
    words = metric.unit.replace(" per ", "_per_").replace("_per_seconds", "_per_second")

    assert re.fullmatch(r"(headrace|process)_[a-z_]+", metric.name)
    assert metric.name.endswith("_total") == (metric.kind is Kind.COUNTER)
    assert words.replace("files", "fds") in metric.name
    assert metric.help.endswith(".")


def test_without_being_asked_there_are_no_names_of_loxilb() -> None:
    assert names_of(busy_node().text()) == {metric.name for metric in METRICS}


def test_a_node_without_anything_has_its_own_metrics_only() -> None:
    text = Node(parse_document("{}")).text()

    labels = {label for name in names_of(text) for label in TABLE[name].labels}

    assert families_by_hand(text)["headrace_service_packets_total"] == []
    assert labels == {"version", "node", "drain", "mode", "verdict", "action"}


def test_counts_are_told_to_the_last_digit() -> None:
    families = families_by_hand(busy_node().text())

    labels = '{verdict="pass_not_vip",action="pass"}'
    assert (labels, str(2**63 + 1)) in families["headrace_verdict_packets_total"]
    assert (labels, str(2**64 - 1)) in families["headrace_verdict_bytes_total"]


@given(st.text())
def test_any_text_can_be_a_labels_value(value: str) -> None:
    text = f"a{{{label_text(b=value, c='d')}}} 1\n"

    if not set(value) & set("\r\v\f\x1c\x1d\x1e\x85\u2028\u2029"):  # where the parser ends lines
        assert samples_of("a", text) == {(value, "d"): 1}
    assert SAMPLE.fullmatch(text.removesuffix("\n"))


def test_the_node_tells_what_it_is_and_how_it_is() -> None:
    node = busy_node()
    node.problems = ("one", "another")

    assert node.samples("headrace_build_info") == {("1.2.3", "llb1"): 1}
    assert node.samples("headrace_revision") == {(): 7}
    assert node.samples("headrace_problems") == {(): 2}
    assert node.samples("headrace_hash_seed_is_default") == {(): 1}
    assert node.samples("headrace_ports") == {("native",): 1, ("generic",): 0, ("missing",): 1}
    assert node.samples("headrace_node_drain_left_seconds") == {(): 4}
    assert node.samples("headrace_node_drain") == {
        ("active",): 0,
        ("draining",): 1,
        ("drained",): 0,
    }


def test_a_service_tells_what_came_for_it_and_who_serves() -> None:
    node = busy_node()
    node.received = {VIP_KEY: Count(9, 900)}

    assert node.samples("headrace_service_packets_total")[(VIP_KEY,)] == 9
    assert node.samples("headrace_service_bytes_total")[(VIP_KEY,)] == 900
    assert node.samples("headrace_service_forwarding")[(VIP_KEY,)] == 1
    assert node.samples("headrace_service_healthy_endpoints")[(VIP_KEY,)] == 1
    assert (VIP_KEY, "shop", "web") in node.samples("headrace_service_info")


def test_an_endpoint_tells_its_place_in_each_pool() -> None:
    node = busy_node()
    own = "[2001:db8::1]:8000-8010/udp"

    assert node.samples("headrace_endpoint_weight")["web", "10.0.0.1"] == 3
    assert node.samples("headrace_endpoint_weight")[own, "10.0.0.1"] == 1
    assert node.samples("headrace_endpoint_share_ratio")[own, "fd00::1"] == 0.25
    assert node.samples("headrace_endpoint_reachable")["web", "10.0.0.4"] == 1


def test_a_session_tells_its_peer_and_how_it_is() -> None:
    node = busy_node()
    peer = ("192.0.2.10", "65001")

    assert node.samples("headrace_bgp_session_up") == {peer: 1}
    assert node.samples("headrace_bgp_session_state_seconds") == {peer: 12.5}
    assert node.samples("headrace_bgp_announced_prefixes") == {peer: 1}


@pytest.mark.parametrize(
    ("state", "samples"),
    [(BfdState.OFF, []), (BfdState.DOWN, [0]), (BfdState.INIT, [0]), (BfdState.UP, [1])],
)
def test_only_peers_that_bfd_is_to_watch_tell_whether_it_does(
    state: BfdState, samples: list[float]
) -> None:
    node = busy_node()
    node.bfd = state

    assert list(node.samples("headrace_bfd_up").values()) == samples


def test_only_services_that_are_to_be_announced_tell_whether_they_are() -> None:
    node = busy_node()

    announced = node.samples("headrace_service_announced")

    assert announced == {(VIP_KEY,): 1, ("[2001:db8::1]:8000-8010/udp",): 1}


def test_a_service_that_is_not_read_back_has_no_counters_rather_than_zero() -> None:
    node = busy_node()
    node.received = {VIP_KEY: Count(9, 900)}
    node.not_forwarding = frozenset([VIP_KEY])

    packets = node.samples("headrace_service_packets_total")

    assert set(packets) == {("192.0.2.1:443/tcp",), ("[2001:db8::1]:8000-8010/udp",)}
    assert node.samples("headrace_service_forwarding")[(VIP_KEY,)] == 0


def test_an_endpoint_is_counted_once_for_all_that_reach_it_alike() -> None:
    document = parse_document("""
services:
- {vip: 192.0.2.1, protocol: tcp, port: 80, endpoints: [{address: 10.0.0.1}]}
- {vip: 192.0.2.1, protocol: tcp, port: 443, endpoints: [{address: 10.0.0.1}]}
- {vip: 192.0.2.1, protocol: udp, port: 443, endpoints: [{address: 10.0.0.1}], encapsulation: gue}
- {vip: 192.0.2.1, protocol: udp, port: 53, endpoints: [{address: 10.0.0.1}], dscp: 46}
""")
    address = ip_address("10.0.0.1")
    sent = {(address, Encapsulation.IPIP): Count(3, 300), (address, Encapsulation.GUE): Count(5, 9)}

    node = Node(document, sent=sent)

    assert node.samples("headrace_endpoint_packets_total") == {
        ("10.0.0.1", "ipip", "copy"): 3,
        ("10.0.0.1", "gue", "copy"): 5,
        ("10.0.0.1", "ipip", "46"): 3,
    }
    assert node.samples("headrace_endpoint_bytes_total")["10.0.0.1", "gue", "copy"] == 9


def test_endpoints_of_services_that_are_not_read_back_have_no_counters() -> None:
    node = busy_node()
    node.not_forwarding = frozenset([VIP_KEY, "[2001:db8::1]:8000-8010/udp"])

    counted = node.samples("headrace_endpoint_packets_total")

    assert {endpoint for endpoint, *_ in counted} == {f"10.0.0.{n}" for n in (1, 2, 3, 4)}


def test_doubt_about_an_endpoint_is_neither_up_nor_down() -> None:
    node = busy_node()

    up = node.samples("headrace_endpoint_up")
    by_health = node.samples("headrace_pool_health_endpoints")

    assert {key: value for key, value in up.items() if key[0] == "web"} == {
        ("web", "10.0.0.1"): 1,
        ("web", "10.0.0.2"): 0,
    }
    assert {key[1]: value for key, value in by_health.items() if key[0] == "web"} == {
        "up": 1,
        "down": 1,
        "unknown": 1,
        "unchecked": 1,
    }


def test_a_pool_tells_what_the_operator_asked_of_its_endpoints() -> None:
    by_state = busy_node().samples("headrace_pool_state_endpoints")

    assert {key[1]: value for key, value in by_state.items() if key[0] == "web"} == {
        "active": 2,
        "draining": 1,
        "disabled": 1,
    }


def test_an_endpoint_that_drains_tells_what_is_left() -> None:
    node = busy_node()

    assert node.samples("headrace_endpoint_drain_left_seconds") == {("web", "10.0.0.3"): 30}
    assert node.samples("headrace_endpoint_drain_packets_per_second") == {("web", "10.0.0.3"): 2.5}


def test_loxilbs_names_have_what_we_count_too() -> None:
    node = busy_node()
    node.received = {VIP_KEY: Count(9, 900), "192.0.2.1:443/tcp": Count(1, 100)}

    def read(name: str) -> dict[tuple[str, ...], float]:
        return node.samples(name, legacy=True)

    assert read("lb_rule_count") == read("loxilb_lb_rules") == {(): 3}
    assert read("healthy_host_count") == read("loxilb_healthy_endpoints") == {(): 1}
    assert read("unhealthy_host_count") == read("loxilb_unhealthy_endpoints") == {(): 1}
    assert read("processed_packets") == read("loxilb_processed_packets_total") == {(): 70}
    assert read("processed_bytes") == read("loxilb_processed_bytes_total") == {(): 7000}
    assert read("processed_tcp_bytes") == {(): 1000}
    assert read("processed_udp_bytes") == {(): 0}
    assert read("total_fw_drops") == read("loxilb_fw_drop_packets_total") == {(): 5}
    assert read("loxilb_service_traffic_packets_total") == {("shop",): 10}
    assert read("loxilb_service_traffic_bytes_total") == {("shop",): 1000}


def test_a_sum_over_a_name_waits_for_all_its_services() -> None:
    node = busy_node()
    node.not_forwarding = frozenset(["192.0.2.1:443/tcp"])

    assert node.samples("loxilb_service_traffic_packets_total", legacy=True) == {}


def test_the_verdicts_that_loxilbs_names_rest_on_exist() -> None:
    assert {"sent", "drop_source"} <= {verdict.name for verdict in all_verdicts()}


def test_the_process_tells_of_itself_by_the_usual_names() -> None:
    process = read_process()

    assert set(process) == set(PROCESS)
    assert process["process_resident_memory_bytes"] > 1_000_000
    assert process["process_open_fds"] <= process["process_max_fds"]


def test_loxilb_has_an_endpoint_once_and_sick_where_one_pool_says_so() -> None:
    node = busy_node()
    status = node.status()
    *others, own = status.services  # whose endpoints are another pool's as well, up there
    sick = tuple(replace(each, health=Health.DOWN) for each in own.endpoints)
    services = (*others, replace(own, endpoints=sick))

    told = render(replace(status, services=services), node.document, PROCESS, legacy=True).decode()

    assert samples_of("healthy_host_count", told) == {(): 0}
    assert samples_of("unhealthy_host_count", told) == {(): 3}
