"""What is made only of what is new is as one would make it who sees everything for the first time.

A node lives through random changes of its document and its world, and after each is compared with
one that starts on the same document, in a copy of the same world.
"""

import json
from collections.abc import Callable, Mapping
from copy import copy
from dataclasses import replace
from ipaddress import ip_address
from random import Random
from typing import Any

import pytest
from pydantic import ValidationError

from headrace.control.announcing import UNDECIDED_S
from headrace.control.views import Status
from headrace.model import (
    Belief,
    ConfigError,
    Document,
    Health,
    IPAddress,
    OuterSources,
    Path,
    ProbeTarget,
    SessionState,
    Target,
    Tunnel,
    Unresolved,
    build_document,
)

from .fakes import FakeUnderlay, Journal
from .test_controller import Node, quick_withdrawals

__all__ = ["quick_withdrawals"]  # for every test here

STEPS = 30
PEERS = ("11.11.11.253", "11.11.11.254")
ENDPOINTS = [f"56.0.0.{n}" for n in range(1, 9)]
SHARED = [f"p{n}" for n in range(4)]
CHECKS: list[Any] = [
    "none",
    "named",
    "named",
    "named",
    {"interval_s": 1},
    {"kind": "udp", "port": 53},
    {"kind": "ping", "path": "direct"},
]

KINDS: list[Any] = [
    {},
    {},
    {},
    {"weight": 0},
    {"weight": 3},
    {"state": "disabled"},
    {"state": "draining"},
    {"state": "draining", "drain_timeout_s": 0},
    {"health": {"kind": "udp"}},
]

Raw = dict[str, Any]


class Underlay(FakeUnderlay):
    """Answers with the same object while nothing is new, as the real one."""

    def __init__(self) -> None:
        super().__init__()
        self._last: dict[Target, Path | Unresolved] = {}

    async def resolve(
        self, targets: Any, tunnels: Mapping[IPAddress, Tunnel], sources: OuterSources
    ) -> dict[Target, Path | Unresolved]:
        found = await super().resolve(targets, tunnels, sources)
        if found != self._last:
            self._last = found
        return self._last


class Life:
    """A node, its document as plain values, and what is so of its endpoints."""

    def __init__(self, seed: int) -> None:
        self.random = Random(seed)
        self.node = Node()
        self.node.underlay = Underlay()
        self.node.speaker.sessions = {ip_address(p): (SessionState.UP, 0.0) for p in PEERS}
        self.node.start()
        self.sick: set[str] = set()
        self.raw: Raw = {"node": {"drain_wait_s": 0}, "pools": {}, "services": [], "health": {}}
        self.raw["health"]["named"] = {"kind": "tcp"}
        self._change_bgp(self.raw)

    # --- what may happen ------------------------------------------------------------------------

    async def step(self) -> str:
        """Something happens; what it was."""
        kinds: list[tuple[int, Callable[[Raw], None]]] = [
            (12, self._put_service),
            (3, self._remove_service),
            (6, self._put_pool),
            (2, self._remove_pool),
            (5, self._change_health),
            (4, self._change_bgp),
            (3, self._change_node),
            (1, self._change_cluster),
            (2, lambda _: None),  # the same text again
        ]
        if self.random.random() < 0.25:
            return await self._world_changes()
        change = self.random.choices([c for _, c in kinds], [w for w, _ in kinds])[0]
        raw = json.loads(json.dumps(self.raw))
        change(raw)
        name_servers(raw)
        before = self.node.controller.document
        try:
            document = build_document(raw)
        except ConfigError:
            await self._is_refused(raw)
            return "nothing"
        self.raw = raw
        await self.node.edit(self._sharing(before, document))
        self._believe(self.node)
        await self.node.controller._follow()
        await self.node.controller._announcing._settle(again=False)
        return change.__name__

    async def _is_refused(self, raw: Raw) -> None:
        """What contradicts is refused as well where it comes as a change."""
        try:
            document = Document.model_validate(raw)
        except ValidationError:
            return
        with pytest.raises(ConfigError):
            await self.node.edit(self._sharing(self.node.controller.document, document))

    def _put_service(self, raw: Raw) -> None:
        pick = self.random.choice
        service: Raw = {
            "vip": pick(["20.20.20.1", "20.20.20.2", "20.20.21.0/28", "2001:db8::1"]),
            "protocol": pick(["tcp", "udp"]),
            "port": pick([53, 80, "8000-8002"]),
            "announce": pick([True, True, False]),
            "hold_down_s": 0,
            "min_healthy": pick([1, 2, "50%"]),
            **pick([{}, {}, {"affinity": "source-ip"}, {"denied_sources": ["10.0.0.0/8"]}]),
        }
        if service["protocol"] == "udp":
            service["quic"] = pick([True, False])
        if raw["pools"] and self.random.random() < 0.7:
            service["pool"] = pick(sorted(raw["pools"]))
        else:
            service |= self._pool(with_slots=False)
        same = [n for n, s in enumerate(raw["services"]) if key(s) == key(service)]
        at = same[0] if same else pick([0, len(raw["services"])])
        raw["services"][at : at + len(same)] = [service]

    def _remove_service(self, raw: Raw) -> None:
        if raw["services"]:
            del raw["services"][self.random.randrange(len(raw["services"]))]

    def _put_pool(self, raw: Raw) -> None:
        raw["pools"][self.random.choice(SHARED)] = self._pool(with_slots=True)

    def _remove_pool(self, raw: Raw) -> None:
        raw["pools"].pop(self.random.choice(SHARED), None)

    def _pool(self, *, with_slots: bool) -> Raw:
        pick = self.random.choice
        chosen = self.random.sample(ENDPOINTS, self.random.randint(1, 4))
        endpoints = [{"address": each, **pick(KINDS)} for each in chosen]
        pool: Raw = {
            "endpoints": endpoints,
            "health": pick(CHECKS),
            "fail_open_above": pick([0.5, 1.0]),
            "unknown": pick(["keep", "up", "down"]),
            "encapsulation": pick(["ipip", "ipip", "gue"]),
            "dscp": pick(["copy", 3]),
        }
        return pool | {"slots": pick([251, 257])} if with_slots else pool

    def _change_health(self, raw: Raw) -> None:
        raw["health"]["named"] = self.random.choice([{"kind": "tcp"}, {"kind": "tcp", "port": 81}])

    def _change_bgp(self, raw: Raw) -> None:
        pick = self.random.choice
        if self.random.random() < 0.1:
            raw.pop("bgp", None)
            return
        raw["bgp"] = {
            "as": 64512,
            "router_id": "11.11.11.1",
            "peers": [{"address": each, "as": 65001} for each in PEERS[: pick([1, 2])]],
            **pick([{}, {"med": 7}, {"role": "standby"}, {"communities": ["64512:1"]}]),
            **pick([{}, {}, {"aggregate": ["20.20.0.0/16"]}]),
        }
        if "aggregate" in raw["bgp"]:
            raw["bgp"]["aggregate_only"] = pick([True, False])

    def _change_node(self, raw: Raw) -> None:
        pick = self.random.choice
        tunnel = {"endpoint": ENDPOINTS[0], "local": "31.31.31.1", "remote": "32.32.32.1"}
        raw["node"] = {
            "drain_wait_s": 0,
            "drain": pick([False, False, False, False, True]),
            **pick([{}, {"gue_port": 6081}, {"source": "31.32.0.0/16"}, {"tunnels": [tunnel]}]),
            **pick([{}, {"answers_per_s": 5}]),
        }

    def _change_cluster(self, raw: Raw) -> None:
        raw["cluster"] = {"hash_seed": self.random.choice([0, 1]), "udp_idle_s": 40}

    def _sharing(self, before: Document, after: Document) -> Document:
        """The same as `after`, some parts of it the objects that they were, as edits leave them."""

        def one(old: Any, new: Any) -> Any:
            return old if old == new and self.random.random() < likely else new

        likely = self.random.choice([0.0, 0.8, 1.0, 1.0])
        known = {each.label: each for each in before.services}
        services = tuple(one(known.get(each.label), each) for each in after.services)
        pools = {name: one(before.pools.get(name), pool) for name, pool in after.pools.items()}
        rest = ("health", "bgp", "node", "cluster")
        parts = {name: one(getattr(before, name), getattr(after, name)) for name in rest}
        parts["pools"] = before.pools if likely == 1 and pools == before.pools else pools
        return before.model_copy(update={"services": services, **parts})

    async def _world_changes(self) -> str:
        address = self.random.choice(ENDPOINTS)
        controller = self.node.controller
        if self.random.random() < 0.6:
            self.sick ^= {address}
            self._believe(self.node)
            await controller._follow()
            await controller._announcing._settle(again=False)
            return f"health of {address}"
        self.node.underlay.unreachable ^= {ip_address(address)}
        self.node.dataplane.packets += 1
        await controller._try_reconcile()
        return f"way to {address}"

    # --- what is to be so -----------------------------------------------------------------------

    def _believe(self, node: Node) -> None:
        """What probes say of each target, since a time that is its own."""
        for target, known in node.checker.beliefs.items():
            belief = self._belief(target)
            if belief != known:
                node.checker.beliefs[target] = belief

    def _belief(self, target: ProbeTarget) -> Belief:
        is_sick = str(target.endpoint) in self.sick
        since_s = float(int(target.vip) % 9973) + target.port / 100_000
        return Belief(Health.DOWN if is_sick else Health.UP, since_s, "sick" if is_sick else "")

    async def started_anew(self) -> Node:
        """A node that begins on the same document, in a copy of the same world."""
        lived, node = self.node, Node()
        node.store.texts, node.store.authors = lived.store.texts[:], lived.store.authors[:]
        node.underlay.unreachable = set(lived.underlay.unreachable)
        node.dataplane, node.speaker = copy(lived.dataplane), copy(lived.speaker)
        for name in ("endpoints", "pools", "uses", "services", "server_ids"):
            setattr(node.dataplane, name, dict(getattr(lived.dataplane, name)))
        node.dataplane._journal = node.speaker._journal = Journal()
        node.start()
        announcing = node.controller._announcing
        now = announcing._now
        announcing._now = lambda: now() + UNDECIDED_S + 1
        await node.controller._try_reconcile()
        self._believe(node)
        await node.controller._try_reconcile()
        await announcing._settle(again=False)
        return node


def key(service: Raw) -> tuple[Any, ...]:
    return service["vip"], service["protocol"], service["port"]


def name_servers(raw: Raw) -> None:
    """Give endpoints a server id where a service routes by it, and nowhere else."""
    routed = [service for service in raw["services"] if service.get("quic")]
    named = {service.get("pool") for service in routed}
    pools = [(name in named, pool) for name, pool in raw["pools"].items()]
    pools += [(each in routed, each) for each in raw["services"] if "endpoints" in each]
    for is_routed, pool in pools:
        for number, endpoint in enumerate(pool["endpoints"], 1):
            endpoint.pop("server_id", None)
            if is_routed:
                endpoint["server_id"] = number


def timeless(status: Status) -> Status:
    """A status without what the clock says."""
    return replace(status, peers=tuple(replace(peer, since_s=0) for peer in status.peers))


@pytest.mark.parametrize("seed", range(6))
async def test_a_node_is_after_each_change_as_one_that_starts_then(seed: int) -> None:
    life = Life(seed)
    await life.node.controller._try_reconcile()
    for number in range(STEPS):
        what = f"{number}: {await life.step()}"
        lived, anew = life.node, await life.started_anew()

        assert lived.dataplane.read() == anew.dataplane.read(), what
        assert lived.speaker.announced == anew.speaker.announced, what
        assert lived.controller._view() == anew.controller._view(), what
        assert lived.checker.beliefs == anew.checker.beliefs, what
        assert lived.probe_paths.paths == anew.probe_paths.paths, what
        assert lived.probe_paths.vips == anew.probe_paths.vips, what
        assert timeless(lived.controller.status()) == timeless(anew.controller.status()), what
