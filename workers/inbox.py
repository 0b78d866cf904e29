"""What a dropped object asks for: its metadata, a note beside it, its key. Pure."""

from __future__ import annotations

import json
from collections.abc import Mapping
from dataclasses import replace

from pipeline.errors import Misuse
from workers import wishes
from workers.wishes import Wish, check_chat_id, is_chat_id, is_text

NOBODY = "00000000-0000-0000-0000-000000000000"

SIDE_CAR_MAX_BYTES = 65_536
OPTIONS = ("chat_id", "key", *wishes.OPTIONS)
"""What a note beside a recording may hold."""
_NUMBERS = ("not_before", "hold_s")
_METADATA = {name: name.replace("_", "-") for name in OPTIONS} | {"key": "idempotency-key"}
"""Options by their names in an object's metadata (`x-amz-meta-…`)."""


def wish_of(key: str, metadata: Mapping[str, str], side_car: bytes | None, *, put_at: float = 0.0) -> Wish:
    """What is asked for an object: metadata first, then the note beside it, then the first part of the key.
    put_at: Unix seconds, from which `hold_s` counts.

    chat_id is None where nobody says. Raises Misuse where an option cannot be understood: then a person decides, since
    a memo sent with other options than were asked for cannot be called back."""
    options = _side_car_options(side_car) if side_car is not None else {}
    options |= {option: metadata[name] for option, name in _METADATA.items() if name in metadata}
    for name, value in options.items():
        if isinstance(value, str) and not is_text(value):
            raise Misuse(f"bad-{name.replace('_', '-')}", f"{name} is not text.")
    chat_id = options.pop("chat_id", None)
    chat_id = check_chat_id(chat_id) if chat_id is not None else chat_of_key(key)
    wish = wishes.wish_of(options | {"chat_id": chat_id or NOBODY}, options.get("key"), now=put_at)
    return wish if chat_id else replace(wish, chat_id=None)


def chat_of_key(key: str) -> str | None:
    """The first part of `{chat_id}/anything/name.ogg`, where that is a chat id."""
    first, slash, _ = key.partition("/")
    return check_chat_id(first) if slash and is_chat_id(first) else None


def _side_car_options(side_car: bytes) -> dict[str, object]:
    if len(side_car) > SIDE_CAR_MAX_BYTES:
        raise Misuse("bad-side-car", f"The note beside the recording has over {SIDE_CAR_MAX_BYTES} bytes.")
    try:
        options = json.loads(side_car)
    except (ValueError, RecursionError):
        raise Misuse("bad-side-car", "The note beside the recording is no JSON.") from None
    if not isinstance(options, dict):
        raise Misuse("bad-side-car", "The note beside the recording is no JSON object.")
    for name, value in options.items():
        number = name in _NUMBERS and isinstance(value, int | float)
        if name not in OPTIONS or not (value is None or number or isinstance(value, str)):
            text = f"The note beside the recording holds {name[:100]!r}: it may hold {', '.join(OPTIONS)}, as texts."
            raise Misuse("bad-side-car", text)
    return {name: value for name, value in options.items() if value is not None}
