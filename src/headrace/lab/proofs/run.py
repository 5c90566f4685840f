"""`headrace lab prove announce`: every proof about routes, the worst figure beside its bound."""

from collections.abc import Awaitable, Callable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from time import monotonic

from rich.console import Console

from headrace.lab.claims import ClaimView
from headrace.lab.laboratory import Laboratory
from headrace.lab.proofs.crowd import last_packets
from headrace.lab.proofs.deaths import daemon_killed, killed, silent
from headrace.lab.proofs.drain import planned_drain
from headrace.lab.proofs.endpoint_drain import endpoint_drain
from headrace.lab.proofs.health_routes import flapping_endpoint, last_endpoint
from headrace.lab.proofs.learning import next_hops
from headrace.lab.proofs.network import AnnounceNetwork
from headrace.lab.proofs.opposite import opposite_views
from headrace.lab.proofs.sessions import wrong_password
from headrace.lab.proofs.topologies import ANNOUNCE, LOOPBACK, crowd_topology, learning_topology
from headrace.lab.running import check_machine, run_stoppable, show_logs
from headrace.lab.topology import RoutingDaemon, Topology
from headrace.model.bgp import SpeakerKind
from headrace.model.errors import LbError

Scenario = Callable[[AnnounceNetwork], Awaitable[None]]


@dataclass(frozen=True, slots=True)
class Length:
    """How much is tried."""

    runs: int  # of what dies
    connections: int
    endpoints: int  # of the crowd
    deaths: int  # among them
    sources: tuple[str | None, ...]  # of outer packets, where the way is learned
    is_short: bool = False

    def scenarios(self, speaker: SpeakerKind) -> tuple[tuple[str, Scenario], ...]:
        """All that the network of one speaker is put through, in order.

        In short, what the speaker has little part in is tried with one of the two only.
        """
        main: tuple[tuple[str, Scenario], ...] = (
            ("The last healthy endpoint dies, and returns at once", last_endpoint),
            self._planned_drain(RoutingDaemon.BIRD),
            ("A load balancer is killed", lambda network: killed(network, self.runs)),
            ("A load balancer falls silent", lambda network: silent(network, self.runs)),
        )
        more = self._more
        return (*main, *(more[tuple(SpeakerKind).index(speaker) :: 2] if self.is_short else more))

    @property
    def _more(self) -> tuple[tuple[str, Scenario], ...]:
        return (
            self._planned_drain(RoutingDaemon.FRR),
            (
                f"Drains of an endpoint under {self.connections:,} live connections",
                lambda network: endpoint_drain(network, self.connections),
            ),
            ("A daemon dies alone", daemon_killed),
            ("A flapping endpoint", flapping_endpoint),
            ("A router with another MD5 key", wrong_password),
            (
                "Opposite views of one endpoint",
                lambda network: opposite_views(network, self.connections // 4),
            ),
        )

    def _planned_drain(self, daemon: RoutingDaemon) -> tuple[str, Scenario]:
        return (
            f"A planned drain behind {daemon.upper()}, under {self.connections:,} live connections",
            lambda network: planned_drain(network, self.connections, daemon),
        )


FULL = Length(runs=6, connections=2_000, endpoints=1_000, deaths=200, sources=(LOOPBACK, None))
SHORT = Length(
    runs=2, connections=200, endpoints=100, deaths=20, sources=(LOOPBACK,), is_short=True
)


def prove_announce(
    console: Console,
    *,
    speakers: Sequence[SpeakerKind] = tuple(SpeakerKind),
    with_rest: bool = True,
    short: bool = False,
    name: str = "prove",
) -> int:
    """Run the proofs of these speakers, and the rest: of dying endpoints and of learned routes.

    0 only if every bound and every claim held. Nothing is left of them.
    """
    check_machine([ANNOUNCE])
    length = SHORT if short else FULL
    view = ClaimView(console)
    return run_stoppable(_prove(view, speakers, length, name, with_rest=with_rest))


async def _prove(
    view: ClaimView, speakers: Sequence[SpeakerKind], length: Length, name: str, *, with_rest: bool
) -> int:
    started = monotonic()
    for speaker in speakers:
        await _prove_speaker(view, speaker, length, name)
    if with_rest:
        await _prove_crowd(view, length, name)
        for daemon in RoutingDaemon:
            await _prove_learning(view, daemon, length, name)
    view.summary(took_s=monotonic() - started)
    return 0 if view.all_held else 1


async def _prove_speaker(view: ClaimView, speaker: SpeakerKind, length: Length, name: str) -> None:
    view.title(f"Routes announced by {speaker}", subject=speaker)
    with _laboratory(view, ANNOUNCE, name) as lab:
        network = AnnounceNetwork(lab, view, speaker)
        try:
            await network.bring_up()
            for number, (text, scenario) in enumerate(length.scenarios(speaker), start=1):
                view.step(number, text)
                await scenario(network)
        finally:
            network.close()


async def _prove_crowd(view: ClaimView, length: Length, name: str) -> None:
    view.title("Endpoints that die under traffic", subject="crowd")
    with _laboratory(view, crowd_topology(length.endpoints), name) as lab:
        view.step(1, f"{length.deaths} of {length.endpoints:,} die, one after the other")
        await last_packets(lab, view, length.endpoints, length.deaths)


async def _prove_learning(
    view: ClaimView, daemon: RoutingDaemon, length: Length, name: str
) -> None:
    view.title(f"Routes learned by {daemon.upper()}", subject=f"learn {daemon}")
    for number, source in enumerate(length.sources, start=1):
        with _laboratory(view, learning_topology(daemon), name) as lab:
            view.step(number, "The router on the way to an endpoint dies")
            await next_hops(lab, view, length.runs, source=source)


@contextmanager
def _laboratory(view: ClaimView, topology: Topology, name: str) -> Iterator[Laboratory]:
    """A lab that is removed in the end; an error in it is a claim that did not hold."""
    lab = Laboratory.create(topology, name)
    try:
        yield lab
    except LbError as error:
        view.failure(str(error))
        show_logs(view, lab)
    finally:
        lab.remove()
