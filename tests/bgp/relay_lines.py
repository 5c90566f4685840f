"""What relays are told in tests: lines of the daemon's and of ExaBGP's."""

import json
from typing import Any

from tests.bgp.support import whole

R1 = "10.9.1.254"
R2 = "10.9.2.254"
R6 = "fd09::254"
OURS = {R1: "10.9.1.1", R2: "10.9.2.1", R6: "fd09::1"}
PEERS = {R1: [65001, [4], False], R2: [65001, [4], False], R6: [65001, [6], False]}
VIP = "20.20.20.1/32"
OTHER = "20.20.20.2/32"


def announce_line(
    request_id: int, *routes: str | dict[str, Any], keep_s: object = 60.0, **terms: Any
) -> bytes:
    """The whole set: prefixes, or mappings of an announcement's fields."""
    message = {
        "type": "announce",
        "id": request_id,
        "keep_s": keep_s,
        "drain_s": 0.0,
        "leaving": [],
        "as": 64512,
        "end_of_rib": False,
        "peers": PEERS,
        "announcements": [whole(route) for route in routes],
    }
    return f"{json.dumps(message | terms)}\n".encode()


def command_line(request_id: int, text: str) -> bytes:
    """A command of the speaker's own."""
    return f"{json.dumps({'type': 'command', 'id': request_id, 'text': text})}\n".encode()


def hand_over_line(request_id: int, within_s: float) -> bytes:
    """The set is to be left to another speaker."""
    message = {"type": "hand_over", "id": request_id, "within_s": within_s}
    return f"{json.dumps(message)}\n".encode()


def negotiated_line(peer: str, *families: str, nexthop: list[str] | None = None) -> bytes:
    """What ExaBGP 5 prints ahead of a session that comes up."""
    address = {"local": OURS[peer], "peer": peer}
    negotiated = {"message_size": 4096, "families": list(families), "nexthop": nexthop or []}
    neighbor = {"address": address, "negotiated": negotiated}
    event = {"exabgp": "5.0.0", "type": "negotiated", "neighbor": neighbor}
    return f"{json.dumps(event)}\n".encode()


def state_line(peer: str, state: str, local: str | None = None) -> bytes:
    """A session event as ExaBGP 5 prints it."""
    address = {"local": local or OURS[peer], "peer": peer}
    neighbor = {"address": address, "asn": {"local": 1, "peer": 2}, "state": state}
    if state == "down":
        neighbor["reason"] = "peer reset"
    return f"{json.dumps({'exabgp': '5.0.0', 'type': 'state', 'neighbor': neighbor})}\n".encode()
