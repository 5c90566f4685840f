"""When a node's kernel changed its route to a prefix: each change with the time it was heard of."""

import os
import select
import socket
import threading
from collections.abc import Callable, Iterable
from dataclasses import dataclass
from ipaddress import IPv4Network
from time import monotonic
from typing import Self

from pyroute2.netlink.rtnl import RTM_DELROUTE, RTM_NEWROUTE, RTMGRP_IPV4_ROUTE
from pyroute2.netlink.rtnl.rtmsg import rtmsg

from headrace.lab.namespaces import run_in_namespace
from headrace.lab.network import gateways_of, read_next_hops
from headrace.lab.waiting import poll
from headrace.model.errors import UnavailableError

_TABLE_MAIN = 254
_BUFFER_BYTES = 1 << 20
_READ_BYTES = 65_536


@dataclass(frozen=True, slots=True)
class RouteChange:
    """The route as it is from some time on."""

    at_s: float  # monotonic
    legs: frozenset[str]  # gateways; none when there is no route


class RouteWatch:
    """Listens in a thread of its own, so that times are right however busy the event loop is."""

    def __init__(self, namespace: str, prefix: IPv4Network) -> None:
        self._prefix = prefix
        self._socket = run_in_namespace(namespace, _open_socket)
        self._changes = [RouteChange(monotonic(), frozenset(read_next_hops(namespace, prefix)))]
        self._wake_read, self._wake_write = os.pipe()
        self._thread = threading.Thread(target=self._listen, name="route-watch", daemon=True)
        self._thread.start()

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        self.close()

    def close(self) -> None:
        """Listen no longer; what was heard stays."""
        os.write(self._wake_write, b"x")
        self._thread.join()
        self._socket.close()
        os.close(self._wake_read)
        os.close(self._wake_write)

    @property
    def legs(self) -> frozenset[str]:
        """The gateways of the route as it is now."""
        return self._changes[-1].legs

    def since(self, at_s: float) -> list[RouteChange]:
        """The changes heard of from that time on."""
        return [change for change in list(self._changes) if change.at_s >= at_s]

    async def first(
        self, holds: Callable[[frozenset[str]], bool], *, since_s: float, timeout_s: float
    ) -> float:
        """When the legs first were so, at or after a time; 0.0 s is when they were so already.

        Seconds from `since_s`. Raises UnavailableError when they are not so in `timeout_s`.
        """

        async def probe() -> float | None:
            return self._first(holds, since_s)

        found_s = await poll(probe, timeout_s=timeout_s)
        if found_s is None:
            raise UnavailableError(
                f"after {timeout_s:g} s the route to {self._prefix} has the next hops "
                f"{', '.join(sorted(self.legs)) or 'none'}"
            )
        return found_s

    def _first(self, holds: Callable[[frozenset[str]], bool], since_s: float) -> float | None:
        changes = list(self._changes)
        before = [change for change in changes if change.at_s < since_s]
        if before and holds(before[-1].legs):
            return 0.0
        for change in changes:
            if change.at_s >= since_s and holds(change.legs):
                return change.at_s - since_s
        return None

    def _listen(self) -> None:
        while True:
            sources: list[socket.socket | int] = [self._socket, self._wake_read]
            if self._wake_read in select.select(sources, [], [])[0]:
                return
            data, now_s = self._socket.recv(_READ_BYTES), monotonic()
            for legs in _legs_in(data, self._prefix):
                if legs != self._changes[-1].legs:
                    self._changes.append(RouteChange(now_s, legs))


def _open_socket() -> socket.socket:
    opened = socket.socket(socket.AF_NETLINK, socket.SOCK_RAW, socket.NETLINK_ROUTE)
    opened.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, _BUFFER_BYTES)
    opened.bind((0, RTMGRP_IPV4_ROUTE))
    return opened


def _legs_in(data: bytes, prefix: IPv4Network) -> Iterable[frozenset[str]]:
    """What each message about the prefix in the main table says of its legs."""
    offset = 0
    while offset + 16 <= len(data):
        length = int.from_bytes(data[offset : offset + 4], "little")
        kind = int.from_bytes(data[offset + 4 : offset + 6], "little")
        if kind in {RTM_NEWROUTE, RTM_DELROUTE}:
            message = rtmsg(data[offset : offset + length])
            message.decode()
            if _is_about(message, prefix):
                yield frozenset(gateways_of(message) if kind == RTM_NEWROUTE else ())
        offset += (length + 3) & ~3


def _is_about(message: rtmsg, prefix: IPv4Network) -> bool:
    return bool(
        message["table"] == _TABLE_MAIN
        and message["dst_len"] == prefix.prefixlen
        and message.get_attr("RTA_DST") == str(prefix.network_address)
    )
