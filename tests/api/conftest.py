"""An API that answers on a unix socket, its operator a fake with a real document."""

import socket
from collections.abc import Iterator
from contextlib import closing
from pathlib import Path

import pytest

from tests.api.fakes import Api, FakeOperator, running_api


@pytest.fixture
def operator() -> FakeOperator:
    return FakeOperator()


@pytest.fixture
def api(tmp_path: Path, operator: FakeOperator) -> Iterator[Api]:
    with running_api(tmp_path / "api.sock", operator) as running:
        yield running


@pytest.fixture
def free_port() -> int:
    return find_free_port()


def find_free_port() -> int:
    """A TCP port of loopback that nobody has."""
    with closing(socket.socket()) as sock:
        sock.bind(("127.0.0.1", 0))
        port: int = sock.getsockname()[1]
        return port
