"""`headrace report`, `events`, `log-level`, `validate -o json`, several servers, completion."""

import json
import os
import subprocess
import sys
import tarfile
from pathlib import Path

import pytest

from headrace.cli.report import redact
from tests.api.fakes import Api, FakeOperator, running_api
from tests.cli.conftest import Headrace

PASSWORD = "-".join(("correct", "horse", "battery"))
TOKEN = "headrace_" + "Zz9_-" * 8
FLOW = json.dumps(
    {
        "protocol": "tcp",
        "source": "1.1.1.1",
        "source_port": 1024,
        "destination": "20.20.20.1",
        "destination_port": 80,
    }
)
KEY_PATH = "/etc/headrace/very-private/node.key"
LOG = f"""\
{{"event": "login", "authorization": "Bearer {TOKEN}"}}
{{"error": "TLS with /etc/headrace/very-private/c.pem and {KEY_PATH}: no such file"}}
neighbor 11.11.11.254 {{ md5-password "{PASSWORD}"; }}
started with --tls-key {KEY_PATH} HEADRACE_TOKEN={TOKEN} password: {PASSWORD}
{{"reason": "GET /check?user=me&pass=hunter2-{PASSWORD} answered 503"}}
an ordinary line
"""
DOCUMENT = {
    "cluster": {"hash_seed": 987654321987},
    "health": {"web": {"kind": "http", "port": 80, "resource": "/check?deep=1&auth=sesame-open"}},
    "bgp": {
        "as": 65000,
        "router_id": "10.0.0.1",
        "peers": [{"address": "11.11.11.254", "as": 65001, "password": PASSWORD}],
    },
}


def test_a_report_has_every_part_and_no_secret(headrace: Headrace, tmp_path: Path) -> None:
    headrace("apply", "-f", "-", stdin=json.dumps(DOCUMENT))
    log, archive = tmp_path / "log", tmp_path / "r.tar.gz"
    log.write_text(LOG)

    done = headrace("report", str(archive), "--log", str(log))

    assert done.code == 0, done.err
    assert archive.stat().st_mode & 0o077 == 0
    with tarfile.open(archive) as opened:
        members = {each.name: opened.extractfile(each) for each in opened.getmembers()}
        texts = {name: file.read().decode() for name, file in members.items() if file}
    for secret in (PASSWORD, TOKEN, KEY_PATH, "very-private", "987654321987", "sesame", "hunter2"):
        assert [name for name, text in texts.items() if secret in text] == []
    assert "an ordinary line" in texts["r/log.txt"]
    shown = json.loads(texts["r/document.json"])["health"]["web"]["resource"]
    assert shown == "/check?deep=<redacted>&auth=<redacted>"
    manifest = json.loads(texts["r/manifest.json"])
    listed = {f"r/{part['name']}" for part in manifest["parts"]}
    assert listed == texts.keys() - {"r/manifest.json"}
    assert {"r/status.json", "r/document.json", "r/host.json", "r/events.txt"} <= listed


def test_a_report_without_a_daemon_says_what_is_missing(headrace: Headrace, tmp_path: Path) -> None:
    done = headrace("report", str(tmp_path / "r.tar.gz"), "--server", "unix:/nowhere/api.sock")

    assert done.code == 0, done.err
    assert "without status.json: no daemon answers" in done.out


def test_what_was_json_still_is() -> None:
    text = json.dumps({"a": 'password: "x y" and', "b": "/c?d=e&f=g", "password": "h"})

    assert json.loads(redact(text)) == {
        "a": 'password: "<redacted>" and',
        "b": "/c?d=<redacted>&f=<redacted>",
        "password": "<redacted>",
    }


@pytest.mark.parametrize("text", ["the port is 80", "monkey business", "keyed 3", ""])
def test_what_is_no_secret_stays(text: str) -> None:
    assert redact(text) == text


def test_kept_events_are_shown_a_line_each(headrace: Headrace) -> None:
    headrace("apply", "-f", "-", stdin=json.dumps(DOCUMENT))

    lines = headrace("events", "--no-follow").out.splitlines()
    told = json.loads(headrace("events", "--no-follow", "-o", "json").out)

    assert [line.split()[2:4] for line in lines] == [["document_changed", "revision=1"]]
    assert told["data"]["revision"] == 1


def test_the_log_level_is_shown_and_changed(headrace: Headrace, operator: FakeOperator) -> None:
    shown = headrace("log-level").out
    changed = headrace("log-level", "debug")
    refused = headrace("log-level", "loud")

    assert (shown, changed.out, operator.log_level.level) == ("info\n", "debug\n", "debug")
    assert refused.code == 1
    assert "level" in refused.err


def test_a_document_is_validated_as_json(headrace: Headrace) -> None:
    good = headrace("validate", "-f", "-", "-o", "json", stdin="{}")
    bad = headrace("validate", "-f", "-", "-o", "json", stdin='{"servces": []}')

    assert (good.code, json.loads(good.out)) == (0, {"valid": True, "problems": []})
    assert bad.code == 1
    assert json.loads(bad.out)["problems"][0]["path"] == "servces"


def test_every_node_gets_the_document_though_one_fails(
    headrace: Headrace, operator: FakeOperator, tmp_path: Path
) -> None:
    other = FakeOperator()
    first = os.environ["HEADRACE_SERVER"]
    with running_api(tmp_path / "other.sock", other):
        servers = [first, "unix:/nowhere/api.sock", f"unix:{tmp_path}/other.sock"]
        named = [part for server in servers for part in ("--server", server)]

        done = headrace("apply", "-f", "-", *named, stdin='{"node": {"name": "a"}}')

    assert (operator.revision, other.revision, done.code) == (1, 1, 1)
    assert done.out.splitlines() == [
        f"{servers[0]}:",
        "revision 1 is in force",
        f"{servers[1]}:",
        f"{servers[2]}:",
        "revision 1 is in force",
    ]
    assert "no daemon answers at unix:/nowhere/api.sock" in done.err
    assert "1 of 3 servers failed" in done.err


def test_stdin_is_not_waited_for_where_nobody_reads_it(api: Api) -> None:
    servers = [part for _ in range(2) for part in ("--server", f"unix:{api.path}")]
    command = [sys.executable, "-c", "from headrace.cli.main import main; main()", "get", "lb"]
    reader, writer = os.pipe()  # as of an ssh session: open, and nothing comes
    try:
        done = subprocess.run(
            [*command, *servers], stdin=reader, capture_output=True, timeout=20, check=False
        )
    finally:
        os.close(reader)
        os.close(writer)

    assert (done.returncode, done.stderr) == (0, b"")
    assert done.stdout.count(f"unix:{api.path}:".encode()) == 2


@pytest.mark.parametrize("lines", ["", FLOW, f"{FLOW}\n{FLOW}\n"])
def test_every_node_is_asked_of_all_that_comes_on_stdin(
    headrace: Headrace, api: Api, lines: str
) -> None:
    servers = [part for _ in range(2) for part in ("--server", f"unix:{api.path}")]

    done = headrace("explain", "--flows", "-", *servers, stdin=lines)

    once = headrace("explain", "--flows", "-", stdin=lines)
    assert done.code == once.code
    assert done.out == f"unix:{api.path}:\n{once.out}" * 2


def test_the_shell_completes_commands() -> None:
    program = "import sys; sys.argv[0] = 'headrace'; from headrace.cli.main import main; main()"
    words = {"COMP_WORDS": "headrace ev", "COMP_CWORD": "1"}

    done = subprocess.run(
        [sys.executable, "-c", program],
        env=os.environ | words | {"_HEADRACE_COMPLETE": "complete_bash"},
        capture_output=True,
        text=True,
        check=False,
    )

    assert done.stdout.split() == ["events"]
