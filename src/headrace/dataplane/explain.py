"""Says in words what the data plane does with a flow, and why."""

from headrace.dataplane.reference import Choice, choose, find_service
from headrace.dataplane.tables import Tables
from headrace.model import Explanation, Flow, Path


def explain_flow(flow: Flow, tables: Tables) -> Explanation:
    """The way of a flow's packets, by the maps' contents."""
    if flow.destination not in tables.vips:
        step = f"{flow.destination} is no VIP of this node: its packets are left to the kernel"
        return Explanation(flow, "pass_not_vip", steps=(step,))
    key = find_service(flow, tables)
    if key is None:
        step = (
            f"{flow.destination} is a VIP, but no service has {flow.protocol} port "
            f"{flow.destination_port} or any port: its packets are dropped and counted"
        )
        return Explanation(flow, "drop_unserved", steps=(step,))
    choice = choose(flow, key, tables)
    path = choice.endpoint.path
    return Explanation(
        flow=flow,
        verdict="sent" if path else "drop_no_path",
        service=key,
        hash32=choice.hash32,
        slot=choice.slot,
        endpoint=choice.endpoint.address,
        path=path,
        steps=(*_choice_steps(choice, tables), _path_step(path)),
    )


def _choice_steps(choice: Choice, tables: Tables) -> tuple[str, ...]:
    pool = tables.services[choice.service]
    return (
        f"service {choice.service}, served by pool {pool.name}",
        f"hash {choice.hash32:#010x} falls into slot {choice.slot:,} of {len(pool.slots):,}",
        f"the slot belongs to endpoint {choice.endpoint.address}",
    )


def _path_step(path: Path | None) -> str:
    if path is None:
        return "the endpoint has no path at the moment: its packets are dropped and counted"
    return (
        f"sent as {path.outer_source} > {path.outer_destination} (ipip) to the neighbour "
        f"{path.next_hop.destination_mac.hex(':')} on interface {path.next_hop.ifindex}"
    )
