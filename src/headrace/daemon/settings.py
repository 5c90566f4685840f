"""What the command line decides before there is a document."""

from dataclasses import dataclass
from pathlib import Path

from headrace.api import Listening


def bpf_dir(runtime_dir: Path) -> Path:
    """The bpffs with an instance's pins."""
    return runtime_dir / "bpf"


def speaker_dir(runtime_dir: Path) -> Path:
    """The BGP speaker's folder: its configuration, its log, the relay's socket."""
    return runtime_dir / "exabgp"


def probes_owner(runtime_dir: Path) -> str:
    """What tells an instance's routes of probes from those of others on the same node."""
    return str(runtime_dir.resolve())


@dataclass(frozen=True, slots=True)
class Settings:
    """Where one instance keeps its things and listens."""

    instance: str
    state_dir: Path  # revisions, and what the speaker writes; survives a reboot
    runtime_dir: Path  # sockets and pins; gone after a reboot
    document: Path | None  # for the first start, when no revision is kept yet
    import_dir: Path | None  # LoxiLB's saved configuration, likewise; added to the document
    listen: tuple[str, ...]  # ADDRESS:PORT of the API, besides the unix socket; or only `none`
    keep_announced: bool = False  # when it stops, for a successor that starts soon
    readers: str | None = None  # group whose members may read at the unix socket
    tls_certificate: Path | None = None  # for addresses that others can reach
    tls_key: Path | None = None
    tls_client_ca: Path | None = None

    @property
    def api_socket(self) -> Path:
        """The unix socket of the API."""
        return self.runtime_dir / "api.sock"

    @property
    def listening(self) -> Listening:
        """Where the API listens."""
        return Listening(
            unix_path=self.api_socket,
            state_dir=self.state_dir,
            addresses=self.listen,
            readers=self.readers,
            certificate=self.tls_certificate,
            key=self.tls_key,
            client_ca=self.tls_client_ca,
        )
