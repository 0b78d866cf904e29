"""The table of legal moves."""

from __future__ import annotations

from dataclasses import replace
from itertools import pairwise

import pytest
from hypothesis import given
from hypothesis import strategies as st

from pipeline.ledger.states import (
    IN_FLIGHT,
    KEEPS_PLACE,
    MAY_STEP_ASIDE,
    MOVES,
    OPEN,
    REASONS,
    TERMINAL,
    is_late,
    may_move,
    why_not,
)
from pipeline.model import Job, State, StoredRecording

R, P, H, X, U, S, D = (
    State.RECEIVED,
    State.PREPARING,
    State.HOSTED,
    State.SENDING,
    State.UNCONFIRMED,
    State.SENT,
    State.DELIVERED,
)
HELD, REJECTED, FAILED, CANCELLED, ERASED = (
    State.HELD,
    State.REJECTED,
    State.FAILED,
    State.CANCELLED,
    State.ERASED,
)
ANY = st.sampled_from(State)

JOB = Job(
    seq=1, job_id="j", key=None, fingerprint="f", state=R, rev=1, epoch=0, chat_id="c", lane="live", source="s",
    recording=StoredRecording(uri="file:///s", name="s", size_bytes=1), overflow=None, not_before=0, retry_at=0,
    lease_until=0, audio_attempts=0, send_attempts=0, looks=0, returns=0, deadline=0, next_look_at=0,
    first_sending_at=0, sending_since=0,
    hosted=None, message_id=None, attachment_id=None, trace_id=None, code=None, message=None, erase_at=0, created_at=0,
    updated_at=0,
)  # fmt: skip


def reachable(start: State) -> set[State]:
    """Every state that some chain of legal moves leads to."""
    seen: set[State] = set()
    todo = [start]
    while todo:
        here = todo.pop()
        following = {b for a, b in MOVES if a is here} - seen
        seen |= following
        todo += following
    return seen


def test_the_usual_way_is_legal() -> None:
    """Recording in, memo delivered."""
    way = (R, P, H, X, S, D)
    assert all(may_move(a, b) for a, b in pairwise(way))


@pytest.mark.parametrize(
    ("a", "b"),
    [(R, H), (R, X), (P, X), (X, R), (X, X), (U, X), (U, R), (S, H), (S, U), (D, S), (D, FAILED),
     (D, D), (FAILED, H), (REJECTED, P), (CANCELLED, R), (HELD, X), (H, HELD), (X, CANCELLED), (U, CANCELLED),
     (X, ERASED), (U, ERASED), (P, ERASED), (HELD, ERASED)],
)  # fmt: skip
def test_what_would_lose_or_double_a_memo_is_not(a: State, b: State) -> None:
    """No step is skipped, nothing in flight is cancelled or erased, nothing taken is sent again."""
    assert not may_move(a, b)


@given(ANY)
def test_nothing_leaves_erased(to: State) -> None:
    """An erased job is a tombstone."""
    assert not may_move(ERASED, to)


@given(ANY)
def test_delivered_never_goes_back(to: State) -> None:
    """What arrived can only be erased."""
    assert may_move(D, to) == (to is ERASED)


@given(ANY)
def test_a_send_begins_only_from_hosted(start: State) -> None:
    """SENDING has one door, so that one commit stands before each POST."""
    assert may_move(start, X) == (start is H)


@given(ANY)
def test_only_a_claim_makes_preparing(start: State) -> None:
    """Work begins from RECEIVED, or from a claim whose lease ran out."""
    assert may_move(start, P) == (start in (R, P))


@given(st.sampled_from(OPEN))
def test_every_open_state_can_come_to_an_end(start: State) -> None:
    """No job is stuck: success and failure can both be reached."""
    assert {D, FAILED} <= reachable(start)


@given(ANY)
def test_only_what_has_ended_is_erased(start: State) -> None:
    """SENT counts as ended here: Linq has the memo, and all copies of ours may go."""
    assert may_move(start, ERASED) == (start in (S, D, FAILED, REJECTED, CANCELLED))


@given(st.sampled_from(sorted(TERMINAL)))
def test_an_ended_job_works_no_more_unless_a_person_says_so(start: State) -> None:
    """From an end there is only late news, a retry, and erasing."""
    assert {b for a, b in MOVES if a is start} <= {S, D, R, ERASED}


def test_the_sets_fit_each_other() -> None:
    """What is in flight keeps its place for certain; open and ended states share nothing."""
    assert set(IN_FLIGHT) < set(KEEPS_PLACE) == set(OPEN)
    assert set(MAY_STEP_ASIDE) < set(KEEPS_PLACE)
    assert not set(MAY_STEP_ASIDE) & set(IN_FLIGHT)
    assert not set(OPEN) & TERMINAL
    assert {*OPEN, *TERMINAL, S, HELD} == set(State)


def test_every_move_has_its_reason() -> None:
    """A move that nobody can explain has no place in the table."""
    assert all(reason.strip() and "\n" not in reason for reason in REASONS.values())


@given(st.lists(ANY, max_size=30))
def test_no_walk_sends_twice_without_passing_hosted(steps: list[State]) -> None:
    """Along any chain of legal moves, between two SENDINGs lies a HOSTED, and after DELIVERED no SENDING."""
    here, walked = R, [R]
    for step in steps:
        if may_move(here, step):
            here = step
            walked.append(step)
    sends = [n for n, state in enumerate(walked) if state is X]
    assert all(H in walked[a:b] for a, b in pairwise(sends))
    assert X not in (walked[walked.index(D) :] if D in walked else [])


def test_a_failed_job_that_linq_took_is_not_tried_again() -> None:
    """A retry needs a job without a message id."""
    failed = replace(JOB, state=FAILED)
    assert why_not(failed, R) is None
    assert "two memos" in (why_not(replace(failed, message_id="m"), R) or "")


@pytest.mark.parametrize("state", [R, P, H, FAILED, REJECTED, CANCELLED])
def test_a_late_answer_needs_a_send(state: State) -> None:
    """A job that was never sent cannot have been taken."""
    assert why_not(replace(JOB, state=state), S) is not None
    assert why_not(replace(JOB, state=state, send_attempts=1), S) is None


@given(ANY, ANY)
def test_why_not_allows_no_more_than_the_table(a: State, b: State) -> None:
    """The look at one job only ever forbids more."""
    allowed = why_not(replace(JOB, state=a, send_attempts=1), b) is None
    assert allowed == may_move(a, b)


@given(ANY, ANY)
def test_only_a_delivered_job_shrugs_at_late_news(a: State, b: State) -> None:
    """SENT after DELIVERED is the one move that is neither made nor refused."""
    assert is_late(a, b) == (a is D and b is S)
    assert not (is_late(a, b) and may_move(a, b))
