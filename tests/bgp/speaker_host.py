"""A daemon in small: runs one speaker, is told what to do by lines of JSON on stdin.

python speaker_host.py DIRECTORY PATIENCE_S
{"do": "announce", "announcements": [["20.20.20.1/32", null, [], 0, null, null]]}  -> {"done": ...}
{"do": "configure", "bgp": {...}}
{"do": "sessions"}
{"do": "alarms"}
{"do": "watched"}
{"do": "families"}
{"do": "unsaid"}
{"do": "stop", "keep": false}
"""

import asyncio
import json
import sys
from pathlib import Path
from typing import Any

from headrace.bgp import BgpSpeaker
from headrace.bgp import speaker as speaker_module
from headrace.bgp import supervisor as supervisor_module
from headrace.bgp.link import decode_announcements, encode_announcements
from headrace.model import Bgp, LbError, SessionEvent


def say(**message: object) -> None:
    sys.stdout.write(json.dumps(message) + "\n")
    sys.stdout.flush()


def tell_event(event: SessionEvent) -> None:
    say(event=[str(event.peer), event.state, event.reason])


async def obey(speaker: BgpSpeaker, order: dict[str, Any]) -> object:
    match order["do"]:
        case "announce":
            await speaker.announce(decode_announcements(order["announcements"]))
        case "configure":
            await speaker.configure(order["bgp"] and Bgp.model_validate(order["bgp"]))
        case "sessions":
            return [[str(peer), *state] for peer, state in speaker.sessions.items()]
        case "held":
            held = await speaker.held()
            return None if held is None else encode_announcements(held)
        case "alarms":
            return list(speaker.alarms())
        case "watched":
            return [[str(peer), *state] for peer, state in speaker.watched.items()]
        case "families":
            return {str(peer): sorted(each) for peer, each in speaker.families.items()}
        case "unsaid":
            return {str(peer): sorted(map(str, each)) for peer, each in speaker.unsaid.items()}
        case "stop":
            await speaker.stop(keep_announced=order.get("keep", False))
    return None


async def main(directory: Path) -> None:
    speaker = BgpSpeaker(directory, tell_event)
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


speaker_module.ANNOUNCE_TIMEOUT_S = supervisor_module.LINK_TIMEOUT_S = float(sys.argv[2])
asyncio.run(main(Path(sys.argv[1])))
