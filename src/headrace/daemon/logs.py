"""Log events on stderr: for people on a terminal, as JSON lines for a collector."""

import logging
import sys

import structlog

from headrace.control import LogLevel

_WARN_OF_STRANGERS = ("uvicorn", "asyncio")
"""Libraries whose warnings are of what clients do, of which strangers can do any amount."""

_log = structlog.get_logger()


def configure_logs(level: LogLevel | None = None) -> None:
    """Set up the logs of the whole process, libraries' too; the level may change while it runs."""
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
    logging.basicConfig(handlers=[_Events()])
    logging.captureWarnings(capture=True)


class _Events(logging.Handler):
    """Has what libraries log told as our events are; an error with its traceback."""

    def emit(self, record: logging.LogRecord) -> None:
        """Tell of one record."""
        told = {"library": record.name, "said": record.getMessage().strip()}
        if record.levelno >= logging.ERROR:
            _log.error("library_failed", **told, exc_info=record.exc_info)
        elif record.name.startswith(_WARN_OF_STRANGERS):
            _log.debug("library_warned", **told)
        else:
            _log.warning("library_warned", **told)
