"""Says in words what the data plane does with a flow, and why."""

from collections.abc import Iterable

from headrace.dataplane.reference import Asked, Lookup, Memory, Served, Slot, Source, Vip, choose
from headrace.dataplane.tables import EndpointRow, Tables
from headrace.model import (
    Affinity,
    Encapsulation,
    Explanation,
    Flow,
    FlowTable,
    IPAddress,
    IPNetwork,
    Protocol,
)

_NAMED_SOURCES = 3
_COUNTED = {
    Affinity.FLOW: "addresses, ports and protocol",
    Affinity.SOURCE_IP: "addresses without ports and protocol",
    Affinity.DESTINATION_PORT: "destination port alone",
}
_BEGINNINGS = {Protocol.TCP: "SYN", Protocol.SCTP: "INIT"}


def explain_flow(flow: Flow, tables: Tables) -> Explanation:
    """The way of a flow that begins now, by the maps' contents.

    The steps also say what is different for a flow that began earlier.
    """
    lookup = Lookup.of(tables)
    vip = lookup.vip(flow.destination.version, int(flow.destination))
    if vip is None:
        step = f"{flow.destination} is no VIP of this node: its packets are left to the kernel"
        return Explanation(flow, "pass_not_vip", steps=(step,))
    served = vip.service(flow.protocol, flow.destination_port)
    if served is None:
        return _unserved(flow, vip)
    steps = [
        *_prefix_steps(flow, vip),
        f"service {served.key}, served by pool {served.row.pool.name}",
    ]
    source = served.source(flow.source.version, int(flow.source))
    steps += _source_steps(flow, served, source)
    if not source.allowed:
        return Explanation(flow, "drop_source", service=served.key, steps=tuple(steps))
    if not served.row.pool.words:
        steps.append("the pool has no lookup table, please report it: its packets are dropped")
        return Explanation(flow, "drop_internal", service=served.key, steps=tuple(steps))
    # Without notes, the time makes no difference to a packet that begins a flow.
    choice = choose(Asked(flow, begins=True), served, lookup, Memory(), now_s=0)
    endpoint = tables.endpoints.get(choice.endpoint)
    path = endpoint.path if endpoint else None
    return Explanation(
        flow=flow,
        verdict=_verdict(endpoint),
        service=served.key,
        hash32=choice.slot.hash32,
        slot=choice.slot.number,
        endpoint=endpoint.address if endpoint else None,
        path=path,
        steps=(*steps, *_choice_steps(flow, served, choice.slot, tables), _path_step(endpoint)),
    )


def _verdict(endpoint: EndpointRow | None) -> str:
    if endpoint is None:
        return "drop_internal"
    return "sent" if endpoint.path else "drop_no_path"


def _unserved(flow: Flow, vip: Vip) -> Explanation:
    fate = "left to the kernel" if vip.passes else "dropped and counted"
    step = (
        f"{vip.name} is a VIP, but no service has {flow.protocol} port "
        f"{flow.destination_port} or any port: its packets are {fate}"
    )
    verdict = "pass_unserved" if vip.passes else "drop_unserved"
    return Explanation(flow, verdict, steps=(*_prefix_steps(flow, vip), step))


def _prefix_steps(flow: Flow, vip: Vip) -> list[str]:
    if isinstance(vip.name, IPAddress):
        return []
    return [f"{flow.destination} is in {vip.name}, the longest VIP prefix that holds it"]


def _source_steps(flow: Flow, served: Served, source: Source) -> list[str]:
    entry = served.row.entry
    if source.prefix is not None:
        says = "allows" if source.allowed else "denies"
        fate = "" if source.allowed else ": its packets are dropped and counted"
        return [f"the service {says} {source.prefix}, which {flow.source} is in{fate}"]
    if entry.sources:
        allowed = _listed(entry.sources)
        absent = f"{flow.source} is in none of them: its packets are dropped and counted"
        return [f"the service allows {allowed} only, and {absent}"]
    if entry.denied_sources:
        denied = _listed(entry.denied_sources)
        return [f"the service denies {denied}, and {flow.source} is in none of them"]
    return []


def _listed(sources: Iterable[IPNetwork]) -> str:
    names = sorted(map(str, sources))
    more = len(names) - _NAMED_SOURCES
    return ", ".join(names[:_NAMED_SOURCES]) + (f" and {more} more prefixes" if more > 0 else "")


def _choice_steps(flow: Flow, served: Served, slot: Slot, tables: Tables) -> list[str]:
    steps = _server_id_steps(flow, served, tables)
    counted = _COUNTED[served.row.entry.affinity]
    steps.append(
        f"hash {slot.hash32:#010x} of the {counted} falls into slot {slot.number:,} "
        f"of {len(slot.pool.words):,}"
    )
    steps.append(f"the slot belongs to endpoint {_name(slot.owner, tables)}")
    flow_table = served.row.entry.flow_table
    if slot.unstable:
        steps += _unstable_steps(flow, flow_table, slot, tables)
    if flow_table is FlowTable.ALWAYS and flow.protocol is Protocol.UDP:
        steps.append(
            "the service remembers every flow: a noted one stays at its endpoint while that is up, "
            f"until it has been idle for {tables.tuning.udp_idle_s} s, whatever its slot says"
        )
    return steps


def _server_id_steps(flow: Flow, served: Served, tables: Tables) -> list[str]:
    if not served.row.entry.quic or flow.protocol is not Protocol.UDP:
        return []
    count = sum(pool == served.row.pool.name for pool, _ in tables.server_ids)
    step = (
        f"a QUIC packet whose connection id has one of the pool's {count} server ids goes to that "
        "endpoint while it is up; Initial, 0-RTT and all other packets go by hash"
    )
    return [step]


def _unstable_steps(flow: Flow, flow_table: FlowTable, slot: Slot, tables: Tables) -> list[str]:
    """How a slot whose owner changed lately treats the flows of both times."""
    changed = "the slot is unstable: it had another owner lately"
    if flow_table is FlowTable.NEVER:
        return [f"{changed}, but the service remembers no flows: all go to its owner"]
    noted = "a flow with a note stays at the noted endpoint while that is up"
    if slot.anchor is None:
        unnoted = "a flow without a note goes to the owner, as nobody up is known from before"
    else:
        unnoted = f"a flow without a note {_anchor_rule(flow, slot.anchor, tables)}"
    if flow.protocol is Protocol.UDP:
        return [changed, f"{noted}; {unnoted}, and is noted there"]
    begins = _BEGINNINGS[flow.protocol]
    return [changed, f"its {begins} goes to the owner and is noted", f"{noted}; {unnoted}"]


def _anchor_rule(flow: Flow, anchor: int, tables: Tables) -> str:
    endpoint = tables.endpoints.get(anchor)
    name = _name(anchor, tables)
    if endpoint is None or endpoint.down:
        return f"goes to the owner, as the anchor is {name}"
    if flow.protocol is Protocol.UDP:
        return (
            f"goes to the anchor {name} until {tables.tuning.udp_idle_s} s after the change, "
            "then to the owner"
        )
    return f"began before the change and goes to the anchor {name}"


def _name(index: int, tables: Tables) -> str:
    endpoint = tables.endpoints.get(index)
    if endpoint is None:
        return f"number {index}, which is not there"
    return f"{endpoint.address}, which is down" if endpoint.down else str(endpoint.address)


def _path_step(endpoint: EndpointRow | None) -> str:
    if endpoint is None:
        return "the tables contradict each other, please report it: its packets are dropped"
    path = endpoint.path
    if path is None:
        return "the endpoint has no path at the moment: its packets are dropped and counted"
    hop = path.next_hop
    tag = f" with VLAN tag {hop.tag}" if hop.tag else ""
    where = f"the neighbour {hop.destination_mac.hex(':')} on interface {hop.ifindex}{tag}"
    if path.encapsulation is Encapsulation.L2:
        return f"sent as it is (l2) to {where}"
    hashed = ", its last 16 bits from the hash," if path.source_hashed else ""
    dscp = "" if endpoint.dscp is None else f", DSCP {endpoint.dscp}"
    return (
        f"sent as {path.outer_source}{hashed} > {path.outer_destination} "
        f"({path.encapsulation}{dscp}) to {where}"
    )
