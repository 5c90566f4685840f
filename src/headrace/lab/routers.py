"""The routing daemon that a topology gives a node."""

from headrace.lab.bird import BirdRouter
from headrace.lab.frr import FrrRouter
from headrace.lab.laboratory import Laboratory
from headrace.lab.router import Router
from headrace.lab.topology import Node, RoutingDaemon
from headrace.model.errors import UnavailableError


def make_router(lab: Laboratory, node: Node) -> Router:
    """The router of a node, not started yet."""
    if node.bgp is None:
        raise UnavailableError(f"node {node.name} has no BGP in its topology")
    return {RoutingDaemon.BIRD: BirdRouter, RoutingDaemon.FRR: FrrRouter}[node.bgp.daemon](
        lab, node
    )
