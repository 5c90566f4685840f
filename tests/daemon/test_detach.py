"""`headrace detach` touches the folder of the instance that it names, and no other."""

from pathlib import Path

import pytest

from headrace.cli import detach as command
from headrace.cli.client import Failure


@pytest.mark.parametrize("name", ["", ".", "..", "../other", "main/..", "main/bpf", "-a", "a" * 33])
def test_what_is_no_name_of_an_instance_is_refused_and_nothing_is_removed(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, name: str
) -> None:
    root = tmp_path / "run"
    (root / "main" / "bpf").mkdir(parents=True)
    (tmp_path / "other").mkdir()
    before = sorted(tmp_path.rglob("*"))
    monkeypatch.setattr(command, "RUNTIME_ROOT", str(root))

    with pytest.raises(Failure, match="is not a name"):
        command.detach(name)

    assert sorted(tmp_path.rglob("*")) == before
