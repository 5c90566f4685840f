"""The kernel's links, routes, tunnels and neighbours, as values.

Resolves an endpoint to an outer header and a next hop, keeps next hops resolved, and says when an
answer may have changed. Decides nothing about services.
"""

from headrace.underlay.underlay import Underlay

__all__ = ["Underlay"]
