"""Which moves a job may make. Pure: the ledger asks here before every compare-and-set."""

from __future__ import annotations

from collections.abc import Mapping
from types import MappingProxyType
from typing import Final

from pipeline.model import Job, State

OPEN: Final = (State.RECEIVED, State.PREPARING, State.HOSTED, State.SENDING, State.UNCONFIRMED)
"""The program still has something to do. In this order in the tables' partial indexes too."""

KEEPS_PLACE: Final = OPEN
"""Later memos of the chat's lane wait for such a job, unless its own `not_before` lies ahead (`may_step_aside`)."""

MAY_STEP_ASIDE: Final = (State.RECEIVED, State.PREPARING, State.HOSTED)
"""Here a `not_before` that lies ahead frees the place until it is due."""

WAITING: Final = MAY_STEP_ASIDE
"""Nothing of the job is on its way."""

IN_FLIGHT: Final = (State.SENDING, State.UNCONFIRMED)
"""Linq may have the memo already: nothing of the lane goes before it is known."""

POLLED: Final = (State.SENT, State.FAILED)
"""Linq may still report another end of the message: delivered, or, in rare cases, delivered after it had failed."""

TERMINAL: Final = frozenset({State.DELIVERED, State.REJECTED, State.FAILED, State.CANCELLED, State.ERASED})
"""Nothing happens any more by itself, but for a report or an answer that comes late."""

ENDED_UNSENT: Final = (State.REJECTED, State.FAILED, State.CANCELLED)
"""Ends after which somebody may still want the recording."""

SENT: Final = (State.SENT, State.DELIVERED)
"""Linq took it, and nothing else became of it."""

MAY_BE_TAKEN: Final = ("not-delivered", "resolved-given-up", "outcome-unknown")
"""Codes of jobs that Linq took, or may have taken, also where no message id is known: `retry` leaves them alone."""

_LATE: Final = "the late answer of a fenced sender: Linq took it"
_FORGOTTEN: Final = "an older copy of the ledger forgot an attempt of which nobody knows what came"
_R, _P, _H, _X, _U = OPEN
_HELD, _SENT, _DONE = State.HELD, State.SENT, State.DELIVERED
_NO, _FAIL, _STOP, _GONE = State.REJECTED, State.FAILED, State.CANCELLED, State.ERASED

REASONS: Final[Mapping[tuple[State, State], str]] = MappingProxyType(
    {
        (_R, _P): "an audio worker claims it",
        (_R, _HELD): "nobody said which chat it is for",
        (_R, _FAIL): "attempts used up, too old, or the chat opted out",
        (_R, _STOP): "cancelled before any work",
        (_R, _SENT): _LATE,
        (_R, _U): _FORGOTTEN,
        (_P, _P): "the lease ran out; another worker claims it with a new epoch",
        (_P, _R): "a back-off: a part was away, or the attempt failed and another is left",
        (_P, _H): "the memo is stored and its URL was checked",
        (_P, _NO): "the recording can never become a memo",
        (_P, _FAIL): "attempts used up, the recording is gone, or the chat opted out",
        (_P, _STOP): "cancelled; what its worker makes goes nowhere",
        (_P, _SENT): _LATE,
        (_P, _U): _FORGOTTEN,
        (_H, _H): "waits with its place kept: paced, paused or refused for now",
        (_H, _X): "committed before the POST",
        (_H, _R): "the stored memo is gone and is made again",
        (_H, _FAIL): "too old, or the chat opted out",
        (_H, _STOP): "cancelled before it was sent",
        (_H, _SENT): _LATE,
        (_H, _U): _FORGOTTEN,
        (_X, _SENT): "Linq took it",
        (_X, _U): "nobody knows whether Linq took it",
        (_X, _H): "provably not sent; tried again later",
        (_X, _FAIL): "provably not sent; Linq refused it for good",
        (_U, _U): "a look found nothing, or could not be made",
        (_U, _SENT): "found in the chat, reported, or answered late",
        (_U, _DONE): "reported delivered before anybody looked",
        (_U, _HELD): "absent in two complete looks: a person decides",
        (_U, _H): "provably not sent, as was learnt later, or absent in two looks and sent again by the rules",
        (_HELD, _R): "it was given its chat; or a person wants it sent again, and its memo must be made anew",
        (_HELD, _SENT): "found, answered late, or a person says it arrived",
        (_HELD, _DONE): "reported delivered",
        (_HELD, _H): "a person wants it sent again, or its sender proved late that it did not",
        (_HELD, _FAIL): "a person gave it up",
        (_HELD, _STOP): "cancelled before it had a chat",
        (_SENT, _SENT): "poll bookkeeping",
        (_SENT, _DONE): "Linq reports it delivered or read",
        (_SENT, _FAIL): "Linq reports that it could not be delivered",
        (_SENT, _GONE): "erased on request",
        (_FAIL, _DONE): "reported failed first, delivered later",
        (_FAIL, _R): "tried again on request; Linq never took it, or a person who gave it up wants it sent after all",
        (_FAIL, _SENT): _LATE,
        (_NO, _R): "tried again on request",
        (_NO, _SENT): _LATE,
        (_STOP, _SENT): _LATE,
        (_DONE, _GONE): "erased on request",
        (_FAIL, _GONE): "erased on request",
        (_NO, _GONE): "erased on request",
        (_STOP, _GONE): "erased on request",
    }
)
"""Every legal move, and when it is made."""

MOVES: Final = frozenset(REASONS)

_SENT_AFTER_AN_ATTEMPT: Final = frozenset({_R, _P, _H, _FAIL, _NO, _STOP})


def may_move(a: State, b: State) -> bool:
    """Whether a job may go from a to b at all."""
    return (a, b) in MOVES


def is_late(a: State, b: State) -> bool:
    """Whether the move is old news that needs no change: Linq took it, and it is delivered already."""
    return a is State.DELIVERED and b is State.SENT


def why_not(job: Job, to: State) -> str | None:
    """What forbids moving this very job, as one sentence; None where it may go."""
    if not may_move(job.state, to):
        return f"Job {job.job_id} is {job.state} and cannot become {to}."
    if job.spans and to is not State.ERASED:
        return f"Job {job.job_id} is split: it goes where its parts go."
    if job.state is State.FAILED and to is State.RECEIVED and job.message_id:
        return f"Linq took job {job.job_id} as message {job.message_id}: sending it again would make two memos."
    if to is State.SENT and job.state in _SENT_AFTER_AN_ATTEMPT and job.send_attempts == 0:
        return f"Job {job.job_id} is {job.state} and no send of it was ever begun."
    return None
