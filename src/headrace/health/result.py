"""What came of a try, in a vote and in words."""

import errno
import os
from dataclasses import dataclass

from headrace.model import Health

_WORDS = {
    errno.ECONNREFUSED: "refused",
    errno.ETIMEDOUT: "timeout",
    errno.ECONNRESET: "reset",
    errno.EPIPE: "reset",
    errno.EHOSTUNREACH: "host unreachable",
    errno.ENETUNREACH: "no path: network unreachable",
    errno.EINVAL: "no path: a blackhole route",  # what connect() answers to one
    errno.EACCES: "no path: prohibited by a route",
}

_OWN_FAULTS = frozenset(
    {
        errno.EAGAIN,
        errno.EMFILE,
        errno.ENFILE,
        errno.ENOMEM,
        errno.ENOBUFS,
        errno.ENOSPC,
        errno.EPERM,
        errno.EADDRNOTAVAIL,
        errno.EPROTONOSUPPORT,
        errno.EAFNOSUPPORT,
    }
)
"""Troubles of this node, which say nothing about an endpoint."""

_REMEDIES = {
    errno.EMFILE: "raise this process's limit of open files",
    errno.EPERM: "its firewall, or no CAP_NET_ADMIN for marked sockets, CAP_NET_RAW for ping",
    errno.EADDRNOTAVAIL: "no source address, or no free port",
    errno.EPROTONOSUPPORT: "this kernel lacks it; load its module, or probe by another kind",
}


class ProbeFailure(Exception):  # noqa: N818 - a result, not an error
    """The endpoint failed a try; the text is the reason."""


@dataclass(frozen=True, slots=True)
class Result:
    """What one try says of a target: up, down, or unknown when it could not be made."""

    vote: Health
    words: str


def result_of(error: ProbeFailure | OSError) -> Result:
    """What a try that ended so says."""
    if isinstance(error, ProbeFailure):
        return Result(Health.DOWN, str(error))
    code = errno.ETIMEDOUT if isinstance(error, TimeoutError) else (error.errno or 0)
    if code not in _OWN_FAULTS:
        return Result(Health.DOWN, _WORDS.get(code) or os.strerror(code).lower())
    remedy = f" ({_REMEDIES[code]})" if code in _REMEDIES else ""
    return Result(Health.UNKNOWN, f"cannot probe: {os.strerror(code).lower()}{remedy}")
