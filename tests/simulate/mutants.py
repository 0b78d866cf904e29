"""Bugs that somebody could make, planted one at a time into the code under test. Each must be found by the auditor."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import replace
from typing import Any
from unittest.mock import patch

import linq
from sqlalchemy import update

from pipeline import delivery, lease, reconcile, splitting
from pipeline.hosting.journal import S3Journal
from pipeline.hosting.names import random_identity
from pipeline.ledger import changes, splits, turns
from pipeline.ledger.ledger import SqlLedger
from pipeline.ledger.rows import to_job
from pipeline.ledger.tables import jobs as jobs_table
from pipeline.messages import MessageList
from pipeline.model import Job, State
from pipeline.sending import messenger, once
from pipeline.sending.matching import Found, Verdict
from pipeline.sending.messenger import LinqMessenger
from pipeline.sending.outcomes import from_transport
from tests.simulate.redis import Pacer

_move, _get, _heads, _due = SqlLedger.move, LinqMessenger._get, SqlLedger.heads, SqlLedger.due
_begin, _turn = S3Journal.begin, turns.turn
_client = linq.LinqAPIV3


def _commits_after_the_post(self: SqlLedger, job: Job, to: State, **given: Any) -> Job:
    waiting = self.__dict__.setdefault("waiting", {})
    if to is State.SENDING:
        waiting[job.job_id] = (job, given)
        changed = {name: value for name, value in given.items() if name not in ("by", "code", "message")}
        return replace(job, state=to, rev=job.rev + 1, **changed)
    if job.job_id in waiting:
        was, sending = waiting.pop(job.job_id)
        _move(self, was, State.SENDING, **sending)
    return _move(self, job, to, **given)


def _forgets_the_deadline(self: SqlLedger, job: Job, to: State, **given: Any) -> Job:
    moved = _move(self, job, to, **(given | {"deadline": 0.0} if to is State.SENDING else given))
    return replace(moved, deadline=given["deadline"]) if to is State.SENDING else moved


def _counts_no_attempt(self: SqlLedger, job: Job, to: State, **given: Any) -> Job:
    return _move(self, job, to, **(given | {"audio_attempts": 0} if to is State.PREPARING else given))


def _ignores_the_fence(connection: Any, job: Job, columns: Any) -> Job:
    same = jobs_table.c.job_id == job.job_id
    statement = update(jobs_table).where(same).values(rev=job.rev + 1, **columns).returning(jobs_table)
    return to_job(connection.execute(statement).mappings().one())


def _reads_one_page(self: LinqMessenger, path: str, query: Any) -> Any:
    page = _get(self, path, query)
    return page and {**page, "next_cursor": None}


def _takes_any_message(_file_name: str, listed: MessageList) -> Verdict:
    first = next(iter(listed.messages), None)
    return Verdict(found=Found.YES, message_id=first.message_id) if first else Verdict(found=Found.NO)


def _never_asks_whose_intent_it_is(self: S3Journal, job_id: str, attempt: Any) -> bool:
    _begin(self, job_id, attempt)
    return True


def _sends_what_is_ready(self: SqlLedger, chat_id: str, now: float) -> tuple[Job, ...]:
    ready = self.jobs(states=[State.HOSTED], chat_id=chat_id, limit=1)
    return tuple(head for head in _heads(self, chat_id, now) if head.state is not State.HOSTED) + ready


def _overlooks_lapsed_claims(self: SqlLedger, now: float, limit: int) -> tuple[Job, ...]:
    return tuple(job for job in _due(self, now, limit) if job.state is not State.PREPARING)


def _last_part_first(parts: Sequence[Job]) -> Job | None:
    return _turn(tuple(reversed(parts)))


def _names_parts_by_chance(_job_id: str, _part_no: int) -> str:
    return random_identity()


MUTANTS: dict[str, tuple[tuple[Any, str, Any], ...]] = {
    "commits SENDING after the POST": ((SqlLedger, "move", _commits_after_the_post),),
    "lets the SDK repeat the POST": ((linq, "LinqAPIV3", lambda **given: _client(**{**given, "max_retries": 2})),),
    "reads one page of the message list": ((LinqMessenger, "_get", _reads_one_page),),
    "forgets the fence": ((changes, "compare_and_set", _ignores_the_fence),),
    "believes one look": ((reconcile, "LOOKS", 1),),
    "does not commit the deadline": ((SqlLedger, "move", _forgets_the_deadline),),
    "sends after the deadline": ((once, "DeadlinePassed", None),),
    "drops a late answer": ((delivery, "record_late_answer", lambda _parts, job, _outcome: job),),
    "takes any message of the chat for its own": ((reconcile, "match", _takes_any_message),),
    "takes a lost answer for a refusal": (
        (messenger, "from_transport", lambda _stage, detail: from_transport("not-connected", detail)),
    ),
    "skips the pacing": ((Pacer, "wait_s", lambda *_: 0.0), (Pacer, "take", lambda *_: 0.0)),
    "uses a place however old it is": ((once, "PLACE_LASTS_S", float("inf")),),
    "does not renew the lease": ((lease, "_renew", lambda *_: None),),
    "counts no attempt": ((SqlLedger, "move", _counts_no_attempt),),
    "sends whatever is ready": ((SqlLedger, "heads", _sends_what_is_ready),),
    "writes no intent": ((S3Journal, "begin", lambda *_: True),),
    "never asks whose intent it is": ((S3Journal, "begin", _never_asks_whose_intent_it_is),),
    "ignores opt-outs": ((delivery, "blocked", lambda *_: False),),
    "sends the last part of a split first": ((turns, "turn", _last_part_first),),
    "names the parts of a split by chance": ((splitting, "identity_of_part", _names_parts_by_chance),),
    "lets a split not follow its parts": ((splits, "follow", lambda _connection, whole, **_: whole),),
    "goes on behind a held part": ((turns, "_ENDED_WELL", (State.SENT, State.DELIVERED, State.HELD)),),
    "overlooks claims that have lapsed": ((SqlLedger, "due", _overlooks_lapsed_claims),),
}
"""What the bug does → what is put in whose place."""

WORSE: dict[str, dict[str, float]] = {
    "believes one look": {"linq_error": 0.8, "list_lag_s": 50.0, "webhook_lost": 1.0},
    "drops a late answer": {"freeze_in_post": 0.3, "linq_list_away": 0.9, "webhook_lost": 1.0},
    "uses a place however old it is": {
        "freeze_in_post": 0.3,
        "linq_error": 0.0,
        "linq_answer_lost": 0.0,
        "linq_slow": 0.0,
    },
}
"""Faults under which a bug shows that is rare in common weather."""
CROWDED = frozenset({"uses a place however old it is"})
"""Bugs that show where all memos go to one chat."""


@contextmanager
def planted(name: str) -> Iterator[None]:
    """The code under test with this bug until the block ends."""
    if name == "sends after the deadline":
        with patch.object(once.Attempt, "trace", _without_a_look_at_the_clock(once.Attempt.trace)):
            yield
        return
    patches = [patch.object(*bug) for bug in MUTANTS[name]]
    for each in patches:
        each.start()
    try:
        yield
    finally:
        for each in patches:
            each.stop()


def _without_a_look_at_the_clock(trace: Callable[..., None]) -> Callable[..., None]:
    def late(self: Any, event: str, info: Any) -> None:
        ends_s, self._ends_s = self._ends_s, float("inf")
        try:
            trace(self, event, info)
        finally:
            self._ends_s = ends_s

    return late
