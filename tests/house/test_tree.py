"""The tree holds nothing of the machine it was written on, and pins every dependency."""

import re
import tomllib
from pathlib import Path

from packaging.requirements import Requirement
from packaging.utils import canonicalize_name

from tests.house.source import ROOT, project_files

MACHINE_PATH = re.compile(r"(?<![\w.~$}/-])/(?:work|root|Users|home/\w+|mnt|build)/[\w.-]")
"""A folder that exists on one developer's machine only."""

PIN = re.compile(r"[A-Za-z0-9._-]+==[A-Za-z0-9.+!]+")


def text_of(path: Path) -> str:
    """A file's text; empty when it is no text."""
    try:
        return path.read_text()
    except UnicodeDecodeError:
        return ""


def requirements() -> list[Requirement]:
    project = tomllib.loads((ROOT / "pyproject.toml").read_text())["project"]
    extras = project["optional-dependencies"].values()
    lines = [*project["dependencies"], *(line for extra in extras for line in extra)]
    return [Requirement(line) for line in lines]


def pins() -> dict[str, str]:
    lines = (ROOT / "constraints.txt").read_text().split()
    return {canonicalize_name(name): version for name, version in (x.split("==") for x in lines)}


def test_no_file_names_a_folder_of_somebodys_machine() -> None:
    found = [
        f"{path.relative_to(ROOT)}:{number}: {line.strip()}"
        for path in project_files()
        for number, line in enumerate(text_of(path).splitlines(), start=1)
        if MACHINE_PATH.search(line) or f"{ROOT}/" in line
    ]

    assert found == []


def test_constraints_hold_plain_pins_only() -> None:
    lines = (ROOT / "constraints.txt").read_text().splitlines()

    assert [line for line in lines if not PIN.fullmatch(line)] == []


def test_every_dependency_is_pinned_within_its_range() -> None:
    pinned = pins()

    outside = [
        str(requirement)
        for requirement in requirements()
        if not requirement.specifier.contains(pinned.get(canonicalize_name(requirement.name), "0"))
    ]

    assert outside == []
