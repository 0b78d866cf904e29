"""The values of sending: what an answer, a chat, a list of messages and a report of Linq say. All are frozen."""

from __future__ import annotations

from dataclasses import dataclass, field
from datetime import time
from enum import StrEnum

from pipeline.model import Lane, Span


class OutcomeKind(StrEnum):
    """What the answer to one POST means for the job."""

    ACCEPTED = "accepted"
    WAIT = "wait"  # provably not sent; try again later
    REFUSED = "refused"  # provably not sent; never try again
    PROBABLY_NOT_SENT = "probably-not-sent"
    UNKNOWN = "unknown"


class PauseScope(StrEnum):
    """Who else waits because of an answer."""

    CHAT = "chat"
    LINE = "line"
    ALL = "all"


@dataclass(frozen=True, kw_only=True, slots=True)
class Outcome:
    """What one POST came to. wait_s: for WAIT. pause: who else must wait as long. line: ours, from which it went."""

    kind: OutcomeKind
    code: str
    message: str
    message_id: str | None = None
    attachment_id: str | None = None
    trace_id: str | None = None
    status: int | None = None
    wait_s: float = 0.0
    pause: PauseScope | None = None
    line: str | None = None


@dataclass(frozen=True, kw_only=True, slots=True)
class Attempt:
    """One attempt to send a job's memo, as it is remembered outside the ledger. number: the job's send_attempts.
    at: when it began. epoch: the job's then. closed: given up before anything was sent. erased: closed, as the job is
    erased. outcome: None where nobody wrote down what came of it. parts: it was no attempt: so many parts of the job
    were to be sent, each by itself; spans: which (of a split of an earlier version it is not known)."""

    number: int
    at: float
    epoch: int
    closed: bool = False
    erased: bool = False
    outcome: Outcome | None = None
    parts: int = 0
    spans: tuple[Span, ...] = ()


@dataclass(frozen=True, kw_only=True, slots=True)
class Pause:
    """Somebody has to wait. scope: `linq` (everybody), `line:NUMBER` or `chat:ID`. since: when it began."""

    scope: str
    until: float
    why: str
    since: float = 0.0


@dataclass(frozen=True, kw_only=True, slots=True)
class QuietHours:
    """From when to when nothing is sent, by the clock of the person's time zone. zone: where none is given for a job;
    lanes: whose jobs wait."""

    begins: time
    ends: time
    zone: str
    lanes: tuple[Lane, ...]


@dataclass(frozen=True, kw_only=True, slots=True)
class Chat:
    """What the ledger knows of a chat. line: ours, on which it is. opted_out_at: when Linq refused a send because they
    opted out; heard_at: when they last wrote; asked_at: when Linq was asked about that. pauses: all that
    were ever made for it, its line or everybody and not lifted; some may be over."""

    chat_id: str
    line: str | None = None
    opted_out_at: float = 0.0
    heard_at: float = 0.0
    asked_at: float = 0.0
    pauses: tuple[Pause, ...] = ()


@dataclass(frozen=True, kw_only=True, slots=True)
class ChatSeen:
    """A chat as Linq shows it. health: HEALTHY, AT_RISK, CRITICAL or OPTED_OUT."""

    line: str | None
    health: str | None


@dataclass(frozen=True, kw_only=True, slots=True)
class Line:
    """A line of ours as Linq shows it: status ACTIVE or FLAGGED, reputation HEALTHY, AT_RISK or CRITICAL."""

    number: str
    health: str

    @property
    def is_well(self) -> bool:
        """Whether nothing that Linq says of it is a warning."""
        return not {"FLAGGED", "AT_RISK", "CRITICAL"}.intersection(self.health.upper().split(", "))


@dataclass(frozen=True, kw_only=True, slots=True)
class ListedMessage:
    """An own message as Linq lists it. file_names: of its media parts; None where the list shows no parts.
    status: pending, queued, sent, delivered, received, read or failed. created_at: Unix seconds."""

    message_id: str
    created_at: float
    status: str
    file_names: tuple[str, ...] | None


@dataclass(frozen=True, kw_only=True, slots=True)
class MessageList:
    """All own messages of a chat since a moment. complete: every page was read."""

    messages: tuple[ListedMessage, ...]
    complete: bool


@dataclass(frozen=True, kw_only=True, slots=True)
class StatusReport:
    """What Linq says became of a message, from a webhook or a poll. status: sent, delivered, read or failed; or, of a
    chat, `wrote` or `opted-out`; or, of the line (E.164), `line-active` or `line-flagged`. event_id: None for a poll.
    occurred_at: Unix seconds by Linq's clock. health: of the chat, as Linq last saw it."""

    status: str
    message_id: str | None
    trace_id: str | None = None
    chat_id: str | None = None
    event_id: str | None = None
    code: str | None = None
    reason: str | None = None
    occurred_at: float | None = None
    file_names: tuple[str, ...] = field(default=())
    line: str | None = None
    health: str | None = None
