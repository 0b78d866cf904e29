"""Logs: one line an event, its name first, facts as key=value. The words are those of the glossary.

The lines pass through the standard library's logger `memoline`, so that a program that enqueues memos decides what
becomes of them; our own processes write them to stderr.
"""

from __future__ import annotations

import logging
import sys

import structlog

_NAME = "memoline"


class _Line(logging.Formatter):
    """The line as it is: a traceback is in it already."""

    def format(self, record: logging.LogRecord) -> str:
        return record.getMessage()


def set_up_logging() -> None:
    """Readable lines on stderr; the supervisor puts them into files."""
    handler = logging.StreamHandler(sys.stderr)
    handler.setFormatter(_Line())
    log = logging.getLogger(_NAME)
    log.handlers, log.propagate = [handler], False
    log.setLevel(logging.INFO)


def logger() -> structlog.stdlib.BoundLogger:
    """The logger of this process."""
    log: structlog.stdlib.BoundLogger = structlog.wrap_logger(
        logging.getLogger(_NAME),
        wrapper_class=structlog.stdlib.BoundLogger,
        processors=[
            structlog.stdlib.filter_by_level,
            structlog.contextvars.merge_contextvars,
            structlog.processors.add_log_level,
            structlog.processors.TimeStamper(fmt="iso", utc=True),
            structlog.processors.format_exc_info,
            structlog.processors.LogfmtRenderer(key_order=["timestamp", "level", "event"]),
        ],
    )
    return log
