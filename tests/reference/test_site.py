"""The site holds every page and builds without a warning; what its pages show is taken."""

import os
import re
import shutil
import subprocess
import sys
from pathlib import Path

import pytest
import yaml

from headrace.lab.frr import find_frr
from headrace.lab.tools import find_unpacked
from headrace.model import parse_document
from tests.house.source import ROOT, project_files

DOCS = ROOT / "docs"
WRITTEN = ("tutorial", "howto", "explanation")
BIRD = ROOT / ".tools/root/usr/sbin/bird"


def blocks(language: str) -> list[tuple[str, str]]:
    """Every block of a language in the pages that people wrote: the page, and the text."""
    fence = re.compile(rf"^```{language}\n(.*?)^```", re.DOTALL | re.MULTILINE)
    return [
        (str(path.relative_to(DOCS)), text)
        for path in project_files()
        if path.suffix == ".md" and path.is_relative_to(DOCS)
        if path.relative_to(DOCS).parts[0] in WRITTEN
        for text in fence.findall(path.read_text())
    ]


def pages_of(entry: object) -> list[str]:
    """The pages that a part of the navigation leads to."""
    if isinstance(entry, dict):
        return [page for inner in entry.values() for page in pages_of(inner)]
    if isinstance(entry, list):
        return [page for inner in entry for page in pages_of(inner)]
    return [str(entry)]


def test_the_navigation_leads_to_every_page_but_the_decisions() -> None:
    pages = {
        str(path.relative_to(DOCS))
        for path in project_files()
        if path.suffix == ".md" and path.is_relative_to(DOCS)
    }

    led_to = pages_of(yaml.safe_load((ROOT / "mkdocs.yml").read_text())["nav"])

    assert sorted(led_to) == sorted(page for page in pages if not page.startswith("decisions/"))


def test_the_site_builds_without_a_warning_and_loads_nothing_from_elsewhere(tmp_path: Path) -> None:
    shutil.copytree(DOCS, tmp_path / "docs")
    shutil.copy(ROOT / "mkdocs.yml", tmp_path)
    command = [str(Path(sys.executable).with_name("zensical")), "build", "--strict"]

    done = subprocess.run(command, cwd=tmp_path, capture_output=True, text=True, check=False)

    assert done.returncode == 0, done.stdout + done.stderr
    loaded = re.compile(r'<(?:script|img|iframe)[^>]* src="?http|<link[^>]* href="?http')
    built = list((tmp_path / "build/site").rglob("*.html"))
    assert built
    assert [page.name for page in built if loaded.search(page.read_text())] == []


@pytest.mark.parametrize(
    "text", [pytest.param(text, id=f"{page}-{i}") for i, (page, text) in enumerate(blocks("yaml"))]
)
def test_a_shown_document_is_taken(text: str) -> None:
    parse_document(text)


@pytest.mark.skipif(not BIRD.exists(), reason="set-up has not unpacked BIRD")
@pytest.mark.parametrize(
    "text", [pytest.param(text, id=f"{page}-{i}") for i, (page, text) in enumerate(blocks("bird"))]
)
def test_a_shown_configuration_of_bird_is_one(text: str, tmp_path: Path) -> None:
    (tmp_path / "bird.conf").write_text(text)

    done = subprocess.run(
        [BIRD, "-p", "-c", tmp_path / "bird.conf"], capture_output=True, text=True, check=False
    )

    assert done.returncode == 0, done.stderr


@pytest.mark.netns
@pytest.mark.parametrize(
    "text", [pytest.param(text, id=f"{page}-{i}") for i, (page, text) in enumerate(blocks("frr"))]
)
def test_a_shown_configuration_of_frr_is_one(text: str, tmp_path: Path) -> None:
    libraries = find_unpacked("usr/lib/*/frr", "frr")
    parts = [part for part in text.split("!\n") if not part.startswith("bfd\n")]  # bfdd's
    (tmp_path / "bgpd.conf").write_text("!\n".join(parts))
    (tmp_path / "group").write_text("root:x:0:\nfrrvty:x:0:root\n")
    script = 'mount --bind "$1" /etc/group && exec "$2" -C -u root -g root -f "$3"'
    command = ["unshare", "--mount", "--propagation", "private", "sh", "-c", script, "sh"]
    command += [str(tmp_path / "group"), str(find_frr() / "bgpd"), str(tmp_path / "bgpd.conf")]
    environment = os.environ | {"LD_LIBRARY_PATH": f"{libraries.parent}:{libraries}"}

    done = subprocess.run(command, env=environment, capture_output=True, text=True, check=False)

    assert (done.returncode, done.stdout + done.stderr) == (0, "")


def test_no_block_is_indented_so_that_its_commands_are_found() -> None:
    indented = [
        str(path.relative_to(ROOT))
        for path in project_files()
        if path.suffix == ".md" and re.search(r"^ +```", path.read_text(), re.MULTILINE)
    ]

    assert indented == []
