"""What the end-to-end tests of this room share."""

from collections.abc import Iterator
from contextlib import ExitStack
from pathlib import Path

import pytest

from headrace.model import SpeakerKind
from tests.bgp.support import Network


@pytest.fixture
def network(tmp_path: Path) -> Iterator[Network]:
    """Namespaces that go with the test."""
    with ExitStack() as stack:
        yield Network(stack, tmp_path)


@pytest.fixture(params=list(SpeakerKind))
def kind(request: pytest.FixtureRequest) -> str:
    """Each speaker in turn."""
    return str(request.param)
