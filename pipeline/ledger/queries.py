"""What is asked of the jobs, as statements. Pure: they are built here and run by `ledger.py`.

Conditions on states are written out (`fixed`, `in_states`), because a partial index serves only a query whose text
shows that it fits. A test asserts the plans.
"""

from __future__ import annotations

from collections.abc import Sequence
from functools import cache
from itertools import chain, zip_longest
from typing import Any, Final

from sqlalchemy import (
    BindParameter,
    ColumnElement,
    RowMapping,
    ScalarSelect,
    Select,
    and_,
    bindparam,
    case,
    func,
    or_,
    select,
)
from sqlalchemy.sql.base import ReadOnlyColumnCollection

from pipeline.backfills import HELD_BACK, BackfillState
from pipeline.ledger.door_tables import backfills
from pipeline.ledger.states import (
    ENDED_UNSENT,
    IN_FLIGHT,
    KEEPS_PLACE,
    MAY_BE_TAKEN,
    MAY_STEP_ASIDE,
    OPEN,
    POLLED,
    SENT,
    WAITING,
)
from pipeline.ledger.tables import ZERO, fixed, in_states, jobs
from pipeline.messages import StatusReport
from pipeline.model import Lane, State

_EARLIER: Final = jobs.alias("earlier")
_LANES: Final[tuple[Lane, Lane]] = ("live", "backfill")
_BACKFILLS_AT_ONCE: Final = 20


@cache
def heads() -> Select[Any]:
    """The first job of each lane of the chat `chat_id` that holds a place at `now`; live before backfill. For its parts
    a split holds the place."""
    chat_id: BindParameter[str] = bindparam("chat_id", type_=jobs.c.chat_id.type)
    now: BindParameter[float] = bindparam("now", type_=jobs.c.not_before.type)
    firsts = [func.coalesce(_in_flight(chat_id, lane), _first(chat_id, lane, now)) for lane in _LANES]
    return select(jobs).where(jobs.c.seq.in_(firsts)).order_by(jobs.c.lane.desc())


def _in_flight(chat_id: BindParameter[str], lane: Lane) -> ScalarSelect[Any]:
    """A job that was due earlier but registered later may be on its way already: it is the head until that is known."""
    e = _EARLIER
    here = and_(e.c.chat_id == chat_id, e.c.lane == lane, e.c.parent_id.is_(None))
    flying = and_(here, in_states(IN_FLIGHT, e.c.state))
    return select(e.c.seq).where(flying).order_by(e.c.seq).limit(1).scalar_subquery()


def _first(chat_id: BindParameter[str], lane: Lane, now: BindParameter[float]) -> ScalarSelect[Any]:
    e = _EARLIER
    here = and_(e.c.chat_id == chat_id, e.c.lane == lane, e.c.parent_id.is_(None), _holds_place(e.c, now))
    return select(e.c.seq).where(here).order_by(e.c.seq).limit(1).scalar_subquery()


def _holds_place(c: ReadOnlyColumnCollection[str, Any], now: float | BindParameter[float]) -> ColumnElement[bool]:
    ready = and_(c.not_before <= now, _goes_on(c.backfill_id))
    return and_(in_states(KEEPS_PLACE, c.state), or_(ready, ~in_states(MAY_STEP_ASIDE, c.state)))


def _goes_on(backfill_id: ColumnElement[Any]) -> ColumnElement[bool]:
    """Whether no backfill holds the job back."""
    held = select(backfills.c.backfill_id).where(backfills.c.state.in_(HELD_BACK))
    return or_(backfill_id.is_(None), backfill_id.not_in(held))


def due(now: float, limit: int) -> tuple[Select[Any], ...]:
    """One statement for each reason to wake a job; each answers with the longest waiting first."""
    return (_sendable(now, limit), _waiting(now, limit), _abandoned(now, limit), *_timed(now, limit))


def _waiting(now: float, limit: int) -> Select[Any]:
    """RECEIVED, live before backfill. What is wanted later is prepared now."""
    c = jobs.c
    ready = and_(c.state == fixed(State.RECEIVED), c.chat_id.is_not(None), c.retry_at <= now, c.spans.is_(None))
    ready = and_(ready, _goes_on(c.backfill_id))
    return select(jobs).where(ready).order_by(c.lane.desc(), c.seq).limit(limit)


def running_backfills() -> Select[Any]:
    """The ids of a few backfills that run, the oldest first."""
    running = select(backfills.c.backfill_id).where(backfills.c.state == BackfillState.RUNNING)
    return running.order_by(backfills.c.created_at).limit(_BACKFILLS_AT_ONCE)


def waiting_by_backfill(now: float, backfill_ids: Sequence[str], limit: int) -> tuple[Select[Any], ...]:
    """What waits for the audio step in each of several backfills, so that a long one does not hide the others."""
    if len(backfill_ids) < 2:
        return ()
    c = jobs.c
    ready = and_(c.state == fixed(State.RECEIVED), c.chat_id.is_not(None), c.retry_at <= now, c.spans.is_(None))
    each = limit // len(backfill_ids) + 1
    return tuple(select(jobs).where(ready, c.backfill_id == one).order_by(c.seq).limit(each) for one in backfill_ids)


def _abandoned(now: float, limit: int) -> Select[Any]:
    c = jobs.c
    lost = and_(c.state == fixed(State.PREPARING), c.lease_until < now, c.spans.is_(None), _goes_on(c.backfill_id))
    return select(jobs).where(lost).order_by(c.lease_until).limit(limit)


def _sendable(now: float, limit: int) -> Select[Any]:
    """HOSTED, due, and the head of its lane. One pass over the open jobs, all of it inside one index."""
    e = _EARLIER
    flying = func.sum(case((in_states(IN_FLIGHT, e.c.state), 1), else_=0))
    places = (_holds_place(e.c, now), e.c.chat_id.is_not(None), e.c.parent_id.is_(None))
    firsts = select(func.min(e.c.seq)).where(*places)
    firsts = firsts.group_by(e.c.chat_id, e.c.lane).having(flying == 0)
    ready = and_(jobs.c.state == fixed(State.HOSTED), jobs.c.retry_at <= now, jobs.c.seq.in_(firsts))
    return select(jobs).where(ready).order_by(jobs.c.seq).limit(limit)


def _timed(now: float, limit: int) -> tuple[Select[Any], ...]:
    """A send that did not come back, a look that is due, a poll that is due: of parts, not of their whole."""
    c = jobs.c
    lost = and_(c.state == fixed(State.SENDING), c.deadline < now, c.spans.is_(None))
    look = and_(c.state == fixed(State.UNCONFIRMED), c.next_look_at <= now, c.spans.is_(None))
    poll = and_(in_states(POLLED), c.next_look_at > ZERO, c.message_id.is_not(None), c.next_look_at <= now)
    return (
        select(jobs).where(lost).order_by(c.deadline).limit(limit),
        select(jobs).where(look).order_by(c.next_look_at).limit(limit),
        select(jobs).where(poll).order_by(c.next_look_at).limit(limit),
    )


def fair(kinds: Sequence[Sequence[RowMapping]], limit: int) -> tuple[RowMapping, ...]:
    """At most `limit` rows of jobs, one of each kind in turn, so that no crowd of one kind hides the others."""
    mixed = chain.from_iterable(zip_longest(*kinds))
    return tuple([row for row in mixed if row is not None][:limit])


def listed(
    states: Sequence[State],
    chat_id: str | None,
    code: str | None,
    *,
    after_seq: int,
    limit: int | None,
    parts: bool,
    key: str | None = None,
    since: float = 0.0,
) -> Select[Any]:
    """Jobs that fit all that is given, oldest first; with the parts of splits, or without."""
    found = select(jobs).where(jobs.c.seq > after_seq).order_by(jobs.c.seq).limit(limit)
    if states:
        found = found.where(jobs.c.state.in_([str(state) for state in states]))
    if chat_id is not None:
        found = found.where(jobs.c.chat_id == chat_id)
    if not parts:
        found = found.where(jobs.c.parent_id.is_(None))
    if key is not None:
        found = found.where(jobs.c.key == key)
    if since:
        found = found.where(jobs.c.created_at >= since)
    return found if code is None else found.where(jobs.c.code == code)


def first_at_or_after(seq: int) -> Select[Any]:
    """Number and time of the first job from a number on; a part of a split has the time of its whole."""
    return (
        select(jobs.c.seq, jobs.c.created_at)
        .where(jobs.c.seq >= seq, jobs.c.parent_id.is_(None))
        .order_by(jobs.c.seq)
        .limit(1)
    )


def waiting(chat_id: str, limit: int) -> Select[Any]:
    """Jobs of a chat that wait to be sent, oldest first, of splits their parts; within the index of open ones."""
    here = and_(jobs.c.chat_id == chat_id, in_states(OPEN), in_states(WAITING), jobs.c.spans.is_(None))
    return select(jobs).where(here).order_by(jobs.c.seq).limit(limit)


def last_taken() -> Select[Any]:
    """The newest job whose answer named message and attachment."""
    named = and_(jobs.c.message_id.is_not(None), jobs.c.attachment_id.is_not(None))
    return select(jobs).where(named).order_by(jobs.c.seq.desc()).limit(1)


def counts() -> tuple[Select[*tuple[Any, ...]], Select[*tuple[Any, ...]]]:
    """Jobs by state, and parts of splits by state. The latter are grouped by what no index is ordered by: else SQLite
    reads every job by the index of states, for parts that are few."""
    state, apart = jobs.c.state, func.coalesce(jobs.c.state, fixed(""))
    every = select(state, func.count()).group_by(state)
    parts = select(apart, func.count()).where(jobs.c.parent_id.is_not(None)).group_by(apart)
    return every, parts


def recordings_needed(ended_after: float) -> tuple[Select[Any], ...]:
    """Where the recordings lie that a step, or a `retry`, may still read. A statement a state, each served by the index
    of states: of several at once, databases believe that they are most of the table."""
    c = jobs.c
    uris = {state: select(c.recording["uri"].as_string()).where(c.state == fixed(state)) for state in State}
    lasting = (uris[state] for state in (*OPEN, State.HELD))
    return (*lasting, *(uris[state].where(c.updated_at > ended_after) for state in ENDED_UNSENT))


def erasing(now: float, limit: int) -> Select[Any]:
    """Jobs whose erasing is due, the longest waiting first."""
    c = jobs.c
    return select(jobs).where(c.erase_at > ZERO, c.erase_at <= now).order_by(c.erase_at).limit(limit)


def outlived(ended_before: float, limit: int) -> tuple[Select[Any], ...]:
    """`seq` of jobs that were sent, or came to nothing, before a moment, and that nobody wants erased yet."""
    c = jobs.c
    sent = and_(in_states(SENT), c.sending_since < ended_before)
    whole = c.parent_id.is_(None)  # the parts of a split go with it
    unsent = (and_(c.state == fixed(state), c.updated_at < ended_before) for state in ENDED_UNSENT)
    return tuple(select(c.seq).where(which, c.erase_at == ZERO, whole).limit(limit) for which in (sent, *unsent))


def reasons(states: Sequence[State]) -> Select[Any]:
    """Jobs in these states, counted by state and code; a split is one. example: what one of them says."""
    c, many = jobs.c, func.count().label("jobs")
    found = select(
        c.state,
        func.coalesce(c.code, "").label("code"),
        many,
        func.sum(case((c.message_id.is_(None) & c.code.not_in(MAY_BE_TAKEN), 1), else_=0)).label("never_taken"),
        func.min(c.updated_at).label("first_at"),
        func.max(c.updated_at).label("last_at"),
        func.max(c.message).label("example"),
    )
    found = found.where(in_states(states), c.parent_id.is_(None))
    return found.group_by(c.state, c.code).order_by(many.desc(), c.code)


def message_of(report: StatusReport) -> tuple[Select[Any], ...]:
    """Where to look for the job of a report, the surest sign first. A job known by another message is not it."""
    c, ways = jobs.c, []
    fits = or_(c.message_id.is_(None), c.message_id == report.message_id) if report.message_id else c.seq > 0
    if report.message_id:
        ways.append(c.message_id == report.message_id)
    if report.trace_id:
        ways.append(and_(c.trace_id == report.trace_id, fits))
    if report.chat_id and report.file_names:
        ways.append(and_(c.file_name.in_(report.file_names), c.chat_id == report.chat_id, fits))
    return tuple(select(jobs).where(way).order_by(c.seq).limit(1) for way in ways)
