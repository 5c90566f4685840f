"""Labs: whole networks in namespaces of their own, for demonstration, tests and play.

Topologies are data; a `Laboratory` is one that exists. Nothing touches the root namespace, and
everything is removed afterwards, by the next lab of the same name if this process is killed.
"""

from headrace.lab.balancer import Balancer, own_program, render_document, rule_arguments
from headrace.lab.capture import Capture, CapturePoint
from headrace.lab.check import run_checks
from headrace.lab.commands import run_command
from headrace.lab.demo import down, exec_in, run_demo, up
from headrace.lab.endpoint import prepare_endpoint, start_decapsulation
from headrace.lab.laboratory import Laboratory, remove_lab
from headrace.lab.proofs import prove_announce
from headrace.lab.router import Router
from headrace.lab.routers import make_router
from headrace.lab.tools import find_tool
from headrace.lab.topologies import DEMO, TOPOLOGIES
from headrace.lab.topology import Link, Node, Role, Topology
from headrace.lab.traffic import LiveTraffic, Report, ask_names, start_server

__all__ = [
    "DEMO",
    "TOPOLOGIES",
    "Balancer",
    "Capture",
    "CapturePoint",
    "Laboratory",
    "Link",
    "LiveTraffic",
    "Node",
    "Report",
    "Role",
    "Router",
    "Topology",
    "ask_names",
    "down",
    "exec_in",
    "find_tool",
    "make_router",
    "own_program",
    "prepare_endpoint",
    "prove_announce",
    "remove_lab",
    "render_document",
    "rule_arguments",
    "run_checks",
    "run_command",
    "run_demo",
    "start_decapsulation",
    "start_server",
    "up",
]
