"""`headrace report`: what a bug report needs, in one archive without a secret in it."""

import hashlib
import io
import json
import os
import platform
import re
import subprocess
import tarfile
from collections.abc import Callable
from datetime import UTC, datetime
from pathlib import Path
from typing import Annotated, Any

import typer

from headrace.cli.client import RUNTIME_ROOT, Client, Failure
from headrace.cli.options import (
    INSTANCE,
    TIMEOUT_S,
    InstanceOption,
    ServerOption,
    TimeoutOption,
)

app = typer.Typer(add_completion=False)

MARK = "<redacted>"

_LOG_LINES = 2000  # half an hour of a bad day
_LIMIT_LOG_BYTES = 4 * 1024 * 1024
_JOURNAL_S = 20.0
_REVISIONS = 100
_SECRET_KEYS = frozenset({"password", "hash_seed", "request", "response", "body", "authorization"})
_SECRETS = (
    re.compile(r"headrace_[A-Za-z0-9_-]{20,}"),  # tokens
    re.compile(r"(?i)(?<=bearer )\S+"),
    # A word that says what follows, up to the end of the value: quoted, or one word.
    re.compile(
        r"""(?ix)\b(?:password|passwd|secret|md5(?:-password)?|authorization|(?:tls[-_])?key
        |hash_seed|token_file)\b (?:\\?["'])? \s* (?:[=:]|\s) \s*
        (?P<value> \\"[^"\\]*\\" | "(?:[^"\\]|\\.)*" | '[^']*' | [^\s,;}"']+ )"""
    ),
    re.compile(r"""[?&][\w.~-]+=(?P<value>[^&#\s"'\\<>]+)"""),  # what URLs that are probed ask by
    re.compile(r"\S*\.key\b|(?<=TLS with )\S+ and \S+?(?=[:;\s])"),  # where TLS keys are
    re.compile(r"-----BEGIN [A-Z ]*PRIVATE KEY-----.*?(?:-----END [A-Z ]*-----|\Z)", re.DOTALL),
)


@app.command()
def report(
    file: Annotated[
        Path | None, typer.Argument(help="the archive; headrace-report-TIME.tar.gz if absent")
    ] = None,
    log: Annotated[
        Path | None,
        typer.Option(help="a file with the daemon's log, where it does not go to the journal"),
    ] = None,
    instance: InstanceOption = INSTANCE,
    server: ServerOption = None,
    timeout: TimeoutOption = TIMEOUT_S,
) -> None:
    """Write an archive for a bug report; passwords, tokens and key files are not in it.

    Addresses, names and the document are: read it before you send it. What cannot be had, as where
    no daemon answers, is named in its manifest.
    """
    now = datetime.now(UTC)
    path = file or Path(f"headrace-report-{now:%Y%m%dT%H%M%SZ}.tar.gz")
    client = Client(server=server, instance=instance, timeout_s=timeout)
    parts = _parts(client, instance, log)
    found: dict[str, str] = {}
    missing: dict[str, str] = {}
    for name, (_, read) in parts.items():
        try:
            found[name] = redact(read())
        except (Failure, OSError, subprocess.SubprocessError) as error:
            missing[name] = redact(str(error))
    meanings = {name: meaning for name, (meaning, _) in parts.items()}
    try:
        _write(path, found | {"manifest.json": _manifest(found, missing, meanings, now)}, now)
    except OSError as error:
        raise Failure(f"{path}: {error.strerror}; name another file") from error
    print(f"{path}: {len(found)} parts, {len(missing)} missing; read it before you send it")
    for name, why in missing.items():
        print(f"  without {name}: {why.splitlines()[0]}")


def redact(text: str) -> str:
    """A text without what looks like a secret."""
    for pattern in _SECRETS:
        text = pattern.sub(_without_value, text)
    return text


def _without_value(match: re.Match[str]) -> str:
    whole = match.group(0)
    value = match.groupdict().get("value")
    if value is None:
        return MARK
    quote = next((each for each in ('\\"', '"', "'") if value.startswith(each)), "")  # as it had
    return whole[: len(whole) - len(value)] + quote + MARK + quote


_Part = tuple[str, Callable[[], str]]


def _parts(client: Client, instance: str, log: Path | None) -> dict[str, _Part]:
    """Each part of the archive: what it is, and how to get it."""

    def api(path: str) -> Callable[[], str]:
        return lambda: _json(client.get(path))

    return {
        "version.json": ("the daemon's version", api("/v1/version")),
        "status.json": ("what forwards, what is announced, what is wrong", api("/v1/status")),
        "document.json": ("the document in force, redacted", api("/v1/document")),
        "history.json": ("its newest revisions", api(f"/v1/revisions?limit={_REVISIONS}")),
        "verdicts.json": ("packets by verdict", api("/v1/verdicts")),
        "events.txt": (
            "what happened of late",
            lambda: "\n".join(client.lines("/v1/events?follow=false")),
        ),
        "metrics.txt": ("the node's numbers", lambda: "\n".join(client.lines("/metrics"))),
        "doctor.json": ("what is not well on the host", lambda: _doctor(client, instance)),
        "host.json": ("kernel, system, interfaces", lambda: _json(_host())),
        "log.txt": ("the daemon's last log lines", lambda: _log(log)),
    }


def _json(values: object) -> str:
    return json.dumps(_hidden(values), indent=2) + "\n"


def _hidden(values: Any) -> Any:  # noqa: ANN401 - whatever JSON holds
    """Plain values with a mark for each secret, by its key."""
    if isinstance(values, dict):
        return {
            key: MARK if key in _SECRET_KEYS and value else _hidden(value)
            for key, value in values.items()
        }
    return [_hidden(each) for each in values] if isinstance(values, list) else values


def _doctor(client: Client, instance: str) -> str:
    from dataclasses import asdict

    from headrace.cli.doctor import _document
    from headrace.doctor import gather, judge
    from headrace.model import LbError

    try:
        known = _document(None, client)
        findings = judge(gather(known, Path(RUNTIME_ROOT)), known, instance)
    except LbError as error:
        raise Failure(str(error)) from error
    return _json([asdict(finding) | {"level": str(finding.level)} for finding in findings])


def _host() -> dict[str, Any]:
    """Kernel, system and interfaces, as the kernel's files say."""
    keys = ("mtu", "operstate", "speed", "duplex", "address", "tx_queue_len")
    links: dict[str, dict[str, Any]] = {
        link.name: {key: _line(link / key) for key in keys}
        | {
            "driver": _target(link / "device/driver"),
            "queues": len(list((link / "queues").glob("rx-*"))),
        }
        for link in sorted(Path("/sys/class/net").iterdir())
    }
    system = Path("/etc/os-release")
    return {
        "kernel": platform.release(),
        "build": platform.version(),
        "machine": platform.machine(),
        "python": platform.python_version(),
        "system": system.read_text().splitlines() if system.exists() else [],
        "interfaces": links,
    }


def _line(path: Path) -> str | None:
    try:
        return path.read_text().strip()
    except OSError:  # an interface that is down has no speed
        return None


def _target(path: Path) -> str | None:
    return path.resolve().name if path.exists() else None


def _log(file: Path | None) -> str:
    """The last lines of the daemon's log: of a file, else of the systemd unit."""
    if file is not None:
        with file.open("rb") as lines:
            lines.seek(max(file.stat().st_size - _LIMIT_LOG_BYTES, 0))
            text = lines.read().decode(errors="replace")
    else:
        command = ["journalctl", "--unit", "headrace", "--lines", str(_LOG_LINES), "--no-pager"]
        done = subprocess.run(command, capture_output=True, timeout=_JOURNAL_S, check=False)
        if done.returncode:
            raise Failure(f"journalctl: {done.stderr.decode(errors='replace').strip()}; use --log")
        text = done.stdout.decode(errors="replace")
    return "\n".join(text.splitlines()[-_LOG_LINES:]) + "\n"


def _manifest(
    found: dict[str, str], missing: dict[str, str], meanings: dict[str, str], now: datetime
) -> str:
    """What is in the archive, and what could not be had."""
    from headrace import __version__

    parts = [
        {
            "name": name,
            "what": meanings[name],
            "bytes": len(text.encode()),
            "sha256": hashlib.sha256(text.encode()).hexdigest(),
        }
        for name, text in found.items()
    ]
    made = {"made_by": f"headrace {__version__}", "time": now.isoformat(timespec="seconds")}
    return _json(made | {"parts": parts, "missing": missing})


def _write(path: Path, files: dict[str, str], now: datetime) -> None:
    """Write the archive, for its owner alone."""
    folder = path.name.removesuffix(".gz").removesuffix(".tar")
    descriptor = os.open(path, os.O_WRONLY | os.O_CREAT | os.O_EXCL, 0o600)
    with (
        os.fdopen(descriptor, "wb") as raw,
        tarfile.open(fileobj=raw, mode="w:gz") as archive,
    ):
        for name, text in files.items():
            entry = tarfile.TarInfo(f"{folder}/{name}")
            data = text.encode()
            entry.size, entry.mode, entry.mtime = len(data), 0o600, int(now.timestamp())
            archive.addfile(entry, io.BytesIO(data))
