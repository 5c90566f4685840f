"""Where the endpoints of a pool are asked: at the VIPs and ports that they are to serve. Pure."""

from collections.abc import Iterable
from ipaddress import IPv4Network, IPv6Network

from headrace.model.document import Service
from headrace.model.health import HealthCheck
from headrace.model.probes import ProbeKind
from headrace.model.values import IPAddress, Protocol

_PROTOCOLS = {
    ProbeKind.TCP: Protocol.TCP,
    ProbeKind.HTTP: Protocol.TCP,
    ProbeKind.HTTPS: Protocol.TCP,
    ProbeKind.UDP: Protocol.UDP,
    ProbeKind.SCTP: Protocol.SCTP,
}
"""What a kind of probe speaks; a ping speaks none of them."""


Place = tuple[IPAddress, int]
"""A VIP and a port; 0 where the probe has no need of one."""


class Places:
    """The places at which each endpoint of a pool is asked: all that its services promise.

    A pool has one lookup table, so that an endpoint gets the packets of all its services or none.
    """

    def __init__(self, services: Iterable[Service]) -> None:
        """`services` are those that the pool answers for."""
        self._at_vips: dict[IPAddress, list[Service]] = {}
        for service in sorted(services, key=lambda each: each.first_key):
            self._at_vips.setdefault(_address_of(service), []).append(service)
        self._services: dict[tuple[ProbeKind, bool], list[Service]] = {}
        self._places: dict[tuple[ProbeKind, int | None], tuple[Place, ...]] = {}

    def asked(self, check: HealthCheck) -> tuple[Place, ...]:
        """Where a check asks, in order; a range of ports is asked at its first."""
        key = check.kind, check.port
        if key not in self._places:
            services = self.services(check)
            places = {(_address_of(each), check.port or each.ports[0]) for each in services}
            self._places[key] = tuple(sorted(places, key=lambda place: (place[0].version, *place)))
        return self._places[key]

    def services(self, check: HealthCheck) -> list[Service]:
        """The services at whose VIPs and ports a check asks.

        Of each VIP: where probes go to the services' own ports, those that speak the probe's
        protocol, or the first if none does; else one.
        """
        key = check.kind, check.needs_port
        if key not in self._services:
            protocol = _PROTOCOLS.get(check.kind) if check.needs_port else None
            self._services[key] = [
                service
                for at_vip in self._at_vips.values()
                for service in (
                    [each for each in at_vip if each.protocol == protocol] or at_vip[:1]
                )
            ]
        return self._services[key]


def _address_of(service: Service) -> IPAddress:
    """The address that probes go to: the VIP, or the first behind a prefix's own address."""
    vip = service.vip
    return vip[1] if isinstance(vip, IPv4Network | IPv6Network) else vip
