"""Whose turn it is among the parts of a split, and what their states come to. Pure.

Parts go in their order, and half a message is worse than none: a part that cannot be sent ends those behind it. One
that Linq took, or may have taken, or that a person ended, is passed, and the next one goes on."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Final

from pipeline.ledger.states import IN_FLIGHT, MAY_BE_TAKEN, OPEN, WAITING
from pipeline.model import Job, State

PART_MISSING: Final = "part-missing"
"""Code of a part that was not sent because an earlier one could not be."""

HOLDS_S: Final = 120.0
"""So long the other lane of a chat waits for the next part: the chat is paced. Quiet hours, or a day's limit, it does
not wait for."""

_FROM_WORST: Final = (State.FAILED, State.CANCELLED, State.SENT, State.DELIVERED, State.ERASED)
_ENDED_WELL: Final = (State.SENT, State.DELIVERED, State.ERASED)


def is_passed(part: Job) -> bool:
    """Whether the parts behind it need not wait for it any more."""
    if part.state is State.FAILED:
        return may_be_taken(part)
    return part.state in (*_ENDED_WELL, State.CANCELLED)


def may_be_taken(part: Job) -> bool:
    """Whether Linq took a part, or nobody can say that it did not."""
    return part.message_id is not None or part.state in (*_ENDED_WELL, *IN_FLIGHT) or part.code in MAY_BE_TAKEN


def turn(parts: Sequence[Job]) -> Job | None:
    """The part that is on its way, else the first that is not passed; None where all are. parts: in their order."""
    flying = (part for part in parts if part.state in IN_FLIGHT)
    waiting = (part for part in parts if not is_passed(part))
    return next(flying, None) or next(waiting, None)


def at_turn(heads: Sequence[Job], parts: Sequence[Sequence[Job]], now: float) -> tuple[Job, ...]:
    """The heads of a chat's lanes, with the part whose turn it is in place of a split. parts: of each head. Of a split
    that has begun nothing else comes between the parts, from whatever lane, unless the next has to wait for long."""
    found = [turn(its_parts) or head for head, its_parts in zip(heads, parts, strict=True)]
    under_way = zip(found, (any(map(may_be_taken, its)) for its in parts), strict=True)
    begun = next((one for one, has_begun in under_way if has_begun and one.retry_at <= now + HOLDS_S), None)
    if begun is None:
        return tuple(found)
    return tuple(one for one in found if one is begun or one.state in IN_FLIGHT)


def speaker(parts: Sequence[Job]) -> Job:
    """The part whose state the whole has: the one whose turn it is, else the one that ended worst."""
    return turn(parts) or min(parts, key=lambda part: _FROM_WORST.index(part.state))


def left_behind(parts: Sequence[Job]) -> tuple[Job, ...]:
    """The parts that wait for one that cannot be sent."""
    first = next((part for part in parts if not is_passed(part)), None)
    if first is None or first.state in (*OPEN, State.HELD):
        return ()
    return tuple(part for part in parts if part.part_no > first.part_no and part.state in WAITING)


def stands_before(parts: Sequence[Job], part: Job) -> Job | None:
    """The earlier part that could not be sent, without which this one is not."""
    earlier = (one for one in parts if one.part_no < part.part_no and not is_passed(one))
    return next((one for one in earlier if one.state not in (*OPEN, State.HELD)), None)
