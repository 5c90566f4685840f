"""The kernel's main routing table as people read it. Blocks: call it in a thread."""

from contextlib import closing
from dataclasses import dataclass
from itertools import islice

from pyroute2.netlink import rtnl

from headrace.model import IPAddress, IPNetwork
from headrace.underlay.netlink import RequestSocket
from headrace.underlay.wire import decode_table_entry, encode_route_dump

LIMIT_READ = 20_000
"""Messages of a dump that are looked at: the internet's million routes would take a minute."""


@dataclass(frozen=True, slots=True)
class MainRoute:
    """A route of the main table."""

    destination: IPNetwork
    gateways: tuple[IPAddress, ...]  # none: a network that the host is in
    protocol: int  # who made it, as the kernel numbers them


def read_main_routes(limit: int) -> list[MainRoute]:
    """Routes of both families in the kernel's order, so many at most."""
    # The socket is of no use after a dump that nobody reads to its end, which has to be given up
    # first: it holds the socket's lock.
    with (
        closing(RequestSocket()) as asked,
        closing(asked.entries("read routes", rtnl.RTM_GETROUTE, encode_route_dump())) as messages,
    ):
        entries = (decode_table_entry(message.body) for message in islice(messages, LIMIT_READ))
        return [MainRoute(*entry) for entry in islice(filter(None, entries), limit)]
