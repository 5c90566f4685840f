"""What a change would do: shares, slots that move, flows that break under each kind of memory."""

from ipaddress import ip_address
from typing import Any

import pytest

from headrace.control.simulate import Broken, Edits, PoolChange, Side, edited, simulate
from headrace.model import ConfigError, NotFoundError, build_document

SLOTS = 1021
WEB = {"vip": "20.20.20.1", "protocol": "tcp", "port": 80, "pool": "web"}
NOTHING = Broken(0.0, 0.0)

ONE, TWO, THREE, FOUR = (ip_address(f"10.0.0.{last}") for last in (1, 2, 3, 4))


def side(*services: dict[str, Any], slots: int = SLOTS, seed: int = 7, **pools: Any) -> Side:
    """A document with a pool of four equal endpoints, `web`, and perhaps others."""
    web = {"endpoints": [{"address": f"10.0.0.{last}"} for last in (1, 2, 3, 4)], "slots": slots}
    values: dict[str, Any] = {
        "services": list(services or [WEB]),
        "pools": {"web": web} | pools,
        "cluster": {"hash_seed": seed},
    }
    return Side(build_document(values))


def only(changes: tuple[PoolChange, ...]) -> PoolChange:
    (change,) = changes
    return change


def shares_of(change: PoolChange) -> dict[str, tuple[float, float]]:
    return {
        str(e.address): (round(e.share_before, 2), round(e.share_after, 2))
        for e in change.endpoints
    }


def test_the_same_document_changes_nothing() -> None:
    change = only(simulate(side(), side()))

    (flows,) = change.flows
    assert (change.slots, change.slots_moved, change.slots_moved_needlessly) == (SLOTS, 0, 0)
    assert flows.services == ("20.20.20.1:80/tcp",)
    assert (flows.without_flow_table, flows.with_flow_table, flows.with_agents) == (NOTHING,) * 3
    assert set(shares_of(change).values()) == {(0.25, 0.25)}


def test_the_flows_of_an_endpoint_that_goes_down_are_lost_whatever_remembers_them() -> None:
    before = side()

    change = only(simulate(before, edited(before, Edits(down=frozenset({TWO})))))

    (flows,) = change.flows
    slots = change.endpoints[1].slots_before
    assert (change.slots_moved, change.slots_moved_needlessly) == (slots, 0)
    assert shares_of(change)["10.0.0.2"] == (0.25, 0.0)
    for broken in (flows.without_flow_table, flows.with_flow_table, flows.with_agents):
        assert broken == Broken(slots / SLOTS, slots / SLOTS)


def test_a_drained_endpoints_flows_stay_where_they_are_remembered() -> None:
    before = side()

    change = only(simulate(before, edited(before, Edits(drain=frozenset({TWO})))))

    (flows,) = change.flows
    moved = flows.without_flow_table.by_the_change
    assert moved == pytest.approx((change.slots_moved or 0) / SLOTS)
    assert flows.without_flow_table == Broken(moved, moved)
    assert flows.with_flow_table == Broken(0.0, moved)
    assert flows.with_agents == NOTHING


def test_a_removed_endpoint_that_lives_keeps_its_flows() -> None:
    before = side()

    change = only(simulate(before, edited(before, Edits(remove=frozenset({FOUR})))))

    assert shares_of(change)["10.0.0.4"] == (0.25, 0.0)
    assert change.flows[0].with_flow_table.by_the_change == 0.0
    assert change.slots_moved_needlessly == change.slots_moved - change.endpoints[3].slots_before  # type: ignore[operator]


def test_an_added_endpoint_takes_its_share() -> None:
    before = side()
    new = ip_address("10.0.0.9")

    change = only(simulate(before, edited(before, Edits(add={new: 4}))))

    assert shares_of(change)["10.0.0.9"] == (0.0, 0.5)
    assert change.flows[0].without_flow_table.by_the_change >= 0.5
    assert change.flows[0].with_agents == NOTHING


def test_a_weight_changes_the_shares() -> None:
    before = side()

    change = only(simulate(before, edited(before, Edits(weights={ONE: 5}))))

    assert shares_of(change)["10.0.0.1"] == (0.25, 0.62)


def test_a_second_failure_starts_from_the_first() -> None:
    before = Side(side().document, frozenset({ONE}))

    change = only(simulate(before, edited(before, Edits(down=frozenset({TWO})))))

    assert shares_of(change)["10.0.0.1"] == (0.0, 0.0)
    assert shares_of(change)["10.0.0.2"] == (0.33, 0.0)
    assert change.flows[0].with_agents.by_the_change == pytest.approx(1 / 3, abs=0.01)


def test_when_all_go_down_all_flows_are_lost_and_no_slot_moves() -> None:
    before = side()

    change = only(simulate(before, Side(before.document, frozenset({ONE, TWO, THREE, FOUR}))))

    assert change.slots_moved == 0
    assert change.flows[0].with_agents.by_the_change == pytest.approx(1.0)


def test_an_endpoint_that_returns_breaks_only_what_moves_back() -> None:
    document = side().document

    change = only(simulate(Side(document, frozenset({ONE})), Side(document)))

    assert shares_of(change)["10.0.0.1"] == (0.0, 0.25)
    assert change.flows[0].without_flow_table.by_the_change == pytest.approx(0.25, abs=0.01)
    assert change.flows[0].with_flow_table.by_the_change == 0.0


def test_a_disabled_endpoint_is_a_dead_one() -> None:
    before = side()
    values = {"endpoints": [{"address": f"10.0.0.{n}"} for n in (1, 2, 3)], "slots": SLOTS}
    values["endpoints"].append({"address": "10.0.0.4", "state": "disabled"})  # type: ignore[attr-defined]

    change = only(simulate(before, side(web=values)))

    assert shares_of(change)["10.0.0.4"] == (0.25, 0.0)
    assert change.flows[0].with_agents.by_the_change == pytest.approx(0.25, abs=0.01)


def test_services_that_remember_in_other_ways_are_told_apart() -> None:
    dns = {"vip": "20.20.20.1", "protocol": "udp", "port": 53, "pool": "web"}
    before = side(WEB, {**WEB, "port": 443}, {**dns, "flow_table": "never"}, {**dns, "port": 443})

    change = only(simulate(before, edited(before, Edits(drain=frozenset({ONE})))))

    tcp, never, udp = change.flows
    moved = tcp.without_flow_table.by_the_change
    assert tcp.services == ("20.20.20.1:80/tcp", "20.20.20.1:443/tcp")
    assert never.services == ("20.20.20.1:53/udp",)
    assert never.with_flow_table == never.with_agents == Broken(moved, moved)
    assert udp.services == ("20.20.20.1:443/udp",)
    assert udp.with_flow_table == udp.with_agents == Broken(0.0, moved)


def test_another_hash_seed_scatters_all_flows() -> None:
    change = only(simulate(side(seed=1), side(seed=2)))

    (flows,) = change.flows
    assert change.slots_moved is None
    assert flows.without_flow_table.by_the_change == pytest.approx(0.75, abs=0.001)
    assert flows.with_flow_table == flows.without_flow_table
    assert flows.with_agents == NOTHING


def test_another_affinity_scatters_flows_though_no_slot_moves() -> None:
    change = only(simulate(side(), side({**WEB, "affinity": "source-ip"})))

    (flows,) = change.flows
    assert change.slots_moved == 0
    assert flows.without_flow_table.by_the_change == pytest.approx(0.75, abs=0.001)
    assert flows.with_agents == flows.without_flow_table


def test_tables_of_two_sizes_are_compared_by_stretches_of_the_hash() -> None:
    change = only(simulate(side(slots=251), side(slots=257)))
    none = only(simulate(side(slots=251), side(slots=251)))

    (flows,) = change.flows
    assert (change.slots, change.slots_moved) == (257, None)
    assert 0.5 < flows.without_flow_table.by_the_change < 1.0
    assert flows.with_flow_table == flows.without_flow_table
    assert none.flows[0].without_flow_table == NOTHING


def test_a_single_endpoint_keeps_its_flows_in_a_table_of_any_size() -> None:
    def of_one(slots: int) -> Side:
        return side(web={"endpoints": [{"address": "10.0.0.1"}], "slots": slots})

    change = only(simulate(of_one(251), of_one(1021)))

    assert change.flows[0].without_flow_table == NOTHING


def test_new_services_break_nothing_and_removed_ones_everything() -> None:
    other = {**WEB, "port": 81, "endpoints": [{"address": "10.1.0.1"}]}
    del other["pool"]

    gone, new = simulate(side(other), side(WEB))[::-1]

    assert (new.before, new.after, gone.before, gone.after) == (
        None,
        "web",
        "20.20.20.1:81/tcp",
        None,
    )
    assert new.flows[0].without_flow_table == NOTHING
    assert set(shares_of(new).values()) == {(0.0, 0.25)}
    assert gone.flows[0].with_agents == Broken(1.0, 1.0)
    assert shares_of(gone) == {"10.1.0.1": (1.0, 0.0)}


def test_a_service_that_gets_another_pool_loses_the_flows_that_move() -> None:
    other = {"endpoints": [{"address": "10.1.0.1"}], "slots": SLOTS}

    change = only(simulate(side(other=other), side({**WEB, "pool": "other"}, other=other)))

    assert (change.before, change.after, change.slots_moved) == ("web", "other", SLOTS)
    assert change.flows[0].with_agents == Broken(1.0, 1.0)


def test_a_range_of_ports_is_compared_port_by_port() -> None:
    before, after = side({**WEB, "port": "80-82"}), side({**WEB, "port": "80-83"})

    kept, new = sorted(simulate(before, after), key=lambda change: change.before is None)

    assert (kept.before, kept.slots_moved, kept.flows[0].services) == (
        "web",
        0,
        ("20.20.20.1:80-83/tcp",),
    )
    assert (new.before, new.flows[0].without_flow_table) == (None, NOTHING)


def test_an_edit_reaches_every_pool_that_has_the_endpoint_or_the_one_named() -> None:
    both = side(
        WEB,
        {**WEB, "port": 81, "pool": "other"},
        other={"endpoints": [{"address": "10.0.0.1"}, {"address": "10.1.0.1"}]},
    )
    drain = frozenset({ONE})

    everywhere = edited(both, Edits(drain=drain)).document
    there = edited(both, Edits(drain=drain, pool="other")).document

    def drained(pools: Any) -> dict[str, list[bool]]:
        return {name: [e.drained for e in pool.endpoints][:2] for name, pool in pools.items()}

    assert drained(everywhere.pools) == {"web": [True, False], "other": [True, False]}
    assert drained(there.pools) == {"web": [False, False], "other": [True, False]}


def test_a_services_own_pool_is_edited_by_the_services_name() -> None:
    own = {**WEB, "endpoints": [{"address": "10.1.0.1"}, {"address": "10.1.0.2"}]}
    del own["pool"]

    after = edited(side(own), Edits(remove=frozenset({ip_address("10.1.0.1")})))

    (service,) = after.document.services
    assert [str(e.address) for e in service.endpoints or ()] == ["10.1.0.2"]


@pytest.mark.parametrize(
    ("edits", "message"),
    [
        (Edits(down=frozenset({ip_address("10.9.9.9")})), "10.9.9.9 is an endpoint of none of"),
        (Edits(remove=frozenset({ip_address("10.9.9.9")})), "these pools: other, web"),
        (Edits(pool="nowhere"), "there is no pool nowhere; there: other, web"),
        (Edits(add={ip_address("10.9.9.9"): 1}), "say which pool gets the endpoint"),
    ],
)
def test_an_edit_of_what_is_not_there_is_refused(edits: Edits, message: str) -> None:
    both = side(other={"endpoints": [{"address": "10.1.0.1"}]})

    with pytest.raises(NotFoundError, match=message):
        edited(both, edits)


def test_edits_that_make_the_document_wrong_are_refused() -> None:
    everybody = frozenset({ONE, TWO, THREE, FOUR})

    with pytest.raises(ConfigError, match=r"pools\.web\.endpoints"):
        edited(side(), Edits(remove=everybody))
    with pytest.raises(ConfigError, match=r"10\.0\.0\.1 is already"):
        edited(side(), Edits(add={ONE: 1}))


def test_a_table_that_cannot_be_is_told_by_its_pool() -> None:
    heavy = [{"address": f"10.0.0.{n}", "weight": 256} for n in (1, 2, 3)]
    light = {"endpoints": [*heavy, {"address": "10.0.0.4"}], "slots": 251}

    with pytest.raises(ConfigError, match=r"pools\.web\.slots: .* set slots to 769"):
        simulate(side(), side(web=light))
