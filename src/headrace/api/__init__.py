"""What the outside may ask of a node: native REST and LoxiLB's REST, over HTTP.

Asks `control` through its port `Operator`; touches no map, no session, no file but its socket.
"""

from headrace.api.app import build_app
from headrace.api.serving import NOWHERE, serve

__all__ = ["NOWHERE", "build_app", "serve"]
