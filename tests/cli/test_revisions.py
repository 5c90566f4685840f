"""`headrace validate|diff|history|rollback|export`: a document before and after it is in force."""

import json
import os
from pathlib import Path

import pytest

from headrace.model import parse_document
from tests.api.fakes import OWN_USER, FakeOperator, running_api
from tests.cli.conftest import Headrace

ONE = "services:\n- {vip: 20.20.20.1, protocol: tcp, port: 80, endpoints: [{address: 1.1.1.1}]}\n"
TWO = ONE.replace("1.1.1.1}", "1.1.1.1}, {address: 1.1.1.2}")
PEER = "bgp: {as: 1, router_id: 1.1.1.1, peers: [{address: 10.0.0.9, as: 2, %s}]}"


def test_a_valid_document_is_said_to_be_so_without_a_daemon(
    headrace: Headrace, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("HEADRACE_SERVER", "unix:/nowhere")
    file = tmp_path / "document.yaml"
    file.write_text(TWO)

    done = headrace("validate", "-f", str(file))

    assert (done.code, done.out) == (0, f"{file}: valid, 1 service, 0 pools\n")


def test_every_problem_of_an_invalid_document_is_told(headrace: Headrace) -> None:
    done = headrace("validate", "-f", "-", stdin="node: {nam: a}\ncluster: {hash_seed: x}")

    assert (done.code, done.out) == (1, "")
    told = done.err.splitlines()
    assert told[0].endswith("node.nam: no such key here; remove it or correct its spelling")
    assert any("cluster.hash_seed: " in line for line in told)


def test_the_same_document_differs_in_nothing(headrace: Headrace) -> None:
    headrace("apply", "-f", "-", stdin=ONE)

    done = headrace("diff", "-f", "-", stdin=ONE)

    assert (done.code, done.out, done.err) == (0, "", "")


def test_nodes_are_asked_one_by_one_and_one_that_differs_is_exit_code_1(
    headrace: Headrace, tmp_path: Path
) -> None:
    own = os.environ["HEADRACE_SERVER"]
    headrace("apply", "-f", "-", stdin=ONE)
    with running_api(tmp_path / "other.sock", FakeOperator()):
        both = ["--server", own, "--server", f"unix:{tmp_path}/other.sock"]

        one_differs = headrace("diff", "-f", "-", *both, stdin=ONE)
        headrace("apply", "-f", "-", *both, stdin=ONE)
        none_differs = headrace("diff", "-f", "-", *both, stdin=ONE)

    assert (one_differs.code, none_differs.code) == (1, 0)
    assert "failed" not in one_differs.err


def test_another_document_is_shown_as_a_unified_diff(
    headrace: Headrace, operator: FakeOperator
) -> None:
    headrace("apply", "-f", "-", stdin=ONE)

    done = headrace("diff", "-f", "-", stdin=TWO)

    assert done.code == 1
    assert done.out.splitlines() == [
        "--- in force",
        "+++ -",
        "@@ -1,6 +1,7 @@",
        " services:",
        " - endpoints:",
        "   - address: 1.1.1.1",
        "+  - address: 1.1.1.2",
        "   port: 80",
        "   protocol: tcp",
        "   vip: 20.20.20.1",
    ]
    assert operator.revision == 1


def test_differences_are_listed_as_json(headrace: Headrace) -> None:
    headrace("apply", "-f", "-", stdin=TWO)

    done = headrace("diff", "-f", "-", "-o", "json", stdin=ONE)

    assert done.code == 1
    assert json.loads(done.out) == {
        "added": [],
        "removed": ["services[20.20.20.1:80/tcp].endpoints[1.1.1.2]"],
        "changed": [],
    }


def test_no_password_is_shown_or_taken_for_a_difference(headrace: Headrace) -> None:
    headrace("apply", "-f", "-", stdin=PEER % "password: old-secret")

    same = headrace("diff", "-f", "-", stdin=PEER % "password: new-secret")
    gone = headrace("diff", "-f", "-", stdin=PEER % "port: 180")

    assert (same.code, same.out) == (0, "")
    assert gone.code == 1
    assert "-    password: <secret>" in gone.out


@pytest.mark.parametrize(("command", "code"), [("validate", 1), ("diff", 2), ("apply", 1)])
@pytest.mark.parametrize("stdin", ["", "\n", "# nothing\n", "null"])
def test_nothing_is_not_taken_for_a_document_that_removes_all(
    headrace: Headrace, operator: FakeOperator, command: str, code: int, stdin: str
) -> None:
    headrace("apply", "-f", "-", stdin=ONE)

    done = headrace(command, "-f", "-", stdin=stdin)

    told = "headrace: the document is empty, which would remove all; send {} if that is meant\n"
    assert (done.code, done.out, done.err) == (code, "", told)
    assert operator.document.services
    assert headrace("validate", "-f", "-", stdin="{}").code == 0


@pytest.mark.parametrize("stdin", ["node: {nam: a}", "{"])
def test_what_cannot_be_compared_is_trouble(headrace: Headrace, stdin: str) -> None:
    done = headrace("diff", "-f", "-", stdin=stdin)

    assert (done.code, done.out) == (2, "")
    assert done.err.startswith("headrace: ")


def test_a_daemon_that_does_not_answer_is_trouble(headrace: Headrace) -> None:
    nowhere = ["--server", "unix:/nowhere"]

    assert headrace("diff", "-f", "-", *nowhere, stdin="{}").code == 2
    assert headrace("diff", "-f", "-", *nowhere, *nowhere, stdin="{}").code == 2


def test_the_history_tells_who_changed_what_and_when(headrace: Headrace) -> None:
    headrace("apply", "-f", "-", stdin=ONE)
    headrace("apply", "-f", "-", stdin=TWO)

    lines = headrace("history").out.splitlines()

    assert [cell.strip() for cell in lines[0].split("|")[1:-1]] == [
        "REVISION",
        "WHEN",
        "AUTHOR",
        "CHANGE",
    ]
    assert [cell.strip() for cell in lines[2].split("|")[1:-1]] == [
        "2",
        "2026-01-02 03:04:05Z",
        f"{OWN_USER} by rest",
        "added services[20.20.20.1:80/tcp].endpoints[1.1.1.2]",
    ]
    assert "added services" in lines[3]


def test_the_history_is_cut_and_can_be_json(headrace: Headrace) -> None:
    for text in (ONE, TWO, ONE):
        headrace("apply", "-f", "-", stdin=text)

    told = json.loads(headrace("history", "-n", "1", "-o", "json").out)

    assert [each["number"] for each in told] == [3]


def test_an_earlier_revision_is_put_in_force_again(
    headrace: Headrace, operator: FakeOperator
) -> None:
    for text in (ONE, TWO):
        headrace("apply", "-f", "-", stdin=text)

    done, again = headrace("rollback", "1"), headrace("rollback", "1")

    assert done.out == "the document of revision 1 is in force (revision 3)\n"
    assert again.out.endswith("is in force already, nothing changed (revision 3)\n")
    assert operator.document == parse_document(ONE)


def test_a_revision_that_is_not_kept_is_told(headrace: Headrace) -> None:
    done = headrace("rollback", "7")

    assert (done.code, done.out) == (1, "")
    assert "revision 7 is not kept" in done.err


@pytest.mark.parametrize("output", ["yaml", "json"])
def test_an_exported_document_can_be_applied_again(headrace: Headrace, output: str) -> None:
    headrace("apply", "-f", "-", stdin=PEER % "password: old-secret")

    exported = headrace("export", "-o", output).out
    again = headrace("apply", "-f", "-", stdin=exported)

    assert "<secret>" in exported
    assert again.out == "revision 1 is in force already, nothing changed\n"


def test_an_earlier_revision_is_exported(headrace: Headrace) -> None:
    for text in (ONE, TWO):
        headrace("apply", "-f", "-", stdin=text)

    assert parse_document(headrace("export", "--revision", "1").out) == parse_document(ONE)
