"""A recording that needs several memos: each part becomes a job of its own, hosted, and they go one after the other.

The part's id, and from it the names of its memos, are made from the id of the job that is split: where an older copy of
the ledger has forgotten the parts, the same ones are made again, and what was sent of them is known by their intents.
The job itself leaves an intent too, which says how it is divided: no older copy sends it whole, or the rest of it
divided otherwise."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace

from pipeline.errors import Fenced, JobFailed
from pipeline.hosting.names import identity_of_part, job_id_for
from pipeline.messages import Attempt
from pipeline.model import Hosted, Job, NewPart, Span
from pipeline.ports import Parts
from pipeline.recall import any_part_begun, forgotten
from pipeline.recordings import Memo

NOT_SPLIT = "split-not-sent"
PARTS_DIFFER = "parts-differ"
_SAME_S = 0.01
_SENT_OTHERWISE = "Parts of it may have been sent before this ledger was put back, and it is divided otherwise now"
_HOW_ON = "with the settings of then, `memoline retry` of the whole sends what is missing."
_REST = "look in the chat, and send what is missing as a recording of its own."


def hosted_parts(parts: Parts, job: Job, memos: Sequence[Memo]) -> tuple[NewPart, ...]:
    """Store the memos of a split, each under the name of its part, and look at their URLs. Raises as the store does,
    and JobFailed (`split-not-sent`) where the whole may be on its way."""
    if job.returns:
        why = "It does not fit into one memo any more, and may have been sent whole before"
        raise JobFailed(NOT_SPLIT, f"{why}: look in the chat, then `memoline retry {job.job_id}`.")
    known = {part.job_id: part.epoch + 1 for part in parts.ledger.parts_of(job.job_id)}
    ids = [job_id_for(parts.secret, identity_of_part(job.job_id, part_no)) for part_no in range(1, len(memos) + 1)]
    epochs = [max(job.epoch, known.get(job_id, 0)) for job_id in ids]
    # Whoever dies before the commit leaves memos of jobs that nobody knows: here they are found again, and erased.
    parts.journal.divide(job.job_id, epochs)
    made = []
    for part_no, (memo, job_id, epoch) in enumerate(zip(memos, ids, epochs, strict=True), start=1):
        hosted = parts.store.host(memo, job_id, epoch)
        made.append(NewPart(job_id=job_id, part_no=part_no, span=_span(memo), hosted=hosted, epoch=epoch))
    for new in made:
        parts.store.check(new.hosted)
    return tuple(made)


def split(parts: Parts, job: Job, new_parts: Sequence[NewPart]) -> Job:
    """Make the job its parts, in one commit; it is moved on as it is remembered where it was sent whole before, of
    which this ledger, an older copy, does not know. Raises what the journal raises, Fenced, and JobFailed
    (`parts-differ`) where parts of another division may have been sent."""
    spans = tuple(new.span for new in new_parts)
    number = job.send_attempts + 1
    if (begun := _begun_division(parts, job)) and not _same(begun, spans):
        raise JobFailed(PARTS_DIFFER, f"{_SENT_OTHERWISE}: {_HOW_ON}")
    intent = Attempt(number=number, at=parts.clock.now(), epoch=job.epoch, parts=len(spans), spans=spans)
    while not parts.journal.begin(job.job_id, intent):
        if sent_before := forgotten(parts, job, in_parts=True):
            return sent_before
        known = {one.number: one for one in parts.journal.attempts(job.job_id)}
        if number in known and known[number].parts and _same(known[number], spans):
            break  # the same split, before this copy of the ledger was made
        if parts.ledger.get(job.job_id).epoch != job.epoch:
            raise Fenced(job.job_id)  # its intent would be taken for that of the latest division
        number = max(number, *known) + 1
        intent = replace(intent, number=number, at=parts.clock.now())
    return parts.ledger.split(job, new_parts, by=parts.by, send_attempts=number)


def sent_otherwise(parts: Parts, part: Job) -> JobFailed | None:
    """Why a part must not go: others, of a division that this ledger, an older copy, does not know, may have been sent.
    None where it may. Raises what the journal raises."""
    whole = parts.ledger.get(part.parent_id or "")
    begun = _begun_division(parts, whole)
    if begun is None or begun.number <= whole.send_attempts or _same(begun, whole.spans):
        return None
    return JobFailed(PARTS_DIFFER, f"{_SENT_OTHERWISE}: {_REST}")


def _begun_division(parts: Parts, job: Job) -> Attempt | None:
    """The intent of the last division of a job, where one of its parts may have been sent: an earlier one was given up
    before any was."""
    divided = [one for one in parts.journal.attempts(job.job_id) if one.parts]
    last = max(divided, key=lambda one: one.number, default=None)
    return last if last and any_part_begun(parts, job, last.parts) else None


def memo_of(parts: Parts, job: Job, memos: Sequence[Memo]) -> Memo:
    """Of all that was made of the recording again, the memo of one part. Raises JobFailed (`parts-differ`) where it is
    divided in another way now, so that the others, perhaps sent already, would not fit to it."""
    spans = parts.ledger.get(job.parent_id or "").spans
    if not _alike(spans, [_span(memo) for memo in memos]):
        text = f"Part {job.part_no} was to be made again, and the recording is divided otherwise now (other settings?)"
        raise JobFailed(PARTS_DIFFER, f"{text}: `memoline retry {job.parent_id}` begins anew if none was sent.")
    return memos[job.part_no - 1]


def still_hosted(parts: Parts, job: Job) -> Hosted | None:
    """The memo of a part that had only waited for another one, where it is as it was. Raises as the store does."""
    if job.hosted is None or not parts.store.still_there(job.hosted):
        return None
    parts.store.check(job.hosted)
    return job.hosted


def _span(memo: Memo) -> Span:
    return Span(starts_at_s=round(memo.starts_at_s, 3), duration_s=round(memo.duration_s, 3))


def _same(was: Attempt, now: Sequence[Span]) -> bool:
    """Whether an intent is of this division; an earlier version wrote down only how many parts it has."""
    return was.parts == len(now) and (not was.spans or _alike(was.spans, now))


def _alike(was: Sequence[Span], now: Sequence[Span]) -> bool:
    return len(was) == len(now) and all(
        abs(one.starts_at_s - other.starts_at_s) < _SAME_S and abs(one.duration_s - other.duration_s) < _SAME_S
        for one, other in zip(was, now, strict=True)
    )
