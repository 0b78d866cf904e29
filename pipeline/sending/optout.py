"""What opts a recipient out. Pure.

Linq blocks a recipient whose whole trimmed message is one of a few words in exactly this case, or OPT OUT in any case,
with or without the space or a hyphen; their next message that is none of these lifts the block (`linq.types.chat` of
the SDK 0.65.0)."""

from __future__ import annotations

import re
from typing import Final

_WORDS: Final = frozenset({"STOP", "UNSUBSCRIBE", "OPTOUT", "CANCEL", "END", "QUIT"})
_OPT_OUT: Final = re.compile(r"opt[ -]?out", re.IGNORECASE)
_LONGEST: Final = 100


def is_opt_out(text: str | None) -> bool:
    """Whether a message opts its sender out."""
    words = text.strip() if text and len(text) <= _LONGEST else ""
    return words in _WORDS or _OPT_OUT.fullmatch(words) is not None
