from hypothesis import given
from hypothesis import strategies as st

from headrace.dataplane.slots import Region, capacity_for, find_region, lines_for

TABLE = 4100  # lines of 65,537 slots


def test_table_takes_whole_blocks() -> None:
    assert [lines_for(count) for count in (1, 64, 65, 65_537)] == [4, 4, 8, TABLE]


def test_small_array_doubles_and_a_large_one_grows_by_little_more_than_the_need() -> None:
    assert capacity_for(1) == 4
    assert capacity_for(8 * TABLE) == 16 * TABLE
    assert capacity_for(1024 * TABLE) == 1040 * TABLE


@given(st.lists(st.integers(1, 40), max_size=30), st.data())
def test_regions_begin_with_a_block_never_overlap_and_use_gaps(
    sizes: list[int], data: st.DataObject
) -> None:
    taken: list[Region] = []
    for size in sizes:
        region = find_region(taken, size, capacity=400)
        free = 400 - sum(-(-r.line_count // 4) * 4 for r in taken)
        if region is None:
            assert size > free or len(taken) > 1
            continue
        assert all(region.end <= r.first_line or r.end <= region.first_line for r in taken)
        assert region.first_line % 4 == 0
        assert region.end <= 400
        taken.append(region)
        if data.draw(st.booleans()):
            taken.remove(data.draw(st.sampled_from(taken)))


def test_no_region_is_found_in_a_full_array() -> None:
    assert find_region([Region(0, 10)], 1, capacity=10) is None
    assert find_region([Region(0, 4), Region(8, 4)], 4, capacity=12) == Region(4, 4)
    assert find_region([Region(0, 5), Region(8, 4)], 3, capacity=12) is None
