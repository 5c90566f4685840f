"""Flows that the data plane knows one by one, and whose they are. Pure."""

from collections.abc import Callable, Iterable
from operator import attrgetter

from headrace.model import Document, Flow, FlowTable, IPNetwork, RememberedFlow, Service


def service_finder(document: Document) -> Callable[[Flow], Service | None]:
    """What finds the service that serves a flow: the longest VIP counts, then its port, then any.

    Finds as the data plane does, but for what a service refuses.
    """
    services = {
        (service.vip, service.protocol, port): service
        for service in document.services
        for port in service.ports
    }
    vips = {service.vip for service in document.services}
    networks = sorted(
        (vip for vip in vips if isinstance(vip, IPNetwork)),
        key=attrgetter("prefixlen"),
        reverse=True,
    )

    def find(flow: Flow) -> Service | None:
        address = flow.destination
        vip = address if address in vips else next((n for n in networks if address in n), None)
        if vip is None:
            return None
        found = (services.get((vip, flow.protocol, port)) for port in (flow.destination_port, 0))
        return next((service for service in found if service is not None), None)

    return find


def current_flows(document: Document, flows: Iterable[RememberedFlow]) -> list[RememberedFlow]:
    """Those of a service of the document that were seen lately enough for their note to count.

    The data plane looks at the slot as well, which may have settled sooner than the idle time.
    """
    cluster = document.cluster
    limits_s = {
        FlowTable.ALWAYS: cluster.udp_idle_s,
        FlowTable.UNSTABLE: cluster.transition_idle_s,
        FlowTable.NEVER: 0,
    }
    find = service_finder(document)
    found = ((each, find(each.flow)) for each in flows)
    return [
        each for each, service in found if service and each.idle_s < limits_s[service.flow_table]
    ]
