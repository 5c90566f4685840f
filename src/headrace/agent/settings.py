"""What an endpoint is told, and what that means on a host with these addresses. Pure."""

from collections.abc import Iterable
from dataclasses import dataclass
from pathlib import Path

from headrace.dataplane import Decapsulation
from headrace.model import ConfigError, IPAddress, IPNetwork, Problem

RUNTIME_ROOT = Path("/run/tailrace")

LIMIT_ADDRESSES = 4096
"""Balancers, own addresses and VIPs together: the data plane's map holds twice as many."""


@dataclass(frozen=True, slots=True)
class AgentSettings:
    """What an endpoint unwraps, and where."""

    instance: str
    vips: frozenset[IPNetwork]
    balancers: frozenset[IPNetwork]  # outer sources that are accepted
    own: frozenset[IPAddress]  # outer destinations; empty: every address that is no VIP
    gue_port: int
    interfaces: tuple[str, ...] | None  # that they arrive on; all that can carry XDP if None

    @property
    def bpf_dir(self) -> Path:
        """The bpffs with the instance's pins."""
        return RUNTIME_ROOT / self.instance / "bpf"


def decapsulation_of(settings: AgentSettings, addresses: Iterable[IPAddress]) -> Decapsulation:
    """What to unwrap on a host that has these addresses.

    Raises ConfigError naming each option that contradicts another one or the host.
    """
    own = settings.own or frozenset(
        address
        for address in addresses
        if not address.is_loopback and _vip_of(address, settings.vips) is None
    )
    problems = [
        Problem(
            "--to",
            f"{address} belongs to the VIP {vip}, and tunnels end at an address of the host's "
            "own; take it out of one of the two",
        )
        for address in sorted(own, key=str)
        if (vip := _vip_of(address, settings.vips)) is not None
    ]
    if not own:
        problems.append(
            Problem("--to", "this host has no address but VIPs; name one that tunnels end at")
        )
    if (count := len(settings.balancers) + len(own) + len(settings.vips)) > LIMIT_ADDRESSES:
        problems.append(
            Problem(
                "--from",
                f"with --to and --vip that makes {count} addresses and the limit is "
                f"{LIMIT_ADDRESSES}; name prefixes in place of single addresses",
            )
        )
    if problems:
        raise ConfigError(problems)
    return Decapsulation(settings.balancers, own, settings.vips, settings.gue_port)


def _vip_of(address: IPAddress, vips: Iterable[IPNetwork]) -> IPNetwork | None:
    """The VIP, an address or a prefix, that an address belongs to."""
    return next((vip for vip in vips if address in vip), None)
