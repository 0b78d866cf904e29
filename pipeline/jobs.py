"""The story of one recording, from a wish to a voice memo that arrived.

    register  the job is in the ledger before anybody is told "accepted"
    prepare   fetch, make a memo of it, store it, look at its URL as the receiver will
    deliver   commit SENDING, POST once, write down what the answer means
    settle    webhooks and polling move the job on, in any order, any number of times

Every function takes `Parts` and reads: look at the row, decide, move the row (one compare-and-set), act. Whoever loses
a compare-and-set gets `Fenced` and stops without touching anything. `pipeline/delivery.py` sends one memo,
`pipeline/standing.py` knows who may be sent to, `pipeline/reconcile.py` finds out about sends whose outcome is unknown
(`pipeline/recall.py`: from what is remembered outside the ledger), `pipeline/settling.py` says what a report means for
a job, `pipeline/splitting.py` makes several jobs of one, and `pipeline/decisions.py` holds what a person may do.
"""

from __future__ import annotations

import shutil
from collections.abc import Sequence
from contextlib import suppress

from pipeline.copies import let_go
from pipeline.delivery import send
from pipeline.disk import writing_in
from pipeline.errors import Fenced, JobFailed, KeyReused, MemolineError, Misuse, PartUnreachable, RecordingRejected
from pipeline.hosting.names import job_id_for
from pipeline.lease import kept
from pipeline.messages import StatusReport
from pipeline.model import Hosted, Job, NewJob, NewPart, Request, State
from pipeline.optouts import end_waiting
from pipeline.ports import Parts
from pipeline.recall import forgotten
from pipeline.reconcile import look, sender_lost
from pipeline.sending.pacing import backoff_s, poll_after_s
from pipeline.settling import Applied, apply_kept, apply_report
from pipeline.splitting import NOT_SPLIT, PARTS_DIFFER, hosted_parts, memo_of, split, still_hosted
from pipeline.standing import give_up, too_old

_WILL_NOT_CHANGE = frozenset({"recording-gone", "superseded", "source-changed", NOT_SPLIT, PARTS_DIFFER})
_BURNS_NO_ATTEMPT = frozenset({"disk-full", "cdn-wrong", "name-taken"})
"""Ours to mend, or (a ledger restored from an older copy uses its names again) mended by the next epoch."""


def register(parts: Parts, request: Request) -> Job:
    """The job for a request: a new one, or the one that the same identity and input made before. Durable on return.

    Raises KeyReused where the identity belongs to other input, PartUnreachable when the ledger is away."""
    new = _new_job(parts, request)
    return parts.ledger.add(
        request, job_id=new.job_id, state=new.state, code=new.code, message=new.message, by=parts.by
    )


def register_many(parts: Parts, requests: Sequence[Request]) -> tuple[Job | KeyReused, ...]:
    """`register` for a batch of a few hundred in one commit; an error stands in the place of the job it is about."""
    return parts.ledger.add_many([_new_job(parts, request) for request in requests], by=parts.by)


def _new_job(parts: Parts, request: Request) -> NewJob:
    job_id = job_id_for(parts.secret, request.identity)
    if request.chat_id is not None:
        return NewJob(request=request, job_id=job_id, state=State.RECEIVED)
    why = f"Nobody said which chat this is for: `memoline assign {job_id} --chat ID` does."
    if request.problem:
        why = f"{request.problem} `memoline assign {job_id} --chat ID` sends it without these options."
    return NewJob(request=request, job_id=job_id, state=State.HELD, code="no-chat", message=why)


def prepare(parts: Parts, job_id: str) -> Job | None:
    """Make and host the memo of a job. Returns the job as it is then, None where there was nothing to do."""
    try:
        job = parts.ledger.get(job_id)
        if job.spans:
            return _prepare_parts(parts, job)
        claimed = _claim(parts, job)
        return _prepare_claimed(parts, claimed) if claimed and claimed.state is State.PREPARING else claimed
    except Fenced:
        return None


def deliver(parts: Parts, job_id: str) -> Job | None:
    """Move on whatever the job's chat has to send, in order. Returns the named job as it is then."""
    job = parts.ledger.get(job_id)
    if job.state is State.SENT or (job.state is State.FAILED and job.message_id):
        return _poll(parts, job)
    while job.chat_id and _step_chat(parts, job.chat_id):
        pass
    return parts.ledger.get(job_id)


def settle(parts: Parts, report: StatusReport) -> Job | None:
    """Take in what Linq says. Durable on return, also where no job is known for it yet."""
    if report.event_id:
        parts.ledger.keep_report(report)
    return settle_kept(parts, (report,))[0]


def settle_kept(parts: Parts, reports: Sequence[StatusReport]) -> tuple[Job | None, ...]:
    """Apply reports that are kept already. Returns the job of each, where one is known."""
    return let_go_of(parts, apply_reports(parts, reports))


def apply_reports(parts: Parts, reports: Sequence[StatusReport]) -> tuple[Applied, ...]:
    """The half of `settle_kept` that concerns the ledger alone. A report that somebody applied before is applied again,
    to no effect; one that is too early stays noted as waiting."""
    applied = tuple(apply_kept(parts, report) for report in reports)
    done = {one.event_id: now for one, now in zip(reports, applied, strict=True) if one.event_id and now.done}
    parts.ledger.applied({event_id: now.job.job_id if now.job else None for event_id, now in done.items()})
    return applied


def let_go_of(parts: Parts, applied: Sequence[Applied]) -> tuple[Job | None, ...]:
    """The other half: copies of recordings whose memo turned out to have arrived go, and jobs of who opted out end."""
    for now in applied:
        if now.blocked:
            end_waiting(parts, now.blocked)
        if now.adopted and now.job:
            let_go(parts, now.job)
    return tuple(now.job for now in applied)


# ---------------------------------------------------------------------------------------------------------- prepare


def _prepare_parts(parts: Parts, job: Job) -> Job:
    """The hint of a split is about those of its parts whose memo has to be made again."""
    for part in parts.ledger.parts_of(job.job_id):
        if part.state in (State.RECEIVED, State.PREPARING):
            prepare(parts, part.job_id)
    return parts.ledger.get(job.job_id)


def _claim(parts: Parts, job: Job) -> Job | None:
    """Take the job over for one attempt, which is counted before any work is done."""
    now = parts.clock.now()
    # A memo that is wanted later is made now: it is sent the moment it is due, and what is wrong with it is known.
    waiting = job.state is State.RECEIVED and job.chat_id is not None and job.retry_at <= now
    abandoned = job.state is State.PREPARING and job.lease_until < now
    if job.erasing or not (waiting or abandoned) or parts.ledger.is_held_back(job):
        return None
    if too_old(parts, job):
        return forgotten(parts, job) or give_up(parts, job)
    if job.audio_attempts >= parts.rules.max_audio_attempts:
        how = f"look at the recording, then `memoline retry {job.job_id}`."
        why = f"Preparing it ended {job.audio_attempts} workers: {how}"
        return forgotten(parts, job) or parts.ledger.move(job, State.FAILED, by=parts.by, code="poison", message=why)
    return parts.ledger.move(
        job,
        State.PREPARING,
        by=parts.by,
        epoch=job.epoch + 1,
        audio_attempts=job.audio_attempts + 1,
        lease_until=now + parts.rules.audio_lease_s,
    )


def _prepare_claimed(parts: Parts, job: Job) -> Job:
    try:
        with kept(parts, job):
            made = _make_and_host(parts, job)
    except RecordingRejected as error:
        return _end(parts, job, State.REJECTED, error)
    except MemolineError as error:
        return _after_trouble(parts, job, error)
    except Exception as error:
        # A mistake of ours: the job goes on as after a failed attempt, and the worker's log gets the traceback.
        with suppress(MemolineError):  # fenced, or without a ledger: the traceback must not be lost for that
            _after_trouble(parts, job, JobFailed("internal", f"{type(error).__name__}: {error}"))
        raise
    if not isinstance(made, Hosted):
        return _split(parts, job, made)
    return parts.ledger.move(
        job, State.HOSTED, by=parts.by, hosted=made, lease_until=0.0, retry_at=0.0, code=None, message=None
    )


def _split(parts: Parts, job: Job, made: Sequence[NewPart]) -> Job:
    try:
        return split(parts, job, made)
    except (PartUnreachable, Misuse, JobFailed) as error:
        return _after_trouble(parts, job, error)


def _after_trouble(parts: Parts, job: Job, error: MemolineError) -> Job:
    """An outage, or a set-up that somebody must mend, burns no attempt: it is not the recording's fault."""
    if isinstance(error, PartUnreachable | Misuse) or error.code in _BURNS_NO_ATTEMPT:
        return _back_to_received(parts, job, error, attempts=job.audio_attempts - 1)
    if job.audio_attempts >= parts.rules.max_audio_attempts or error.code in _WILL_NOT_CHANGE:
        return _end(parts, job, State.FAILED, error)
    return _back_to_received(parts, job, error, attempts=job.audio_attempts)


def _end(parts: Parts, job: Job, to: State, error: MemolineError) -> Job:
    """End a job without a memo, unless it has one of which this ledger, an older copy, does not know."""
    try:
        sent_before = forgotten(parts, job)
    except PartUnreachable as away:
        return _back_to_received(parts, job, away, attempts=job.audio_attempts - 1)
    return sent_before or parts.ledger.move(job, to, by=parts.by, code=error.code, message=error.message)


def _make_and_host(parts: Parts, job: Job) -> Hosted | tuple[NewPart, ...]:
    """Recording in, checked URL out, or several. The folder is this attempt's own and goes with it."""
    if there := still_hosted(parts, job):
        return there
    folder = parts.work_dir(f"{job.job_id}.{job.epoch}")
    try:
        recording = folder / "recording"
        parts.store.fetch(job.recording, recording)
        made = folder / "memo"
        with writing_in(folder):
            made.mkdir()
            memos = parts.runner.prepare(recording, made, parts.rules.audio_for(job.overflow))
        if job.parent_id is not None:
            memos = (memo_of(parts, job, memos),)
        if len(memos) > 1:
            return hosted_parts(parts, job, memos)
        hosted = parts.store.host(memos[0], job.job_id, job.epoch)
        parts.store.check(hosted)
        return hosted
    finally:
        shutil.rmtree(folder, ignore_errors=True)


def _back_to_received(parts: Parts, job: Job, error: MemolineError, *, attempts: int) -> Job:
    tries = max(job.epoch, 1)
    return parts.ledger.move(
        job,
        State.RECEIVED,
        by=parts.by,
        code=error.code,
        message=error.message,
        audio_attempts=attempts,
        retry_at=parts.clock.now() + backoff_s(tries),
        lease_until=0.0,
    )


# ---------------------------------------------------------------------------------------------------------- deliver


def _step_chat(parts: Parts, chat_id: str) -> bool:
    """One step for the first job of each lane of a chat; True where a place became free, so another may go."""
    now = parts.clock.now()
    heads = parts.ledger.heads(chat_id, now)
    moved: Job | None = None
    for head in heads:
        try:
            if head.state is State.SENDING and head.deadline < now:
                moved = sender_lost(parts, head)
            elif head.state is State.UNCONFIRMED and head.next_look_at <= now:
                moved = look(parts, head)
            elif head.state is State.HOSTED and head.retry_at <= now and not _busy(heads):
                moved = send(parts, head)
        except Fenced:
            return False
        if moved:
            return moved.state not in (State.HOSTED, State.SENDING, State.UNCONFIRMED, State.RECEIVED)
    return False


def _busy(heads: tuple[Job, ...]) -> bool:
    return any(head.state is State.SENDING for head in heads)


# ----------------------------------------------------------------------------------------------------------- settle


def _poll(parts: Parts, job: Job) -> Job:
    """Ask for the status of a sent memo: what heals an outage of the webhook receiver. A memo that Linq could not
    deliver is asked for as well, since it may be delivered after all."""
    now = parts.clock.now()
    if not 0 < job.next_look_at <= now or job.message_id is None:
        return job
    try:
        report = parts.messenger.status(job.message_id)
    except MemolineError:
        report = None
    if report and (moved := apply_report(parts, job, report)) and moved.state is not job.state:
        return moved
    later = poll_after_s(now - job.sending_since)
    return parts.ledger.note(job, next_look_at=now + later if later else 0.0)
