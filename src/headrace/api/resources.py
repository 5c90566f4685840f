"""Parts of the node and of the document by themselves: pools, endpoints, peers, drains. Pure."""

from collections.abc import Iterator
from typing import Any

from pydantic import BaseModel, TypeAdapter, ValidationError

from headrace.api.edits import inside
from headrace.control.views import Status
from headrace.model import (
    ConfigError,
    ConflictError,
    Document,
    IPAddress,
    NotFoundError,
    OperatorState,
    Pool,
    build_bgp,
    check_document,
)
from headrace.model.fields import Name
from headrace.model.problems import path_of, problems_of

_named = TypeAdapter(dict[Name, Pool])


def pools_of(document: Document) -> list[dict[str, Any]]:
    """The named pools, with the services that they answer for."""
    return [_pool(document, name, pool) for name, pool in sorted(document.pools.items())]


def pool_of(document: Document, name: str) -> dict[str, Any]:
    """One named pool. Raises NotFoundError."""
    if name not in document.pools:
        raise NotFoundError(f"there is no pool {name}; GET /v1/pools lists those there are")
    return _pool(document, name, document.pools[name])


def _pool(document: Document, name: str, pool: Pool) -> dict[str, Any]:
    services = [each.label for each in document.services if each.pool == name]
    return {"name": name, "services": services, "pool": _plain(pool)}


def put_pool(document: Document, name: str, raw: object) -> Document:
    """The document with this pool under a name."""
    try:
        pool = _named.validate_python({name: raw})
    except ValidationError as error:
        raise ConfigError(inside(problems_of(error), path_of((name,)))) from error
    changed = document.model_copy(update={"pools": {**document.pools, **pool}})
    try:
        check_document(changed, checked=document)
    except ConfigError as error:
        raise ConfigError(inside(error.problems, path_of(("pools", name)))) from error
    return changed


def without_pool(document: Document, name: str) -> Document:
    """The document without a pool; ConfigError, by path, where a service names it."""
    kept = {each: pool for each, pool in document.pools.items() if each != name}
    changed = document.model_copy(update={"pools": kept})
    check_document(changed, checked=document)
    return changed


def peers_of(document: Document) -> list[dict[str, Any]]:
    """The BGP peers as the document has them."""
    return [_plain(peer) for peer in document.bgp.peers] if document.bgp else []


def peer_of(document: Document, address: IPAddress) -> dict[str, Any]:
    """One BGP peer as the document has it. Raises NotFoundError."""
    for peer in peers_of(document):
        if peer["address"] == str(address):
            return peer
    raise NotFoundError(f"there is no BGP peer {address}; GET /v1/peers lists those there are")


def put_peer(document: Document, address: IPAddress, raw: object) -> Document:
    """The document with a BGP peer of this address."""
    if document.bgp is None:
        raise ConflictError("the document has no bgp section; put one in force with as, router_id")
    values = _plain(document.bgp)
    peers = values.setdefault("peers", [])
    index = next((n for n, each in enumerate(peers) if each["address"] == str(address)), len(peers))
    if isinstance(raw, dict):
        raw = {"address": str(address), **raw}
    peers[index : index + 1] = [raw]
    try:
        bgp = build_bgp(values)
        changed = document.model_copy(update={"bgp": bgp})
        check_document(changed, checked=document)
    except ConfigError as error:
        problems = inside(error.problems, f"bgp.peers[{index}]")
        raise ConfigError(inside(problems, f"peers[{index}]")) from error
    if bgp.peers[index].address != address:
        raise ConfigError.at("address", f"is not the address in the URL, {address}; use one")
    return changed


def without_peer(document: Document, address: IPAddress) -> Document:
    """The document without a BGP peer."""
    if document.bgp is None:
        return document
    peers = tuple(each for each in document.bgp.peers if each.address != address)
    return document.model_copy(update={"bgp": document.bgp.model_copy(update={"peers": peers})})


def endpoints_of(status: Status, address: IPAddress | None = None) -> list[dict[str, Any]]:
    """The endpoints of every pool in use, once a pool, as they stand; or the one of an address."""
    keys: dict[str, list[str]] = {}
    for service in status.services:
        keys.setdefault(service.pool, []).append(service.key)
    found = {
        (pool.name, str(endpoint.address)): {
            "pool": pool.name,
            "services": keys[pool.name],
            "endpoint": endpoint,
        }
        for pool in status.pools
        for endpoint in pool.endpoints
        if address in {None, endpoint.address}
    }
    if address is not None and not found:
        raise NotFoundError(f"{address} is no endpoint of any service; GET /v1/endpoints lists all")
    return [found[place] for place in sorted(found)]


def drains_of(document: Document, status: Status) -> dict[str, Any]:
    """What drains: the node, and endpoints by pool."""
    return {
        "node": status.drain,
        "node_left_s": status.drain_left_s,
        "endpoints": list(_draining(document, status)),
    }


def _draining(document: Document, status: Status) -> Iterator[dict[str, Any]]:
    left_s = {
        (pool.name, endpoint.address): endpoint.drain_left_s
        for pool in status.pools
        for endpoint in pool.endpoints
    }
    for name, pool in document.all_pools().items():
        for each in pool.endpoints:
            if each.state is OperatorState.DRAINING:
                yield {
                    "pool": name,
                    "endpoint": str(each.address),
                    "left_s": left_s.get((name, each.address)),
                }


def _plain(part: BaseModel) -> dict[str, Any]:
    """A part of the document as who wrote it would."""
    return part.model_dump(mode="json", by_alias=True, exclude_defaults=True)
