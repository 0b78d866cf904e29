"""What a caller may ask for, checked: chat, key, overflow, time. The same words and errors at all doors."""

from __future__ import annotations

import uuid
from collections.abc import Mapping
from dataclasses import dataclass
from datetime import datetime
from urllib.parse import urlsplit

from pipeline.errors import Misuse
from pipeline.model import Lane
from pipeline.recordings import Overflow

MAX_KEY_LENGTH = 255
LONGEST_HOLD_S = 31_536_000
MAX_URL_LENGTH = 2_000
OPTIONS = ("overflow", "not_before", "hold_s", "callback_url")
"""What may be said beside recording, chat and key, at every door of a program."""

_LAST_YEAR_S = 253_402_300_800
"""The year 10000, which no calendar of Python's reaches."""


@dataclass(frozen=True, kw_only=True, slots=True)
class Wish:
    """What a caller asks for. chat_id: checked by `check_chat_id`; None only for a dropped object. not_before: Unix
    seconds, 0 = at once. time_zone: of the person, for quiet hours."""

    chat_id: str | None
    key: str | None = None
    overflow: Overflow | None = None
    not_before: float = 0.0
    lane: Lane = "live"
    callback_url: str | None = None
    time_zone: str | None = None


def wish_of(fields: Mapping[str, object], key: object, *, now: float) -> Wish:
    """What a program asks for, by the names of its options: `chat_id`, and those of `OPTIONS` that it gives. now: Unix
    seconds, from which `hold_s` counts.

    Raises Misuse (`bad-chat-id`, `bad-key`, `bad-overflow`, `bad-not-before`, `bad-hold`, `bad-callback-url`)."""
    held_until = held(check_hold(fields.get("hold_s")), now)
    return Wish(
        chat_id=check_chat_id(fields.get("chat_id")),
        key=check_key(key),
        overflow=check_overflow(fields.get("overflow")),
        not_before=max(parse_not_before(fields.get("not_before")), held_until),
        callback_url=check_callback_url(fields.get("callback_url")),
    )


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


def check_chat_id(text: object) -> str:
    """A chat id in its canonical form: a UUID by shape, of any version. Raises Misuse (`bad-chat-id`)."""
    try:
        if not isinstance(text, str) or len(text) != 36:
            raise ValueError(text)
        return str(uuid.UUID(text))
    except ValueError:
        shown = str(text)[:100]
        raise Misuse("bad-chat-id", f"{shown!r} is no chat id: Linq's chat ids are UUIDs.", chat_id=shown) from None


def is_chat_id(text: str) -> bool:
    """Whether a text has the shape of a chat id."""
    try:
        return bool(check_chat_id(text))
    except Misuse:
        return False


def check_key(text: object) -> str | None:
    """An idempotency key, 1 to 255 printable characters. Raises Misuse (`bad-key`), also for what is no text."""
    if text is None:
        return None
    if not isinstance(text, str) or not text.strip() or len(text) > MAX_KEY_LENGTH or not text.isprintable():
        shown = str(text)[:MAX_KEY_LENGTH]
        raise Misuse("bad-key", f"A key has 1 to {MAX_KEY_LENGTH} printable characters.", key=shown)
    return text


def check_overflow(text: object) -> Overflow | None:
    """One of compress, cut, split, reject, or None. Raises Misuse (`bad-overflow`), also for what is no text."""
    known: dict[str, Overflow] = {"compress": "compress", "cut": "cut", "split": "split", "reject": "reject"}
    if text is None or text == "":
        return None
    if not isinstance(text, str) or text not in known:
        shown = str(text)[:100]
        raise Misuse("bad-overflow", f"{shown!r} is no overflow: say compress, cut, split or reject.", overflow=shown)
    return known[text]


def parse_not_before(value: object) -> float:
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


def check_hold(value: object) -> float:
    """Seconds for which a memo is held back, so that it can be cancelled: 0 to a year, as a number or in digits. 0 for
    None. Raises Misuse (`bad-hold`)."""
    try:
        seconds = 0.0 if value is None or value == "" else float(value)  # type: ignore[arg-type]
        if isinstance(value, bool) or not 0 <= seconds <= LONGEST_HOLD_S:
            raise ValueError(value)
        return seconds
    except (ValueError, TypeError, OverflowError):
        text = f"{str(value)[:100]!r} is no time to hold a memo: say 0 to {LONGEST_HOLD_S} seconds."
        raise Misuse("bad-hold", text, hold_s=str(value)[:100]) from None


def held(hold_s: float, now: float) -> float:
    """The moment before which a memo is not sent; 0 where it is not held."""
    return now + hold_s if hold_s else 0.0


def _seconds(value: object) -> float:
    if isinstance(value, int | float):
        return float(value)
    moment = value if isinstance(value, datetime) else datetime.fromisoformat(value)  # type: ignore[arg-type]
    if moment.tzinfo is None:
        raise ValueError(value)
    return moment.timestamp()


def check_callback_url(text: object) -> str | None:
    """Where the caller wants to be told what becomes of the job: an http or https URL, whose address is judged when it
    is connected to. None for None. Raises Misuse (`bad-callback-url`)."""
    if text is None or text == "":
        return None
    try:
        if not isinstance(text, str) or not is_plain(text) or not text.startswith(("https://", "http://")):
            raise ValueError(text)
        url = urlsplit(text)
        if not url.hostname or url.port == 0 or url.username or url.password or url.fragment:
            raise ValueError(text)
        return text
    except ValueError:
        shown = str(text)[:100]
        why = "is no https:// URL without user, password and fragment"
        raise Misuse("bad-callback-url", f"{shown!r} {why}.", callback_url=shown) from None


def is_plain(text: str) -> bool:
    """Whether a URL is printable ASCII without spaces, and not endless: what may be sent as it stands."""
    return len(text) <= MAX_URL_LENGTH and text.isascii() and text.isprintable() and " " not in text
