"""The flows that the data plane knows one by one, read from its table of notes."""

from collections.abc import Mapping
from itertools import islice

from headrace.dataplane import layout
from headrace.dataplane.maps import HashMap
from headrace.dataplane.tables import EndpointRow
from headrace.model import Flow, Protocol, RememberedFlow


def read_flows(
    fd: int, endpoints: Mapping[int, EndpointRow], now_s: int, limit: int
) -> list[RememberedFlow]:
    """Flows that are noted at an endpoint that is still there, in no order, each once.

    Looks at `limit` notes at most: packets add notes while they are read.
    """
    notes = HashMap(fd, layout.FlowKey, layout.Note)
    found: dict[Flow, RememberedFlow] = {}
    for key, note in islice(notes.items(), limit):
        flow = _flow_of(key)
        row = endpoints.get(note.endpoint)
        if flow is not None and row is not None and row.generation == note.generation:
            idle_s = max(now_s - int(note.seen_s), 0)
            found[flow] = RememberedFlow(flow, row.address, idle_s)
    return list(found.values())


def _flow_of(key: layout.FlowKey) -> Flow | None:
    """The flow of a key; None for a key that the data plane does not write."""
    source, destination = map(layout.address_of, (bytes(key.source), bytes(key.destination)))
    if source is None or destination is None:
        return None
    return Flow(
        Protocol.of_number(key.protocol),
        source,
        int.from_bytes(bytes(key.source_port), "big"),
        destination,
        int.from_bytes(bytes(key.destination_port), "big"),
    )
