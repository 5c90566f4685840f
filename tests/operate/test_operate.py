"""The proofs of what is promised to an operator, in short."""

import json
import shutil
import subprocess
from collections.abc import Iterator
from contextlib import ExitStack, closing
from pathlib import Path
from typing import Any

import pytest
import yaml

from headrace.daemon.settings import bpf_dir
from headrace.dataplane import Dataplane, detach_all
from headrace.store import Store
from tests.bgp.support import eventually, run
from tests.daemon.node import BGP, PREFIX, Daemon
from tests.operate import faults
from tests.operate.links import exists, object_ids, sever
from tests.operate.other_version import STORE, build_version
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


def refusal(site: Site, document: dict[str, Any] = SITE) -> str:
    """What a daemon says that does not start."""
    daemon: Daemon = site.start(document)
    eventually(lambda: daemon.has_ended, within_s=UP_S)
    return daemon.said


def shown(site: Site) -> str:
    """The status, without where its lines break."""
    return " ".join(site.headrace("status").stdout.split())


@pytest.mark.parametrize("how", ["a bpffs over the bpffs", "somebody works in the folder"])
def test_detach_is_kept_by_nobody_from_removing_all(site: Site, how: str) -> None:
    before = traces(site)
    site.begin().kill()
    pins = bpf_dir(site.runtime_dir)
    if how.startswith("a bpffs"):
        run("mount", "-t", "bpf", "bpf", str(pins))
    with subprocess.Popen(["sleep", str(UP_S)], cwd=pins) as worker:
        detached = site.headrace("detach")
        worker.kill()

    assert detached.returncode == 0, detached.stderr
    assert traces(site) == before


def test_pins_that_somebody_unmounts_are_told_and_nothing_is_announced(site: Site) -> None:
    document = json.loads(json.dumps(SITE | {"bgp": BGP}))
    document["services"][0]["announce"] = True
    with site.router() as router:
        daemon = site.begin(document)
        eventually(lambda: router.hears("announce", PREFIX), within_s=UP_S)
        run("umount", "--lazy", str(bpf_dir(site.runtime_dir)))

        eventually(lambda: router.hears("withdraw", PREFIX), within_s=UP_S)
        eventually(lambda: "bpffs was unmounted" in shown(site), within_s=UP_S)
        assert daemon.end() == 0

    site.begin(document)
    assert set(site.links()) == {"wan"}


def test_a_state_folder_that_is_gone_takes_nothing_from_a_data_plane_that_forwards(
    site: Site, tmp_path: Path
) -> None:
    site.begin().kill()
    shutil.rmtree(tmp_path / "state")
    command = site.headrace("run", "--listen", "none", "--state", str(tmp_path / "state"))

    assert command.returncode == 1
    assert "has no revision, and instance" in command.stderr
    assert set(site.links()) == {"wan"}
    site.begin()  # with a document


def test_a_revision_that_this_version_refuses_is_named(site: Site, tmp_path: Path) -> None:
    site.begin().kill()
    with closing(Store(tmp_path / "state")) as store:
        number = store.append('{"later": 1}', author="a later version")

    said = refusal(site)

    assert f"revision {number} in {tmp_path / 'state'} is not valid for this version" in said
    assert "later: no such key here" in said
    assert set(site.links()) == {"wan"}


def test_the_document_of_a_first_start_counts_only_then(site: Site) -> None:
    no_document = {"later": 1}
    said = refusal(site, no_document)
    site.begin().kill()

    site.start_up(no_document)

    assert "document.json is not a valid document\nlater: no such key here" in said


def test_the_way_back_from_a_version_whose_revisions_cannot_be_read(
    site: Site, tmp_path: Path
) -> None:
    site.source = build_version(tmp_path / "newer", STORE)
    daemon = site.begin()
    state, aside = tmp_path / "state", tmp_path / "main.newer"
    with site.load() as tell:
        assert site.headrace("drain", "node").returncode == 0
        before = yaml.safe_load(site.headrace("export").stdout)
        assert daemon.end() == 0
        site.source = None
        said = refusal(site)
        aside.mkdir(mode=0o700)
        for path in state.glob("revisions.sqlite*"):
            shutil.move(path, aside)
        site.begin(before)
        undrained = site.headrace("undrain", "node")
        told = tell()

    assert "written by a newer Headrace" in said
    assert undrained.returncode == 0, undrained.stderr
    assert before["node"]["drain"] is True
    assert (told["lost"], told["misdirected"]) == (0, 0)
    assert told["sent"] > 0
