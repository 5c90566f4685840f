"""The proofs of what is promised to an operator, in short."""

from collections.abc import Iterator
from contextlib import ExitStack
from pathlib import Path
from typing import Any

import pytest

from headrace.daemon.settings import bpf_dir
from headrace.dataplane import Dataplane, detach_all
from tests.bgp.support import eventually
from tests.operate import faults
from tests.operate.links import exists, object_ids, sever
from tests.operate.restarts import SITE, UP_S, Site, traces

pytestmark = [pytest.mark.bpf, pytest.mark.netns]

EVERYWHERE: dict[str, Any] = SITE | {"node": {"tunnels": SITE["node"]["tunnels"]}}


@pytest.fixture
def site(tmp_path: Path) -> Iterator[Site]:
    with ExitStack() as stack:
        yield Site(stack, tmp_path)


@pytest.fixture
def neighbour(tmp_path: Path) -> Iterator[Path]:
    """The pins of another instance."""
    pins = tmp_path / "neighbour"
    try:
        Dataplane(pins).close()
        yield pins
    finally:
        detach_all(pins)


def test_detach_removes_all_that_an_instance_made_and_nothing_else(
    site: Site, neighbour: Path
) -> None:
    before = traces(site)
    daemon = site.begin()
    meanwhile, made = traces(site), object_ids(bpf_dir(site.runtime_dir))
    others = object_ids(neighbour)
    daemon.kill()

    detached = site.headrace("detach")

    assert detached.returncode == 0, detached.stderr
    assert meanwhile["files"] != before["files"]
    assert traces(site) == before
    assert {kind for kind, _ in made} == {"map", "prog", "link"}
    # They are freed when no processor looks at them any more.
    eventually(lambda: not any(exists(*each) for each in made), within_s=UP_S)
    assert all(exists(*each) for each in others)
    assert object_ids(neighbour) == others


def test_a_severed_link_is_attached_again(site: Site) -> None:
    site.begin()
    sever(bpf_dir(site.runtime_dir), "wan")
    was_severed = not site.runs_xdp()

    eventually(site.runs_xdp, within_s=UP_S)

    assert was_severed


def test_interfaces_that_come_are_renamed_and_go_are_followed(site: Site) -> None:
    site.begin(EVERYWHERE)
    site.ip("link", "add", "guest", "type", "veth", "peer", "name", "far")
    site.ip("link", "set", "guest", "up")
    eventually(lambda: set(site.links()) == {"guest", "wan"}, within_s=UP_S)

    site.ip("link", "set", "guest", "down")
    site.ip("link", "set", "guest", "name", "dmz0.7")
    site.ip("link", "set", "dmz0.7", "up")
    eventually(lambda: set(site.links()) == {"dmz0.7", "wan"}, within_s=UP_S)
    site.ip("link", "del", "dmz0.7")
    eventually(lambda: set(site.links()) == {"wan"}, within_s=UP_S)

    assert site.runs_xdp()


def test_kills_while_applying_lose_no_revision_that_was_acknowledged(site: Site) -> None:
    assert faults.killed(site, 2) == (0, 0)
