"""Who may be sent to now: age, pauses of a chat, of a line or of everybody, and the circuit breaker.

The breaker is a pause of everybody (`linq`) that is not simply over with its time: then one job may try (a probe), and
all others wait for what comes of it. An outage of Linq so costs one attempt now and then, not one of every job."""

from __future__ import annotations

from contextlib import suppress
from dataclasses import dataclass, replace

from pipeline.errors import MemolineError
from pipeline.messages import Chat, Outcome, Pause, PauseScope
from pipeline.model import Job, State
from pipeline.optouts import OPTED_OUT, end_waiting, they_opted_out
from pipeline.ports import Parts

EVERYBODY = "linq"
CHAT_CRITICAL = "chat-critical"
UNAUTHORIZED = "linq-unauthorized"

_CRITICAL = "CRITICAL"
_CRITICAL_S = 900.0
_FLAGGED_S = 3_600.0
"""How long a line that was flagged waits: when it may send again is reported, or found out by one refusal."""
_WIDE_S = 60.0
"""A 429 in two chats within this time is not about one chat."""
_BREAKER_S = (5.0, 300.0)
"""The shortest and the longest wait of the breaker."""
_PROBED_S = 2.0
"""How long the others wait before they ask again what came of a probe."""

_DOWN = frozenset({"linq-unreachable", UNAUTHORIZED})
"""Codes by which one answer is enough: they are about nobody in particular."""
_NOT_LINQS_HEALTH = frozenset({"linq-download-failed", "line-unavailable", "linq-signing-failed"})
"""5xx that are about one memo or one line."""


@dataclass(frozen=True, kw_only=True, slots=True)
class Gate:
    """pause: what has to be waited for; None: go. probe: the breaker's pause, where the caller is the one to try."""

    pause: Pause | None = None
    probe: Pause | None = None


def chat_health(parts: Parts, chat_id: str, health: str) -> None:
    """What Linq says of a chat's health: CRITICAL pauses it; before more is sent, Linq is asked again."""
    if health == _CRITICAL:
        parts.ledger.pause(f"chat:{chat_id}", parts.clock.now() + _CRITICAL_S, CHAT_CRITICAL)


def line_status(parts: Parts, line: str, *, may_send: bool) -> None:
    """What Linq says of a line of ours: one that is flagged is paused, one that is active again is not."""
    if may_send:
        parts.ledger.lift(f"line:{line}")
    else:
        parts.ledger.pause(f"line:{line}", parts.clock.now() + _FLAGGED_S, "line-flagged")


def too_old(parts: Parts, job: Job) -> bool:
    """Whether the job has waited longer than anybody wants a voice memo to wait. A backfill takes as long as pacing and
    quiet hours make it take."""
    return job.lane == "live" and parts.clock.now() - max(job.created_at, job.not_before) > parts.rules.max_age_s


def give_up(parts: Parts, job: Job) -> Job:
    """FAIL a job that is too old."""
    limit_s = f"{parts.rules.max_age_s:.0f} s"
    why = f"It could not be sent within {limit_s} (MEMOLINE_MAX_AGE_S): `memoline retry {job.job_id}` sends it now."
    return parts.ledger.move(job, State.FAILED, by=parts.by, code="too-old", message=why)


def gate(parts: Parts, chat: Chat) -> Gate:
    """Whether the chat may be sent to now."""
    now = parts.clock.now()
    running = [pause for pause in chat.pauses if pause.until > now]
    if running:
        return Gate(pause=max(running, key=lambda pause: pause.until))
    for pause in chat.pauses:
        health = _health(parts, chat.chat_id) if pause.why == CHAT_CRITICAL else None
        if health == _CRITICAL:
            again = replace(pause, until=now + _CRITICAL_S)
            parts.ledger.pause(again.scope, again.until, again.why)
            return Gate(pause=again)
        if health is not None:
            parts.ledger.lift(pause.scope, pause)
    breaker = _breaker(chat)
    if breaker is None:
        return Gate()
    mine = replace(breaker, until=now + parts.rules.send_timeout_s)
    if parts.ledger.probe(breaker, mine.until):
        return Gate(probe=mine)
    return Gate(pause=replace(breaker, until=now + _PROBED_S))


def give_back(parts: Parts, went: Gate) -> None:
    """Let somebody else try: the caller could not."""
    if went.probe is not None:
        parts.ledger.probe(went.probe, parts.clock.now())


def learn(parts: Parts, chat: Chat, went: Gate, outcome: Outcome) -> None:
    """Take from an answer what concerns more than its job: an opt-out, whom Linq asks to wait, whether it is well, and
    on which line the chat is."""
    now = parts.clock.now()
    if outcome.code == OPTED_OUT:
        they_opted_out(parts, chat.chat_id, now)
        end_waiting(parts, chat.chat_id, outcome.message)
    if outcome.line and outcome.line != chat.line:
        parts.ledger.note_chat(chat.chat_id, line=outcome.line)
    if outcome.pause in (PauseScope.CHAT, PauseScope.LINE):
        _pause(parts, chat, outcome, now)
    _watch(parts, went, outcome, now)


def line_of(parts: Parts, chat: Chat) -> str | None:
    """The line that a chat is on; Linq is asked where it is not known yet. None where nobody can say."""
    if chat.line is None:
        with suppress(MemolineError):
            seen = parts.messenger.chat(chat.chat_id)
            if seen and seen.line:
                parts.ledger.note_chat(chat.chat_id, line=seen.line)
                return seen.line
    return chat.line


def _pause(parts: Parts, chat: Chat, outcome: Outcome, now: float) -> None:
    until = now + outcome.wait_s
    parts.ledger.pause(f"chat:{chat.chat_id}", until, outcome.code)
    line = line_of(parts, chat)
    if line is None:
        return  # each chat of the line learns it by itself
    wide = outcome.pause is PauseScope.LINE
    if wide or parts.ledger.mark(f"{outcome.code}:{line}", chat.chat_id, now + _WIDE_S) > 1:
        parts.ledger.pause(f"line:{line}", until, outcome.code)


def _watch(parts: Parts, went: Gate, outcome: Outcome, now: float) -> None:
    """The breaker: a refused connection or key opens it; after another failure it is half open. After a failed probe it
    waits, ever longer; any other answer to a probe closes it."""
    if not _is_down(outcome):
        if went.probe is not None and outcome.status is not None:
            parts.ledger.lift(went.probe.scope)
        else:
            give_back(parts, went)
        return
    least_s, most_s = _BREAKER_S
    if went.probe is not None:
        wait_s = min(max((now - went.probe.since) / 2, least_s), most_s)
        parts.ledger.probe(went.probe, now + max(wait_s, outcome.wait_s))
    elif outcome.code in _DOWN:
        parts.ledger.pause(EVERYBODY, now + max(least_s, outcome.wait_s), outcome.code)
    else:  # suspected: from now on one at a time, until an answer is good
        parts.ledger.pause(EVERYBODY, now, outcome.code)


def _is_down(outcome: Outcome) -> bool:
    """Whether an answer, or none, says that Linq is not well. Pure."""
    if outcome.code in _NOT_LINQS_HEALTH:
        return False
    return outcome.code in _DOWN or outcome.code == "answer-lost" or (outcome.status or 0) >= 500


def _breaker(chat: Chat) -> Pause | None:
    return next((pause for pause in chat.pauses if pause.scope == EVERYBODY), None)


def _health(parts: Parts, chat_id: str) -> str | None:
    """How Linq says that a chat is; None where it does not say."""
    with suppress(MemolineError):
        seen = parts.messenger.chat(chat_id)
        return seen.health if seen else None
    return None
