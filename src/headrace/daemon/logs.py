"""Log events on stderr: for people on a terminal, as JSON lines for a collector."""

import logging
import sys

import structlog

from headrace.control import LogLevel


def configure_logs(level: LogLevel | None = None) -> None:
    """Set up structlog for the whole process; the level may change while it runs."""
    if sys.stderr.isatty():
        renderer: structlog.types.Processor = structlog.dev.ConsoleRenderer()
    else:
        renderer = structlog.processors.JSONRenderer()
    structlog.configure(
        processors=[
            level or LogLevel(),
            structlog.processors.add_log_level,
            structlog.processors.TimeStamper(fmt="iso", utc=True),
            structlog.processors.format_exc_info,
            renderer,
        ],
        wrapper_class=structlog.make_filtering_bound_logger(logging.DEBUG),
        logger_factory=structlog.PrintLoggerFactory(sys.stderr),
        cache_logger_on_first_use=True,
    )
