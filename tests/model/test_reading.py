"""Text to document and back."""

import json

import pytest
import yaml
from hypothesis import example, given
from hypothesis import strategies as st

from headrace.model import (
    ConfigError,
    Document,
    Problem,
    build_document,
    build_service,
    check_document,
    dump_document,
    limits,
    parse_document,
)
from tests.model.strategies import SERVICE, documents, problems_of


def test_a_broken_service_hides_no_contradiction_among_the_others() -> None:
    text = f"""
        services:
          - {{vip: 20.20.20.1x, protocol: tcp, port: 1, pool: nowhere}}
          - {SERVICE}
          - {{vip: 20.20.20.1, protocol: tcp, port: 8080, pool: broken, announce: maybe}}
          - vip: 20.20.20.2
            protocol: tcp
            port: 1
            endpoints: [{{address: 1.1.1.1}}, {{address: x}}, {{address: 1.1.1.1, weight: -1}}]
        pools:
          broken: {{slots: 3}}
        node: {{tunnels: [3, {{endpoint: 1.1.1.1, local: 1.1.1.2, remote: '2001:db8::1'}}]}}
    """

    paths = [problem.split(": ")[0] for problem in problems_of(text)]

    assert sorted(paths) == [
        "node.tunnels[0]",
        "node.tunnels[1]",
        "pools.broken.endpoints",
        "pools.broken.slots",
        "services[0].pool",
        "services[0].vip",
        "services[2]",
        "services[2].announce",
        "services[3].endpoints[1].address",
        "services[3].endpoints[2].address",
        "services[3].endpoints[2].weight",
    ]


def test_problems_beyond_the_limit_are_only_counted() -> None:
    text = json.dumps({str(key): 1 for key in range(limits.LIMIT_PROBLEMS + 5)})

    problems = problems_of(text)

    assert len(problems) == limits.LIMIT_PROBLEMS + 1
    assert problems[-1] == "5 more problems are not shown; mend these first"


def test_a_document_at_the_limit_of_endpoints_is_read_and_one_more_is_refused() -> None:
    def text(count: int) -> str:
        half = [{"address": f"10.0.{n >> 8}.{n & 255}"} for n in range(count)]
        return json.dumps({"pools": {name: {"endpoints": half} for name in "abc"}})

    at_limit = limits.LIMIT_ENDPOINTS_PER_DOCUMENT // 3

    assert len(parse_document(text(1000)).pools) == 3
    assert problems_of(text(at_limit + 1)) == [
        "65538 endpoints are over the limit of 65535; split it"
    ]
    assert problems_of(text(at_limit)) == [
        "pools: 21845 endpoints are over the 16384 of one node; serve some VIPs from other nodes"
    ]


def test_a_document_at_the_limit_of_services_is_read_and_one_more_is_refused() -> None:
    def raw(count: int) -> dict[str, object]:
        return {
            "services": [
                {"vip": "20.20.20.1", "protocol": "tcp", "port": 1 + n, "pool": "p"}
                for n in range(count)
            ],
            "pools": {"p": {"endpoints": [{"address": "1.1.1.1"}]}},
        }

    document = build_document(raw(limits.LIMIT_SERVICES))
    over = document.model_copy(update={"services": (*document.services, document.services[0])})

    assert len(document.services) == limits.LIMIT_SERVICES
    assert problems_of(json.dumps(raw(limits.LIMIT_SERVICES + 1))) == [
        "services: 4097 entries are over the limit of 4096; serve some from other nodes"
    ]
    with pytest.raises(ConfigError, match="services: 4097 entries are over the limit of 4096"):
        check_document(over)


PORTS = "{{vip: {}, protocol: tcp, port: {}, pool: p}}"
POOL = "pools: {p: {endpoints: [{address: 1.1.1.1}]}}"


def test_each_port_of_a_range_counts_as_a_service() -> None:
    def text(last: int) -> str:
        return f"services: [{PORTS.format('20.20.20.1', f'1-{last}')}]\n{POOL}"

    assert len(parse_document(text(limits.LIMIT_SERVICES)).services[0].keys) == 4096
    assert problems_of(text(limits.LIMIT_SERVICES + 1)) == [
        (
            "services: 4097 ports of all services are over the limit of 4096; "
            "use port any, or serve some from other nodes"
        )
    ]


def test_pools_of_single_services_count_as_well() -> None:
    def text(count: int) -> str:
        own = "{{vip: 20.20.20.1, protocol: tcp, port: {}, endpoints: [{{address: 1.1.1.1}}]}}"
        return "services: [" + ", ".join(own.format(1 + n) for n in range(count)) + "]"

    assert len(parse_document(text(limits.LIMIT_POOLS)).all_pools()) == limits.LIMIT_POOLS
    assert problems_of(text(limits.LIMIT_POOLS + 1)) == [
        (
            "services: 1025 pools of all services are over the limit of 1024; "
            "share some under pools, or serve some from other nodes"
        )
    ]


def test_vip_prefixes_at_the_limit_are_read_and_one_more_is_refused() -> None:
    def text(count: int) -> str:
        vips = [f"20.{n >> 7}.{(2 * n) & 255}.0/23" for n in range(count)]
        return f"services: [{', '.join(PORTS.format(vip, 80) for vip in vips)}]\n{POOL}"

    assert len(parse_document(text(limits.LIMIT_VIP_PREFIXES)).services) == 1024
    assert problems_of(text(limits.LIMIT_VIP_PREFIXES + 1)) == [
        "services: 1025 VIP prefixes are over the limit of 1024; join some into one"
    ]


def test_equal_lists_of_sources_count_once_and_others_together() -> None:
    def text(*counts: int) -> str:
        services = [
            {
                "vip": "20.20.20.1",
                "protocol": "tcp",
                "port": 80 + index,
                "pool": "p",
                "sources": [f"10.{n >> 8}.{n & 255}.0/24" for n in range(count)],
            }
            for index, count in enumerate(counts)
        ]
        return json.dumps({"services": services, "pools": {"p": {"endpoints": [ONE]}}})

    half = limits.LIMIT_SOURCES // 2

    assert len(parse_document(text(half, half - 1, half, 1)).services) == 4
    assert problems_of(text(half, half - 1, 2)) == [
        (
            "services: 16385 source prefixes of all services are over the limit of 16384; "
            "join some into one"
        )
    ]


ONE = {"address": "1.1.1.1"}


def test_server_ids_beyond_the_limit_are_refused() -> None:
    quarter = limits.LIMIT_SERVER_IDS // 4

    def text(more: int) -> str:
        pools = {
            f"p{part}": {
                "endpoints": [
                    {"address": f"10.0.{n >> 8}.{n & 255}", "server_id": 1 + n}
                    for n in range(quarter + (more if part == 0 else 0))
                ]
            }
            for part in range(4)
        }
        return json.dumps({"pools": pools})

    assert len(parse_document(text(0)).pools) == 4
    assert problems_of(text(1)) == [
        "pools: 16385 server ids are over the limit of 16384; serve some from other nodes"
    ]


def test_a_text_over_the_limit_is_refused_before_it_is_parsed() -> None:
    assert problems_of(" " * (limits.LIMIT_DOCUMENT_BYTES + 1)) == [
        "the document is over 16777216 bytes; split it"
    ]


def test_yaml_that_means_millions_of_endpoints_is_refused_at_once() -> None:
    lines = ["pools:", "  p0: &p {endpoints: [" + "{address: 1.1.1.1}," * 5_000 + "]}"]
    lines += [f"  p{n}: *p" for n in range(1, 1_000)]

    assert problems_of("\n".join(lines)) == [
        "5000000 endpoints are over the limit of 65535; split it"
    ]


def test_one_service_is_read_with_paths_that_start_inside_it() -> None:
    with pytest.raises(ConfigError) as caught:
        build_service({"vip": "20.20.20.1", "protocol": "tcp", "port": "http"})

    assert str(caught.value) == (
        "port: 'http' is not a port: use 1..65535, a range as 8000-8010, or \"any\" for all"
    )


def test_an_empty_text_is_the_empty_document() -> None:
    assert parse_document("") == Document()


@given(documents())
def test_a_document_survives_the_way_to_text_and_back(document: Document) -> None:
    text = dump_document(document)

    assert parse_document(text) == document
    assert dump_document(parse_document(text)) == text


@given(documents())
def test_yaml_and_json_of_the_same_document_are_the_same(document: Document) -> None:
    as_yaml = yaml.safe_dump(json.loads(dump_document(document)))

    assert parse_document(as_yaml) == document


def parse_or_refuse(text: str) -> None:
    problems = [Problem("", "read")]
    try:
        parse_document(text)
    except ConfigError as error:
        problems = list(error.problems)
    assert problems
    assert all(problem.message for problem in problems)


@given(st.text(st.characters()))
@example("!!bool x")
@example("!!timestamp x")
@example("!!float x")
@example("!!int x")
@example("!!int ''")
@example("!!binary x")
@example("<<: 3")
@example("\ud800")
@example('{"cluster": {"hash_seed": ' + "9" * 5_000 + "}}")
@example("cluster: {hash_seed: " + "9" * 5_000 + "}")
@example("a: *b")
@example("!!python/object:os.system x")
@example("{1: 2, true: 3, null: 4, 1.5: 5, 2001-01-01: 6}")
@example("pools: {1: 2, true: 3, null: 4, 1.5: 5, 2001-01-01: 6}")
@example("!!set {services}")
@example("services: !!set {services}")
@example("services: !!omap [a: 1]")
def test_no_text_raises_anything_but_a_config_error(text: str) -> None:
    parse_or_refuse(text)


_KEYS = [
    "services",
    "pools",
    "bgp",
    "node",
    "cluster",
    "vip",
    "port",
    "pool",
    "endpoints",
    "protocol",
    "address",
    "weight",
    "state",
    "server_id",
    "encapsulation",
    "dscp",
    "sources",
    "quic",
    "unserved",
    "flow_table",
    "peers",
    "as",
    "tunnels",
    "health",
    "kind",
    "interval_s",
    "status",
    "min_healthy",
    "communities",
    "p",
    "slots",
]
_values = st.recursive(
    st.none()
    | st.booleans()
    | st.integers()
    | st.floats()
    | st.text(max_size=10)
    | st.dates()
    | st.sampled_from(["20.20.20.1", "2001:db8::/64", "udp", "any", "80-90", "p", "l2", "copy"]),
    lambda inner: (
        st.lists(inner, max_size=3)
        | st.dictionaries(
            st.sampled_from(_KEYS),
            inner,
            max_size=4,
        )
    ),
    max_leaves=20,
)


@given(_values)
def test_no_yaml_values_raise_anything_but_a_config_error(values: object) -> None:
    parse_or_refuse(yaml.safe_dump(values, allow_unicode=True))


@given(documents(), _values, st.data())
def test_a_valid_document_with_one_part_replaced_is_read_or_refused(
    document: Document, values: object, data: st.DataObject
) -> None:
    raw = json.loads(dump_document(document))
    part: object = raw
    while isinstance(part, dict | list) and part:
        steps: list[object] = list(part) if isinstance(part, dict) else list(range(len(part)))
        step = data.draw(st.sampled_from(steps))
        if data.draw(st.booleans()):
            part[step] = values  # type: ignore[call-overload]  # drawn from this very part
            break
        part = part[step]  # type: ignore[call-overload]

    parse_or_refuse(yaml.safe_dump(raw, allow_unicode=True))


def test_a_section_over_its_limit_is_refused_before_its_parts_are_read() -> None:
    assert problems_of(json.dumps({"services": [{}] * 200_000, "pools": {}})) == [
        "services: 200000 entries are over the limit of 4096; serve some from other nodes"
    ]
    assert problems_of(json.dumps({"health": {f"c{n}": None for n in range(5_000)}})) == [
        "health: 5000 entries are over the limit of 1024; serve some from other nodes"
    ]


def test_of_very_many_problems_the_first_are_told_and_the_others_counted() -> None:
    problems = problems_of(json.dumps({f"key{n}": 1 for n in range(5_000)}))

    assert len(problems) == limits.LIMIT_PROBLEMS + 1
    assert problems[0] == "key0: no such key here; remove it or correct its spelling"
    assert problems[-1] == "4000 more problems are not shown; mend these first"


def test_a_problem_with_a_huge_key_is_short() -> None:
    (problem,) = problems_of(json.dumps({"x" * 5_000: 1}))

    assert len(problem) < 150
