"""People who opted out: what waits for them ends, and what comes, until they write.

What ends is asked about outside the ledger first: a ledger that was restored from an older copy may not know that it
was sent. That they wrote is told by a webhook, which may be lost while nobody receives: Linq is asked now and then."""

from __future__ import annotations

from contextlib import suppress

from pipeline.errors import MemolineError
from pipeline.messages import Chat
from pipeline.model import Job, State
from pipeline.ports import Parts
from pipeline.recall import forgotten

OPTED_OUT = "opted-out"
_TEXT = "They opted out: no more memos until they write."
_AT_ONCE = 500
"""So many waiting jobs end with the opt-out; more of them end when it is their turn."""
_ASK_EVERY_S = 600.0
"""How often a blocked chat may be asked about: its mark is narrower than the block, so one send that is refused may
follow."""
_MARKED = "OPTED_OUT"


def heard_from(parts: Parts, chat_id: str, at: float) -> None:
    """They wrote, at this time, and not to opt out: that lifts an earlier opt-out, for new jobs."""
    parts.ledger.note_chat(chat_id, heard_at=at)


def they_opted_out(parts: Parts, chat_id: str, at: float) -> None:
    """They opted out, at this time: nothing more is sent to the chat. `end_waiting` is the other half."""
    parts.ledger.opt_out(chat_id, at=at)


def end_waiting(parts: Parts, chat_id: str, said: str = "") -> None:
    """FAIL what waits in a chat of somebody who opted out. said: by Linq.

    What cannot be ended now ends when it is its turn: the next step of each job asks about its chat."""
    with suppress(MemolineError):
        for job in parts.ledger.waiting(chat_id, _AT_ONCE):
            with suppress(MemolineError):
                end(parts, job, said)


def end(parts: Parts, job: Job, said: str = "") -> Job:
    """FAIL a job of somebody who opted out, unless it has been sent, or may have been, and this ledger forgot it.
    Raises Fenced, PartUnreachable."""
    text = f"{_TEXT} {said}".rstrip()
    return forgotten(parts, job) or parts.ledger.move(job, State.FAILED, by=parts.by, code=OPTED_OUT, message=text)


def blocked(parts: Parts, chat: Chat, job: Job) -> bool:
    """Whether an opt-out keeps the job from being sent; Linq is asked where they may have written unheard."""
    return opted_out(chat, job) and not _wrote_unheard(parts, chat, job)


def opted_out(chat: Chat, job: Job) -> bool:
    """Whether their opt-out concerns the job: they did not write since, or it waited or was under way then. Pure."""
    return bool(chat.opted_out_at) and (chat.heard_at <= chat.opted_out_at or _waited(chat, job))


def _waited(chat: Chat, job: Job) -> bool:
    """Whether the job was there when they opted out. One that a person started anew since has a later `not_before`."""
    return max(job.created_at, job.not_before) < chat.opted_out_at or 0 < job.sending_since <= chat.opted_out_at


def _wrote_unheard(parts: Parts, chat: Chat, job: Job) -> bool:
    """Whether Linq shows a chat that is not marked any more. Only a job that came after the opt-out is worth it."""
    now = parts.clock.now()
    if _waited(chat, job) or not parts.ledger.may_ask(chat.chat_id, every_s=_ASK_EVERY_S):
        return False
    with suppress(MemolineError):
        seen = parts.messenger.chat(chat.chat_id)
        if seen is not None and seen.health not in (None, _MARKED):
            heard_from(parts, chat.chat_id, now)
            return True
    return False
