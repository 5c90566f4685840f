"""Export policies at real routers: each peer hears its own, and a change harms nobody else."""

from typing import Any

import pytest

from tests.bgp.namespaces import eventually
from tests.bgp.routers import BirdRouter
from tests.bgp.support import Network, bgp_section
from tests.bgp.test_attributes import attributes

pytestmark = pytest.mark.netns

VIP = "20.20.20.1/32"
HIDDEN = "20.20.30.1/32"
OTHER = "20.20.20.2/32"
POLICIES: dict[str, Any] = {
    "prefix_sets": {"hidden": [{"prefix": "20.20.30.0/24", "le": 32}]},
    "policies": {
        "hide": [{"conditions": {"prefixes": {"set": "hidden"}}, "actions": {"result": "reject"}}],
        "dear": [
            {
                "actions": {
                    "med": 70,
                    "prepend": 1,
                    "next_hop": "10.9.2.77",
                    "communities": {"remove": ["64512:*"], "add": ["64512:1:2", "65000:9"]},
                }
            }
        ],
    },
}
ROUTES = [
    {"prefix": VIP, "med": 7, "communities": ["64512:7"]},
    {"prefix": HIDDEN, "med": 7},
    OTHER,
]


def section(kind: str, *exports: tuple[BirdRouter, dict[str, Any]]) -> dict[str, Any]:
    """A section with these routers, each with what it is to hear."""
    raw = bgp_section(*(router for router, _ in exports), speaker=kind) | POLICIES
    raw["peers"] = [peer | export for peer, (_, export) in zip(raw["peers"], exports, strict=True)]
    return raw


def seen(router: BirdRouter, prefix: str) -> dict[str, str]:
    return attributes(router.heard(prefix))


def test_each_peer_hears_what_its_policies_leave(network: Network, kind: str) -> None:
    plain, strict = network.router(1), network.router(2)
    asked = {"export": ["hide", "dear"]}
    host = network.host(section(kind, (plain, {}), (strict, asked)))

    host.announce(*ROUTES)
    eventually(lambda: all(plain.has(p[:-3]) for p in (VIP, HIDDEN, OTHER)))
    eventually(lambda: strict.heard(VIP) and strict.heard(OTHER))

    as_it_is, changed = seen(plain, VIP), seen(strict, VIP)
    assert (as_it_is["med"], as_it_is["as_path"]) == ("7", "64512")
    assert as_it_is["community"] == "(64512,7)"
    assert "large_community" not in as_it_is
    assert (changed["med"], changed["as_path"]) == ("70", "64512 64512")
    assert changed["next_hop"] == "10.9.2.77"
    assert changed["community"] == "(65000,9)"
    assert changed["large_community"] == "(64512, 1, 2)"
    assert not strict.heard(HIDDEN)


def test_a_change_of_policy_reaches_its_peer_and_drops_nothing(network: Network, kind: str) -> None:
    plain, strict = network.router(1), network.router(2)
    host = network.host(section(kind, (plain, {}), (strict, {})))
    host.announce(*ROUTES)
    eventually(lambda: plain.has("20.20.30.1") and strict.has("20.20.30.1"))
    eventually(lambda: strict.has("20.20.20.1") and plain.has("20.20.20.1"))

    with plain.watched() as at_plain, strict.watched() as at_strict:
        host.ask(do="configure", bgp=section(kind, (plain, {}), (strict, {"export": ["hide"]})))
        eventually(lambda: not strict.has("20.20.30.1"))
        host.ask(do="configure", bgp=section(kind, (plain, {}), (strict, {"export": ["dear"]})))
        eventually(lambda: strict.heard(HIDDEN) and seen(strict, VIP)["med"] == "70")
        host.ask(do="configure", bgp=section(kind, (plain, {}), (strict, {})))
        eventually(lambda: seen(strict, VIP)["med"] == "7")

    gone = [change for change in at_strict if "Deleted" in change]
    assert all("20.20.30.1 " in change for change in gone), gone
    assert not any("Deleted" in change for change in at_plain)
    assert [event[:2] for event in sorted(host.events)] == [
        [plain.address, "up"],
        [strict.address, "up"],
    ]


def test_a_new_peer_never_hears_what_it_is_not_to(network: Network, kind: str) -> None:
    old, new = network.router(1), network.router(2)
    host = network.host(section(kind, (old, {})))
    host.announce(*ROUTES)
    eventually(lambda: old.has("20.20.30.1"))

    with new.watched() as changes:
        host.ask(do="configure", bgp=section(kind, (old, {}), (new, {"export": ["hide"]})))
        eventually(lambda: new.has("20.20.20.1") and new.has("20.20.20.2"))
        host.announce(*ROUTES, "20.20.30.2/32", "20.20.20.3/32")
        eventually(lambda: new.has("20.20.20.3") and old.has("20.20.30.2"))

    assert not any("20.20.30." in change for change in changes)


def test_policies_hold_while_the_daemon_is_away_and_routes_leave(
    network: Network, kind: str
) -> None:
    router = network.router(2)
    asked = {"export": ["hide", "dear"]}
    times = {"keep_announced_s": 1, "withdraw_drain_s": 10}
    host = network.host(section(kind, (router, asked)) | times)
    host.announce(*ROUTES)
    eventually(lambda: router.heard(VIP))

    with router.watched() as changes:
        host.kill()
        eventually(lambda: "65535,0" in router.heard(VIP))
        left = seen(router, VIP)
        eventually(lambda: not router.heard(VIP), within_s=40)

    assert left["med"] == "170"  # the policy's, and what a drained node adds
    assert not any("20.20.30.1 " in change for change in changes)


def test_an_internal_peer_hears_the_local_preference_that_its_policy_sets(
    network: Network, kind: str
) -> None:
    router = network.router(as_number=64512)
    raw = section(kind, (router, {"export": ["first"], "as": 64512}))
    raw["policies"] = {"first": [{"actions": {"local_pref": 300, "prepend": 2, "med": "+5"}}]}
    host = network.host(raw)

    host.announce({"prefix": VIP, "med": 7, "local_pref": 200})
    eventually(lambda: router.heard(VIP))

    heard = seen(router, VIP)
    assert (heard["local_pref"], heard["med"], heard["as_path"]) == ("300", "12", "")
