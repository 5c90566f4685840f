"""The lookup table: one answer, nobody else moves, exact shares, honest refusals."""

import random
from dataclasses import replace
from ipaddress import ip_address

import pytest
from hypothesis import given, reject, settings
from hypothesis import strategies as st

from headrace.maglev import (
    NO_ENDPOINT,
    STATICS_PER_SLOT,
    Candidate,
    build_table,
    change_down,
    disruption,
    oracle,
    statics,
)
from headrace.model.errors import ConfigError
from headrace.model.limits import LIMIT_ENDPOINTS_PER_DOCUMENT, LIMIT_WEIGHT, SLOT_COUNT_MAX
from tests.maglev.prove import fingerprint, in_another_process, weighted
from tests.maglev.strategies import pools, seeds, slot_counts, tiny_weights

three = [Candidate(ip_address(f"10.0.0.{last}")) for last in (1, 2, 3)]


def one_light(heavy: int) -> list[Candidate]:
    """An endpoint of weight 1 among some of weight 256."""
    light = Candidate(ip_address("10.0.0.0"), 1)
    return [light, *(Candidate(ip_address(0x0A000001 + i), 256) for i in range(heavy))]


@settings(max_examples=50)
@given(seeds, pools(), slot_counts)
def test_kernel_and_reference_agree(seed: int, pool: list[Candidate], slot_count: int) -> None:
    try:
        table = build_table(seed, pool, slot_count)
    except ConfigError:
        reject()

    assert table.base == oracle.base_owners(seed, table.records, slot_count)
    assert table.owners == oracle.owners(seed, table.records, table.base)
    assert statics(table) == oracle.statics(seed, table.records, table.base)


@given(seeds, pools(tiny_weights), slot_counts, st.randoms())
def test_the_order_of_endpoints_does_not_matter(
    seed: int, pool: list[Candidate], slot_count: int, shuffler: random.Random
) -> None:
    table = build_table(seed, pool, slot_count)

    shuffler.shuffle(pool)
    again = build_table(seed, pool, slot_count)

    assert again == table
    assert (again.base, again.owners) == (table.base, table.owners)


@given(seeds, pools(tiny_weights), slot_counts, st.data())
def test_history_does_not_matter(
    seed: int, pool: list[Candidate], slot_count: int, data: st.DataObject
) -> None:
    table = build_table(seed, pool, slot_count)
    for _ in range(3):
        down = data.draw(st.sets(st.sampled_from(pool)))
        table = change_down(table, {candidate.address for candidate in down})
    expected_pool = [replace(candidate, down=candidate in down) for candidate in pool]

    fresh = build_table(seed, expected_pool, slot_count)
    with_help = build_table(seed, expected_pool, slot_count, previous=table)

    assert table == fresh == with_help
    assert table.owners == fresh.owners == with_help.owners


def test_the_process_does_not_matter() -> None:
    assert in_another_process("1") == in_another_process("2") == fingerprint(weighted())


def test_another_configuration_is_no_help() -> None:
    table = build_table(1, three, 251)
    heavier = [replace(three[0], weight=5), *three[1:]]

    for seed, pool, slot_count in ((2, three, 251), (1, three, 257), (1, heavier, 251)):
        helped = build_table(seed, pool, slot_count, previous=table)
        assert helped.base == build_table(seed, pool, slot_count).base != table.base


@given(seeds, pools(tiny_weights), slot_counts, st.data())
def test_a_change_of_health_or_drain_moves_nobody_elses_slot(
    seed: int, pool: list[Candidate], slot_count: int, data: st.DataObject
) -> None:
    changed = data.draw(st.lists(st.sampled_from(range(len(pool))), unique=True, min_size=1))
    after = list(pool)
    for index in changed:
        after[index] = replace(
            pool[index], down=data.draw(st.booleans()), drained=data.draw(st.booleans())
        )

    moved = disruption(build_table(seed, pool, slot_count), build_table(seed, after, slot_count))

    assert moved.needless == 0


@given(seeds, pools(st.integers(1, 3)), slot_counts)
def test_shares_are_exact_to_one_slot(seed: int, pool: list[Candidate], slot_count: int) -> None:
    base = build_table(seed, pool, slot_count).base
    total = sum(candidate.weight for candidate in pool)
    candidates = build_table(seed, pool, slot_count).candidates

    for index, candidate in enumerate(candidates):
        due, rest = divmod(slot_count * candidate.weight, total)
        assert base.count(index) in {due, due + (rest > 0)}


@given(seeds, pools(tiny_weights), slot_counts)
def test_who_answers_is_up_if_anybody_is(seed: int, pool: list[Candidate], slot_count: int) -> None:
    table = build_table(seed, pool, slot_count)
    answering = {table.candidates[index] for index in table.owners}

    available = {c for c in pool if c.weight and not c.drained and not c.down}
    weighted = {c for c in pool if c.weight and not c.down}
    up = {c for c in pool if not c.down}
    for tier in (available, weighted, up):
        if tier:
            assert answering <= tier
            break
    else:
        assert table.owners == table.base


def test_drained_endpoints_keep_their_own_slots_when_nobody_else_is_up() -> None:
    all_drained = [replace(candidate, drained=True) for candidate in three]

    table = build_table(0, all_drained, 251)

    assert table.owners == table.base


@given(seeds, pools(tiny_weights), slot_counts)
def test_statics_are_the_first_in_line_whatever_the_health(
    seed: int, pool: list[Candidate], slot_count: int
) -> None:
    everybody_up = [replace(candidate, down=False, drained=False) for candidate in pool]
    table = build_table(seed, pool, slot_count)
    line = statics(table)

    assert line == statics(build_table(seed, everybody_up, slot_count))
    assert line[::STATICS_PER_SLOT] == table.base
    for slot in range(0, slot_count, 50):
        own = [i for i in line[slot * 3 : slot * 3 + 3] if i != NO_ENDPOINT]
        assert len(set(own)) == len(own) == min(3, len(set(table.base)))


def test_fallbacks_answer_in_the_order_of_the_statics() -> None:
    table = build_table(3, [Candidate(ip_address(f"10.0.0.{last}")) for last in range(20)], 1021)
    line = statics(table)
    owner, first, second = line[:3]
    address_of = {index: candidate.address for index, candidate in enumerate(table.candidates)}

    one_down = change_down(table, [address_of[owner]])
    two_down = change_down(table, [address_of[owner], address_of[first]])

    assert (one_down.owners[0], two_down.owners[0]) == (first, second)
    assert one_down.owner(0) == table.candidates[first]


def test_digest_names_configuration_and_view() -> None:
    table = build_table(0, three, 251)
    others = [
        build_table(1, three, 251),
        build_table(0, three, 257),
        build_table(0, three[:2], 251),
        build_table(0, [replace(three[0], weight=2), *three[1:]], 251),
        build_table(0, [replace(three[0], drained=True), *three[1:]], 251),
        change_down(table, [three[0].address]),
    ]

    assert len({table.digest, *(other.digest for other in others)}) == 7
    assert change_down(others[-1], []).digest == table.digest


def test_addresses_of_other_pools_change_nothing() -> None:
    table = build_table(0, three, 251)

    strangers = [ip_address("9.9.9.9"), ip_address("255.255.255.255"), ip_address("2001:db8::1")]

    assert change_down(table, strangers) == table


@pytest.mark.parametrize(
    ("candidates", "slot_count", "path", "message"),
    [
        pytest.param([], 251, "endpoints", "0 is not in 1..", id="nobody"),
        pytest.param(three, 252, "slots", "252 is not a prime", id="not a prime"),
        pytest.param(three, 241, "slots", "241 is not a prime in 251..", id="too small"),
        pytest.param(three, 1_048_583, "slots", "is not a prime in", id="too large"),
        pytest.param(
            [Candidate(ip_address("10.0.0.1"), LIMIT_WEIGHT + 1)],
            251,
            "endpoints",
            "a weight is not in 0..256",
            id="too heavy",
        ),
        pytest.param(
            [*three, Candidate(ip_address("::ffff:10.0.0.2"))],
            251,
            "endpoints[3].address",
            "is the address of endpoints[1] too",
            id="twice, once as IPv4-mapped",
        ),
        pytest.param(
            one_light(3),
            251,
            "slots",
            "251 slots leave an endpoint of weight 1 of 769 without one; set slots to 769",
            id="a light endpoint has no slot",
        ),
    ],
)
def test_what_cannot_be_built_is_refused(
    candidates: list[Candidate], slot_count: int, path: str, message: str
) -> None:
    with pytest.raises(ConfigError) as refusal:
        build_table(0, candidates, slot_count)

    (problem,) = refusal.value.problems
    assert problem.path == path
    assert message in problem.message


def test_the_slot_count_that_a_refusal_names_suffices() -> None:
    table = build_table(0, one_light(3), 769)

    assert [table.owners.count(index) for index in range(4)] == [1, 256, 256, 256]


def test_weights_too_far_apart_for_any_table_are_refused() -> None:
    with pytest.raises(ConfigError, match=f"more than {SLOT_COUNT_MAX}: bring the weights closer"):
        build_table(0, one_light(16_000), SLOT_COUNT_MAX)


def test_a_pool_may_have_as_many_endpoints_as_a_document() -> None:
    pool = [Candidate(ip_address(i)) for i in range(LIMIT_ENDPOINTS_PER_DOCUMENT)]

    table = build_table(0, pool, 65_537)

    assert len(set(table.owners)) == LIMIT_ENDPOINTS_PER_DOCUMENT
    with pytest.raises(ConfigError, match="65536 is not in"):
        build_table(0, [*pool, Candidate(ip_address(2**31))], 65_537)
