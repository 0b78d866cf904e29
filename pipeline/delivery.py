"""Sending the memo of one job: may it go now, commit SENDING, write the intent, POST once, write down what it means."""

from __future__ import annotations

import logging
from collections.abc import Callable
from contextlib import suppress
from dataclasses import replace

from pipeline.copies import let_go
from pipeline.errors import Fenced, JobFailed, MemolineError, NotNow
from pipeline.hosting.signing import unsigned
from pipeline.messages import Attempt, Chat, Outcome, OutcomeKind
from pipeline.model import Hosted, Job, State
from pipeline.optouts import blocked, end
from pipeline.ports import Parts
from pipeline.recall import NOT_BEGUN, forgotten, recalled
from pipeline.reconcile import SENDER_LOST, confirm_later
from pipeline.sending.pacing import backoff_s, poll_after_s
from pipeline.sending.quiet import quiet_until
from pipeline.settling import settled
from pipeline.splitting import sent_otherwise
from pipeline.standing import Gate, gate, give_back, give_up, learn, line_of, too_old

DOWNLOAD_FAILED = "linq-download-failed"
_PACED = "paced"
_PACED_TEXT = "Only so many messages may go to one chat, or from one line."
_LATE_TRIES = 3
_LONGEST_TROUBLE_WAIT_S = 60.0
_PROVABLY_NOT_SENT = (OutcomeKind.WAIT, OutcomeKind.REFUSED)


def send(parts: Parts, job: Job) -> Job:
    """Send the memo of a HOSTED job that is at the head of its lane, or say until when it waits."""
    if job.send_attempts and (known := settled(parts, job)).state is not State.HOSTED:
        return known  # an earlier attempt arrived after all
    if _is_to_be_erased(parts, job):
        why = "It is to be erased."
        return forgotten(parts, job) or parts.ledger.move(
            job, State.CANCELLED, by=parts.by, code="cancelled", message=why
        )
    if too_old(parts, job):
        return forgotten(parts, job) or give_up(parts, job)
    chat = parts.ledger.chat(job.chat_id or "")
    if blocked(parts, chat, job):
        return end(parts, job)
    if (until := quiet_until(parts.clock.now(), parts.rules.quiet, job.lane, job.time_zone)) > 0:
        why = "It is quiet hours where the person is: it is sent when they end."
        return _wait(parts, job, until - parts.clock.now(), "quiet-hours", why)
    went = gate(parts, chat)
    if went.pause is not None:
        why = f"Linq asked this chat, its line or everybody to wait ({went.pause.why})."
        return _wait(parts, job, went.pause.until - parts.clock.now(), "paused", why)
    try:
        waiting = _not_ready(parts, job, chat)
        begun = _begun(parts, job) if waiting is None else None
    except MemolineError:
        give_back(parts, went)
        raise
    if begun is not None:
        return _post(parts, begun, chat, went)
    give_back(parts, went)
    return waiting or job


def _is_to_be_erased(parts: Parts, job: Job) -> bool:
    """Whether somebody wants it erased, or the whole of which it is a part."""
    return job.erasing or (job.parent_id is not None and parts.ledger.get(job.parent_id).erasing)


def _not_ready(parts: Parts, job: Job, chat: Chat) -> Job | None:
    """The job as it waits for its memo, for a part, or for its turn; None where it may go."""
    try:
        if job.parent_id and (differs := sent_otherwise(parts, job)):
            return forgotten(parts, job) or parts.ledger.move(
                job, State.FAILED, by=parts.by, code=differs.code, message=differs.message
            )
        memo = job.hosted
        if memo is None or not parts.store.still_there(memo):
            why = "The memo was not in the bucket any more: made again."
            return parts.ledger.move(
                job, State.RECEIVED, by=parts.by, code="memo-gone", message=why, hosted=None, audio_attempts=0
            )
        if job.code == DOWNLOAD_FAILED:
            parts.store.check(memo)  # Linq could not fetch it: is it our URL that is wrong?
        wait_s = parts.pacer.wait_s(chat.chat_id, _limited_line(parts, chat), lane=job.lane)
    except MemolineError as error:
        return _trouble(parts, job, error)
    return _wait(parts, job, wait_s, _PACED, _PACED_TEXT) if wait_s > 0 else None


def _limited_line(parts: Parts, chat: Chat) -> str | None:
    """The line of a chat, where lines have a limit."""
    return line_of(parts, chat) if parts.rules.line_daily_limit else None


def _begun(parts: Parts, job: Job) -> Job:
    """SENDING: committed before anything is sent."""
    now = parts.clock.now()
    return parts.ledger.move(
        job,
        State.SENDING,
        by=parts.by,
        epoch=job.epoch + 1,
        send_attempts=job.send_attempts + 1,
        first_sending_at=job.first_sending_at or now,
        sending_since=now,
        deadline=now + parts.rules.send_timeout_s,
        looks=0,
        trace_id=None,  # news of an earlier attempt is not about this one
        code=None,
        message=None,
    )


def _post(parts: Parts, job: Job, chat: Chat, went: Gate) -> Job:
    """Write the intent; only who was the first to do so may POST."""
    attempt = Attempt(number=job.send_attempts, at=job.sending_since, epoch=job.epoch)
    try:
        first = parts.journal.begin(job.job_id, attempt)
    except MemolineError as error:
        give_back(parts, went)
        why = f"{error.message} Nothing was sent; whether it was before is asked again."
        return confirm_later(parts, job, code=NOT_BEGUN, message=why, wait_s=backoff_s(1))
    if not first:
        give_back(parts, went)
        return _known_before(parts, job)
    address = parts.store.address(_hosted(job))
    turn = _turn(parts, job, chat.chat_id, _limited_line(parts, chat))
    # What all before took, or a freeze in it, is off the deadline that everybody else reads in the ledger.
    left_s = max(job.deadline - parts.clock.now(), 0.001)
    outcome = _told(parts.messenger.send_once(chat.chat_id, address, deadline_s=left_s, may_go=turn))
    try:
        moved = _applied(parts, job, outcome)
    except Fenced:
        moved = record_late_answer(parts, job, outcome)
    finally:
        _remember(parts, job, outcome)  # all the more where the ledger is away
    learn(parts, chat, went, outcome)
    # A webhook may have been faster than the answer.
    return settled(parts, moved)


def _told(outcome: Outcome) -> Outcome:
    """What Linq says may name the URL that it was given: no ledger, log or history keeps a signed one."""
    return replace(outcome, message=unsigned(outcome.message))


def _turn(parts: Parts, job: Job, chat_id: str, line: str | None) -> Callable[[], Outcome | None]:
    """Takes the place in the chat's window, as late as can be: a sender that froze with one would send into the next
    window. Says what forbids the POST."""

    def take() -> Outcome | None:
        try:
            wait_s = parts.pacer.take(chat_id, line, lane=job.lane)
        except MemolineError as error:
            return Outcome(kind=OutcomeKind.WAIT, code=error.code, message=error.message)
        return Outcome(kind=OutcomeKind.WAIT, code=_PACED, message=_PACED_TEXT, wait_s=wait_s) if wait_s > 0 else None

    return take


def _known_before(parts: Parts, job: Job) -> Job:
    """This attempt was begun by somebody of whom the ledger does not know: nothing is sent."""
    try:
        return settled(parts, recalled(parts, job))
    except Fenced:
        raise
    except MemolineError as error:
        return confirm_later(parts, job, code=SENDER_LOST, message=error.message)


def _applied(parts: Parts, job: Job, outcome: Outcome) -> Job:
    if outcome.kind is OutcomeKind.ACCEPTED:
        return _sent(parts, job, outcome)
    if outcome.kind is OutcomeKind.REFUSED:
        return parts.ledger.move(
            job, State.FAILED, by=parts.by, code=outcome.code, message=outcome.message, trace_id=outcome.trace_id
        )
    if outcome.kind is OutcomeKind.WAIT:
        return _wait(parts, job, outcome.wait_s or backoff_s(job.send_attempts), outcome.code, outcome.message)
    return confirm_later(parts, job, code=outcome.code, message=outcome.message, trace_id=outcome.trace_id)


def _sent(parts: Parts, job: Job, outcome: Outcome) -> Job:
    sent = parts.ledger.move(
        job,
        State.SENT,
        by=parts.by,
        message_id=outcome.message_id,
        attachment_id=outcome.attachment_id,
        trace_id=outcome.trace_id,
        next_look_at=parts.clock.now() + poll_after_s(0),
        code=None,
        message=None,
    )
    return let_go(parts, sent)


def _remember(parts: Parts, job: Job, outcome: Outcome) -> None:
    """Write the receipt. Without one a restored ledger only has to look for itself."""
    if outcome.kind is not OutcomeKind.UNKNOWN:
        with suppress(MemolineError):
            parts.journal.end(job.job_id, job.send_attempts, outcome)


def record_late_answer(parts: Parts, job: Job, outcome: Outcome) -> Job:
    """Somebody moved the job while our POST was under way: what became of it is written down all the same."""
    for _ in range(_LATE_TRIES):
        now = parts.ledger.get(job.job_id)
        with suppress(Fenced, NotNow):
            return _recorded(parts, job, now, outcome)
    return now


def _recorded(parts: Parts, job: Job, now: Job, outcome: Outcome) -> Job:
    """job: as our attempt had it. now: as it is."""
    doubtful = now.state is State.UNCONFIRMED or (now.state is State.HELD and now.code == "outcome-unknown")
    if outcome.kind is OutcomeKind.ACCEPTED and now.message_id is None:
        return _sent(parts, now, outcome)
    if outcome.kind is OutcomeKind.ACCEPTED and now.message_id != outcome.message_id and now.state is State.SENT:
        text = f"Linq took it twice: as {now.message_id}, and as {outcome.message_id} by attempt {job.send_attempts}."
        return parts.ledger.move(now, State.SENT, by=parts.by, code="sent-twice", message=text)
    if outcome.kind in _PROVABLY_NOT_SENT and doubtful and now.send_attempts == job.send_attempts:
        return _wait(parts, now, outcome.wait_s or backoff_s(1), outcome.code, outcome.message)
    if outcome.kind is OutcomeKind.ACCEPTED and now.message_id != outcome.message_id:
        text = "late-answer.dropped job_id=%s state=%s message_id=%s"
        logging.getLogger("memoline").warning(text, job.job_id, now.state, outcome.message_id)
    return now


def _trouble(parts: Parts, job: Job, error: MemolineError) -> Job:
    """Wait for a part that is away or wrong: longer, the longer it lasts."""
    lasted_s = parts.clock.now() - job.updated_at if job.code == error.code else 0.0
    wait_s = min(max(backoff_s(1), lasted_s / 4), _LONGEST_TROUBLE_WAIT_S)
    return _wait(parts, job, wait_s, error.code, error.message)


def _wait(parts: Parts, job: Job, wait_s: float, code: str, message: str) -> Job:
    """Keep the place, and try again when the time has come. Waiting on for the same reason is no move."""
    retry_at = parts.clock.now() + wait_s
    if job.state is State.HOSTED and job.code == code:
        return parts.ledger.note(job, retry_at=retry_at)
    return parts.ledger.move(
        job, State.HOSTED, by=parts.by, code=code, message=message, retry_at=retry_at, deadline=0.0
    )


def _hosted(job: Job) -> Hosted:
    if job.hosted is None:
        raise JobFailed("no-memo", f"Job {job.job_id} is {job.state} without a memo.")
    return job.hosted
