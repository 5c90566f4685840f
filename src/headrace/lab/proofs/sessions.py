"""A session that must not come up: the load balancer has another key than its router."""

import asyncio
from typing import Any

from headrace.lab.proofs.network import AnnounceNetwork
from headrace.lab.waiting import poll

_WRONG = "lake"
_WATCHED_S = 5.0  # both ends try again every second or two
_TIMEOUT_S = 20.0


async def wrong_password(network: AnnounceNetwork) -> None:
    """The key is changed to a wrong one and back; the other session does not notice."""
    balancer = network.balancers[0]
    right = network.document(balancer)
    wrong = network.document(balancer)
    keyed = next(peer for peer in wrong["bgp"]["peers"] if "password" in peer)
    keyed["password"] = _WRONG
    await balancer.apply(wrong)
    await poll(_is_down(network, keyed["address"]), timeout_s=_TIMEOUT_S)
    await asyncio.sleep(_WATCHED_S)
    status = await balancer.status()
    states = {str(peer["address"]): str(peer["state"]) for peer in status["peers"]}
    others = {address: state for address, state in states.items() if address != keyed["address"]}
    network.view.check(
        f"with a wrong MD5 key the session with {keyed['address']} stays down, and status says so",
        held=states[keyed["address"]] != "up" and _is_told(status, keyed["address"]),
        seen=f"{states[keyed['address']]}; {'; '.join(status['problems']) or 'no problem told'}",
    )
    network.view.check(
        "the other session stays up",
        held=bool(others) and all(state == "up" for state in others.values()),
        seen=", ".join(f"{address} {state}" for address, state in others.items()),
    )
    await balancer.apply(right)
    await network.wait_whole()


def _is_told(status: dict[str, Any], address: str) -> bool:
    return any(address in problem for problem in status["problems"])


def _is_down(network: AnnounceNetwork, address: str) -> Any:  # noqa: ANN401 - see `poll`
    async def probe() -> bool | None:
        peers = (await network.balancers[0].status())["peers"]
        down = [peer for peer in peers if peer["address"] == address and peer["state"] != "up"]
        return True if down else None

    return probe
