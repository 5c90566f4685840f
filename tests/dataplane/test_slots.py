from hypothesis import given
from hypothesis import strategies as st

from headrace.dataplane.slots import Region, capacity_for, find_region, lines_for


def test_table_takes_whole_lines() -> None:
    assert [lines_for(count) for count in (1, 16, 17, 65_537)] == [1, 1, 2, 4097]


def test_capacity_is_the_next_power_of_two() -> None:
    assert [capacity_for(count) for count in (1, 2, 3, 4096, 4097)] == [1, 2, 4, 4096, 8192]


@given(st.lists(st.integers(1, 40), max_size=30), st.data())
def test_regions_never_overlap_and_gaps_are_used(sizes: list[int], data: st.DataObject) -> None:
    taken: list[Region] = []
    for size in sizes:
        region = find_region(taken, size, capacity=400)
        free = 400 - sum(r.line_count for r in taken)
        if region is None:
            assert size > free or len(taken) > 1
            continue
        assert all(region.end <= r.first_line or r.end <= region.first_line for r in taken)
        assert region.end <= 400
        taken.append(region)
        if data.draw(st.booleans()):
            taken.remove(data.draw(st.sampled_from(taken)))


def test_no_region_is_found_in_a_full_array() -> None:
    assert find_region([Region(0, 10)], 1, capacity=10) is None
    assert find_region([Region(0, 4), Region(6, 4)], 2, capacity=10) == Region(4, 2)
