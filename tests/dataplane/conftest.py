from collections.abc import Iterator
from pathlib import Path

import pytest

from headrace.dataplane import detach_all

from .rig import Rig


@pytest.fixture
def pins(tmp_path: Path) -> Iterator[Path]:
    """A bpffs of the test's own."""
    directory = tmp_path / "bpf"
    try:
        yield directory
    finally:
        detach_all(directory)


@pytest.fixture(scope="module")
def rig(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Rig]:
    """A data plane with the services of the packet cases."""
    directory = tmp_path_factory.mktemp("rig") / "bpf"
    try:
        rig = Rig(directory)
        rig.serve()
        yield rig
        rig.dataplane.close()
    finally:
        detach_all(directory)
