"""An ExaBGP whose daemon is gone for good."""

import asyncio
from pathlib import Path

from headrace.bgp.configuration import Files
from headrace.bgp.process import Process

STOP_TIMEOUT_S = 5.0
"""For ExaBGP to close its sessions, which withdraws its routes; 0.14 s is usual."""


async def end_orphan(directory: Path) -> bool:
    """End the ExaBGP that a daemon left behind in this directory; whether there was one."""
    files = Files(directory)
    process = Process.find(files.pidfile, str(files.configuration))
    if process is None:
        return False
    try:
        for end in (process.terminate, process.kill):
            end()
            if await _ends(process):
                break
    finally:
        process.close()
    return True


async def _ends(process: Process) -> bool:
    try:
        async with asyncio.timeout(STOP_TIMEOUT_S):
            await process.wait()
    except TimeoutError:
        return False
    return True
