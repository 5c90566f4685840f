"""The stars: one load balancer between a client and three endpoints, without BGP.

They are LoxiLB's scenarios `tcplbl3dsr`, `tcplbdsr1`, `tcplbdsr2` and `sctplbdsr`, the same in
IPv6, and one for each way a packet may reach an endpoint. Network N is N.N.N.0/24 or fd00:N::/64.
"""

from dataclasses import dataclass, replace
from ipaddress import ip_address, ip_interface, ip_network

from headrace.lab.sysctls import (
    SYSCTLS_ALL,
    SYSCTLS_CLIENT,
    SYSCTLS_IPV6,
    SYSCTLS_IPV6_ROUTER,
    SYSCTLS_ROUTER,
    SYSCTLS_SOCKETS,
)
from headrace.lab.topology import (
    Address,
    Bridge,
    IPInterface,
    Link,
    Node,
    Role,
    Route,
    Topology,
    TunnelDevice,
)
from headrace.model.values import Encapsulation, IPAddress, IPNetwork, Protocol

CLIENT, BALANCER, SWITCH = "user", "llb1", "sw1"
_ENDPOINTS = {"ep1": 1, "ep2": 2, "ep3": 3}

_CLIENT_NET, _SWITCH_NET, _VIP_NET = 10, 11, 20
_BALANCER_HOST = 254
_CLIENT_MTU_BYTES = 8000  # the largest outer headers, 48 bytes, must fit every other link

_ALL_NODES = frozenset({CLIENT, *_ENDPOINTS})


@dataclass(frozen=True, slots=True)
class Star:
    """What sets one star apart from the others."""

    name: str
    title: str
    port: int = 8080
    protocols: tuple[Protocol, ...] = (Protocol.TCP, Protocol.UDP)
    http: bool = False  # what a TCP service speaks; else the prover's echo
    encapsulation: Encapsulation = Encapsulation.IPIP
    inner: int = 4  # the IP version of the client and the VIP
    outer: int = 4  # the IP version that endpoints are reached by
    tunnels: bool = False  # endpoints have addresses of their own behind the seed's tunnel devices
    switch: bool = False  # replies return by a switch, past the load balancer
    guests: frozenset[str] = frozenset()  # nodes in the virtual machine

    @property
    def topology(self) -> Topology:
        """The whole network."""
        names = [CLIENT, *_ENDPOINTS] if self.switch else []
        switch = Node(
            SWITCH,
            Role.SWITCH,
            bridges=(Bridge("vlan11", tuple(f"e{SWITCH}{name}" for name in names)),),
        )
        return Topology(
            self.name,
            (
                self._client(),
                self._balancer(),
                *(self._endpoint(name, number) for name, number in _ENDPOINTS.items()),
                *((switch,) if self.switch else ()),
            ),
            links=(
                Link(CLIENT, BALANCER, _CLIENT_MTU_BYTES),
                *(Link(BALANCER, name, tapped=True) for name in _ENDPOINTS),
                *(Link(name, SWITCH) for name in names),
            ),
            vip=_host(self.inner, _VIP_NET, 1),
            port=self.port,
            title=self.title,
            protocols=self.protocols,
            http=self.http,
            encapsulation=self.encapsulation,
        )

    @property
    def _versions(self) -> tuple[int, ...]:
        """The IP versions between the load balancer and an endpoint: replies need the inner one."""
        return tuple(sorted({self.inner, self.outer}))

    def _if_ipv6(self, settings: tuple[tuple[str, str], ...]) -> tuple[tuple[str, str], ...]:
        """These settings, where the star has IPv6 at all."""
        return settings if 6 in self._versions else ()

    def _client(self) -> Node:
        addresses = [_on(f"e{CLIENT}{BALANCER}", self.inner, _CLIENT_NET, 1)]
        if self.switch:
            addresses.append(_on(f"e{CLIENT}{SWITCH}", self.inner, _SWITCH_NET, _BALANCER_HOST))
        return Node(
            CLIENT,
            Role.CLIENT,
            addresses=tuple(addresses),
            routes=(_default(self.inner, _CLIENT_NET),),
            sysctls=(*SYSCTLS_ALL, *SYSCTLS_CLIENT, *self._if_ipv6(SYSCTLS_IPV6)),
            guest=CLIENT in self.guests,
        )

    def _balancer(self) -> Node:
        addresses = [_on(f"e{BALANCER}{CLIENT}", self.inner, _CLIENT_NET, _BALANCER_HOST)]
        addresses += [
            _on(f"e{BALANCER}{name}", version, _endpoint_net(number), _BALANCER_HOST)
            for name, number in _ENDPOINTS.items()
            for version in self._versions
        ]
        return Node(
            BALANCER,
            Role.BALANCER,
            addresses=tuple(addresses),
            tunnels=tuple(self._balancer_tunnel(number) for number in _ENDPOINTS.values())
            if self.tunnels
            else (),
            sysctls=(*SYSCTLS_ROUTER, *self._if_ipv6(SYSCTLS_IPV6_ROUTER)),
        )

    def _endpoint(self, name: str, number: int) -> Node:
        net = _endpoint_net(number)
        device = f"e{name}{BALANCER}"
        addresses = [_on(device, version, net, 1) for version in self._versions]
        routes = [_default(self.inner, net)]
        if self.switch:
            addresses.append(_on(f"e{name}{SWITCH}", self.inner, _SWITCH_NET, number))
            gateway = _host(self.inner, _SWITCH_NET, _BALANCER_HOST)
            routes.append(Route(_network(self.inner, _CLIENT_NET), gateway))
        return Node(
            name,
            Role.ENDPOINT,
            addresses=tuple(addresses),
            tunnels=(self._endpoint_tunnel(number),) if self.tunnels else (),
            routes=tuple(routes),
            sysctls=(*SYSCTLS_ALL, *SYSCTLS_SOCKETS, *self._if_ipv6(SYSCTLS_IPV6)),
            identity=self._identity(number),
            guest=name in self.guests,
        )

    def _identity(self, number: int) -> IPAddress:
        if self.tunnels:
            return _host(self.inner, 55 + number, 1)
        return _host(self.outer, _endpoint_net(number), 1)

    def _balancer_tunnel(self, number: int) -> TunnelDevice:
        """ipip0, ipip1 and ipip2 of llb1, each with the route to its endpoint's own address."""
        inside = 44 + number
        return TunnelDevice(
            f"ipip{number - 1}",
            _host(self.outer, _endpoint_net(number), _BALANCER_HOST),
            _host(self.outer, _endpoint_net(number), 1),
            _interface(self.inner, inside, _BALANCER_HOST),
            Route(_network(self.inner, 55 + number), _host(self.inner, inside, 1)),
        )

    def _endpoint_tunnel(self, number: int) -> TunnelDevice:
        """ipip0 of an endpoint, the other end."""
        return TunnelDevice(
            "ipip0",
            _host(self.outer, _endpoint_net(number), 1),
            _host(self.outer, _endpoint_net(number), _BALANCER_HOST),
            _interface(self.inner, 44 + number, 1),
        )


def _endpoint_net(number: int) -> int:
    return 30 + number


def _prefix(version: int, net: int) -> str:
    return f"{net}.{net}.{net}." if version == 4 else f"fd00:{net}::"


def _host(version: int, net: int, host: int) -> IPAddress:
    return ip_address(f"{_prefix(version, net)}{host}")


def _interface(version: int, net: int, host: int) -> IPInterface:
    return ip_interface(f"{_host(version, net, host)}/{24 if version == 4 else 64}")


def _network(version: int, net: int) -> IPNetwork:
    return _interface(version, net, 0).network


def _on(device: str, version: int, net: int, host: int) -> Address:
    return Address(device, _interface(version, net, host))


def _default(version: int, net: int) -> Route:
    """The default route, by the load balancer's address on this network."""
    return Route(
        ip_network("0.0.0.0/0" if version == 4 else "::/0"), _host(version, net, _BALANCER_HOST)
    )


def _in_ipv6(star: Star) -> Star:
    """The same star with every address an IPv6 one."""
    return replace(star, name=f"{star.name}-v6", title=f"{star.title}; IPv6", inner=6, outer=6)


_LIKE_LOXILB = (
    Star("l3dsr", "tcplbl3dsr: IP in IP, as the seed's", tunnels=True),
    Star(
        "l2dsr",
        "tcplbdsr1: another MAC, replies by the load balancer's host",
        port=2020,
        encapsulation=Encapsulation.L2,
    ),
    Star(
        "l2dsr-switch",
        "tcplbdsr2: another MAC, replies by a switch",
        port=2020,
        encapsulation=Encapsulation.L2,
        switch=True,
    ),
    Star(
        "sctp-l2dsr",
        "sctplbdsr: SCTP of a kernel in a virtual machine, another MAC, replies by a switch",
        port=2020,
        protocols=(Protocol.SCTP,),
        encapsulation=Encapsulation.L2,
        switch=True,
        guests=_ALL_NODES,
    ),
)

_PAIRS = tuple((inner, outer) for inner in (4, 6) for outer in (4, 6))

_UNWRAPPED_BY_TAILRACE = tuple(
    Star(
        f"{encapsulation}-{inner}in{outer}",
        f"IPv{inner} in IPv{outer} by {encapsulation}, unwrapped by tailrace",
        encapsulation=encapsulation,
        inner=inner,
        outer=outer,
    )
    for encapsulation in (Encapsulation.IPIP, Encapsulation.GUE)
    for inner, outer in _PAIRS
)

_UNWRAPPED_BY_A_KERNEL = tuple(
    Star(
        f"{name}-{inner}in{outer}",
        f"IPv{inner} in IPv{outer} by {encapsulation}, unwrapped by a kernel in a virtual machine; "
        "HTTP",
        http=True,
        protocols=(Protocol.TCP,),
        encapsulation=encapsulation,
        inner=inner,
        outer=outer,
        tunnels=True,
        guests=frozenset(_ENDPOINTS),
    )
    for name, encapsulation, pairs in (
        ("vm", Encapsulation.IPIP, _PAIRS),
        ("vm-gue", Encapsulation.GUE, ((4, 4), (6, 6))),
    )
    for inner, outer in pairs
)

_SCTP_IN_TUNNELS = tuple(
    Star(
        f"sctp-{version}in{version}",
        f"SCTP in IPv{version} in IPv{version}, both ends in a virtual machine",
        protocols=(Protocol.SCTP,),
        inner=version,
        outer=version,
        tunnels=True,
        guests=_ALL_NODES,
    )
    for version in (4, 6)
)

STARS = tuple(
    star.topology
    for star in (
        *_LIKE_LOXILB,
        *map(_in_ipv6, _LIKE_LOXILB),
        *_UNWRAPPED_BY_TAILRACE,
        *_UNWRAPPED_BY_A_KERNEL,
        *_SCTP_IN_TUNNELS,
    )
)
