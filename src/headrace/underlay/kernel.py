"""The kernel's tables, read and written as values. Blocks: call it in a thread."""

import errno
from socket import AF_BRIDGE, AF_UNSPEC

import structlog
from pyroute2.netlink import NLM_F_CREATE, NLM_F_REPLACE, rtnl

from headrace.model import KernelError
from headrace.underlay.netlink import RequestSocket
from headrace.underlay.routes import Routes
from headrace.underlay.snapshot import FdbEntry, FdbKey, Link, Neighbour, NeighbourKey
from headrace.underlay.wire import (
    decode_link,
    decode_neighbour,
    encode_link_dump,
    encode_managed_neighbour,
    encode_neighbour_dump,
    encode_neighbour_query,
)

log = structlog.get_logger()


class Kernel:
    """The tables of the network namespace in which this object was made."""

    def __init__(self) -> None:
        self._socket = RequestSocket()

    def close(self) -> None:
        """Give the socket back."""
        self._socket.close()

    def links(self) -> dict[int, Link]:
        """All links by index."""
        messages = self._socket.dump("read links", rtnl.RTM_GETLINK, encode_link_dump())
        links = (decode_link(message.body) for message in messages)
        return {link.index: link for link in links}

    def neighbours(self) -> dict[NeighbourKey, Neighbour]:
        """The ARP and neighbour discovery tables."""
        entries = self._neighbour_dump("read neighbours", AF_UNSPEC)
        return {entry.key: entry for entry in entries if isinstance(entry, Neighbour)}

    def fdb(self) -> dict[FdbKey, int]:
        """The port behind each MAC address of each bridge."""
        entries = self._neighbour_dump("read bridge tables", AF_BRIDGE)
        return {entry.key: entry.port for entry in entries if isinstance(entry, FdbEntry)}

    def neighbour(self, key: NeighbourKey) -> Neighbour | None:
        """One neighbour, or None when the kernel does not know it."""
        body = encode_neighbour_query(key)
        try:
            message = self._socket.ask("read a neighbour", rtnl.RTM_GETNEIGH, body)
        except KernelError as error:
            if error.errno in {errno.ENOENT, errno.ENODEV}:
                return None
            raise
        entry = decode_neighbour(message.body) if message is not None else None
        return entry if isinstance(entry, Neighbour) else None

    def routes(self) -> Routes:
        """The routes as they are from now on, each asked for once."""
        return Routes(self._socket)

    def keep_resolved(self, key: NeighbourKey) -> None:
        """Ask the kernel to resolve a neighbour and to keep it so. A refusal is logged."""
        flags = NLM_F_CREATE | NLM_F_REPLACE
        try:
            self._socket.do(
                "keep a neighbour", rtnl.RTM_NEWNEIGH, encode_managed_neighbour(key), flags
            )
        except KernelError as error:  # the link may have gone a moment ago
            log.warning("neighbour_refused", address=str(key.address), error=str(error))

    def release(self, key: NeighbourKey) -> None:
        """Let the kernel forget a neighbour; it asks again when it needs it itself."""
        try:
            self._socket.do("release a neighbour", rtnl.RTM_DELNEIGH, encode_neighbour_query(key))
        except KernelError as error:
            if error.errno not in {errno.ENOENT, errno.ENODEV, errno.ENXIO}:
                log.warning("release_refused", address=str(key.address), error=str(error))

    def _neighbour_dump(self, operation: str, family: int) -> list[Neighbour | FdbEntry | None]:
        messages = self._socket.dump(operation, rtnl.RTM_GETNEIGH, encode_neighbour_dump(family))
        return [decode_neighbour(message.body) for message in messages]
