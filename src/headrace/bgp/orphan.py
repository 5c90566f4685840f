"""A speaker whose daemon is gone for good."""

import asyncio
import contextlib
from pathlib import Path

from headrace.bgp.bird import Bird
from headrace.bgp.exabgp import Exabgp
from headrace.bgp.link import LinkLostError, RelayLink
from headrace.bgp.process import Process
from headrace.bgp.program import Program
from headrace.model import ProtocolError

LINK_TIMEOUT_S = 1.0
"""A relay looks for a daemon ten times a second."""

STOP_TIMEOUT_S = 5.0
"""To withdraw, and to close the sessions; 0.14 s is usual for each."""


async def end_orphan(directory: Path) -> bool:
    """Withdraw, and end what a daemon left behind in this directory; whether there was a speaker.

    The helper goes last: that it is gone must not look like a failure to routers.
    """
    socket_path = directory / "relay.sock"
    speakers: list[Program] = [
        Exabgp(directory, socket_path, None),
        Bird(directory, socket_path, None),
    ]
    ended = [await _end(program, socket_path) for program in speakers]
    helper = directory / "bfd"
    await _end(Bird(helper, helper / "relay.sock", None, bfd_only=True), helper / "relay.sock")
    return any(ended)


async def _end(program: Program, socket_path: Path) -> bool:
    process = program.find()
    if process is None:
        return False
    try:
        await _withdraw(program, socket_path)
        for end in (process.terminate, process.kill):
            end()
            if await _ends(process):
                break
    finally:
        process.close()
    return True


async def _withdraw(program: Program, socket_path: Path) -> None:
    """Tell the relay that nothing is wanted; where routers keep routes, an end alone is no word."""
    told = asyncio.Event()

    async def serve(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        link = RelayLink(reader, writer)
        with contextlib.suppress(ProtocolError, LinkLostError, TimeoutError):
            async with asyncio.timeout(STOP_TIMEOUT_S), asyncio.TaskGroup() as group:
                await link.hello()
                listening = group.create_task(_listen(link))
                await link.withdraw()
                await program.flush(link)
                listening.cancel()
        link.close()
        told.set()

    server = await asyncio.start_unix_server(serve, path=socket_path)  # in place of an old one
    with contextlib.suppress(TimeoutError):
        async with asyncio.timeout(LINK_TIMEOUT_S + STOP_TIMEOUT_S):
            await told.wait()
    server.close()


async def _listen(link: RelayLink) -> None:
    """Have answers come in; events are for nobody."""
    async for _ in link.events():
        pass


async def _ends(process: Process) -> bool:
    try:
        async with asyncio.timeout(STOP_TIMEOUT_S):
            await process.wait()
    except TimeoutError:
        return False
    return True
