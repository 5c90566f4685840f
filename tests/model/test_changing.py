"""A change is found sound by a look at what it touches, and never one that is not."""

import json

import pytest

from headrace.model import ConfigError, Document, build_service, check_document, parse_document
from headrace.model.changing import is_sound_change
from headrace.model.checks import contradictions
from headrace.model.document import Pool
from headrace.model.parts import parts_of

BEFORE = parse_document(
    json.dumps(
        {
            "services": [
                {"vip": "20.0.0.1", "protocol": "udp", "port": 53, "pool": "a", "quic": True},
                {"vip": "20.0.0.1", "protocol": "tcp", "port": "1-99", "pool": "b"},
                {"vip": "20.0.0.2", "protocol": "tcp", "port": "any", "pool": "b"},
                {
                    "vip": "20.0.0.3",
                    "protocol": "tcp",
                    "port": 80,
                    "pool": "a",
                    "announce": True,
                    "min_healthy": 2,
                },
                {
                    "vip": "20.0.0.4",
                    "protocol": "tcp",
                    "port": 80,
                    "endpoints": [{"address": "56.0.0.1"}],
                },
            ],
            "pools": {
                "a": {
                    "endpoints": [{"address": "56.0.0.1", "server_id": 1}, {"address": "56.0.0.2"}]
                },
                "b": {"endpoints": [{"address": "56.0.0.3"}]},
                "unused": {"endpoints": [{"address": "56.0.0.4"}]},
            },
            "health": {"web": {"kind": "http"}},
        }
    )
)


def with_service(**values: object) -> Document:
    service = build_service({"vip": "20.0.0.9", "protocol": "tcp", "port": 80, **values})
    return BEFORE.model_copy(update={"services": (*BEFORE.services, service)})


def without_service(index: int) -> Document:
    services = BEFORE.services[:index] + BEFORE.services[index + 1 :]
    return BEFORE.model_copy(update={"services": services})


def with_pool(name: str, **values: object) -> Document:
    pool = Pool.model_validate(values)
    return BEFORE.model_copy(update={"pools": {**BEFORE.pools, name: pool}})


def without_pool(name: str) -> Document:
    pools = {each: pool for each, pool in BEFORE.pools.items() if each != name}
    return BEFORE.model_copy(update={"pools": pools})


ENDPOINTS = [{"address": "56.0.0.8"}]


@pytest.mark.parametrize(
    "after",
    [
        BEFORE.model_copy(),
        with_service(pool="b"),
        with_service(endpoints=ENDPOINTS),
        with_service(vip="20.0.0.1", port=100, pool="a"),
        without_service(1),
        without_service(3),
        with_pool("b", endpoints=[{"address": "56.0.0.3", "weight": 3}]),
        with_pool("new", endpoints=ENDPOINTS),
        without_pool("unused"),
    ],
)
def test_a_change_that_contradicts_nothing_is_sound(after: Document) -> None:
    assert is_sound_change(BEFORE, after)
    check_document(after, checked=BEFORE)
    assert after.is_checked


@pytest.mark.parametrize(
    "after",
    [
        with_service(),
        with_service(pool="nowhere"),
        with_service(pool="b", endpoints=ENDPOINTS),
        with_service(vip="20.0.0.1", port=99, pool="b"),
        with_service(vip="20.0.0.1", port=100, pool="b", unserved="pass"),
        with_service(vip="20.0.0.3", port=81, pool="b", announce=True, med=5),
        without_service(0),
        with_pool("a", endpoints=[{"address": "56.0.0.1"}]),
        with_pool("b", endpoints=ENDPOINTS, health="nobody"),
        with_pool("b", endpoints=ENDPOINTS, health="web"),
        with_pool("20.0.0.4:80/tcp", endpoints=ENDPOINTS),
        without_pool("b"),
    ],
)
def test_a_change_that_contradicts_something_is_refused_as_the_whole_is(after: Document) -> None:
    problems = list(contradictions(parts_of(after)))
    assert problems

    assert not is_sound_change(BEFORE, after)
    with pytest.raises(ConfigError) as refused:
        check_document(after, checked=BEFORE)
    assert set(refused.value.problems) == set(problems)
    assert not after.is_checked


TUNNEL = {"endpoint": "56.0.0.1", "local": "10.0.0.9", "remote": "10.0.0.1"}
OTHER_TUNNELS = parse_document(json.dumps({"node": {"tunnels": [TUNNEL]}}))


@pytest.mark.parametrize(
    "other",
    [
        BEFORE.model_copy(update={"health": {}}),
        BEFORE.model_copy(update={"node": OTHER_TUNNELS.node}),
    ],
)
def test_other_checks_and_tunnels_have_all_looked_at(other: Document) -> None:
    assert not is_sound_change(BEFORE, other)


CHECK = {"kind": "tcp", "port": 80, "interval_s": 0.5}
TWO = [{"address": "56.0.0.3"}, {"address": "56.0.0.5"}]
FIRST, SECOND = {"address": "56.0.0.1", "server_id": 1}, {"address": "56.0.0.2"}
CHECKED = [FIRST, SECOND]
APART = [FIRST, {**SECOND, "health": {"kind": "tcp", "port": 81}}]


@pytest.mark.parametrize(
    ("limit", "after", "need"),
    [
        pytest.param("SERVICES", with_service(pool="b", port="81-82"), 105, id="ports"),
        pytest.param("SERVICES", without_service(1), 4, id="ports of who is gone"),
        pytest.param("VIP_PREFIXES", with_service(vip="20.1.0.0/24", pool="b"), 1, id="prefixes"),
        pytest.param(
            "SOURCES",
            with_service(pool="b", sources=["9.0.0.0/8"], denied_sources=["9.9.9.9/32"]),
            4,
            id="clients, and all others of both families",
        ),
        pytest.param("ENDPOINTS_PER_NODE", with_service(endpoints=TWO), 7, id="endpoints"),
        pytest.param("SERVER_IDS", with_service(endpoints=TWO), 7, id="server ids"),
        pytest.param("POOLS", with_service(endpoints=TWO), 4, id="pools of services' own"),
        pytest.param("POOLS", with_pool("new", endpoints=TWO), 4, id="pools"),
        pytest.param("PROBES", with_pool("a", endpoints=CHECKED, health=CHECK), 4, id="probes"),
        pytest.param("PROBES", with_pool("a", endpoints=APART, health=CHECK), 4, id="of two kinds"),
        pytest.param(
            "PROBES_PER_S", with_pool("a", endpoints=CHECKED, health=CHECK), 8, id="probes a second"
        ),
    ],
)
def test_a_change_is_sound_up_to_each_limit_and_not_beyond(
    monkeypatch: pytest.MonkeyPatch, limit: str, after: Document, need: int
) -> None:
    """As if nothing were shared; by what was noted of the document before."""
    noted = BEFORE.model_copy()
    assert is_sound_change(BEFORE, noted)

    monkeypatch.setattr(f"headrace.model.changing.LIMIT_{limit}", need)
    at_the_limit = is_sound_change(noted, after)
    monkeypatch.setattr(f"headrace.model.changing.LIMIT_{limit}", need - 1)

    assert at_the_limit
    assert not is_sound_change(noted, after)


def test_a_copy_keeps_nothing_that_followed_from_what_it_changes() -> None:
    service = BEFORE.services[0]
    assert service.label == "20.0.0.1:53/udp"

    other = service.model_copy(update={"port": 54})

    assert (other.label, other.keys[0].port) == ("20.0.0.1:54/udp", 54)
    assert other != service
    assert service.model_copy() == service
    assert not BEFORE.model_copy().is_checked
