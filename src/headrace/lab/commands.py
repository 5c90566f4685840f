"""Run a command on a node of a lab and wait for what it says."""

import asyncio
from collections.abc import Sequence

from headrace.lab.laboratory import Laboratory
from headrace.lab.processes import kill_child
from headrace.model.errors import UnavailableError

COMMAND_TIMEOUT_S = 20.0


async def run_command(
    lab: Laboratory, node: str, argv: Sequence[str], *, stdin: bytes = b""
) -> bytes:
    """The standard output of a command; UnavailableError with what it complained about."""
    process = await asyncio.create_subprocess_exec(
        *lab.command(node, argv),
        env=lab.environment(node),
        stdin=asyncio.subprocess.PIPE,
        stdout=asyncio.subprocess.PIPE,
        stderr=asyncio.subprocess.PIPE,
        start_new_session=True,
    )
    try:
        async with asyncio.timeout(COMMAND_TIMEOUT_S):
            output, complaint = await process.communicate(stdin)
    except TimeoutError:
        raise UnavailableError(
            f"{' '.join(argv)} on {node} has not ended after {COMMAND_TIMEOUT_S:g} s"
        ) from None
    finally:
        if process.returncode is None:
            await kill_child(process)
    if process.returncode:
        said = (complaint or output).decode(errors="replace").strip()
        raise UnavailableError(f"{' '.join(argv)} on {node} ended with an error:\n{said}")
    return output
