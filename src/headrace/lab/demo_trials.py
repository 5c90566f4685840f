"""Break the demo's network under live connections: steps 7 and 8, and the count of what broke."""

from collections.abc import Sequence
from dataclasses import dataclass
from time import monotonic

from headrace.lab.balancer import Balancer, rule_arguments
from headrace.lab.demo_network import DemoNetwork
from headrace.lab.prover_client import BULK_BYTES, BULK_EVERY, INTERVAL_S
from headrace.lab.traffic import LiveTraffic, Report
from headrace.lab.waiting import together
from headrace.model.values import IPAddress

CONNECTION_COUNT = 2_000
"""As the demo shows them; fewer prove the same to a machine that has other work."""

_OPEN_TIMEOUT_S = 20.0
_REROUTE_TIMEOUT_S = 15.0
_ANSWER_TIMEOUT_S = 20.0  # more than the silence that counts as broken
_RETURN_TIMEOUT_S = 20.0
_EXCHANGE_TIMEOUT_S = 10.0
_ROUNDS = 6
"""So many messages on every connection, on average, after each event: more than a second's."""

LEAST_SHARE = 0.3
"""Of two load balancers; each had 0.47 to 0.53 in every run that was looked at."""


@dataclass(frozen=True, slots=True)
class Change:
    """What an event did to connections: which were there, which broke, which were to move."""

    before: dict[int, str]  # server by source port
    broken: frozenset[int]
    moved: frozenset[int]  # those whose endpoint the load balancers changed

    def of(self, *, servers: Sequence[str]) -> "Change":
        """The part of it that concerns the connections of some servers."""
        ports = frozenset(port for port, server in self.before.items() if server in servers)
        before = {port: self.before[port] for port in ports}
        return Change(before, self.broken & ports, self.moved & ports)


class Trials:
    """Live connections, and the events that must not break them."""

    def __init__(self, network: DemoNetwork, traffic: LiveTraffic, connections: int) -> None:
        self._connections = connections
        self._network = network
        self._view = network.view
        self._traffic = traffic

    async def kill_and_return(self) -> None:
        """Step 7: a load balancer dies under all connections, and comes back."""
        victim = self._network.balancers[0]
        name = victim.node.name
        self._view.step(7, f"{self._connections:,} live connections; {name} dies and comes back")
        self._view.note(
            f"each sends a number {1 / INTERVAL_S:g} times a second and waits for its echo; "
            f"every {BULK_EVERY}th message is {BULK_BYTES:,} bytes, in packets of full size"
        )
        await self._traffic.open(self._connections, timeout_s=_OPEN_TIMEOUT_S)
        await self._check_owners()
        await self._check_carried("at rest")
        await self._kill(victim)
        await self._check_nothing_broke(f"{name} is killed", await self._settle())
        await self._bring_back(victim)
        await self._check_carried(f"{name} is back")

    async def remove_and_add(self) -> None:
        """Step 8: an endpoint leaves the rule, and comes back into it."""
        network = self._network
        leaving = network.identities[-1]
        staying = [identity for identity in network.identities if identity != leaving]
        name, others = network.server_name(leaving), [network.server_name(i) for i in staying]
        self._view.step(8, f"An endpoint is removed and added again; {name} is that endpoint's")

        removal = await self._change_rule(staying)
        self._check_only_moved_broke("removed", removal.of(servers=others))
        own = removal.of(servers=[name])
        self._view.note(
            f"of {len(own.before)} connections on {name} itself {len(own.broken)} broke: "
            "nothing takes them to it any more (an endpoint agent will)"
        )
        missing = self._connections - (await self._traffic.report()).live
        await self._traffic.open(missing, timeout_s=_OPEN_TIMEOUT_S)
        self._view.note(f"{missing} new connections are opened in their place")

        addition = await self._change_rule(network.identities)
        self._check_only_moved_broke("added", addition.of(servers=others))
        await self._traffic.open(len(addition.broken), timeout_s=_OPEN_TIMEOUT_S)
        live = (await self._traffic.report()).live_by_server()
        self._view.check(
            f"{name} takes part again",
            held=live.get(name, 0) > 0,
            seen=", ".join(f"{server} {count}" for server, count in sorted(live.items())),
        )

    async def _check_carried(self, event: str) -> None:
        """Nothing breaks for a while, and every load balancer has had its part in that."""
        before, started = await self._sent(), monotonic()
        report = await self._settle()
        after, took_s = await self._sent(), monotonic() - started
        parts = {name: after[name] - before[name] for name in before}
        total = sum(parts.values())
        self._view.check(
            f"each load balancer carries at least {LEAST_SHARE:.0%} of the packets: {event}",
            held=total > 0 and min(parts.values()) >= LEAST_SHARE * total,
            seen=", ".join(
                f"{n:,} ({n / max(total, 1):.0%}) by {name}" for name, n in parts.items()
            )
            + f" in {took_s:.1f} s",
        )
        await self._check_nothing_broke(event, report)

    async def _sent(self) -> dict[str, int]:
        balancers = self._network.balancers
        counts = await together(balancer.sent_packets() for balancer in balancers)
        return {balancer.node.name: n for balancer, n in zip(balancers, counts, strict=True)}

    async def _settle(self) -> Report:
        """Let every connection exchange messages for a while, until none waits for an answer."""
        await self._traffic.wait_answered(timeout_s=_ANSWER_TIMEOUT_S)
        live = (await self._traffic.report()).live
        await self._traffic.exchange(live * _ROUNDS, timeout_s=_EXCHANGE_TIMEOUT_S)
        return await self._traffic.wait_answered(timeout_s=_ANSWER_TIMEOUT_S)

    async def _check_owners(self) -> None:
        """Each connection is where `explain` says that it goes."""
        servers = await self._traffic.flows()
        owners = await self._owners(list(servers))
        right = sum(servers[port] == owner for port, owner in owners.items())
        self._view.check(
            "each connection is answered by the endpoint that `explain` names",
            held=right == len(servers) == self._connections,
            seen=f"{right:,} of {len(servers):,}",
        )

    async def _check_nothing_broke(self, event: str, report: Report) -> None:
        broken = report.broken()
        causes = ", ".join(f"{count} by {cause}" for cause, count in report.causes().items())
        self._view.check(
            f"no connection breaks: {event}",
            held=broken == 0 and report.live == self._connections,
            seen=f"{broken} of {self._connections:,} broken{causes and ': ' + causes}, "
            f"longest pause {report.longest_pause_s:.2f} s, {report.answers:,} answers",
        )
        await self._traffic.mark()

    async def _kill(self, victim: Balancer) -> None:
        """Cut the power: nobody says goodbye to the router, which must notice by itself."""
        network = self._network
        await self._traffic.mark()
        started = monotonic()
        count = network.lab.kill_node(victim.node.name)
        self._view.note(
            f"{victim.node.name}: cables pulled, then {count} processes killed (SIGKILL); no "
            "farewell reaches the router"
        )
        await network.router.wait_leg_gone(
            network.vip_prefix, victim.leg, timeout_s=_REROUTE_TIMEOUT_S
        )
        hops = network.router.next_hops(network.vip_prefix)
        self._view.check(
            "the router reroutes to the other load balancer",
            held=len(hops) == len(network.balancers) - 1,
            seen=f"by {' and '.join(hops) or 'nobody'}, {monotonic() - started:.1f} s after the "
            "kill, by BGP's hold time",
        )

    async def _bring_back(self, victim: Balancer) -> None:
        network = self._network
        network.lab.set_cables(victim.node.name, plugged=True)
        victim.restart()
        took_s = await network.router.wait_next_hops(
            network.vip_prefix, len(network.balancers), timeout_s=_RETURN_TIMEOUT_S
        )
        hops = network.router.next_hops(network.vip_prefix)
        self._view.note(
            f"{victim.node.name}: cables plugged, daemon started; the router forwards to "
            f"{' and '.join(hops)} again after {took_s:.1f} s"
        )

    async def _change_rule(self, endpoints: Sequence[IPAddress]) -> Change:
        """Give both load balancers the rule with other endpoints, and see what that does."""
        before = await self._traffic.flows()
        owners = await self._owners(list(before))
        arguments = rule_arguments(self._network.lab.topology, endpoints)
        self._view.command("both", arguments)
        await together(balancer.create_rule(endpoints) for balancer in self._network.balancers)
        await self._settle()
        now = await self._owners(list(before))
        moved = frozenset(port for port in before if now[port] != owners[port])
        return Change(
            before, frozenset(before.keys() - (await self._traffic.flows()).keys()), moved
        )

    def _check_only_moved_broke(self, event: str, change: Change) -> None:
        """Connections of the endpoints that stay: only those that got another owner may break."""
        innocent = change.broken - change.moved
        self._view.check(
            f"endpoint {event}: no connection breaks whose endpoint stays the same",
            held=not innocent,
            seen=f"on the other endpoints {len(change.broken)} of {len(change.before):,} broke; "
            f"{len(change.moved)} had got another endpoint, so {len(innocent)} without reason",
        )

    async def _owners(self, ports: Sequence[int]) -> dict[int, str | None]:
        """The server that the first load balancer would send each of our connections to."""
        network = self._network
        flows = [network.flow(port) for port in ports]
        chosen = await network.balancers[0].explain(flows)
        names = {str(identity): network.server_name(identity) for identity in network.identities}
        return {
            port: names.get(endpoint) if endpoint is not None else None
            for port, endpoint in zip(ports, chosen, strict=True)
        }
