"""Changes a data plane on `v0` while packets come from `p0` and return there; counts as JSON.

`python -m tests.dataplane.flood DIRECTORY`, in a network namespace that has this veth pair.
"""

import json
import socket
import sys
import threading
from dataclasses import dataclass, field
from pathlib import Path

from headrace.lab.offloads import set_offloads
from headrace.model import Port

from .changing import FLOWS, Changing, flow_of, seen
from .rig import OWN_MAC

_IPV4 = 0x0800
_SO_RCVBUFFORCE = 33
_BATCH = 50
_TIMEOUT_S = 2.0
_FRAME_BYTES = 2048


@dataclass(slots=True)
class Flood:
    """Batches of packets: the next one when all of the last one have come back."""

    changing: Changing
    end: socket.socket
    stop: threading.Event = field(default_factory=threading.Event)
    sent: int = 0
    seen: list[tuple[int, int, int, bytes]] = field(default_factory=list)

    def run(self) -> None:
        """Send until told to stop, or a packet is lost."""
        first = 0
        while not self.stop.is_set() and self.sent == len(self.seen):
            self._batch(range(first, first + _BATCH))
            first = (first + _BATCH) % FLOWS

    def _batch(self, flows: range) -> None:
        before = self.changing.done
        for flow in flows:
            self.end.send(self.changing.frames[flow])
        self.sent += len(flows)
        arrived = []
        for _ in flows:
            try:
                arrived.append(self.end.recv(_FRAME_BYTES))
            except TimeoutError:
                break
        after = self.changing.started
        self.seen += [(flow_of(frame), before, after, seen(frame)) for frame in arrived]


def main() -> int:
    """Write to standard output how many packets were sent, lost and wrong."""
    changing = Changing(Path(sys.argv[1]), Port("v0", socket.if_nametoindex("v0"), (OWN_MAC,)))
    set_offloads("p0", gro=True)  # without it a veth's end takes nothing that XDP redirects
    with socket.socket(socket.AF_PACKET, socket.SOCK_RAW, socket.htons(_IPV4)) as end:
        end.bind(("p0", _IPV4))
        end.setsockopt(socket.SOL_SOCKET, _SO_RCVBUFFORCE, 1 << 24)
        end.settimeout(_TIMEOUT_S)
        changing.attach()
        flood = Flood(changing, end)
        thread = threading.Thread(target=flood.run)
        thread.start()
        made = sum(1 for _ in changing.changes())
        flood.stop.set()
        thread.join()
    wrong = [each for each in flood.seen if not changing.is_right(each[0], each[3], *each[1:3])]
    told = {
        "changes": made,
        "packets": flood.sent,
        "lost": flood.sent - len(flood.seen),
        "wrong": len(wrong),
        "met": len({before for _, before, after, _ in flood.seen if after > before}),
        "dropped": changing.dropped(),
    }
    sys.stdout.write(json.dumps(told) + "\n")
    changing.close()
    return 0


if __name__ == "__main__":
    sys.exit(main())
