"""Why a probe fails: from what this node sees to words. Pure."""

from dataclasses import dataclass
from enum import StrEnum

from headrace.daemon.direct_checks import Direct
from headrace.model import Encapsulation, IPAddress, Path, ProbePath, ProbeTarget
from headrace.underlay import IcmpError, IcmpKind, ReversePathFilter

REFUSED, TOO_SMALL = "refused", "path MTU too small"
"""How health's words begin when the endpoint refused, and when only full size failed."""

SILENT = frozenset({"timeout", "host unreachable"})
"""Health's words when nothing came back."""


class Cause(StrEnum):
    """What is probably wrong."""

    NOT_POSSIBLE = "not possible"
    VIP_IS_OURS = "vip is ours"
    NO_SOURCE = "no source"
    NO_PATH = "no path"
    SERVICE_DOWN = "service down"
    OWN_FILTER = "own filter"
    NO_TUNNEL = "no tunnel"
    LINK_TOO_SMALL = "link too small"
    PATH_TOO_SMALL = "path too small"
    UNREACHABLE = "unreachable"
    LOOP = "loop"
    ENDPOINT_SILENT = "endpoint silent"
    NOT_TAKEN_V4 = "not taken, IPv4"
    NOT_TAKEN_V6 = "not taken, IPv6"
    NOT_TAKEN_L2 = "not taken, l2"
    UNTOLD = "untold"


WORDS = {
    Cause.NOT_POSSIBLE: "this node cannot probe through tunnels ({refusal}); set path: direct",
    Cause.VIP_IS_OURS: (
        "{vip} is an address of this node, which answers its probes itself; remove it from here"
    ),
    Cause.NO_SOURCE: (
        "this node has no IPv{version} address to probe {vip} from; add one, or set path: direct"
    ),
    Cause.NO_PATH: "this node knows no way to {endpoint}; its status says what is missing",
    Cause.SERVICE_DOWN: "nothing listens on port {port} at {endpoint}; start the service there",
    Cause.OWN_FILTER: (
        "rp_filter={mode} of {device} on this node drops the answers, as {vip} is not routed that "
        "way; set it to {remedy}"
    ),
    Cause.NO_TUNNEL: (
        "{reporter} does not take {encapsulation} from this node: its tunnel is missing, or is for "
        "other addresses"
    ),
    Cause.LINK_TOO_SMALL: (
        "{reporter} says that the next link takes {mtu_bytes} bytes, and packets to {endpoint} may "
        "have {path_mtu_bytes}; raise its MTU, or lower that of the route"
    ),
    Cause.PATH_TOO_SMALL: (
        "some link to {endpoint} takes less than the {path_mtu_bytes} bytes that the route allows, "
        "and does not say so; raise its MTU, or lower that of the route"
    ),
    Cause.UNREACHABLE: "{reporter} says that {outer} cannot be reached",
    Cause.LOOP: "{reporter} says that packets to {outer} go round in a loop",
    Cause.ENDPOINT_SILENT: "{endpoint} is silent at its own address, too: down, or cut off",
    Cause.NOT_TAKEN_V4: (
        "{endpoint} is alive at its own address, but takes no packets to {vip}: its tunnel is "
        "missing or for other addresses, {vip} is not on its lo, or its rp_filter=1 drops them"
    ),
    Cause.NOT_TAKEN_V6: (
        "{endpoint} is alive at its own address, but takes no packets to {vip}: its tunnel is "
        "missing or for other addresses, or {vip} is not on its lo"
    ),
    Cause.NOT_TAKEN_L2: (
        "{endpoint} is alive at its own address, but takes no packets to {vip}: it is not on its lo"
    ),
    Cause.UNTOLD: (
        "{endpoint} is down, its tunnel is missing, {vip} is not on its lo, or its rp_filter drops"
    ),
}
"""All that is said, in one place."""


@dataclass(frozen=True, slots=True)
class Evidence:
    """What is seen of one target whose probe has failed."""

    failure: str  # in health's words
    path: Path | None = None
    refusal: str = ""  # why the kernel does not take the routes of probes
    is_local: bool = False  # the VIP
    has_source: bool = True
    filter: ReversePathFilter | None = None
    error: IcmpError | None = None  # about the outer packets
    direct: Direct = Direct.UNKNOWN


def likely_cause(target: ProbeTarget, evidence: Evidence) -> str:
    """In words, what is probably wrong; empty when the failure says all that is known."""
    cause = find_cause(target, evidence)
    return "" if cause is None else _words(cause, target, evidence)


def find_cause(target: ProbeTarget, evidence: Evidence) -> Cause | None:
    """What is probably wrong; None when the failure says all that is known."""
    if target.probe.path is ProbePath.DIRECT:
        return Cause.SERVICE_DOWN if evidence.failure == REFUSED else None
    return _own_cause(evidence) or _their_cause(target, evidence)


def _own_cause(evidence: Evidence) -> Cause | None:
    """What is wrong on this node."""
    if evidence.refusal:
        return Cause.NOT_POSSIBLE
    if evidence.is_local:
        return Cause.VIP_IS_OURS
    if evidence.path is None:
        return Cause.NO_PATH
    if not evidence.has_source:
        return Cause.NO_SOURCE
    is_silent = evidence.failure in SILENT
    return Cause.OWN_FILTER if is_silent and evidence.filter is not None else None


def _their_cause(target: ProbeTarget, evidence: Evidence) -> Cause | None:
    """What is wrong at the endpoint, or on the way there."""
    failure, error = evidence.failure, evidence.error
    if failure == REFUSED:
        return Cause.SERVICE_DOWN
    if failure.startswith(TOO_SMALL):
        is_told = error is not None and error.kind is IcmpKind.TOO_BIG
        return Cause.LINK_TOO_SMALL if is_told else Cause.PATH_TOO_SMALL
    if failure not in SILENT:
        return None
    if error is not None and error.kind in _CAUSES:
        return _CAUSES[error.kind]
    if evidence.direct in {Direct.SILENT, Direct.UNKNOWN}:
        silent = evidence.direct is Direct.SILENT
        return Cause.ENDPOINT_SILENT if silent else Cause.UNTOLD
    if target.encapsulation is Encapsulation.L2:
        return Cause.NOT_TAKEN_L2
    return Cause.NOT_TAKEN_V4 if target.vip.version == 4 else Cause.NOT_TAKEN_V6


_CAUSES = {
    IcmpKind.NO_TUNNEL: Cause.NO_TUNNEL,
    IcmpKind.UNREACHABLE: Cause.UNREACHABLE,
    IcmpKind.LOOP: Cause.LOOP,
}


def _words(cause: Cause, target: ProbeTarget, evidence: Evidence) -> str:
    path, error, dropper = evidence.path, evidence.error, evidence.filter
    values: dict[str, str | int | IPAddress | None] = {
        "refusal": evidence.refusal,
        "vip": target.vip,
        "version": target.vip.version,
        "endpoint": target.endpoint,
        "port": target.probe.port or target.port,
        "encapsulation": target.encapsulation,
    }
    if path is not None:
        values |= {"path_mtu_bytes": path.mtu_bytes, "outer": path.outer_destination}
    if error is not None:
        values |= {"reporter": error.reporter, "mtu_bytes": error.mtu_bytes}
    if dropper is not None:
        remedy = "0 or 2" if dropper.mode == 1 else "0"
        values |= {"device": dropper.device, "mode": dropper.mode, "remedy": remedy}
    return WORDS[cause].format_map(values)
