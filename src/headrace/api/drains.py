"""Drains as changes of the document. Pure."""

from collections.abc import Callable

from headrace.model import (
    ConflictError,
    Document,
    Endpoint,
    IPAddress,
    NotFoundError,
    OperatorState,
    check_document,
)


def drain_endpoint(
    document: Document, address: IPAddress, pool: str | None, timeout_s: float | None
) -> Document:
    """The document with an endpoint that drains: in every pool, or in this one."""
    update = {"state": OperatorState.DRAINING, "drain_timeout_s": timeout_s}
    return _changed(document, address, pool, lambda endpoint, _: endpoint.model_copy(update=update))


def undrain_endpoint(document: Document, address: IPAddress, pool: str | None) -> Document:
    """The document with an endpoint that takes new flows: in every pool, or in this one.

    Raises ConflictError where its weight keeps it from that.
    """

    def undrained(endpoint: Endpoint, name: str) -> Endpoint:
        if endpoint.weight == 0:
            raise ConflictError(f"{address} has weight 0 in {name}, which drains it; give it one")
        update = {"state": OperatorState.ACTIVE, "drain_timeout_s": None}
        return endpoint.model_copy(update=update)

    return _changed(document, address, pool, undrained)


def drain_node(document: Document, wait_s: float | None) -> Document:
    """The document of a node that leaves its VIPs to the others."""
    update: dict[str, object] = {"drain": True}
    if wait_s is not None:
        update["drain_wait_s"] = wait_s
    return document.model_copy(update={"node": document.node.model_copy(update=update)})


def undrain_node(document: Document) -> Document:
    """The document of a node that announces its VIPs."""
    return document.model_copy(update={"node": document.node.model_copy(update={"drain": False})})


def with_endpoints(
    document: Document, change: Callable[[Endpoint, str], Endpoint], pool: str | None = None
) -> Document:
    """The document with every endpoint of every pool, or of this one, changed.

    `change` is told the pool's name: that of a service's own pool is the service's key.
    """
    pools = {
        name: each.model_copy(update={"endpoints": tuple(change(e, name) for e in each.endpoints)})
        if pool in {None, name}
        else each
        for name, each in document.pools.items()
    }
    services = tuple(
        each.model_copy(
            update={"endpoints": tuple(change(e, each.pool_name) for e in each.endpoints)}
        )
        if each.endpoints is not None and pool in {None, each.pool_name, each.name}
        else each
        for each in document.services
    )
    changed = document.model_copy(update={"pools": pools, "services": services})
    check_document(changed)
    return changed


def _changed(
    document: Document,
    address: IPAddress,
    pool: str | None,
    change: Callable[[Endpoint, str], Endpoint],
) -> Document:
    """The document with one endpoint changed. Raises NotFoundError where it is not."""
    found: list[str] = []

    def apply(endpoint: Endpoint, name: str) -> Endpoint:
        if endpoint.address != address:
            return endpoint
        found.append(name)
        return change(endpoint, name)

    changed = with_endpoints(document, apply, pool)
    if not found:
        if pool is not None and pool not in _pool_names(document):
            raise NotFoundError(f"there is no pool {pool}; `headrace status` lists them")
        where = "any pool" if pool is None else f"pool {pool}"
        raise NotFoundError(f"{address} is no endpoint of {where}; `headrace status` lists them")
    return changed


def _pool_names(document: Document) -> set[str | None]:
    """What a pool may be called by: its name; the key or name of the service whose own it is."""
    own = (each for each in document.services if each.endpoints is not None)
    return {*document.pools, *(name for each in own for name in (each.pool_name, each.name))}
