"""`headrace lab check`: build a star, look whether everything it is there for holds, remove it."""

from collections.abc import Sequence
from time import monotonic

from rich.console import Console

from headrace.lab.claims import ClaimView
from headrace.lab.laboratory import Laboratory
from headrace.lab.running import check_machine, run_stoppable, show_logs, topology_named
from headrace.lab.star_checks import check_star
from headrace.lab.star_network import StarNetwork
from headrace.lab.stars import STARS
from headrace.lab.topology import Topology
from headrace.model.errors import ConfigError, LbError


def run_checks(names: Sequence[str], console: Console, *, lab_name: str | None = None) -> int:
    """Check these stars one after the other, all where none is named; 0 only if all claims held."""
    stars = [_star(name) for name in names] or list(STARS)
    check_machine(stars)
    return run_stoppable(_check_all(stars, ClaimView(console), lab_name))


async def _check_all(stars: Sequence[Topology], view: ClaimView, lab_name: str | None) -> int:
    started = monotonic()
    for star in stars:
        await _check(star, view, lab_name or star.name)
    view.summary(took_s=monotonic() - started)
    return 0 if view.all_held else 1


async def _check(star: Topology, view: ClaimView, lab_name: str) -> None:
    started = monotonic()
    view.title(f"{star.name}: {star.title}", subject=star.name)
    lab = Laboratory.create(star, lab_name)
    network = StarNetwork(lab, view)
    try:
        view.step(1, "The network, the endpoints, the load balancer")
        await network.bring_up()
        await check_star(network)
    except LbError as error:
        view.failure(str(error))
        show_logs(view, lab)
    finally:
        await network.close()
        lab.remove()
    view.note(f"{star.name} took {monotonic() - started:.1f} s")


def _star(name: str) -> Topology:
    star = topology_named(name)
    if star not in STARS:
        raise ConfigError.at("lab", f"{name} is no star; `headrace lab demo` shows it")
    return star
