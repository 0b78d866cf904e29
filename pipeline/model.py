"""The values that one step hands to the next. All are frozen; a step returns new ones."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from enum import StrEnum
from typing import Literal

from pipeline.recordings import Overflow

Lane = Literal["live", "backfill"]


class State(StrEnum):
    """Where a job stands. `pipeline.ledger.states` says which moves are legal."""

    RECEIVED = "RECEIVED"
    PREPARING = "PREPARING"
    HOSTED = "HOSTED"
    SENDING = "SENDING"
    UNCONFIRMED = "UNCONFIRMED"
    SENT = "SENT"
    DELIVERED = "DELIVERED"
    HELD = "HELD"
    REJECTED = "REJECTED"
    FAILED = "FAILED"
    CANCELLED = "CANCELLED"
    ERASED = "ERASED"


@dataclass(frozen=True, kw_only=True, slots=True)
class StoredRecording:
    """Where the workers read a recording from. uri: `file:///…` or `s3://bucket/key`; version: S3 version id or, as
    `etag:…`, the ETag it must still have. sha256 is None for an object that was not read yet. copy_of: where this
    is a copy of the request's source, the version that the source had."""

    uri: str
    name: str
    size_bytes: int
    sha256: str | None = None
    version: str | None = None
    copy_of: str | None = None


@dataclass(frozen=True, kw_only=True, slots=True)
class Request:
    """A wish to send one recording to one chat. identity: what makes two requests the same job, as
    `pipeline.hosting.names` builds it. fingerprint: hash of the input; the same identity with another is an error.
    not_before: Unix seconds. time_zone: of the person, for quiet hours. problem: why it has no chat, where that is not
    for want of one."""

    identity: str
    fingerprint: str
    recording: StoredRecording
    source: str
    chat_id: str | None
    key: str | None = None
    lane: Lane = "live"
    overflow: Overflow | None = None
    not_before: float = 0.0
    callback_url: str | None = None
    backfill_id: str | None = None
    time_zone: str | None = None
    problem: str | None = None


@dataclass(frozen=True, kw_only=True, slots=True)
class NewJob:
    """A request with the id and the state that its job begins with."""

    request: Request
    job_id: str
    state: State
    code: str | None = None
    message: str | None = None


@dataclass(frozen=True, kw_only=True, slots=True)
class Hosted:
    """Where a memo lives, and how it was made. object_key: `m/<name>.<ext>`; file_name: its last part, unique to this
    send. reason, plan (code, bitrate_kbps, sample_rate_hz, cutoff_hz, keep_s) and ffmpeg (its version) are None for
    memos made before they were recorded. took_s: seconds that its making took, by part (`fetch`, `encode`, `store`)."""

    object_key: str
    file_name: str
    url: str
    mime_type: str
    size_bytes: int
    duration_s: float
    bitrate_kbps: float
    sha256: str
    action: str
    trimmed: bool = False
    truncated: bool = False
    reason: str | None = None
    plan: Mapping[str, object] | None = None
    ffmpeg: str | None = None
    took_s: Mapping[str, float] | None = None


@dataclass(frozen=True, kw_only=True, slots=True)
class Span:
    """The seconds of a recording that one part of a split holds."""

    starts_at_s: float
    duration_s: float


@dataclass(frozen=True, kw_only=True, slots=True)
class Job:
    """One recording going to one chat, as the ledger has it. Times are Unix seconds (UTC).

    rev: +1 with every move; a move names the rev that it read. epoch: +1 with every claim; an older one is fenced.
    not_before: the requester's wish. retry_at: our own back-off. lease_until: the step in work is alive until then.
    audio_attempts / send_attempts: counted before the work. looks: complete looks at the message list that found
    nothing. returns: how often an attempt that was probably not sent went back to HOSTED. first_sending_at: when the
    first attempt began, and sending_since the last one. erase_at: when its erasing is due, 0 where nobody wants it.
    backfill_id: the backfill that registered it first. time_zone: of the person.
    spans: of a split, one for each of its parts, which are jobs of their own; its state is made from theirs. parent_id
    and part_no (from 1): of a part, whose and which it is.
    """

    seq: int
    job_id: str
    key: str | None
    fingerprint: str
    state: State
    rev: int
    epoch: int
    chat_id: str | None
    lane: Lane
    source: str
    recording: StoredRecording
    overflow: Overflow | None
    not_before: float
    retry_at: float
    lease_until: float
    audio_attempts: int
    send_attempts: int
    looks: int
    returns: int
    deadline: float
    next_look_at: float
    first_sending_at: float
    sending_since: float
    hosted: Hosted | None
    message_id: str | None
    attachment_id: str | None
    trace_id: str | None
    code: str | None
    message: str | None
    erase_at: float
    created_at: float
    updated_at: float
    callback_url: str | None = None
    backfill_id: str | None = None
    time_zone: str | None = None
    parent_id: str | None = None
    part_no: int = 0
    spans: tuple[Span, ...] = ()

    @property
    def erasing(self) -> bool:
        """Whether somebody wants it erased, and it is not yet."""
        return self.erase_at > 0 and self.state is not State.ERASED

    @property
    def url(self) -> str | None:
        """The public URL of the memo, once there is one."""
        return self.hosted.url if self.hosted else None

    @property
    def attempts(self) -> int:
        """Attempts at the step that the job is in, or ended in."""
        return self.send_attempts or self.audio_attempts


@dataclass(frozen=True, kw_only=True, slots=True)
class NewPart:
    """A part of a split with the memo that was made of it, as it begins. epoch: as the job of this id would have it."""

    job_id: str
    part_no: int
    span: Span
    hosted: Hosted
    epoch: int


@dataclass(frozen=True, kw_only=True, slots=True)
class HistoryEntry:
    """One move of a job. by: which process or person did it."""

    at: float
    from_state: State | None
    to_state: State
    code: str | None
    message: str | None
    by: str
    attempt: int


@dataclass(frozen=True, kw_only=True, slots=True)
class AuditLine:
    """Who erased what, and why. action: `erase-wanted`, `erased`, `outlived` or `chat-erased`. removed: kinds of copies
    that are gone. job_id: None where it is about a chat."""

    at: float
    action: str
    by: str
    job_id: str | None
    why: str | None
    removed: tuple[str, ...]


@dataclass(frozen=True, kw_only=True, slots=True)
class ApiToken:
    """A token of the HTTP door, without the token. digest: its SHA-256. revoked_at: 0 while it opens the door."""

    name: str
    digest: str
    created_at: float
    revoked_at: float


@dataclass(frozen=True, kw_only=True, slots=True)
class Reason:
    """Jobs that stand in one state with one code. never_taken: so many of them Linq surely never took. first_at and
    last_at: when they came there. example: what one of them says."""

    state: str
    code: str
    jobs: int
    never_taken: int
    first_at: float
    last_at: float
    example: str | None


@dataclass(frozen=True, kw_only=True, slots=True)
class Refusal:
    """A call of the Celery task `memoline.send_voice_memo` that could not become a job. key, chat_id, recording: as
    they came, None where they were no texts."""

    task_id: str
    at: float
    key: str | None
    chat_id: str | None
    recording: str | None
    code: str
    message: str


@dataclass(frozen=True, kw_only=True, slots=True)
class Callback:
    """A move that a caller is to be told of. event_id: stable, so that the receiver knows a repetition. receiver:
    scheme, host and port of the URL. url: None where it was erased. next_at: when it is due, Unix seconds; done_at: 0
    until it was told or given up; outcome: what the last attempt came to."""

    id: int
    event_id: str
    job_id: str
    receiver: str
    url: str | None
    state: State
    code: str | None
    message: str | None
    at: float
    rev: int
    attempts: int
    next_at: float
    done_at: float
    outcome: str | None
