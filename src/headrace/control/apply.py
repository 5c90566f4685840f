"""Carries out steps through the data plane's port."""

import asyncio
from typing import assert_never

from headrace.control.plan import (
    PutEndpoint,
    PutPool,
    PutService,
    RemoveEndpoint,
    RemovePool,
    RemoveService,
    Reserve,
    SetDown,
    SetHashKeys,
    SetServerIds,
    SetTuning,
    Step,
)
from headrace.control.ports import Dataplane


async def apply_step(step: Step, dataplane: Dataplane) -> None:
    """Carry out one step. Nothing else runs meanwhile, unless a table has to wait for its room."""
    match step:
        case SetHashKeys(keys):
            dataplane.set_hash_keys(keys)
        case SetTuning(tuning):
            dataplane.set_tuning(tuning)
        case PutEndpoint(reach, path):
            dataplane.put_endpoint(reach, path)
        case SetDown(addresses):
            dataplane.set_down(addresses)
        case Reserve(slot_counts):
            dataplane.reserve(slot_counts)
        case PutPool(name, pool):
            if wait_s := dataplane.prepare_pool(name, pool.table.slot_count):
                await asyncio.sleep(wait_s)
            dataplane.put_pool(name, pool.reaches, pool.table.owners, pool.stamp)
        case SetServerIds(pool_name, ids):
            dataplane.set_server_ids(pool_name, ids)
        case PutService(key, entry):
            dataplane.put_service(key, entry)
        case _:
            _remove(step, dataplane)


def _remove(step: RemoveService | RemovePool | RemoveEndpoint, dataplane: Dataplane) -> None:
    match step:
        case RemoveService(key):
            dataplane.remove_service(key)
        case RemovePool(name):
            dataplane.remove_pool(name)
        case RemoveEndpoint(reach):
            dataplane.remove_endpoint(reach)
        case _:
            assert_never(step)
