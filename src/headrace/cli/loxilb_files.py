"""The files that `loxicmd save` writes and LoxiLB reads when it starts."""

import json
from collections.abc import Callable, Iterable
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from headrace.cli.client import Client, Failure
from headrace.cli.rules import BFD, CONFIG, HOSTS, RULES, as_client

FOLDER = Path("/etc/loxilb")


@dataclass(frozen=True, slots=True)
class Saved:
    """A file, and where its content is read from."""

    name: str
    path: str
    entry: Callable[[dict[str, Any]], dict[str, Any] | None]  # as it is saved; None: it is not


def _saved_rule(rule: dict[str, Any]) -> dict[str, Any] | None:
    """A rule with the keys of clients, without what was counted."""
    if rule["serviceArguments"].get("managed"):
        return None
    endpoints = [each | {"counter": "", "state": ""} for each in rule["endpoints"]]
    return as_client(rule) | {"endpoints": endpoints}


def _saved_as_is(entry: dict[str, Any]) -> dict[str, Any] | None:
    return entry


LB = Saved("lbconfig.txt", f"{RULES}/all", _saved_rule)
ENDPOINT = Saved("EPconfig.txt", f"{HOSTS}/all", _saved_as_is)
BFD_SESSIONS = Saved("BFDconfig.txt", f"{BFD}/all", _saved_as_is)
FIREWALL = Saved("FWconfig.txt", f"{CONFIG}/firewall/all", _saved_as_is)
ALL = (LB, ENDPOINT, BFD_SESSIONS, FIREWALL)
"""All that there is here; LoxiLB's others are for what is not."""


def save(client: Client, saved: Saved, folder: Path) -> Path:
    """Write one file; one that is there is kept beside it with `.bk`. Where it was written."""
    if not folder.is_dir():
        raise Failure(f"{folder}: no such folder; make it first, or name another by --config-path")
    ((name, entries),) = client.get(saved.path).items()
    kept = [each for each in map(saved.entry, entries) if each is not None]
    path = folder / saved.name
    try:
        if path.exists():
            path.replace(path.with_name(f"{path.name}.bk"))
        path.write_text(json.dumps({name: kept}) + "\n")
    except OSError as error:
        raise Failure(f"{path}: {error.strerror}; name another folder by --config-path") from error
    return path


def read(paths: list[Path]) -> dict[str, object]:
    """The contents of saved files by their names, of those that a folder has or that are named."""
    from headrace.api import IMPORTED_FILES

    known = ", ".join(IMPORTED_FILES)
    contents: dict[str, object] = {}
    for file in (each for path in paths for each in _files_at(path, IMPORTED_FILES)):
        content, name = read_one(file), file.name.removesuffix(".bk")
        if name not in IMPORTED_FILES:
            raise Failure(f"{file}: what is in it is told by its name; call it {known}")
        if name in contents:
            raise Failure(f"{file}: another {name} is named before it; import them one by one")
        contents[name] = content
    if not contents:
        raise Failure(f"there is none of {known} in {', '.join(map(str, paths))}")
    return contents


def _files_at(path: Path, names: Iterable[str]) -> list[Path]:
    """The file itself, or a folder's files: what is not served here as well, to be refused."""
    return [path / name for name in names if (path / name).exists()] if path.is_dir() else [path]


def read_one(file: Path) -> object:
    """The content of one file; Failure when it is no JSON."""
    from headrace.api import read_files
    from headrace.model import ConfigError

    try:
        return read_files({str(file): file.read_text()})[str(file)]
    except OSError as error:
        raise Failure(f"{file}: {error.strerror}") from error
    except UnicodeDecodeError as error:
        raise Failure(f"{file}: {error}") from error
    except ConfigError as error:
        raise Failure(str(error)) from error
