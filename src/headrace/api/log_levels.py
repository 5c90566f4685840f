"""How much the daemon logs, set while it runs."""

import structlog

from headrace.control.log_level import Level, LogLevel

_log = structlog.get_logger()


def set_level(log_level: LogLevel, level: Level, *, author: str) -> None:
    """Log more or less from now on; who changed it is logged, at whichever level that is."""
    if level is Level.ERROR:  # from then on nobody would hear of it
        _log.warning("log_level_changed", to=level, author=author)
    log_level.level = level
    if level is not Level.ERROR:
        _log.warning("log_level_changed", to=level, author=author)
