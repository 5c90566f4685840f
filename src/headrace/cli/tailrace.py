"""`tailrace`: the endpoint's command line."""

import re
import sys
from collections.abc import Callable, Sequence
from ipaddress import IPv4Address, IPv4Network, IPv6Address, IPv6Network, ip_address, ip_network
from typing import Annotated, TypeVar

import typer

app = typer.Typer(
    help="Endpoint agent of Headrace: unwraps IP in IP and GUE where the kernel has no tunnel.",
    no_args_is_help=True,
    add_completion=False,
)

_INSTANCE_NAME = re.compile(r"[A-Za-z0-9][A-Za-z0-9_.-]{0,31}")
_GUE_PORT = 6080
_LARGEST_PORT = 65_535

_Read = TypeVar("_Read")


def _check_instance(name: str) -> str:
    if not _INSTANCE_NAME.fullmatch(name):
        raise typer.BadParameter(
            f"{name!r} is not a name: use up to 32 letters, digits and _ . -, a letter or digit "
            "first"
        )
    return name


def _check_port(port: int) -> int:
    if not 1 <= port <= _LARGEST_PORT:
        raise typer.BadParameter(f"{port} is not a UDP port: use 1..{_LARGEST_PORT}")
    return port


_Instance = Annotated[
    str,
    typer.Option(
        help="Which instance, where a host has several.",
        envvar="TAILRACE_INSTANCE",
        callback=_check_instance,
    ),
]


@app.command()
def run(
    *,
    vip: Annotated[
        list[str],
        typer.Option(help="A VIP on this endpoint's lo, address or prefix; repeat for more."),
    ],
    balancer: Annotated[
        list[str],
        typer.Option(
            "--from", help="A load balancer's outer source, address or prefix; repeat for more."
        ),
    ],
    own: Annotated[
        list[str] | None,
        typer.Option(
            "--to",
            help="An address of this endpoint that tunnels end at; repeat for more; "
            "default: each one that is no VIP.",
        ),
    ] = None,
    gue_port: Annotated[
        int, typer.Option(help="The UDP port that GUE arrives at.", callback=_check_port)
    ] = _GUE_PORT,
    interface: Annotated[
        list[str] | None, typer.Option(help="Where they arrive; default: every one that can.")
    ] = None,
    instance: _Instance = "main",
) -> None:
    """Unwrap packets from the load balancers until stopped; what is attached stays.

    Unwrapped are IP in IP, IPv4 and IPv6 in either of them, and GUE (variant 1), one layer.
    """
    from headrace.agent import AgentSettings
    from headrace.agent import run as run_agent

    settings = AgentSettings(
        instance=instance,
        vips=frozenset(_read_all(vip, _network, "--vip")),
        balancers=frozenset(_read_all(balancer, _network, "--from")),
        own=frozenset(_read_all(own or [], _address, "--to")),
        gue_port=gue_port,
        interfaces=tuple(interface) if interface else None,
    )
    run_agent(settings)


@app.command()
def detach(instance: _Instance = "main") -> None:
    """Remove everything an instance left in the kernel."""
    from headrace.agent import detach as detach_agent

    detach_agent(instance)


def _read_all(texts: Sequence[str], read: Callable[[str], _Read], option: str) -> list[_Read]:
    """Every value of an option; the error names each that is wrong."""
    values, problems = [], []
    for text in texts:
        try:
            values.append(read(text))
        except ValueError as error:
            problems.append(f"{text!r} {error}")
    if problems:
        raise typer.BadParameter("; ".join(problems), param_hint=option)
    return values


def _address(text: str) -> IPv4Address | IPv6Address:
    """An address; ValueError with what is wrong, as the end of a sentence."""
    if "/" in text:
        raise ValueError("is a prefix, and tunnels end at single addresses: name each of them")
    try:
        address = ip_address(text)
    except ValueError:
        raise ValueError("is no IP address: give one as 192.0.2.1 or 2001:db8::1") from None
    if "%" in text:
        raise ValueError("names an interface: leave out the part from the %")
    return address


def _network(text: str) -> IPv4Network | IPv6Network:
    """An address or a prefix; ValueError with what is wrong, as the end of a sentence."""
    if "/" not in text:
        return ip_network(_address(text))
    try:
        around = ip_network(text, strict=False)
    except ValueError:
        raise ValueError("is no prefix: give one as 192.0.2.0/24 or 2001:db8::/64") from None
    if _address(text.partition("/")[0]) != around.network_address:
        raise ValueError(f"has bits behind its prefix length: give {around}, or the address alone")
    return around


def main() -> None:
    """Run the command; a failure is one message on stderr and exit code 1."""
    from headrace.model import LbError

    try:
        app()
    except LbError as error:
        print(f"tailrace: {error}", file=sys.stderr)
        sys.exit(1)
