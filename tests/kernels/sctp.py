"""What the sctp probe says of a listener that is there, and then is not."""

import asyncio
import socket

from headrace.model import Probe, ProbeKind, ProbePath
from tests.health.support import direct, first_belief

AS_PROMISED = ["up: connected", "down: refused"]
_CHECK = Probe(ProbeKind.SCTP, path=ProbePath.DIRECT, interval_s=0.5, timeout_s=0.4, rise=1, fall=1)


def probe_sctp() -> list[str]:
    """Health and reason while somebody listens, and afterwards; nothing on a kernel without it."""
    try:
        listener = socket.socket(socket.AF_INET, socket.SOCK_STREAM, socket.IPPROTO_SCTP)
    except OSError:
        return []
    with listener:
        listener.bind(("127.0.0.1", 0))
        listener.listen()
        port = listener.getsockname()[1]
        living = asyncio.run(_believe(port))
    return [living, asyncio.run(_believe(port))]


async def _believe(port: int) -> str:
    belief = await first_belief(direct(port, _CHECK))
    return f"{belief.health}: {belief.reason}"
