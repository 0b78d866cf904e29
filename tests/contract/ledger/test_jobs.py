"""What the ledger promises about one job."""

from __future__ import annotations

from dataclasses import replace

import pytest

from pipeline.errors import Fenced, JobFailed, KeyReused, NoSuchJob, NotNow
from pipeline.ledger.ledger import SqlLedger
from pipeline.model import HistoryEntry, NewJob, State, StoredRecording
from tests.contract.ledger.conftest import SetClock
from tests.support.ledger import CHAT, a_memo, a_request, add, bring


def test_a_new_job_is_what_was_asked_for(ledger: SqlLedger) -> None:
    """Every field of a request comes back from the database as it went in."""
    request = a_request("a", key="k", lane="backfill", overflow="cut", not_before=12.25)
    job = ledger.add(request, job_id="job-a", state=State.HELD, code="no-chat", message="Say which.", by="test")
    assert (job.recording, job.key, job.lane, job.overflow) == (request.recording, "k", "backfill", "cut")
    assert (job.not_before, job.state, job.code, job.message) == (12.25, State.HELD, "no-chat", "Say which.")
    assert (job.rev, job.created_at, job.updated_at, job.chat_id) == (1, 1000.0, 1000.0, CHAT)
    assert ledger.get("job-a") == job


def test_the_same_request_is_the_same_job(ledger: SqlLedger) -> None:
    """Adding again returns the job as it is by now, and writes no second line of history."""
    job = bring(ledger, add(ledger, key="k"), State.PREPARING)
    assert add(ledger, key="k") == job
    assert len(ledger.history(job.job_id)) == 2
    assert len(ledger.jobs()) == 1


@pytest.mark.parametrize("job_id", ["job-a", "job-other"], ids=["same id", "other id"])
def test_a_key_with_other_input_is_refused(ledger: SqlLedger, job_id: str) -> None:
    """The error names the job that has the key, whether the id is the same or not."""
    add(ledger, key="k")
    other = a_request("a", key="k", fingerprint="other")
    with pytest.raises(KeyReused) as caught:
        ledger.add(other, job_id=job_id, state=State.RECEIVED, code=None, message=None, by="test")
    assert caught.value.facts["job_id"] == "job-a"
    assert [job.job_id for job in ledger.jobs()] == ["job-a"]


def test_a_batch_is_added_in_order_and_reports_the_refused_ones(ledger: SqlLedger) -> None:
    """One request whose key is taken does not keep the others out."""
    taken = add(ledger, "a", key="k")
    batch = [
        NewJob(request=a_request(name, key=key), job_id=f"job-{name}", state=State.RECEIVED)
        for name, key in (("b", None), ("c", "k"), ("d", None), ("b", None))
    ]
    b, refused, d, again = ledger.add_many(batch, by="test")
    assert isinstance(refused, KeyReused)
    assert refused.facts["job_id"] == taken.job_id
    assert again == b
    assert [job.job_id for job in ledger.jobs()] == ["job-a", "job-b", "job-d"]
    assert not isinstance(d, KeyReused)


def test_a_move_changes_all_it_names_and_is_remembered(ledger: SqlLedger, clock: SetClock) -> None:
    """A move sets state and fields, raises rev, and writes history in the same transaction."""
    job = bring(ledger, add(ledger), State.PREPARING, lease_until=1060.0)
    clock.time = 1005.5
    moved = ledger.move(job, State.HOSTED, by="audio@host", code="made", message="Hosted.", hosted=a_memo("a"))
    assert moved == ledger.get("job-a")
    assert moved == replace(
        job, state=State.HOSTED, rev=3, code="made", message="Hosted.", hosted=a_memo("a"), updated_at=1005.5
    )
    assert ledger.history("job-a")[-1] == HistoryEntry(
        at=1005.5,
        from_state=State.PREPARING,
        to_state=State.HOSTED,
        code="made",
        message="Hosted.",
        by="audio@host",
        attempt=1,
    )


def test_a_move_can_take_the_memo_and_the_recording_away(ledger: SqlLedger) -> None:
    """`hosted=None` and another recording round-trip too."""
    hosted = bring(ledger, add(ledger), State.HOSTED)
    elsewhere = StoredRecording(uri="s3://in/b", name="b", size_bytes=1, sha256="ff", version="v")
    job = ledger.move(hosted, State.RECEIVED, by="test", hosted=None, recording=elsewhere)
    assert (ledger.get("job-a").hosted, ledger.get("job-a").recording) == (None, elsewhere)
    assert job.url is None


def test_whoever_read_an_older_rev_is_fenced(ledger: SqlLedger) -> None:
    """Neither a move nor a note of an old reading changes anything."""
    old = add(ledger)
    now = bring(ledger, old, State.PREPARING)
    with pytest.raises(Fenced):
        ledger.move(old, State.CANCELLED, by="late")
    with pytest.raises(Fenced):
        ledger.note(old, looks=7)
    assert ledger.get("job-a") == now
    assert len(ledger.history("job-a")) == 2


def test_an_illegal_move_is_refused_before_anything_is_written(ledger: SqlLedger) -> None:
    """A job cannot skip the steps between."""
    job = add(ledger)
    with pytest.raises(NotNow, match="RECEIVED and cannot become DELIVERED"):
        ledger.move(job, State.DELIVERED, by="test")
    assert ledger.get("job-a") == job


def test_an_answer_after_delivery_changes_nothing(ledger: SqlLedger) -> None:
    """A late SENT of a delivered job is a no-op that returns the job as it is."""
    job = bring(ledger, add(ledger), State.DELIVERED)
    assert ledger.move(job, State.SENT, by="late", message_id="m") == job
    assert ledger.history("job-a")[-1].to_state is State.DELIVERED


def test_a_note_leaves_no_history(ledger: SqlLedger, clock: SetClock) -> None:
    """Bookkeeping raises rev, but neither `updated_at` nor the history show it."""
    job = bring(ledger, add(ledger), State.SENT)
    clock.time = 2000
    noted = ledger.note(job, next_look_at=2060.0)
    assert noted == replace(job, rev=job.rev + 1, next_look_at=2060.0)
    assert len(ledger.history("job-a")) == 5


@pytest.mark.parametrize("field", ["state", "seq", "rev", "job_id", "key", "created_at", "colour"])
def test_what_is_no_bookkeeping_cannot_be_noted(ledger: SqlLedger, field: str) -> None:
    """A typing error, or a field that only the ledger sets, is refused."""
    with pytest.raises(TypeError, match=field):
        ledger.note(add(ledger), **{field: 1})


def test_a_lease_is_renewed_while_the_claim_holds(ledger: SqlLedger) -> None:
    """A renewal leaves rev alone, so the holder's own move fits; after another claim it fails."""
    job = bring(ledger, add(ledger), State.PREPARING, lease_until=10.0)
    assert ledger.renew(job, 20.0)
    assert ledger.get("job-a").lease_until == 20.0
    again = ledger.move(job, State.PREPARING, by="other", epoch=job.epoch + 1)
    assert not ledger.renew(job, 30.0)
    ledger.move(again, State.HOSTED, by="other", hosted=a_memo())
    assert not ledger.renew(again, 30.0)


def test_no_job_has_an_unknown_id(ledger: SqlLedger) -> None:
    """An unknown id raises, and its history is empty."""
    with pytest.raises(NoSuchJob):
        ledger.get("job-a")
    assert ledger.history("job-a") == ()


def test_the_beginning_of_an_id_is_enough(ledger: SqlLedger) -> None:
    """Six characters name a job where only one begins so; a whole id wins over longer ones."""
    for name in ("one", "one-more", "two"):
        add(ledger, name)
    assert ledger.resolve_id("job-tw") == "job-two"
    assert ledger.resolve_id("job-one") == "job-one"
    with pytest.raises(JobFailed, match="Several jobs begin with 'job-on'"):
        ledger.resolve_id("job-on")
    for unknown in ("job-t", "job-%%", "job-twofold", ""):
        with pytest.raises(NoSuchJob):
            ledger.resolve_id(unknown)


def test_names_that_are_no_text_are_kept_readable(ledger: SqlLedger) -> None:
    """A path with bytes that are no UTF-8, or a message with NUL, is written down in an escaped form."""
    job = add(ledger, source="/in/\udcff.ogg")
    assert ledger.move(job, State.FAILED, by="test", message="a\x00b").message == "a\\x00b"
    assert ledger.get("job-a").source == "/in/\\udcff.ogg"


def test_jobs_are_listed_oldest_first_by_what_is_asked(ledger: SqlLedger) -> None:
    """Filters combine, and paging goes on after a seq."""
    a, b, c = (add(ledger, name) for name in "abc")
    bring(ledger, a, State.REJECTED, code="too-short")
    add(ledger, "d", chat_id="other")
    assert [job.job_id for job in ledger.jobs()] == ["job-a", "job-b", "job-c", "job-d"]
    assert [job.job_id for job in ledger.jobs(states=[State.RECEIVED], chat_id=CHAT)] == ["job-b", "job-c"]
    assert [job.job_id for job in ledger.jobs(code="too-short")] == ["job-a"]
    assert [job.job_id for job in ledger.jobs(after_seq=b.seq, limit=1)] == [c.job_id]


def test_states_are_counted(ledger: SqlLedger, clock: SetClock) -> None:
    """Every state has its count."""
    assert set(ledger.counts().values()) == {0}
    bring(ledger, add(ledger, "a"), State.CANCELLED)
    clock.time = 1010
    add(ledger, "b")
    assert {state: n for state, n in ledger.counts().items() if n} == {State.CANCELLED: 1, State.RECEIVED: 1}


def test_recordings_are_needed_until_the_end_of_their_jobs(ledger: SqlLedger) -> None:
    """Of open and held jobs always; of those that ended unsent only for a while; of sent ones no more."""
    for state in State:
        if state is not State.ERASED:
            job = add(ledger, str(state))
            _ = job if state is State.RECEIVED else bring(ledger, job, state)
    lasting = {State.RECEIVED, State.PREPARING, State.HOSTED, State.SENDING, State.UNCONFIRMED, State.HELD}
    unsent = {State.REJECTED, State.FAILED, State.CANCELLED}
    for ended_after, states in ((999.0, lasting | unsent), (1_000.0, lasting)):
        assert ledger.recordings_needed(ended_after) == {f"file:///in/{state}.ogg" for state in states}
