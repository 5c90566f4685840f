"""How much memory the maps take, and how long it takes to fill them: `prove` has the figures."""

from array import array

import pytest

from .prove import (
    COLD_S,
    ENDPOINTS,
    MEMORY_DEFAULT_MB,
    MEMORY_POOLS_MB,
    POOLS,
    SLOTS,
    fall,
    memory_mb,
    opened,
    put_pools,
)
from .rig import path, reach

pytestmark = pytest.mark.bpf

SLACK = 5
"""How much slower a busy machine may be."""


def test_maps_with_nothing_configured_take_little() -> None:
    with opened() as (_, directory):
        assert memory_mb(directory) <= MEMORY_DEFAULT_MB


def test_as_many_pools_as_there_may_be_fit_are_soon_written_and_change_in_place() -> None:
    with opened() as (plane, directory):
        taken_s = put_pools(plane, POOLS, endpoints=ENDPOINTS // 10)
        after_start_mb = memory_mb(directory)
        fall(plane, POOLS // 8, endpoints=ENDPOINTS // 10)

        assert len(plane.read().pools) == POOLS
        assert taken_s <= SLACK * COLD_S
        assert memory_mb(directory) == after_start_mb <= MEMORY_POOLS_MB


def test_pools_that_come_one_by_one_take_little_more_than_they_need() -> None:
    owners = array("H", bytes(2 * SLOTS))
    with opened() as (plane, directory):
        plane.put_endpoint(reach(1), path(reach(1)))
        empty_mb = memory_mb(directory)
        for count in range(1, 65):
            plane.reserve([SLOTS] * count)
            plane.put_pool(f"pool{count}", [reach(1)], owners, stamp=1)

        assert memory_mb(directory) - empty_mb <= 64 * 4 * SLOTS * 1.5 / 1e6
