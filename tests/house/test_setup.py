"""Set-up refuses a machine that it cannot make work, naming all that is missing at once."""

import subprocess
from pathlib import Path

import pytest

from tests.house.source import ROOT

OTHER_SYSTEM = 'ID=fedora\nVERSION_ID=41\nPRETTY_NAME="Fedora Linux 41"\n'
OLD_UBUNTU = 'ID=ubuntu\nVERSION_ID="22.04"\nPRETTY_NAME="Ubuntu 22.04.3 LTS"\n'
WITHOUT_BPF = "nodev\tproc\n\text4\n"


def refusal(folder: Path, release: str) -> subprocess.CompletedProcess[str]:
    """What set-up says on a system of this release whose kernel has no BPF.

    It sees the two files in a mount namespace of its own, and ends before it changes anything.
    """
    (folder / "os-release").write_text(release)
    (folder / "filesystems").write_text(WITHOUT_BPF)
    script = (
        'mount --bind "$1/os-release" /etc/os-release && '
        'mount --bind "$1/filesystems" /proc/filesystems && exec "$2/setup/install"'
    )
    command = ["unshare", "--mount", "--propagation", "private", "bash", "-c", script, "_"]
    return subprocess.run(
        [*command, str(folder), str(ROOT)], capture_output=True, text=True, check=False
    )


@pytest.mark.netns
@pytest.mark.parametrize(
    ("release", "name"),
    [
        pytest.param(OTHER_SYSTEM, "Fedora Linux 41", id="another distribution"),
        pytest.param(OLD_UBUNTU, "Ubuntu 22.04.3 LTS", id="too old a release"),
    ],
)
def test_set_up_names_all_that_is_missing_at_once(tmp_path: Path, release: str, name: str) -> None:
    done = refusal(tmp_path, release)

    assert done.returncode == 1
    assert f"{name} is neither Debian >= 12 nor Ubuntu >= 24.04" in done.stderr
    assert "has no BPF" in done.stderr
