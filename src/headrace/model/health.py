"""How a pool's endpoints are checked, as the document says it."""

from collections.abc import Iterator, Mapping
from enum import StrEnum
from typing import Annotated

from pydantic import BaseModel, BeforeValidator, ConfigDict, Field

from headrace.model.fields import (
    FilePath,
    Flag,
    HostName,
    Interval,
    Payload,
    PortNumber,
    Resource,
    Status,
    Streak,
    payload,
)
from headrace.model.limits import LIMIT_PROBE_BYTES
from headrace.model.probes import Probe, ProbeKind, ProbePath
from headrace.model.problems import shown

NO_HEALTH = "none"
"""The name of no check at all."""

_WEB = frozenset({ProbeKind.HTTP, ProbeKind.HTTPS})
_WITH_PORT = frozenset({ProbeKind.TCP, ProbeKind.UDP, ProbeKind.SCTP}) | _WEB
_KINDS_OF_KEY: Mapping[str, frozenset[ProbeKind]] = {
    "port": _WITH_PORT,
    "host": _WEB,
    "resource": _WEB,
    "status": _WEB,
    "body": _WEB,
    "ca_file": frozenset({ProbeKind.HTTPS}),
    "request": frozenset({ProbeKind.UDP}),
    "response": frozenset({ProbeKind.UDP}),
    "full_size": frozenset({ProbeKind.TCP, ProbeKind.PING}) | _WEB,
}
"""The keys that say something of some kinds of probe only."""


class WhenUnknown(StrEnum):
    """What becomes of an endpoint of which nothing is believed yet."""

    UP = "up"
    DOWN = "down"
    KEEP = "keep"
    """It stays as it was; up where it was nothing before."""


class HealthCheck(BaseModel):
    """How endpoints are asked whether they serve."""

    model_config = ConfigDict(extra="forbid", frozen=True)

    kind: ProbeKind = Field(ProbeKind.TCP, description="what a probe is")
    path: ProbePath = Field(
        ProbePath.TUNNEL,
        description="tunnel: to the VIP, the way of clients' packets; direct: to the endpoint's "
        "own address",
    )
    interval_s: Interval = Field(2.0, description="from one probe to the next")
    timeout_s: Interval = Field(1.0, description="a probe that takes longer has failed")
    rise: Streak = Field(2, description="good results in a row that mean up")
    fall: Streak = Field(3, description="bad results in a row that mean down")
    port: PortNumber | None = Field(None, description="the service's first port if absent")
    host: HostName = Field("", description="http, https: the name in Host and TLS")
    resource: Resource = Field("/", description="http, https: what is asked for")
    status: tuple[Status, ...] = Field(
        ("200-399",),
        min_length=1,
        max_length=64,
        description='http, https: good, as [200, "300-399"]',
    )
    body: str = Field(
        "", max_length=LIMIT_PROBE_BYTES, description="http, https: what the answer must contain"
    )
    ca_file: FilePath = Field(
        "", description="https: certificates of who may sign the endpoint's; not checked if absent"
    )
    request: Payload = Field("", description='udp: what is sent; text, or "hex:" and digits')
    response: Payload = Field(
        "", description="udp: what the answer must begin with; any will do if absent"
    )
    full_size: Flag = Field(
        default=False,
        description="tcp, http, https, ping: ask as well whether a packet of the path's full size "
        "arrives",
    )

    @property
    def probe(self) -> Probe:
        """The probe that it describes."""
        return Probe(
            kind=self.kind,
            path=self.path,
            interval_s=self.interval_s,
            timeout_s=self.timeout_s,
            rise=self.rise,
            fall=self.fall,
            port=self.port,
            host=self.host,
            resource=self.resource,
            statuses=frozenset(code for each in self.status for code in _codes(each)),
            body=self.body,
            ca_file=self.ca_file,
            request=payload(self.request),
            response=payload(self.response),
            full_size=self.full_size,
        )

    @property
    def needs_port(self) -> bool:
        """Whether its probes go to a port that it does not name itself."""
        return self.kind in _WITH_PORT and self.port is None


def misfits(check: HealthCheck) -> Iterator[tuple[str, str]]:
    """Each key that says nothing of this kind of probe, and why."""
    for key, kinds in _KINDS_OF_KEY.items():
        if check.kind not in kinds and getattr(check, key) != HealthCheck.model_fields[key].default:
            allowed = ", ".join(kind for kind in ProbeKind if kind in kinds)
            yield key, f"is for {allowed}, not {check.kind}; leave it out"


def _codes(status: int | str) -> range:
    if isinstance(status, int):
        return range(status, status + 1)
    first, _, last = status.partition("-")
    return range(int(first), int(last) + 1)


def _read_choice(value: object) -> object:
    """A name, or a check in its own words.

    It is read here because a union would put its own words into the paths of problems.
    """
    if isinstance(value, str | HealthCheck):
        return value
    if isinstance(value, Mapping):
        return HealthCheck.model_validate(value)
    raise ValueError(f'{shown(value)} is neither the name of a check, nor "none", nor a mapping')


HealthChoice = Annotated[str | HealthCheck, BeforeValidator(_read_choice)]
"""Of a pool: the name of an entry under `health`, "none", or the check itself."""
