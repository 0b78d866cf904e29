"""The values that one step hands to the next. All are frozen; a step returns new ones."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from enum import StrEnum
from pathlib import Path
from typing import Literal

Overflow = Literal["compress", "cut", "split", "reject"]
Loudness = Literal["off", "speech"]
Lane = Literal["live", "backfill"]


TAG_NAMES = ("title", "artist", "album", "date", "genre")
"""Tags that settings may let stay in a memo."""


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


class Action(StrEnum):
    """What the audio step does with a recording."""

    PASS_THROUGH = "pass-through"  # noqa: S105 (a word, not a password)
    REMUX = "remux"
    TRANSCODE = "transcode"
    REJECT = "reject"


@dataclass(frozen=True, kw_only=True, slots=True)
class AudioSettings:
    """What the audio step may do. max_bytes: the memo stays under it. bitrates in kb/s (k = 1000). keep_tags: some of
    TAG_NAMES. loudness: `speech` raises what is encoded and too quiet."""

    max_bytes: int = 10_000_000
    overflow: Overflow = "compress"
    bitrate_kbps: float = 64
    min_bitrate_kbps: float = 24
    loudness: Loudness = "off"
    ffmpeg: str | None = None
    keep_tags: tuple[str, ...] = ()


@dataclass(frozen=True, kw_only=True, slots=True)
class AudioStream:
    """One audio stream of a recording. codec: ffmpeg's name, e.g. `aac`. profile: e.g. `LC`."""

    index: int
    codec: str
    profile: str | None
    sample_rate_hz: int
    channels: int
    layout: str
    bitrate_kbps: float | None


@dataclass(frozen=True, kw_only=True, slots=True)
class Probe:
    """The measured facts of a recording. container: our name (`m4a`, `mp3`, `aac`, `caf`, `wav`, `aiff`, `amr`, `ogg`,
    `webm`, `flac`, `mov`…). duration_s: what its headers or its decoding say; None where neither does.
    skip_bytes: of other things in front of the container. wrong_size: its header does not tell how long the sound is.
    kept_tags: (name, value) of the tags that are to stay. foreign_bytes: between and behind frames that stand by
    themselves, where a decoder takes them for sound.
    moov_first: None where the container has no moov.
    fragmented: an MP4 in pieces. truncated: it breaks off, or less is there than its headers promise."""

    path: Path
    size_bytes: int
    container: str | None
    demuxer: str | None
    duration_s: float | None
    audio: tuple[AudioStream, ...] = ()
    has_video: bool = False
    has_other_streams: bool = False
    has_tags: bool = False
    moov_first: bool | None = None
    encrypted: bool = False
    truncated: bool = False
    fragmented: bool = False
    skip_bytes: int = 0
    wrong_size: bool = False
    kept_tags: tuple[tuple[str, str], ...] = ()
    foreign_bytes: int = 0


@dataclass(frozen=True, kw_only=True, slots=True)
class Plan:
    """What will be done and why. reason: a few sentences; why: those of them that do not foretell what comes out.
    code: the reject code, or a short name of the reason. keep_s: seconds from the start that are kept; None keeps all.
    gain_db: by which quiet speech is raised."""

    action: Action
    reason: str
    code: str
    accepted_as: str | None = None
    extension: str | None = None
    mime_type: str | None = None
    bitrate_kbps: float | None = None
    sample_rate_hz: int | None = None
    cutoff_hz: int | None = None
    keep_s: float | None = None
    gain_db: float = 0.0
    why: str = ""


@dataclass(frozen=True, kw_only=True, slots=True)
class Memo:
    """A file made from a recording, proven. path: where it lies now. bitrate_kbps: the average of the whole file.
    trimmed: sound at the end was left out; source_duration_s: how long the recording was; starts_at_s: where in it
    this memo begins, as a part of several. truncated: the recording itself breaks off. pause_confidence_db: how far the
    pause that it ends in lies below its loud parts (from 15 on it is one; below 5 there was none); None where it ends
    with the recording. plan: what was done; ffmpeg: the version that did it."""

    action: Action
    path: Path
    size_bytes: int
    duration_s: float
    bitrate_kbps: float
    mime_type: str
    extension: str
    sha256: str
    reason: str
    trimmed: bool = False
    truncated: bool = False
    source_duration_s: float | None = None
    starts_at_s: float = 0.0
    pause_confidence_db: float | None = None
    plan: Plan | None = None
    ffmpeg: str | None = None

    @property
    def dropped_s(self) -> float:
        """Seconds at the recording's end that are not in the memo."""
        if not self.trimmed or self.source_duration_s is None:
            return 0.0
        return max(self.source_duration_s - self.starts_at_s - self.duration_s, 0.0)


@dataclass(frozen=True, kw_only=True, slots=True)
class StoredRecording:
    """Where the workers read a recording from. uri: `file:///…` or `s3://bucket/key`; version: S3 version id or, as
    `etag:…`, the ETag it must still have. sha256 is None for an object that was not read yet."""

    uri: str
    name: str
    size_bytes: int
    sha256: str | None = None
    version: str | None = None


@dataclass(frozen=True, kw_only=True, slots=True)
class Request:
    """A wish to send one recording to one chat. identity: what makes two requests the same job, as
    `pipeline.hosting.names` builds it. fingerprint: hash of the input; the same identity with another is an error.
    not_before: Unix seconds."""

    identity: str
    fingerprint: str
    recording: StoredRecording
    source: str
    chat_id: str | None
    key: str | None = None
    lane: Lane = "live"
    overflow: Overflow | None = None
    not_before: float = 0.0


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
    memos made before they were recorded."""

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


@dataclass(frozen=True, kw_only=True, slots=True)
class Job:
    """One recording going to one chat, as the ledger has it. Times are Unix seconds (UTC).

    rev: +1 with every move; a move names the rev that it read. epoch: +1 with every claim; an older one is fenced.
    not_before: the requester's wish. retry_at: our own back-off. lease_until: the step in work is alive until then.
    audio_attempts / send_attempts: counted before the work. looks: complete looks at the message list that found
    nothing. returns: how often an attempt that was probably not sent went back to HOSTED. first_sending_at: when the
    first attempt began, and sending_since the last one.
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
    created_at: float
    updated_at: float

    @property
    def url(self) -> str | None:
        """The public URL of the memo, once there is one."""
        return self.hosted.url if self.hosted else None

    @property
    def attempts(self) -> int:
        """Attempts at the step that the job is in, or ended in."""
        return self.send_attempts or self.audio_attempts


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
    at: when it began. epoch: the job's then. closed: given up before anything was sent. outcome: None where nobody
    wrote down what came of it."""

    number: int
    at: float
    epoch: int
    closed: bool = False
    outcome: Outcome | None = None


@dataclass(frozen=True, kw_only=True, slots=True)
class Pause:
    """Somebody has to wait. scope: `linq` (everybody), `line:NUMBER` or `chat:ID`. since: when it began."""

    scope: str
    until: float
    why: str
    since: float = 0.0


@dataclass(frozen=True, kw_only=True, slots=True)
class Chat:
    """What the ledger knows of a chat. line: ours, on which it is. opted_out_at: when Linq refused a send because they
    opted out; heard_at: when they last wrote. pauses: all that were ever made for it, its line or everybody and not
    lifted; some may be over."""

    chat_id: str
    line: str | None = None
    opted_out_at: float = 0.0
    heard_at: float = 0.0
    pauses: tuple[Pause, ...] = ()


@dataclass(frozen=True, kw_only=True, slots=True)
class ChatSeen:
    """A chat as Linq shows it. health: HEALTHY, AT_RISK, CRITICAL or OPTED_OUT."""

    line: str | None
    health: str | None


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
