"""What a dropped object asks for: its metadata, a note beside it, its key. Pure."""

from __future__ import annotations

import json
from collections.abc import Mapping

from pipeline.errors import Misuse
from workers.wishes import Wish, check_chat_id, check_key, check_overflow, is_chat_id, is_text, parse_not_before

SIDE_CAR_MAX_BYTES = 65_536
OPTIONS = ("chat_id", "key", "overflow", "not_before")
_METADATA = {"chat_id": "chat-id", "key": "idempotency-key", "overflow": "overflow", "not_before": "not-before"}
"""Options by their names in an object's metadata (`x-amz-meta-…`)."""


def wish_of(key: str, metadata: Mapping[str, str], side_car: bytes | None) -> Wish:
    """What is asked for an object: metadata first, then the note beside it, then the first part of the key.

    chat_id is None where nobody says. Raises Misuse where an option cannot be understood: then a person decides, since
    a memo sent with other options than were asked for cannot be called back."""
    options = _side_car_options(side_car) if side_car is not None else {}
    options |= {option: metadata[name] for option, name in _METADATA.items() if name in metadata}
    chat_id = options.get("chat_id")
    not_before = options.get("not_before")
    return Wish(
        chat_id=check_chat_id(chat_id) if isinstance(chat_id, str) else chat_of_key(key),
        key=check_key(_text(options, "key")),
        overflow=check_overflow(_text(options, "overflow")),
        not_before=parse_not_before(not_before if isinstance(not_before, str | int | float) else None),
    )


def chat_of_key(key: str) -> str | None:
    """The first part of `{chat_id}/anything/name.ogg`, where that is a chat id."""
    first, slash, _ = key.partition("/")
    return check_chat_id(first) if slash and is_chat_id(first) else None


def _side_car_options(side_car: bytes) -> dict[str, object]:
    try:
        options = json.loads(side_car)
    except (ValueError, RecursionError):
        raise Misuse("bad-side-car", "The note beside the recording is no JSON.") from None
    if not isinstance(options, dict):
        raise Misuse("bad-side-car", "The note beside the recording is no JSON object.")
    for name, value in options.items():
        number = name == "not_before" and isinstance(value, int | float)
        if name not in OPTIONS or not (value is None or number or isinstance(value, str)):
            text = f"The note beside the recording holds {name[:100]!r}: it may hold {', '.join(OPTIONS)}, as texts."
            raise Misuse("bad-side-car", text)
    return {name: value for name, value in options.items() if value is not None}


def _text(options: Mapping[str, object], name: str) -> str | None:
    value = options.get(name)
    if isinstance(value, str) and not is_text(value):
        raise Misuse(f"bad-{name}", f"{name} is not text.")
    return value if isinstance(value, str) else None
