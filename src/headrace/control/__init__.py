"""Decides: document + paths -> desired; desired - actual -> plan; applies it through ports.

Imports no room that touches the world; `ports` says what it needs of them.
"""

from headrace.control.controller import Controller, World, restore
from headrace.control.journal import SessionChanged
from headrace.control.log_level import LogLevel
from headrace.control.ports import Operator
from headrace.control.views import (
    EndpointView,
    PeerView,
    PortView,
    ServiceView,
    Status,
)

__all__ = [
    "Controller",
    "EndpointView",
    "LogLevel",
    "Operator",
    "PeerView",
    "PortView",
    "ServiceView",
    "SessionChanged",
    "Status",
    "World",
    "restore",
]
