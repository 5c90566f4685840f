"""`headrace capture`: packets as they leave the data plane, with what became of each."""

import sys
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from headrace.cli.client import RUNTIME_ROOT, Failure
from headrace.cli.options import INSTANCE, InstanceOption

if TYPE_CHECKING:
    from headrace.capture import Sink

app = typer.Typer(add_completion=False)

_ONE_IN = 1000
"""A busy node forwards some thousand packets in a millisecond, and copying one costs a bit."""


@app.command()
def capture(
    write: Annotated[
        str | None,
        typer.Option("--write", "-w", metavar="FILE", help="a pcapng file; - for stdout"),
    ] = None,
    one_in: Annotated[
        int, typer.Option(min=1, help="sample one packet in so many, at random; 1 takes every one")
    ] = _ONE_IN,
    verdict: Annotated[
        list[str] | None,
        typer.Option(help="only packets with this verdict; may be repeated"),
    ] = None,
    count: Annotated[
        int | None, typer.Option("--count", "-c", min=1, help="end after so many packets")
    ] = None,
    instance: InstanceOption = INSTANCE,
) -> None:
    """Show packets as they leave the data plane: one line each, or a pcapng file.

    Each has its verdict, endpoint and pool; in a file they are the packet's comment. Packets that
    are not for a VIP are left out unless --verdict names theirs. Ends by --count or Ctrl-C.
    """
    from headrace.capture import LIMIT_ONE_IN, Wanted, open_session, stop_signals
    from headrace.daemon.settings import bpf_dir
    from headrace.model import LbError

    runtime_dir = Path(RUNTIME_ROOT) / instance
    try:
        wanted = Wanted(min(one_in, LIMIT_ONE_IN), frozenset(verdict or ()), count)
        with (
            stop_signals() as stop,
            open_session(runtime_dir, bpf_dir(runtime_dir)) as session,
            _sink(write) as sink,
        ):
            _say(f"sampling one packet in {wanted.one_in:,}; --one-in says how many")
            done = session.take(wanted, sink, stop)
    except LbError as error:
        raise Failure(str(error)) from error
    _say(f"{done.count:,} packets")
    if done.is_full:
        _say("samples came faster than they were read: some are missing; use a larger --one-in")


@contextmanager
def _sink(write: str | None) -> Iterator["Sink"]:
    """Where packets go; a file is made now, one that is there is overwritten."""
    from headrace.capture import Lines, PcapngFile

    if write is None:
        yield Lines(sys.stdout)
    elif write == "-":
        yield PcapngFile(sys.stdout.buffer)
    else:
        try:
            with Path(write).open("wb") as stream:
                yield PcapngFile(stream)
        except OSError as error:
            raise Failure(f"{write}: {error.strerror}; name a file that can be written") from error


def _say(text: str) -> None:
    print(f"headrace: {text}", file=sys.stderr)
