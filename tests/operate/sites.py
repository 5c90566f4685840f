"""Large documents for a node of `tests.daemon.node`; its router is on the way to all endpoints."""

from ipaddress import IPv4Address
from typing import Any

from tests.daemon.node import ROUTER_ADDRESS

_VIPS = int(IPv4Address("20.0.0.1"))
_ENDPOINTS = int(IPv4Address("56.0.0.1"))
_LOCAL = "10.9.1.1"


def large_document(services: int, *, pools: int, endpoints: int) -> dict[str, Any]:
    """So many services, a VIP each, that share pools of so many endpoints, none in two pools."""
    addresses = [str(IPv4Address(_ENDPOINTS + n)) for n in range(pools * endpoints)]
    return {
        "services": [service(n, pool=n % pools) for n in range(services)],
        "pools": {
            f"pool{n}": {
                "endpoints": [{"address": each} for each in addresses[n::pools]],
            }
            for n in range(pools)
        },
        "node": {
            "interfaces": ["wan"],
            "tunnels": [
                {"endpoint": each, "local": _LOCAL, "remote": ROUTER_ADDRESS} for each in addresses
            ],
        },
    }


def service(number: int, *, pool: int) -> dict[str, Any]:
    """One service of a large document."""
    return {
        "vip": str(IPv4Address(_VIPS + number)),
        "protocol": "udp",
        "port": 53,
        "announce": True,
        "pool": f"pool{pool}",
    }


def key_of(value: dict[str, Any]) -> str:
    """What names a service in the API."""
    return f"{value['vip']}:{value['port']}/{value['protocol']}"
