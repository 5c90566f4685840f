"""Every error that Headrace raises on purpose.

    LbError
    +-- ConfigError      the operator's document or request is wrong; carries every problem found
    +-- NotFoundError    the thing asked for does not exist
    +-- ConflictError    the request contradicts what already exists
    +-- ProtocolError    a peer sent something we do not accept; says what we answer
    +-- KernelError      the kernel refused an operation; carries errno and the operation
    +-- UnavailableError something we depend on is missing or not ready; says what to do

Anything else is a bug: it ends the daemon, and traffic flows on.
"""

import errno as errno_names
import os
from collections.abc import Iterable
from dataclasses import dataclass


class LbError(Exception):
    """The root of all errors that are answered to a user rather than reported as a bug."""


@dataclass(frozen=True, slots=True)
class Problem:
    """One thing wrong with a document: where it is, and the rule and remedy in one sentence."""

    path: str
    message: str

    def __str__(self) -> str:
        """The problem on one line."""
        return f"{self.path}: {self.message}" if self.path else self.message


class ConfigError(LbError):
    """A document or a request that is refused as a whole, with every problem it has."""

    def __init__(self, problems: Iterable[Problem]) -> None:
        self.problems = tuple(problems)
        super().__init__("\n".join(str(problem) for problem in self.problems))

    @classmethod
    def at(cls, path: str, message: str) -> "ConfigError":
        """The error for a single problem."""
        return cls([Problem(path, message)])


class NotFoundError(LbError):
    """The thing that a request names does not exist."""


class ConflictError(LbError):
    """The request contradicts what already exists."""


class ProtocolError(LbError):
    """A peer's bytes break the protocol."""


class UnavailableError(LbError):
    """Something we depend on is missing or not ready; the message says what to do."""


class KernelError(LbError):
    """The kernel refused an operation."""

    def __init__(self, operation: str, errno: int, detail: str = "") -> None:
        self.operation = operation
        self.errno = errno
        name = errno_names.errorcode.get(errno, str(errno))
        tail = f"\n{detail}" if detail else ""
        super().__init__(f"{operation}: {os.strerror(errno)} ({name}){tail}")
