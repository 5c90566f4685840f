from collections.abc import Iterator

import pytest

from headrace.dataplane import detach_all

from .arena import Arena
from .every import CASES


@pytest.fixture(scope="package")
def arena(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Arena]:
    """The packet cases' world in a data plane of its own."""
    directory = tmp_path_factory.mktemp("arena") / "bpf"
    try:
        arena = Arena(directory, CASES)
        yield arena
        arena.dataplane.close()
    finally:
        detach_all(directory)
