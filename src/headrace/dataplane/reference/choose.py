"""Which endpoint a packet goes to: by server id, note, owner or anchor of the flow's slot."""

from dataclasses import dataclass
from enum import StrEnum

from headrace.dataplane.layout import (
    LINES_PER_BLOCK,
    SLOT_ANCHOR_SHIFT,
    SLOT_HAS_ANCHOR,
    SLOT_OWNER_MASK,
    SLOT_UNSTABLE,
    SLOTS_PER_LINE,
)
from headrace.dataplane.reference.lookup import Lookup, Served
from headrace.dataplane.reference.memory import Memory, Note
from headrace.dataplane.reference.packet import Ended
from headrace.dataplane.tables import BlockAge, PoolTable
from headrace.maglev import slot_of
from headrace.model import Flow, FlowTable, Protocol


class Reason(StrEnum):
    """Why it is this endpoint."""

    SERVER_ID = "server id"
    NOTE = "note"
    OWNER = "owner"
    ANCHOR = "anchor"


@dataclass(frozen=True, slots=True)
class Asked:
    """What of a packet counts for the choice."""

    flow: Flow
    begins: bool = False  # the packet begins the flow: TCP's SYN, SCTP's INIT
    may_note: bool = True  # ICMP errors and later fragments only look notes up
    server_id: int | None = None  # in its QUIC connection id


@dataclass(frozen=True, slots=True)
class Slot:
    """A flow's place in a lookup table; owner and anchor are indexes of endpoints."""

    hash32: int
    pool: PoolTable
    number: int
    owner: int
    anchor: int | None
    unstable: bool

    @property
    def block(self) -> int:
        """The block that the slot is in."""
        return self.number // (SLOTS_PER_LINE * LINES_PER_BLOCK)

    @property
    def age(self) -> BlockAge:
        """What happened to the slot's block."""
        return self.pool.ages[self.block]


@dataclass(frozen=True, slots=True)
class Choice:
    """The endpoint of a packet, by index, and why."""

    slot: Slot
    endpoint: int
    reason: Reason


def choose(asked: Asked, served: Served, lookup: Lookup, memory: Memory, now_s: int) -> Choice:
    """The endpoint of a packet of a service; notes are written, a departure is remembered."""
    slot = locate(asked.flow, served, lookup)
    if asked.server_id is not None:
        named = lookup.tables.server_ids.get((slot.pool.name, asked.server_id))
        if named is not None and lookup.is_up(named):
            return Choice(slot, named, Reason.SERVER_ID)
    flow_table = served.row.entry.flow_table
    always = flow_table is FlowTable.ALWAYS
    if not always and (flow_table is FlowTable.NEVER or not slot.unstable):
        return Choice(slot, slot.owner, Reason.OWNER)
    endpoint, reason = _recall(_Notes(asked, lookup, memory, now_s), slot, always=always)
    if endpoint != slot.owner:
        memory.departures[slot.pool.name, slot.block] = now_s
        if asked.may_note:
            memory.see_flow(endpoint, lookup.flow_hash.hash32(asked.flow))
    return Choice(slot, endpoint, reason)


def locate(flow: Flow, served: Served, lookup: Lookup) -> Slot:
    """The slot of a flow of a service; Ended if the pool has no table."""
    pool = served.row.pool
    if not pool.words:
        raise Ended("drop_internal")
    hash32 = lookup.flow_hash.hash32(flow, served.row.entry.affinity)
    number = slot_of(hash32, len(pool.words))
    word = pool.words[number]
    anchor = word >> SLOT_ANCHOR_SHIFT & SLOT_OWNER_MASK if word & SLOT_HAS_ANCHOR else None
    owner = word & SLOT_OWNER_MASK
    return Slot(hash32, pool, number, owner, anchor, unstable=bool(word & SLOT_UNSTABLE))


@dataclass(frozen=True, slots=True)
class _Notes:
    """The note of one packet's flow."""

    asked: Asked
    lookup: Lookup
    memory: Memory
    now_s: int

    def endpoint(self, age: BlockAge, *, always: bool) -> int | None:
        """The noted endpoint, up or down; None if there is no note, or a void one."""
        note = self.memory.notes.get(self.asked.flow)
        if note is None:
            return None
        row = self.lookup.tables.endpoints.get(note.endpoint)
        if row is None or row.generation != note.generation:
            return None
        if always:
            is_kept = self.now_s - note.seen_s < self.lookup.tables.tuning.udp_idle_s
        else:
            is_kept = note.seen_s >= age.unstable_since_s
        return note.endpoint if is_kept else None

    def predates(self, age: BlockAge) -> bool:
        """Whether the flow, without a note, is older than the last change of its block.

        UDP has no SYN to tell; but once the idle time is over, what is older has a note.
        """
        if self.asked.flow.protocol is not Protocol.UDP:
            return True
        return self.now_s - age.changed_s <= self.lookup.tables.tuning.udp_idle_s

    def write(self, endpoint: int) -> None:
        """Note where the flow is, as seen now."""
        row = self.lookup.tables.endpoints.get(endpoint)
        if self.asked.may_note and row is not None:
            self.memory.notes[self.asked.flow] = Note(endpoint, row.generation, self.now_s)


def _recall(notes: _Notes, slot: Slot, *, always: bool) -> tuple[int, Reason]:
    """Where a flow is that may be elsewhere than its slot's owner says."""
    if notes.asked.begins:
        notes.write(slot.owner)
        return slot.owner, Reason.OWNER
    noted = notes.endpoint(slot.age, always=always)
    # A flow that is noted elsewhere did not begin at the anchor, so that would not know it.
    anchor = _anchor(notes, slot) if noted is None else None
    endpoint, reason = slot.owner, Reason.OWNER
    if noted is not None and notes.lookup.is_up(noted):
        endpoint, reason = noted, Reason.NOTE
    elif anchor is not None:
        endpoint, reason = anchor, Reason.ANCHOR
    if reason is Reason.NOTE or notes.asked.flow.protocol is Protocol.UDP:
        notes.write(endpoint)
    return endpoint, reason


def _anchor(notes: _Notes, slot: Slot) -> int | None:
    """The slot's anchor, if a flow without a note can have begun there and find it up."""
    if slot.anchor is None or not notes.lookup.is_up(slot.anchor):
        return None
    return slot.anchor if notes.predates(slot.age) else None
