"""Who is at the other end of a connection, and who asks."""

from dataclasses import dataclass
from datetime import datetime

from headrace.api.tokens import Role


@dataclass(frozen=True, slots=True)
class UnixPeer:
    """A process at the unix socket, as the kernel knows it."""

    uid: int
    groups: frozenset[int]


@dataclass(frozen=True, slots=True)
class LocalPeer:
    """A process at a loopback address."""

    address: str


@dataclass(frozen=True, slots=True)
class TlsPeer:
    """A host anywhere, and the subject of its certificate if it has one that our CA signed."""

    address: str
    name: str = ""  # common name
    units: tuple[str, ...] = ()  # organisational units
    expires: datetime | None = None  # when the certificate does


Peer = UnixPeer | LocalPeer | TlsPeer


@dataclass(frozen=True, slots=True)
class Caller:
    """Who asks, as the history shows it, and what they may do."""

    name: str
    role: Role
