"""How much a running daemon logs; whoever asks may change it, and it is forgotten at the end."""

from collections.abc import MutableMapping
from enum import StrEnum
from typing import Any

import structlog


class Level(StrEnum):
    """From which weight on events are logged."""

    DEBUG = "debug"
    INFO = "info"
    WARNING = "warning"
    ERROR = "error"


_RANKS = {level.value: rank for rank, level in enumerate(Level)}


class LogLevel:
    """The level in force: one object of the daemon, a processor of its logs and the API's knob."""

    def __init__(self, level: Level = Level.INFO) -> None:
        self.level = level

    def __call__(
        self, _logger: object, method: str, event: MutableMapping[str, Any]
    ) -> MutableMapping[str, Any]:
        """Drop what is below the level, as a processor of structlog."""
        if _RANKS.get(method, len(_RANKS)) < _RANKS[self.level]:  # critical, exception: always
            raise structlog.DropEvent
        return event
