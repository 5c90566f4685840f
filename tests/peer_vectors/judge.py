"""Runs the cases in their order and asks the judge that comes with them."""

import importlib.util
import json
from collections.abc import Iterator, Sequence
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass
from ipaddress import ip_address
from pathlib import Path
from tempfile import TemporaryDirectory
from types import ModuleType
from typing import Any

from .better import BETTER
from .world import MTU, Balancer, Endpoint, encapsulation_of

BEFORE_REMOVAL, AFTER_REMOVAL = "udp_flow_migration_1", "udp_flow_migration_2"
PREFIX_PROFILE = "cidr"
DECAPSULATED = {"decap_pass", "decap_tx", "reencap"}
OPTIONAL = ("udp_flow_migration", "cidr_vip", "xpop_decap", "gue_decap_stats", "egress_decap")
DECAPSULATED_HISTORICAL = range(11, 17)  # of hist_optional_ipip


@dataclass(frozen=True, slots=True)
class Outcome:
    """One case, judged."""

    id: str
    sentence: str
    failures: tuple[str, ...]

    @property
    def kind(self) -> str:
        """One of: accepted, better, rejected."""
        if not self.failures:
            return "accepted"
        return "better" if self.id in BETTER else "rejected"


def judge_all(folder: Path) -> Iterator[Outcome]:
    """Run every case in scope: all core ones, and decapsulation, VIP prefixes and removal."""
    config = json.loads((folder / "config.json").read_text())
    cases = [case for case in json.loads((folder / "vectors.json").read_text()) if in_scope(case)]
    semcheck = _load(folder / "semcheck.py")
    judge = (semcheck, semcheck.Affinity())
    for name in dict.fromkeys(case["fixture"] for case in cases):
        if name == AFTER_REMOVAL:
            continue  # it follows on another set, on the same balancer
        with _hosts(config, name) as (balancer, endpoint):
            yield from _judge_set(cases, name, (balancer, endpoint), judge)
            if name == BEFORE_REMOVAL:
                _serve(balancer, config, AFTER_REMOVAL)
                yield from _judge_set(cases, AFTER_REMOVAL, (balancer, endpoint), judge)


def in_scope(case: dict[str, Any]) -> bool:
    """Whether the product has to answer for a case."""
    if case["scope"] == "core":
        return True
    if case["scope"] != "optional":
        return False
    fixture, _, number = case["id"].rpartition("-")
    is_historical = fixture == "hist_optional_ipip" and int(number) in DECAPSULATED_HISTORICAL
    return is_historical or fixture.startswith(OPTIONAL)


def _judge_set(
    cases: Sequence[dict[str, Any]],
    name: str,
    hosts: tuple[Balancer, Endpoint],
    judge: tuple[ModuleType, Any],
) -> Iterator[Outcome]:
    balancer, endpoint = hosts
    semcheck, affinity = judge
    for case in cases:
        if case["fixture"] != name:
            continue
        semcheck.OPT["mtu"] = _mtu(case)
        host = endpoint if is_for_endpoint(case) else balancer
        seen = host.run(bytes.fromhex(case["input_hex"]))
        failures = semcheck.check(case, seen.code, seen.frame.hex(), affinity)
        yield Outcome(case["id"], case["description"], tuple(failures))


def is_for_endpoint(case: dict[str, Any]) -> bool:
    """Whether a case is about taking a tunnel's header off."""
    kind = case["expect"]["kind"]
    is_about = "decap" in case["fixture"] or case["fixture"] == "hist_optional_ipip"
    return kind in DECAPSULATED or (kind in ("drop", "pass") and is_about)


@contextmanager
def _hosts(config: dict[str, Any], name: str) -> Iterator[tuple[Balancer, Endpoint]]:
    kind = config["vector_sets"][name]
    profile = config["profiles"][kind["profile"]]
    common = config["common"]
    ids = {int(number): ip_address(a) for number, a in config["server_ids"].items()}
    own = [common["host_primary_address_v6_for_strict_decap"], *profile.get("decap_addresses", ())]
    port = common["gue_udp_port"]
    with ExitStack() as stack:
        folder = Path(stack.enter_context(TemporaryDirectory(prefix="headrace-vectors-")))
        encapsulation = encapsulation_of(kind["encapsulation"])
        server_ids = ids if profile["uses_server_ids"] else {}
        balancer = Balancer(folder / "headrace", encapsulation, port, server_ids)
        stack.callback(balancer.close)
        endpoint = Endpoint(folder / "tailrace", port, own)
        stack.callback(endpoint.close)
        _serve(balancer, config, name)
        yield balancer, endpoint


def _serve(balancer: Balancer, config: dict[str, Any], name: str) -> None:
    profile = config["vector_sets"][name]["profile"]
    for vip in config["profiles"][profile]["vips"]:
        balancer.serve(vip, is_prefix=profile == PREFIX_PROFILE)


def _mtu(case: dict[str, Any]) -> int:
    """What an error has to announce: the path's MTU without the outer header."""
    is_v6 = ":" in case["vip"]["address"] if case["vip"] else False
    return MTU - (40 if is_v6 else 20) - (8 if case["encapsulation"] == "gue1" else 0)


def _load(path: Path) -> ModuleType:
    spec = importlib.util.spec_from_file_location("semcheck", path)
    if spec is None or spec.loader is None:
        raise FileNotFoundError(path)
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    return module
