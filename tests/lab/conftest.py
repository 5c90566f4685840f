"""Labs for tests: built for one test, gone after it."""

from collections.abc import Callable, Iterator
from pathlib import Path

import pytest

from headrace.lab.laboratory import Laboratory
from headrace.lab.topology import Topology
from tests.lab.lines import own_name

MakeLab = Callable[[Topology], Laboratory]


@pytest.fixture
def make_lab(tmp_path: Path) -> Iterator[MakeLab]:
    """Build labs that are removed when the test ends, whatever happened in it."""
    labs: list[Laboratory] = []

    def make(topology: Topology) -> Laboratory:
        lab = Laboratory.create(topology, own_name(f"t{len(labs)}"), tmp_path)
        labs.append(lab)
        return lab

    yield make
    for lab in labs:
        lab.remove()
