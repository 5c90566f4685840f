"""What the command line decides before there is a document."""

from dataclasses import dataclass
from pathlib import Path


def bpf_dir(runtime_dir: Path) -> Path:
    """The bpffs with an instance's pins."""
    return runtime_dir / "bpf"


def speaker_dir(runtime_dir: Path) -> Path:
    """The BGP speaker's folder: its configuration, its log, the relay's socket."""
    return runtime_dir / "exabgp"


@dataclass(frozen=True, slots=True)
class Settings:
    """Where one instance keeps its things and listens."""

    instance: str
    state_dir: Path  # revisions, and what the speaker writes; survives a reboot
    runtime_dir: Path  # sockets and pins; gone after a reboot
    document: Path | None  # for the first start, when no revision is kept yet
    listen: str  # host:port of the API, besides the unix socket

    @property
    def api_socket(self) -> Path:
        """The unix socket of the API."""
        return self.runtime_dir / "api.sock"
