"""A daemon in small: runs one speaker, is told what to do by lines of JSON on stdin.

python speaker_host.py DIRECTORY KEEP_S
{"do": "announce", "announcements": [["20.20.20.1/32", null, []]]}   -> {"done": ...}
{"do": "configure", "bgp": {...}}
{"do": "sessions"}
{"do": "stop"}
"""

import asyncio
import json
import sys
from pathlib import Path
from typing import Any

from headrace.bgp import ExabgpSpeaker
from headrace.bgp import speaker as speaker_module
from headrace.bgp.link import decode_announcements
from headrace.model import Bgp, LbError, SessionEvent


def say(**message: object) -> None:
    sys.stdout.write(json.dumps(message) + "\n")
    sys.stdout.flush()


def tell_event(event: SessionEvent) -> None:
    say(event=[str(event.peer), event.state, event.reason])


async def obey(speaker: ExabgpSpeaker, order: dict[str, Any]) -> object:
    match order["do"]:
        case "announce":
            await speaker.announce(decode_announcements(order["announcements"]))
        case "configure":
            await speaker.configure(order["bgp"] and Bgp.model_validate(order["bgp"]))
        case "sessions":
            return [[str(peer), *state] for peer, state in speaker.sessions.items()]
        case "stop":
            await speaker.stop()
    return None


async def main(directory: Path, keep_s: float) -> None:
    speaker = ExabgpSpeaker(directory, tell_event, keep_s=keep_s)
    orders = asyncio.StreamReader()
    loop = asyncio.get_running_loop()
    await loop.connect_read_pipe(lambda: asyncio.StreamReaderProtocol(orders), sys.stdin)
    first = json.loads(await orders.readline())
    async with asyncio.TaskGroup() as group:
        run = group.create_task(speaker.run(first["bgp"] and Bgp.model_validate(first["bgp"])))
        while not run.done():
            order = json.loads(await orders.readline())
            try:
                say(done=await obey(speaker, order))
            except LbError as error:
                say(failed=str(error))
            if order["do"] == "stop":
                await run


speaker_module.ANNOUNCE_TIMEOUT_S = speaker_module.LINK_TIMEOUT_S = float(sys.argv[3])
asyncio.run(main(Path(sys.argv[1]), float(sys.argv[2])))
