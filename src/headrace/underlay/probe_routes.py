"""The routes that lead this node's probes of VIPs through a program, and the rules before them.

Packets with a mark of ours look into a table of their own, which has one route a VIP; others never
see it. Nothing else of the node's routing is touched. After a kill -9 both stay, harmless: only
probes have such marks. The next `ensure` of the same instance takes them over.

Instances in one network namespace share the table and the rules. Each touches only its own routes,
which have its name in them, and removes the rules with the last route.
"""

import errno
from collections.abc import Collection, Iterable, Iterator, Mapping
from contextlib import closing, contextmanager

from pyroute2.netlink import NLM_F_CREATE, NLM_F_EXCL, NLM_F_REPLACE, rtnl

from headrace.model import IPAddress, KernelError
from headrace.underlay.netlink import RequestSocket
from headrace.underlay.probe_messages import (
    TABLE,
    OwnedRoute,
    ProbeRoute,
    decode_owned_route,
    encode_route,
    encode_route_removal,
    encode_rule,
    encode_table_dump,
)

_VERSIONS = (4, 6)
_SOL_NETLINK = 270
_NETLINK_GET_STRICT_CHK = 12
_ADD = NLM_F_CREATE | NLM_F_EXCL
_PUT = NLM_F_CREATE | NLM_F_REPLACE
_GONE = {errno.ESRCH, errno.ENOENT, errno.EAFNOSUPPORT, errno.EOPNOTSUPP}
"""What the kernel answers about a route, a rule, a table or a family that is not there."""


class ProbeRoutes:
    """The routes and rules of probes in the network namespace in which this object is made."""

    def __init__(self, owner: str) -> None:
        """`owner` tells this instance from others: its runtime directory."""
        self._owner = owner
        self._socket = _StrictSocket()
        self._routes: dict[IPAddress, ProbeRoute] = {}
        self._found = False

    def ensure(self, routes: Iterable[ProbeRoute]) -> None:
        """Have exactly these routes; those that are as they were are not touched.

        Blocks: call it in a thread. Raises KernelError when the kernel refuses one, or another
        instance has it; the next call looks at everything anew.
        """
        wanted = {route.vip: route for route in routes}
        try:
            if not self._found:
                # All of them: a route that is replaced keeps the program it had, and with it the
                # marks of a daemon before us, since the kernel compares programs by their names.
                self._remove(self._own())
                self._found = True
            self._put_rules({vip.version for vip in wanted})
            self._put_routes(wanted)
            self._remove(self._routes.keys() - wanted.keys())
        except KernelError:
            self._found = False
            self._routes.clear()
            raise

    def close(self) -> None:
        """Take every route of this instance away, and give the socket back."""
        with closing(self._socket):
            self._remove(self._own() | self._routes.keys())
            others = {route.vip.version for route in self._existing()}
            for version in set(_VERSIONS) - others:
                with _ignoring(_GONE):
                    self._socket.do("remove a rule", rtnl.RTM_DELRULE, encode_rule(version))

    def _put_rules(self, versions: set[int]) -> None:
        for version in versions:  # each time: another instance may just have removed them
            with _ignoring({errno.EEXIST}):
                self._socket.do("add a rule", rtnl.RTM_NEWRULE, encode_rule(version), _ADD)

    def _put_routes(self, wanted: Mapping[IPAddress, ProbeRoute]) -> None:
        for vip, route in wanted.items():
            if self._routes.get(vip) != route:
                self._put_route(route, _PUT if vip in self._routes else _ADD)
                self._routes[vip] = route

    def _put_route(self, route: ProbeRoute, flags: int) -> None:
        operation = f"route probes of {route.vip}"
        body = encode_route(route, self._owner)
        try:
            self._socket.do(operation, rtnl.RTM_NEWROUTE, body, flags)
        except KernelError as error:
            if error.errno != errno.EEXIST:
                raise
            owners = (each.owner for each in self._existing() if each.vip == route.vip)
            raise KernelError(
                operation,
                error.errno,
                f"in table {TABLE} of this network namespace is one of "
                f"{next(owners, 'somebody else')}; have one instance probe each VIP, and "
                "`headrace detach` those that are gone",
            ) from error

    def _own(self) -> set[IPAddress]:
        """The VIPs of the routes that are there and this instance's."""
        return {route.vip for route in self._existing() if route.owner == self._owner}

    def _existing(self) -> Iterator[OwnedRoute]:
        """The routes that are there, whichever instance's."""
        for version in _VERSIONS:
            with _ignoring(_GONE):
                messages = self._socket.dump(
                    "read probes' routes", rtnl.RTM_GETROUTE, encode_table_dump(version)
                )
                for message in messages:
                    route = decode_owned_route(message.body)
                    if route is not None:
                        yield route

    def _remove(self, vips: Iterable[IPAddress]) -> None:
        for vip in sorted(vips, key=str):
            with _ignoring(_GONE):
                self._socket.do(
                    "remove a probe's route", rtnl.RTM_DELROUTE, encode_route_removal(vip)
                )
            self._routes.pop(vip, None)


class _StrictSocket(RequestSocket):
    """Has the kernel filter a dump by its table: a full BGP table would take seconds."""

    def __init__(self) -> None:
        super().__init__()
        self._socket.setsockopt(_SOL_NETLINK, _NETLINK_GET_STRICT_CHK, 1)


@contextmanager
def _ignoring(errnos: Collection[int]) -> Iterator[None]:
    """Take some refusals as done."""
    try:
        yield
    except KernelError as error:
        if error.errno not in errnos:
            raise


def remove_probe_routes(owner: str) -> None:
    """Take away what an instance's daemon that was killed has left of them."""
    ProbeRoutes(owner).close()
