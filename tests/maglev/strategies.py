"""Pools for property tests: small enough for the reference in Python, odd enough to be hard."""

from ipaddress import IPv4Address, IPv6Address

from hypothesis import strategies as st

from headrace.maglev import Candidate
from headrace.model.limits import LIMIT_WEIGHT

seeds = st.one_of(st.just(0), st.integers(0, 2**64 - 1))
slot_counts = st.sampled_from([251, 257, 509, 1021])

addresses = st.one_of(
    st.integers(0, 2**32 - 1).map(IPv4Address),
    st.integers(0x0A000000, 0x0A0000FF).map(IPv4Address),
    st.integers(0, 2**128 - 1).map(IPv6Address),
).filter(lambda address: getattr(address, "ipv4_mapped", None) is None)

weights = st.one_of(st.just(1), st.integers(0, 3), st.integers(0, LIMIT_WEIGHT))


def candidates_of(
    drawn: list[tuple[IPv4Address | IPv6Address, int, bool, bool]],
) -> list[Candidate]:
    """Candidates from what was drawn for each."""
    return [Candidate(*parts) for parts in drawn]


def pools(weight: st.SearchStrategy[int] = weights) -> st.SearchStrategy[list[Candidate]]:
    """Candidates in any order; some pools are all up, some nearly all down or drained."""
    flags = st.sampled_from([(False,), (False, False, True), (True, True, True, False), (True,)])
    return st.tuples(flags, flags).flatmap(
        lambda choices: st.lists(
            st.tuples(addresses, weight, st.sampled_from(choices[0]), st.sampled_from(choices[1])),
            min_size=1,
            max_size=40,
            unique_by=lambda parts: parts[0],
        ).map(candidates_of)
    )


tiny_weights = st.integers(0, 3)
"""Weights with which no pool of 40 asks for more than 251 slots."""
