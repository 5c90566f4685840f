"""What follows from beliefs: who gets nothing, when that is not believed, and what is asked."""

from ipaddress import ip_address
from math import inf

import pytest

from headrace.control.beliefs import (
    Beliefs,
    Targets,
    disabled_sets,
    down_sets,
    judge,
    targets_to_probe,
    tunnelled,
    worst,
)
from headrace.control.draining import Drains
from headrace.control.kept import Kept
from headrace.model import (
    Belief,
    Document,
    Encapsulation,
    Endpoint,
    Health,
    IPAddress,
    OperatorState,
    Pool,
    Probe,
    ProbeKind,
    ProbePath,
    ProbeTarget,
    WhenUnknown,
    build_service,
    dump_document,
    parse_document,
)

from .fakes import FakeChecker

ADDRESSES = [ip_address(f"10.0.0.{n}") for n in range(1, 5)]
HEALTHS = {"u": Health.UP, "d": Health.DOWN, "?": Health.UNKNOWN}


def beliefs_of(text: str) -> dict[IPAddress, Belief]:
    return {a: Belief(HEALTHS[c], 0.0) for a, c in zip(ADDRESSES, text, strict=False)}


def pool_of(unknown: WhenUnknown = WhenUnknown.KEEP, fail_open_above: float = 0.5) -> Pool:
    endpoints = tuple(Endpoint(address=address) for address in ADDRESSES)
    return Pool(endpoints=endpoints, unknown=unknown, fail_open_above=fail_open_above)


@pytest.mark.parametrize(
    ("beliefs", "down"),
    [
        ("uuuu", ""),
        ("duuu", "1"),
        ("dduu", "12"),
        ("dddu", None),
        ("dddd", None),
        ("d???", "1"),
        ("", ""),
    ],
)
def test_health_is_not_believed_when_too_many_are_down_at_once(
    beliefs: str, down: str | None
) -> None:
    judged = judge(pool_of(), beliefs_of(beliefs), frozenset())

    assert judged.fails_open == (down is None)
    assert judged.down == {ADDRESSES[int(n) - 1] for n in down or ""}


def test_an_endpoint_that_is_disabled_is_no_part_of_the_share() -> None:
    *three, last = pool_of().endpoints
    disabled = last.model_copy(update={"state": OperatorState.DISABLED})
    pool = pool_of().model_copy(update={"endpoints": (*three, disabled)})

    judged = judge(pool, beliefs_of("ddu"), frozenset())

    assert judged.fails_open  # two of three, not of four


@pytest.mark.parametrize(("above", "fails_open"), [(1.0, False), (0.75, False), (0.74, True)])
def test_the_share_is_the_operators(above: float, *, fails_open: bool) -> None:
    judged = judge(pool_of(fail_open_above=above), beliefs_of("dddu"), frozenset())

    assert judged.fails_open == fails_open


def test_who_is_not_believed_to_be_up_does_not_count_as_healthy_although_it_is_sent_to() -> None:
    judged = judge(pool_of(), beliefs_of("dddd"), frozenset())

    assert judged.fails_open
    assert not any(judged.is_healthy(address) for address in ADDRESSES)


@pytest.mark.parametrize(
    ("policy", "down", "healthy", "undecided"),
    [
        (WhenUnknown.UP, "", "12", ""),
        (WhenUnknown.DOWN, "12", "", ""),
        (WhenUnknown.KEEP, "2", "", "12"),
    ],
)
def test_unknown_follows_the_policy(
    policy: WhenUnknown, down: str, healthy: str, undecided: str
) -> None:
    kept = frozenset({ADDRESSES[1], ADDRESSES[2]})

    judged = judge(pool_of(policy), beliefs_of("??uu"), kept)

    def numbers(addresses: list[IPAddress]) -> str:
        return "".join(str(ADDRESSES.index(address) + 1) for address in sorted(addresses, key=int))

    assert numbers(list(judged.down)) == down
    assert numbers([a for a in ADDRESSES[:2] if judged.is_healthy(a)]) == healthy
    assert numbers([a for a in ADDRESSES[:2] if judged.is_undecided(a)]) == undecided


def test_an_endpoint_that_is_not_checked_is_healthy() -> None:
    assert judge(pool_of(), {}, frozenset()).is_healthy(ADDRESSES[0])


DOCUMENT = parse_document(
    "health: {quick: {kind: http, interval_s: 0.25, port: 8080, path: direct}}\n"
    "pools:\n"
    "  web: {health: quick,"
    " endpoints: [{address: 10.0.0.1}, {address: 10.0.0.2, state: disabled}]}\n"
    "  dns: {health: {kind: udp}, encapsulation: gue,"
    " endpoints: [{address: 10.0.0.1}, {address: 10.0.0.3, state: draining}]}\n"
    "  idle: {health: {kind: udp}, endpoints: [{address: 10.0.0.4}]}\n"
    "services:\n"
    "- {vip: 20.20.20.9, protocol: udp, port: 54, pool: dns}\n"
    "- {vip: 20.20.20.0/24, protocol: udp, port: 53-60, pool: dns}\n"
    "- {vip: 20.20.20.1, protocol: tcp, port: 80, pool: web}\n"
)


def places(document: Document, pool: str, endpoint: str) -> list[str]:
    """Where an endpoint of a pool is asked."""
    targets = targets_to_probe(document)[pool][ip_address(endpoint)]
    return [f"{target.vip}:{target.port}" for target in targets]


def test_each_endpoint_of_a_checked_pool_is_asked_as_clients_ask() -> None:
    targets = targets_to_probe(DOCUMENT)

    assert targets.keys() == {"web", "dns"}
    assert targets["web"] == {
        ip_address("10.0.0.1"): (
            ProbeTarget(
                "web",
                ip_address("10.0.0.1"),
                ip_address("20.20.20.1"),
                8080,
                Probe(ProbeKind.HTTP, ProbePath.DIRECT, interval_s=0.25, port=8080),
            ),
        )
    }
    assert targets["dns"].keys() == {ip_address("10.0.0.1"), ip_address("10.0.0.3")}
    assert places(DOCUMENT, "dns", "10.0.0.1") == ["20.20.20.1:53", "20.20.20.9:54"]


@pytest.mark.parametrize(
    ("check", "asked"),
    [
        pytest.param("kind: tcp", "1:80 1:443 2:8000 3:53", id="ports of its own protocol, if any"),
        pytest.param("kind: udp", "1:5000 2:8000 3:53", id="also with udp"),
        pytest.param("kind: tcp, port: 9", "1:9 2:9 3:9", id="the check's port at each VIP"),
        pytest.param("kind: ping", "1:80 2:8000 3:53", id="one ping a VIP"),
    ],
)
def test_a_pool_is_asked_at_each_vip_and_port_that_it_promises(check: str, asked: str) -> None:
    document = parse_document(
        f"pools: {{p: {{health: {{{check}}}, endpoints: [{{address: 10.0.0.1}}]}}}}\n"
        "services:\n"
        "- {vip: 20.20.20.3, protocol: udp, port: 53, pool: p}\n"
        "- {vip: 20.20.20.1, protocol: udp, port: 5000, pool: p}\n"
        "- {vip: 20.20.20.1, protocol: tcp, port: 443, pool: p}\n"
        "- {vip: 20.20.20.2, protocol: tcp, port: 8000-8009, pool: p}\n"
        "- {vip: 20.20.20.1, protocol: tcp, port: 80, pool: p}\n"
    )

    assert places(document, "p", "10.0.0.1") == [f"20.20.20.{each}" for each in asked.split()]


def test_an_endpoint_may_be_checked_in_its_own_way() -> None:
    document = parse_document(
        "health: {slow: {kind: ping, interval_s: 9}}\n"
        "pools: {p: {health: {kind: tcp}, endpoints: [{address: 10.0.0.1},"
        " {address: 10.0.0.2, health: slow}, {address: 10.0.0.3, health: none}]}}\n"
        "services: [{vip: 20.20.20.1, protocol: tcp, port: 80, pool: p}]\n"
    )

    targets = targets_to_probe(document)["p"]

    assert {str(address): each.probe.kind for address, (each,) in targets.items()} == {
        "10.0.0.1": ProbeKind.TCP,
        "10.0.0.2": ProbeKind.PING,
    }


@pytest.mark.parametrize(
    ("healths", "health", "reason"),
    [
        ("uuu", Health.UP, ""),
        ("u?u", Health.UNKNOWN, "20.20.20.2:81: why 2"),
        ("?du", Health.DOWN, "20.20.20.2:81: why 2"),
        ("ddu", Health.DOWN, "20.20.20.1:80 and 1 more: why 1"),
        ("d", Health.DOWN, "why 1"),
    ],
)
def test_an_endpoint_is_as_healthy_as_the_worst_place_that_it_is_asked_at(
    healths: str, health: Health, reason: str
) -> None:
    belief = worst(
        {
            (ip_address(f"20.20.20.{n}"), 79 + n): Belief(HEALTHS[each], float(n), f"why {n}")
            for n, each in enumerate(healths, 1)
        }
    )

    assert belief.health is health
    assert belief.reason == (reason or "why 3")


def test_an_endpoint_that_lacks_one_vip_gets_nothing_of_its_pool() -> None:
    checker = FakeChecker()
    beliefs = Beliefs(checker, frozenset())
    beliefs.follow(DOCUMENT, targets_to_probe(DOCUMENT))
    checker.believe(Health.UP)
    before = beliefs.judge()["dns"]
    (lacking,) = (t for t in checker.beliefs if f"{t.vip} {t.endpoint}" == "20.20.20.9 10.0.0.3")

    checker.beliefs[lacking] = Belief(Health.DOWN, 1.0, "timeout")
    after = beliefs.judge()["dns"]

    assert before.down == frozenset()
    assert after.down == {lacking.endpoint}
    assert after.beliefs[lacking.endpoint].reason == "20.20.20.9:54: timeout"


def test_only_probes_through_the_tunnel_need_its_paths() -> None:
    ways, vips = tunnelled(targets_to_probe(DOCUMENT))

    assert ways == {
        (ip_address("10.0.0.1"), Encapsulation.GUE),
        (ip_address("10.0.0.3"), Encapsulation.GUE),
    }
    assert vips == {ip_address("20.20.20.1"), ip_address("20.20.20.9")}


def test_what_was_down_in_the_kernel_stays_so_until_something_is_known() -> None:
    checker = FakeChecker()
    beliefs = Beliefs(checker, frozenset({ip_address("10.0.0.3")}))
    beliefs.follow(DOCUMENT, targets_to_probe(DOCUMENT))

    before = beliefs.judge()["dns"].down
    checker.believe(Health.UP, "10.0.0.3")
    after = beliefs.judge()["dns"].down

    assert before == {ip_address("10.0.0.3")}
    assert after == frozenset()


def test_who_was_down_stays_so_while_it_is_asked_in_another_way() -> None:
    checker = FakeChecker()
    beliefs = Beliefs(checker, frozenset())
    beliefs.follow(DOCUMENT, targets_to_probe(DOCUMENT))
    checker.believe(Health.DOWN, "10.0.0.3")
    beliefs.judge()
    pools = {**DOCUMENT.pools, "dns": DOCUMENT.pools["dns"].model_copy(update={"health": "quick"})}
    other = DOCUMENT.model_copy(update={"pools": pools})

    beliefs.follow(other, targets_to_probe(other))

    assert beliefs.judge()["dns"].down == {ip_address("10.0.0.3")}
    assert set(beliefs.judge()["dns"].beliefs) == {ip_address("10.0.0.1"), ip_address("10.0.0.3")}


def test_who_gets_nothing_is_disabled_or_down_or_has_had_its_time() -> None:
    checker = FakeChecker()
    beliefs = Beliefs(checker, frozenset())
    beliefs.follow(DOCUMENT, targets_to_probe(DOCUMENT))
    checker.believe(Health.DOWN, "10.0.0.1", pool="dns")

    down = down_sets(
        disabled_sets(DOCUMENT), beliefs.judge(), {"dns": frozenset({ip_address("10.0.0.3")})}
    )

    assert down == {
        "web": {ip_address("10.0.0.2")},
        "dns": {ip_address("10.0.0.1"), ip_address("10.0.0.3")},
    }


def draining(timeout_s: float) -> Document:
    return parse_document(
        "services: [{vip: 20.20.20.1, protocol: tcp, port: 80, endpoints: [{address: 10.0.0.1},"
        f" {{address: 10.0.0.2, state: draining, drain_timeout_s: {timeout_s}}}]}}]"
    )


POOL, TWO = "20.20.20.1:80/tcp", ip_address("10.0.0.2")


def test_a_drain_is_over_after_its_time_however_often_the_document_changes() -> None:
    drains = Drains(frozenset())
    drains.follow(draining(60), now=1000)
    drains.follow(draining(60), now=1050)

    assert drains.over(1059.9) == {}
    assert drains.left_s(POOL, TWO, 1050) == 10
    assert drains.next_deadline(1050) == 1060
    assert drains.over(1060) == {POOL: {TWO}}
    assert drains.next_deadline(1060) is None


def test_a_drain_that_ends_begins_anew_the_next_time() -> None:
    drains = Drains(frozenset())
    drains.follow(draining(60), now=1000)
    drains.follow(DOCUMENT, now=1050)
    drains.follow(draining(60), now=1060)

    assert drains.left_s(POOL, TWO, 1060) == 60


def test_a_drain_that_was_over_in_the_kernel_stays_over() -> None:
    drains = Drains(frozenset({TWO}))
    drains.follow(draining(60), now=1000)

    assert drains.over(-inf) == {POOL: {TWO}}


def test_what_is_known_of_a_pool_outlives_a_change_of_another() -> None:
    checker, kept = FakeChecker(), Kept[Targets]()
    beliefs = Beliefs(checker, frozenset())
    before = targets_to_probe(DOCUMENT, kept)
    beliefs.follow(DOCUMENT, before)
    checker.believe(Health.DOWN, "10.0.0.3")
    judged = beliefs.judge()["dns"]
    lone = build_service(
        {
            "vip": "20.20.20.77",
            "protocol": "tcp",
            "port": 80,
            "health": {"interval_s": 1},
            "endpoints": [{"address": "10.7.0.1"}],
        }
    )
    services = (*DOCUMENT.services, lone)
    other = DOCUMENT.model_copy(update={"services": services})

    after = targets_to_probe(other, kept)
    beliefs.follow(other, after)

    assert after["dns"] is before["dns"]
    assert beliefs.judge()["dns"] is judged
    assert {str(t.endpoint) for t in checker.beliefs} >= {"10.7.0.1", "10.0.0.3"}
    beliefs.follow(DOCUMENT, targets_to_probe(DOCUMENT, kept))
    assert "10.7.0.1" not in {str(t.endpoint) for t in checker.beliefs}
    assert beliefs.judge()["dns"] is judged


def test_what_is_known_of_a_pool_outlives_changes_that_leave_it_as_it_is() -> None:
    """The checker keeps the targets that it had, though each document brings its own."""
    checker, kept = FakeChecker(), Kept[Targets]()
    beliefs = Beliefs(checker, frozenset())
    beliefs.follow(DOCUMENT, targets_to_probe(DOCUMENT, kept))
    checker.believe(Health.DOWN, "10.0.0.3")
    judged = beliefs.judge()

    for _ in range(3):
        again = parse_document(dump_document(DOCUMENT))
        beliefs.follow(again, targets_to_probe(again, kept))
        assert beliefs.judge() == judged
