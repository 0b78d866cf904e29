"""Counters of what all processes did, on whatever host: read from the history of moves, on from where the last reading
stopped. They begin when `serve` does; workers keep no figures and spend nothing on them."""

from __future__ import annotations

import threading
from collections.abc import Mapping
from typing import Any

from prometheus_client import CollectorRegistry, Counter, Histogram

from pipeline.ledger.figures import Move
from pipeline.ledger.ledger import SqlLedger
from pipeline.messages import OutcomeKind
from pipeline.model import State
from pipeline.recall import NOT_BEGUN
from pipeline.recordings import Action
from pipeline.sending.outcomes import probably_not_sent

PAGE = 5_000
MOST_PAGES = 10
"""A reading takes in so many moves at most, the rest is for the next one: a scrape stays short after a long pause."""

_SECONDS = (0.05, 0.1, 0.25, 0.5, 1, 2.5, 5, 10, 30, 60, 300, 1_800, 7_200)
_SPEEDS = (0.5, 1, 2, 5, 10, 20, 50, 100, 200, 500)
_RATE_LIMITED = "rate-limited"
_NO_POST = frozenset(
    {NOT_BEGUN, "paced", "redis-unreachable", "missing-setting", "send-deadline", "receipt", "recalled"}
)
"""Codes of attempts that ended before anything was written to Linq."""
_AFTER_A_POST: Mapping[State, OutcomeKind] = {
    State.SENT: OutcomeKind.ACCEPTED,
    State.HOSTED: OutcomeKind.WAIT,
    State.FAILED: OutcomeKind.REFUSED,
    State.UNCONFIRMED: OutcomeKind.UNKNOWN,
}
_STEPS: Mapping[tuple[State | None, State], str] = {
    (State.RECEIVED, State.PREPARING): "wait-for-audio",
    (State.PREPARING, State.HOSTED): "prepare",
    (State.HOSTED, State.SENDING): "wait-to-send",
    (State.SENDING, State.SENT): "send",
    (State.SENT, State.DELIVERED): "deliver",
}
_MOVES_AS_ITS_PARTS = (State.HOSTED, State.SENDING, State.SENT)
PARTS_OF_PREPARE = ("fetch", "encode", "store")
"""The pieces of `prepare` whose times are kept with the memo."""


class MoveCounter:
    """Counters in a registry, brought up to date by `read`. Safe for several scrapes at once."""

    def __init__(self, ledger: SqlLedger, registry: CollectorRegistry) -> None:
        self._ledger = ledger
        self._guard = threading.Lock()
        self._seen = ledger.newest_move()
        known: dict[str, Any] = {"registry": registry}
        self._moves = Counter("memoline_moves", "Jobs that came into a state.", ["state"], **known)
        self._sends = Counter("memoline_sends", "POSTs of a voice memo, by what came of them.", ["outcome"], **known)
        self._limited = Counter("memoline_rate_limited", "POSTs that Linq answered with 429.", **known)
        text = "Time that a job took for a step, or waited for one."
        self._steps = Histogram("memoline_step_seconds", text, ["step"], buckets=_SECONDS, **known)
        text = "Seconds of sound in a memo to seconds of making it."
        self._speed = Histogram("memoline_encode_speed_ratio", text, buckets=_SPEEDS, **known)
        self._memos = Counter("memoline_memos", "Memos made, by how.", ["action"], **known)
        self._sound = Counter("memoline_memo_sound_seconds", "Sound in the memos made.", **known)
        self._bytes = Counter("memoline_bytes", "Bytes of recordings taken in and memos made of them.", ["of"], **known)
        self._show_all_at_zero()

    def read(self, now: float) -> None:
        """Count the moves since the last reading. Raises as the ledger does."""
        with self._guard:
            for _ in range(MOST_PAGES):
                seen, moves = self._ledger.moves_after(self._seen, now=now, limit=PAGE)
                for move in moves:
                    self._count(move)
                self._seen = seen
                if len(moves) < PAGE:
                    return

    def _count(self, move: Move) -> None:
        if move.of != "part":  # the whole of a split is the job
            self._moves.labels(state=str(move.to_state)).inc()
        if (
            move.of != "split"
            and move.from_state is State.SENDING
            and move.code not in _NO_POST
            and move.to_state in _AFTER_A_POST
        ):
            self._sends.labels(outcome=str(outcome_of(move))).inc()
            self._limited.inc(move.code == _RATE_LIMITED)
        step = _STEPS.get((move.from_state, move.to_state))
        if step and not (move.of == "split" and move.from_state in _MOVES_AS_ITS_PARTS):
            self._steps.labels(step=step).observe(move.lasted_s)
        if move.hosted and move.of != "split":
            self._count_memo(move.hosted, move.recording_bytes)

    def _count_memo(self, hosted: Mapping[str, Any], recording_bytes: int) -> None:
        took: Mapping[str, float] = hosted.get("took_s") or {}
        for part in PARTS_OF_PREPARE:
            if part in took:
                self._steps.labels(step=part).observe(took[part])
        duration_s, made_s = float(hosted.get("duration_s") or 0), took.get("encode", 0.0)
        if duration_s and made_s:
            self._speed.observe(duration_s / made_s)
        action = hosted.get("action")
        self._memos.labels(action=action if action in tuple(Action) else "other").inc()
        self._sound.inc(duration_s)
        self._bytes.labels(of="recordings").inc(recording_bytes)
        self._bytes.labels(of="memos").inc(hosted.get("size_bytes") or 0)

    def _show_all_at_zero(self) -> None:
        for state in State:
            self._moves.labels(state=str(state))
        for kind in OutcomeKind:
            self._sends.labels(outcome=str(kind))
        for step in (*_STEPS.values(), *PARTS_OF_PREPARE):
            self._steps.labels(step=step)
        for action in (*(one for one in Action if one is not Action.REJECT), "other"):
            self._memos.labels(action=str(action))
        for of in ("recordings", "memos"):
            self._bytes.labels(of=of)


def _is_of_a_post(move: Move) -> bool:
    return move.from_state is State.SENDING and move.to_state in _AFTER_A_POST and move.code not in _NO_POST


def outcome_of(move: Move) -> OutcomeKind:
    """What a POST came to, by the move after it. Pure."""
    if move.to_state is State.UNCONFIRMED and probably_not_sent(move.code):
        return OutcomeKind.PROBABLY_NOT_SENT
    return _AFTER_A_POST[move.to_state]
