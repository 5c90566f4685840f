"""`headrace run`: the daemon."""

import gc
import re
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from importlib.util import find_spec, module_from_spec
from pathlib import Path
from typing import Annotated

import typer

from headrace.cli.client import RUNTIME_ROOT, Failure
from headrace.cli.options import INSTANCE

app = typer.Typer(add_completion=False)

STATE_ROOT = Path("/var/lib/headrace")
_INSTANCE_NAME = re.compile(r"[A-Za-z0-9][A-Za-z0-9_.-]{0,31}")

ListenOption = Annotated[
    list[str],
    typer.Option(
        envvar="HEADRACE_LISTEN",
        help="ADDRESS:PORT of the API besides its unix socket, several if repeated; or none",
    ),
]
ImportOption = Annotated[
    Path | None,
    typer.Option(
        "--import",
        help="folder with LoxiLB's lbconfig.txt and the like, for the first start as well",
    ),
]
ReadersOption = Annotated[
    str | None,
    typer.Option(
        envvar="HEADRACE_READERS", help="group that may read at the unix socket, not change"
    ),
]
CertificateOption = Annotated[
    Path | None,
    typer.Option(
        envvar="HEADRACE_TLS_CERTIFICATE",
        help="PEM file with its chain, for addresses that others can reach",
    ),
]
KeyOption = Annotated[
    Path | None, typer.Option(envvar="HEADRACE_TLS_KEY", help="its key, PEM, without password")
]
ClientCaOption = Annotated[
    Path | None,
    typer.Option(
        envvar="HEADRACE_TLS_CLIENT_CA",
        help="PEM file; what it signed with OU headrace-read or headrace-write opens the API",
    ),
]


@app.command()
def run(  # noqa: PLR0917 - an option each
    instance: Annotated[
        str,
        typer.Option(envvar="HEADRACE_INSTANCE", help="a name, where one host has several"),
    ] = INSTANCE,
    state: Annotated[
        Path | None,
        typer.Option(help="folder for revisions; /var/lib/headrace/INSTANCE if absent"),
    ] = None,
    document: Annotated[
        Path | None,
        typer.Option(help="YAML or JSON for the first start, when no revision is kept yet"),
    ] = None,
    import_dir: ImportOption = None,
    listen: ListenOption = ["127.0.0.1:11111"],  # noqa: B006 - typer copies it
    readers: ReadersOption = None,
    tls_certificate: CertificateOption = None,
    tls_key: KeyOption = None,
    tls_client_ca: ClientCaOption = None,
    keep_announced: Annotated[
        bool,
        typer.Option(
            "--keep-announced",
            help="when it stops, leave the VIPs announced for bgp.keep_announced_s: for upgrades",
        ),
    ] = False,
) -> None:
    """Run the daemon until SIGTERM; the data plane goes on without it.

    It attaches to the interfaces that the document names in node.interfaces. Without that it
    attaches to EVERY interface that is up and can carry XDP, the management interface included.
    """
    check_instance(instance)
    _leave_out_what_is_not_used()
    with collecting_later():
        from headrace.daemon.app import run as run_daemon
        from headrace.daemon.settings import Settings
        from headrace.model import LbError

    settings = Settings(
        instance=instance,
        state_dir=state or STATE_ROOT / instance,
        runtime_dir=Path(RUNTIME_ROOT) / instance,
        document=document,
        import_dir=import_dir,
        listen=tuple(listen),
        keep_announced=keep_announced,
        readers=readers,
        tls_certificate=tls_certificate,
        tls_key=tls_key,
        tls_client_ca=tls_client_ca,
    )
    try:
        run_daemon(settings)
    except LbError as error:
        raise Failure(str(error)) from error


def check_instance(name: str) -> None:
    """Raise Failure if this cannot be an instance's name: its folders are called by it."""
    if not _INSTANCE_NAME.fullmatch(name):
        raise Failure(
            f"--instance {name!r} is not a name of letters, digits and _ . -; use 32 of them at "
            "most, a letter or digit first"
        )


@contextmanager
def collecting_later() -> Iterator[None]:
    """Collect no garbage meanwhile: of imports there is none, and it takes a fifth of a start."""
    gc.disable()
    try:
        yield
    finally:
        gc.enable()


def _leave_out_what_is_not_used() -> None:
    """Spare the daemon what libraries load and it never calls: 11 MB for as long as it runs."""
    # structlog would load it to draw tracebacks in colour.
    sys.modules.setdefault("rich", None)  # type: ignore[arg-type]  # Python's way to say it is not
    # Its own beginning loads every protocol and database that it has; what we use of it does not.
    spec = find_spec("pyroute2")
    if spec is not None:
        sys.modules.setdefault("pyroute2", module_from_spec(spec))
