"""Programs are found where the set-up puts them, and a missing one says what to install."""

from pathlib import Path

import pytest

from headrace.lab.tools import find_tool
from headrace.model.errors import UnavailableError


def install(root: Path, folder: str, name: str, mode: int = 0o755) -> Path:
    path = root / folder / name
    path.parent.mkdir(parents=True)
    path.write_text("#!/bin/sh\n")
    path.chmod(mode)
    return path


@pytest.fixture
def empty_path(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    (tmp_path / "nothing").mkdir()
    monkeypatch.setenv("PATH", str(tmp_path / "nothing"))
    monkeypatch.delenv("HEADRACE_TOOLS", raising=False)


def test_the_path_comes_first(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    wanted = install(tmp_path, "first", "birdie")
    install(tmp_path, "root/usr/sbin", "birdie")
    monkeypatch.setenv("PATH", str(wanted.parent))
    monkeypatch.setenv("HEADRACE_TOOLS", str(tmp_path / "root"))

    assert find_tool("birdie") == wanted


@pytest.mark.usefixtures("empty_path")
@pytest.mark.parametrize("folder", ["usr/sbin", "usr/bin"])
def test_a_program_is_found_in_the_folder_of_unpacked_packages(
    monkeypatch: pytest.MonkeyPatch, tmp_path: Path, folder: str
) -> None:
    wanted = install(tmp_path, folder, "birdie")
    monkeypatch.setenv("HEADRACE_TOOLS", str(tmp_path))

    assert find_tool("birdie") == wanted


@pytest.mark.usefixtures("empty_path")
def test_the_checkout_around_the_current_folder_is_searched(
    monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    wanted = install(tmp_path, ".tools/root/usr/sbin", "birdie")
    inside = tmp_path / "src" / "deep"
    inside.mkdir(parents=True)
    monkeypatch.chdir(inside)

    assert find_tool("birdie") == wanted


@pytest.mark.usefixtures("empty_path")
def test_a_file_that_cannot_be_run_is_no_program(
    monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    install(tmp_path, "usr/bin", "birdie", mode=0o644)
    monkeypatch.setenv("HEADRACE_TOOLS", str(tmp_path))

    with pytest.raises(UnavailableError, match=r"^birdie is not installed; run `make setup`"):
        find_tool("birdie")


@pytest.mark.usefixtures("empty_path")
def test_a_missing_program_names_its_package(
    monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    monkeypatch.setenv("HEADRACE_TOOLS", str(tmp_path))

    with pytest.raises(UnavailableError, match="install the package bird2"):
        find_tool("bird")
