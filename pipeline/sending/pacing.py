"""How long to wait, as pure rules. A wait is written into the ledger; nobody sleeps."""

from __future__ import annotations

MESSAGES_A_MINUTE = 30
"""Linq's hard limit for one chat, in any 60 s. A token bucket of that rate would grant 59 in the first minute."""
PLACE_LASTS_S = 1.0
"""How long a place that was taken may be used: whoever froze meanwhile would send into the next window."""
WINDOW_S = 60 + round(PLACE_LASTS_S)
"""Of places taken in so many seconds, no more than the limit allows can become POSTs within 60 s."""

_BACKOFF_S = (2.0, 5.0, 15.0, 30.0, 60.0, 120.0, 300.0)
_POLL_S = ((10, 5.0), (120, 20.0), (900, 120.0), (7_200, 900.0), (90_000, 7_200.0))
"""(up to this age in seconds, look again after so many). A day after it was sent, nobody asks any more."""


def backoff_s(attempt: int) -> float:
    """Seconds before the next try after the given number of tries: 2 s to 5 min."""
    return _BACKOFF_S[min(max(attempt, 1), len(_BACKOFF_S)) - 1]


def look_after_s(doubt_s: float, quiet_s: float) -> float:
    """Seconds until a list that could not be read is tried again, doubt_s after the send: a tenth of that time, but not
    less than the quiet time."""
    return max(quiet_s, doubt_s / 10)


def poll_after_s(age_s: float) -> float:
    """Seconds until the status of a memo that was sent age_s ago is asked for again; 0 = not any more."""
    return next((wait_s for up_to_s, wait_s in _POLL_S if age_s <= up_to_s), 0.0)


def for_backfills(limit: int) -> int:
    """How much of a limit backfills may use together: nine tenths, so that a live memo finds a place."""
    return limit - max(limit // 10, min(limit - 1, 1))
