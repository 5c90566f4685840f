"""`headrace doctor` in a network namespace: with a daemon's document, a file's, and without."""

import json
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
import yaml

from headrace.cli import doctor
from tests.cli.conftest import Done, Headrace
from tests.underlay.network import Namespace, connect, namespaces

pytestmark = [pytest.mark.bpf, pytest.mark.netns]

WEB: dict[str, Any] = {
    "vip": "20.20.20.1",
    "protocol": "tcp",
    "port": 80,
    "endpoints": [{"address": "10.0.0.2"}],
}
DOCUMENT: dict[str, Any] = {"services": [WEB]}


@pytest.fixture
def host(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> Iterator[Namespace]:
    """A host with 10.0.0.1/24 on p0, and no instance."""
    monkeypatch.setattr(doctor, "RUNTIME_ROOT", str(tmp_path / "run"))
    with namespaces("lb", "peer") as (lb, peer):
        connect(lb, "p0", peer, "p0")
        lb.ip("addr add 10.0.0.1/24 dev p0")
        yield lb


@pytest.fixture
def file(tmp_path: Path) -> Path:
    path = tmp_path / "document.json"
    path.write_text(json.dumps(DOCUMENT))
    return path


def asked(host: Namespace, headrace: Headrace, *arguments: str) -> Done:
    return host.inside(lambda: headrace("doctor", *arguments))


def findings_of(done: Done) -> dict[str, dict[str, Any]]:
    return {finding["check"]: finding for finding in json.loads(done.out)}


def test_nothing_wrong_is_exit_code_0(host: Namespace, headrace: Headrace, file: Path) -> None:
    done = asked(host, headrace, "--document", str(file))

    lines = done.out.splitlines()
    assert (done.code, done.err) == (0, "")
    assert "ok      vip: none of 1 is an address of this host" in lines
    assert "        $ ip link set dev p0 mtu 1520" in lines
    assert lines[-1].startswith("0 wrong, ")


def test_something_wrong_is_exit_code_1_with_the_command_that_mends_it(
    host: Namespace, headrace: Headrace, file: Path
) -> None:
    host.ip("addr add 20.20.20.1/32 dev lo")

    done = asked(host, headrace, "--document", str(file))
    host.ip("address delete 20.20.20.1/32 dev lo")
    mended = asked(host, headrace, "--document", str(file))

    lines = done.out.splitlines()
    at = lines.index("wrong   vip 20.20.20.1: is an address of lo")
    assert lines[at + 2] == "        $ ip address delete 20.20.20.1/32 dev lo"
    assert lines[-1].startswith("1 wrong, ")
    assert (done.code, mended.code) == (1, 0)


def test_the_running_daemons_document_counts_where_no_file_is_named(
    host: Namespace, headrace: Headrace
) -> None:
    headrace("apply", "-f", "-", stdin=json.dumps(DOCUMENT))

    found = findings_of(asked(host, headrace, "-o", "json"))

    assert found["mtu"]["level"] == "warning"
    assert found["mtu"]["subject"] == "p0"
    assert "document" not in found


def test_it_works_without_a_daemon_and_says_what_is_missing(
    host: Namespace, headrace: Headrace
) -> None:
    done = asked(host, headrace, "--server", "unix:/nowhere/api.sock", "-o", "json")

    found = findings_of(done)
    assert done.code == 0
    assert found["document"] == {
        "check": "document",
        "subject": "",
        "level": "warning",
        "found": "no daemon answers, and --document names none",
        "why": "MTUs, filters, VIPs and speakers are judged by what the document asks for",
        "command": "headrace doctor --document FILE",
    }
    assert found["xdp"]["subject"] == "p0"
    assert "mtu" not in found


def test_values_are_the_same_as_yaml(host: Namespace, headrace: Headrace, file: Path) -> None:
    as_json = asked(host, headrace, "--document", str(file), "-o", "json")
    as_yaml = asked(host, headrace, "--document", str(file), "-o", "yaml")

    assert yaml.safe_load(as_yaml.out) == json.loads(as_json.out)


def test_a_document_that_is_wrong_is_told(
    host: Namespace, headrace: Headrace, tmp_path: Path
) -> None:
    wrong = tmp_path / "wrong.yaml"
    wrong.write_text("services: 7")

    refused = asked(host, headrace, "--document", str(wrong))
    missing = asked(host, headrace, "--document", str(tmp_path / "none.yaml"))

    assert (refused.code, missing.code) == (1, 1)
    assert refused.err.startswith("headrace: services: ")
    assert "No such file or directory" in missing.err
