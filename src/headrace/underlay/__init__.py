"""The kernel's links, routes, tunnels and neighbours, as values.

Resolves an endpoint to an outer header and a next hop, keeps next hops resolved, and says when an
answer may have changed. Decides nothing about services.
"""

from headrace.underlay.icmp_errors import IcmpError, IcmpErrors, IcmpKind
from headrace.underlay.main_routes import MainRoute, read_main_routes
from headrace.underlay.probe_hindrances import ProbeHindrances, ReversePathFilter
from headrace.underlay.probe_messages import PROBE_MARK, ProbeRoute
from headrace.underlay.probe_routes import ProbeRoutes, remove_probe_routes
from headrace.underlay.underlay import Underlay

__all__ = [
    "PROBE_MARK",
    "IcmpError",
    "IcmpErrors",
    "IcmpKind",
    "MainRoute",
    "ProbeHindrances",
    "ProbeRoute",
    "ProbeRoutes",
    "ReversePathFilter",
    "Underlay",
    "read_main_routes",
    "remove_probe_routes",
]
