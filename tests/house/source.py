"""The project's own files, as the house rules look at them."""

import ast
import subprocess
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

ROOT = Path(__file__).resolve().parents[2]
ROOMS = ROOT / "src/headrace"


@dataclass(frozen=True, slots=True)
class Module:
    """A Python file and its syntax tree."""

    path: Path
    text: str
    tree: ast.Module

    @property
    def name(self) -> str:
        """The path from the top of the project."""
        return str(self.path.relative_to(ROOT))

    def at(self, node: ast.AST) -> str:
        """Where a node is, as editors understand it."""
        return f"{self.name}:{getattr(node, 'lineno', 1)}"


def project_files() -> list[Path]:
    """Every file that is, or would be, committed."""
    command = ["git", "ls-files", "--cached", "--others", "--exclude-standard", "-z"]
    listed = subprocess.run(command, cwd=ROOT, capture_output=True, text=True, check=True).stdout
    paths = (ROOT / name for name in listed.split("\0") if name)
    return sorted(path for path in paths if path.is_file())


def python_modules(*folders: str) -> Iterator[Module]:
    """The project's Python files, or those in some of its folders."""
    inside = [ROOT / folder for folder in folders or (".",)]
    for path in project_files():
        if path.suffix == ".py" and any(path.is_relative_to(folder) for folder in inside):
            text = path.read_text()
            yield Module(path, text, ast.parse(text))


def room_names() -> list[str]:
    """The packages under src/headrace."""
    return sorted(path.parent.name for path in ROOMS.glob("*/__init__.py"))
