"""Carries out steps through the data plane's port."""

from typing import assert_never

from headrace.control.plan import (
    PutEndpoint,
    PutPool,
    PutService,
    RemoveEndpoint,
    RemovePool,
    RemoveService,
    SetHashKeys,
    Step,
)
from headrace.control.ports import Dataplane


def apply_step(step: Step, dataplane: Dataplane) -> None:
    """Carry out one step."""
    match step:
        case SetHashKeys(keys):
            dataplane.set_hash_keys(keys)
        case PutEndpoint(reach, path):
            dataplane.put_endpoint(reach, path)
        case PutPool(name, pool):
            dataplane.put_pool(name, pool.reaches, pool.table.owners, pool.stamp)
        case PutService(key, pool_name):
            dataplane.put_service(key, pool_name)
        case RemoveService(key):
            dataplane.remove_service(key)
        case RemovePool(name):
            dataplane.remove_pool(name)
        case RemoveEndpoint(reach):
            dataplane.remove_endpoint(reach)
        case _:
            assert_never(step)
