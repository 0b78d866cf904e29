"""What a caller may ask for, checked: chat, key, overflow, time. The same words and errors at all doors."""

from __future__ import annotations

import uuid
from dataclasses import dataclass
from datetime import datetime

from pipeline.errors import Misuse
from pipeline.model import Lane
from pipeline.recordings import Overflow

MAX_KEY_LENGTH = 255


_LAST_YEAR_S = 253_402_300_800
"""The year 10000, which no calendar of Python's reaches."""


@dataclass(frozen=True, kw_only=True, slots=True)
class Wish:
    """What a caller asks for. chat_id: checked by `check_chat_id`; None only for a dropped object. not_before: Unix
    seconds, 0 = at once."""

    chat_id: str | None
    key: str | None = None
    overflow: Overflow | None = None
    not_before: float = 0.0
    lane: Lane = "live"


def split_s3_uri(uri: str) -> tuple[str, str]:
    """(bucket, key) of `s3://bucket/key`. Raises Misuse (`bad-recording`).

    A key with a `.` or `..` in it is refused: HTTP clients resolve these, and would ask for another object."""
    bucket, _, key = uri.removeprefix("s3://").partition("/")
    dots = not {".", ".."}.isdisjoint(key.split("/"))
    if not uri.startswith("s3://") or not bucket or not key or dots or not is_text(key) or len(key.encode()) > 1024:
        raise Misuse("bad-recording", f"{uri[:200]!r} is no s3://bucket/key URI.")
    return bucket, key


def is_text(text: str) -> bool:
    """Whether every part of the system can store a text: no NUL, no half of a surrogate pair."""
    return "\0" not in text and not any("\ud800" <= char <= "\udfff" for char in text)


def check_chat_id(text: str) -> str:
    """A chat id in its canonical form: a UUID by shape, of any version. Raises Misuse (`bad-chat-id`)."""
    try:
        if len(text) != 36:
            raise ValueError(text)
        return str(uuid.UUID(text))
    except (ValueError, AttributeError, TypeError):
        raise Misuse("bad-chat-id", f"{text!r} is no chat id: Linq's chat ids are UUIDs.", chat_id=str(text)) from None


def is_chat_id(text: str) -> bool:
    """Whether a text has the shape of a chat id."""
    try:
        return bool(check_chat_id(text))
    except Misuse:
        return False


def check_key(text: str | None) -> str | None:
    """An idempotency key, 1 to 255 printable characters. Raises Misuse (`bad-key`), also for what is no text."""
    if text is None:
        return None
    if not isinstance(text, str) or not text.strip() or len(text) > MAX_KEY_LENGTH or not text.isprintable():
        shown = str(text)[:MAX_KEY_LENGTH]
        raise Misuse("bad-key", f"A key has 1 to {MAX_KEY_LENGTH} printable characters.", key=shown)
    return text


def check_overflow(text: str | None) -> Overflow | None:
    """One of compress, cut, split, reject, or None. Raises Misuse (`bad-overflow`), also for what is no text."""
    known: dict[str, Overflow] = {"compress": "compress", "cut": "cut", "split": "split", "reject": "reject"}
    if text is None or text == "":
        return None
    if not isinstance(text, str) or text not in known:
        shown = str(text)[:100]
        raise Misuse("bad-overflow", f"{shown!r} is no overflow: say compress, cut, split or reject.", overflow=shown)
    return known[text]


def parse_not_before(value: str | float | datetime | None) -> float:
    """Unix seconds of an ISO 8601 time with an offset, of such a datetime, or of a number of seconds. 0 for None.

    Raises Misuse (`bad-not-before`)."""
    if value is None or value == "":
        return 0.0
    try:
        seconds = _seconds(value)
        if isinstance(value, bool) or not 0 <= seconds < _LAST_YEAR_S:
            raise ValueError(value)
        return seconds
    except (ValueError, TypeError, OverflowError):
        text = f"{str(value)[:100]!r} is no time: say for instance 2026-11-24T08:00:00+01:00."
        raise Misuse("bad-not-before", text, not_before=str(value)[:100]) from None


def _seconds(value: str | float | datetime) -> float:
    if isinstance(value, int | float):
        return float(value)
    moment = value if isinstance(value, datetime) else datetime.fromisoformat(value)
    if moment.tzinfo is None:
        raise ValueError(value)
    return moment.timestamp()
