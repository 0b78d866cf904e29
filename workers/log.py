"""Logs: one line an event, its name first, facts as key=value, or as JSON (MEMOLINE_LOG_FORMAT). The words are those of
the glossary; a line that concerns a job has its id, which is its trace's id, too.

The lines pass through the standard library's logger `memoline`, so that a program that enqueues memos decides what
becomes of them; our own processes write them, and what libraries say, to stderr. No line of theirs has a secret, a
phone number or the query of a URL, by which signed ones open."""

from __future__ import annotations

import json
import logging
import re
import sys
from collections.abc import Callable, Iterable, Mapping
from contextlib import AbstractContextManager
from typing import Any

import structlog

from pipeline.settings import Settings

_NAME = "memoline"
_ORDER = ("timestamp", "level", "event")
_QUIET = (
    "celery.pool",
    "celery.worker.strategy",
    "celery.app.trace",
    "botocore",
    "urllib3",
    "httpx",
    "httpcore",
    "alembic",
)
"""Libraries that tell what our own lines tell better, task by task."""
_PRIVATE = re.compile(
    r"(?P<query>(?<=[\w/])\?[\w.~%-]+=[^\s\"'<>\\)]*)"
    r"|(?P<user>(?<=://)[^\s/@\"']+@)"
    r"|(?P<phone>(?:\+|%2B)\d{7,15})"
    r"|(?P<secret>whsec_[\w+/=-]+|(?<=Bearer )[\w.~+/=-]+)"
)
_INSTEAD = {"query": "?…", "user": "…@", "phone": "+…", "secret": "…"}


class Line:
    """The facts of one line; a string for who does not know better."""

    def __init__(self, facts: Mapping[str, Any]) -> None:
        self.facts = facts

    def __str__(self) -> str:
        return _as_text(self.facts)


def set_up_logging(settings: Settings) -> None:
    """Write to stderr, as MEMOLINE_LOG_FORMAT and MEMOLINE_LOG_LEVEL say; the supervisor puts it into files."""
    handler = logging.StreamHandler(sys.stderr)
    handler.setFormatter(_Formatter(_as_json if settings.log_format == "json" else _as_text, _secrets_of(settings)))
    logging.captureWarnings(capture=True)
    root, log = logging.getLogger(), logging.getLogger(_NAME)
    root.handlers, log.handlers, log.propagate = [handler], [], True
    level = logging.getLevelNamesMapping()[settings.log_level.upper()]
    root.setLevel(level)
    log.setLevel(level)
    for name in _QUIET:
        logging.getLogger(name).setLevel(max(level, logging.WARNING))


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
            _with_trace,
            lambda _logger, _method, facts: ((Line(facts),), {}),
        ],
    )
    return log


def about_job(job_id: str) -> AbstractContextManager[None]:
    """Within the block every line, of libraries too, has the job's id."""
    return structlog.contextvars.bound_contextvars(job_id=job_id)


class _Formatter(logging.Formatter):
    """What our own loggers and others say, in one form."""

    def __init__(self, render: Callable[[Mapping[str, Any]], str], secrets: Iterable[str]) -> None:
        super().__init__()
        self._render = render
        words = sorted(map(re.escape, secrets), key=len, reverse=True)
        self._secrets = re.compile("|".join(words)) if words else None

    def format(self, record: logging.LogRecord) -> str:
        facts = record.msg.facts if isinstance(record.msg, Line) else self._foreign(record)
        line = _PRIVATE.sub(lambda found: _INSTEAD[found.lastgroup or "secret"], self._render(facts))
        return self._secrets.sub("…", line) if self._secrets else line

    def _foreign(self, record: logging.LogRecord) -> Mapping[str, Any]:
        at = structlog.processors.TimeStamper(fmt="iso", utc=True)(None, "", {})
        facts = {**at, "level": record.levelname.lower(), "event": record.getMessage(), "logger": record.name}
        if record.exc_info:
            facts["exception"] = self.formatException(record.exc_info)
        known: dict[str, Any] = _with_trace(None, "", {**structlog.contextvars.get_contextvars(), **facts})
        return known


def _with_trace(_logger: object, _method: str, facts: Any) -> Any:
    if job_id := facts.get("job_id"):
        facts["trace_id"] = job_id
    return facts


def _as_json(facts: Mapping[str, Any]) -> str:
    first = {name: facts[name] for name in _ORDER if name in facts}
    return json.dumps(first | dict(facts), default=str, ensure_ascii=False)


def _as_text(facts: Mapping[str, Any]) -> str:
    rendered = structlog.processors.LogfmtRenderer(key_order=list(_ORDER), drop_missing=True)(None, "", dict(facts))
    return str(rendered)


def _secrets_of(settings: Settings) -> set[str]:
    """Every secret that this process knows."""
    from urllib.parse import unquote, urlsplit

    values = [getattr(settings, name) for name in type(settings).model_fields]
    known = {value.get_secret_value() for value in values if hasattr(value, "get_secret_value")}
    for url in (settings.broker_url, settings.database_url):
        password = urlsplit(url or "").password
        known |= {password, unquote(password)} if password else set()
    return {secret for secret in known if len(secret) >= 6}
