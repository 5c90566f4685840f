"""Other versions of the product to upgrade to: some of its maps have another layout."""

import os
import shutil
import subprocess
import sys
from collections.abc import Mapping
from pathlib import Path

from tests.conftest import ROOT

_LAYOUT_H = "src/headrace/dataplane/bpf/layout.h"
_LAYOUT_PY = "src/headrace/dataplane/layout.py"
_LATER = '("zero", _U8), ("later", _U32 * 2),\n    ]\n\n\nclass Shortcut4'
_Changes = Mapping[str, tuple[tuple[str, str], ...]]  # by file: what it says, what it is to say

SERVICES: _Changes = {
    _LAYOUT_H: (
        (
            "	__u8 flags;\n	__u8 zero;\n};",
            "	__u8 flags;\n	__u8 zero;\n	__u32 later[2];\n};",
        ),
        ("sizeof(struct bucket4) == 48", "sizeof(struct bucket4) == 64"),
        ("sizeof(struct bucket6) == 80", "sizeof(struct bucket6) == 96"),
        ("sizeof(struct service) == 16", "sizeof(struct service) == 24"),
    ),
    _LAYOUT_PY: (('("zero", _U8),\n    ]\n\n\nclass Shortcut4', _LATER),),
}
"""Services have another layout; pools and endpoints stay."""

_GENERATION = '        ("generation", _U32),\n    ]\n\n\nclass NextHop('
ENDPOINTS: _Changes = {
    _LAYOUT_H: (
        (
            "	__u32 generation; /* another each time the index is given to another endpoint */\n",
            "	__u32 generation;\n	__u32 later[16];\n",
        ),
        ("sizeof(struct endpoint) == 64", "sizeof(struct endpoint) == 128"),
    ),
    _LAYOUT_PY: (
        (_GENERATION, _GENERATION.replace("_U32),\n", '_U32), ("later", _U32 * 16),\n', 1)),
    ),
}
"""Endpoints have another layout, so that nothing that names them can stay."""

STORE: _Changes = {"src/headrace/store/revisions.py": (("_VERSION = 2\n", "_VERSION = 3\n"),)}
"""Revisions are kept in another way, which no version before can read."""


def build_version(root: Path, changes: _Changes) -> Path:
    """Make this version with changes, programs included; where its Python is imported from."""
    ignored = shutil.ignore_patterns("__pycache__", "*.bpf.o")
    shutil.copytree(ROOT / "src", root / "src", ignore=ignored)
    shutil.copy2(ROOT / "hatch_build.py", root)
    for name, pairs in changes.items():
        path = root / name
        text = path.read_text()
        for before, after in pairs:
            assert text.count(before) == 1, f"{name} has changed: {before!r} is not there once"
            text = text.replace(before, after)
        path.write_text(text)
    subprocess.run([sys.executable, root / "hatch_build.py"], check=True, capture_output=True)
    return root / "src"


def variables_of(source: Path) -> list[str]:
    """The command that a program is run by to be of this version."""
    return ["env", f"PYTHONPATH={os.pathsep.join([str(source), str(ROOT)])}"]
