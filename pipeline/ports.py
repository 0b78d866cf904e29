"""What `pipeline/jobs.py` is given: the few doors to the outside, as protocols. `workers/wiring.py` fills them."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Protocol

from pipeline.errors import KeyReused
from pipeline.messages import Attempt, Chat, ChatSeen, MessageList, Outcome, Pause, QuietHours, StatusReport
from pipeline.model import HistoryEntry, Hosted, Job, Lane, NewJob, Request, State, StoredRecording
from pipeline.recordings import AudioSettings, Memo, Overflow


class Clock(Protocol):
    """Unix seconds that never step back while the process lives."""

    def now(self) -> float: ...


class Runner(Protocol):
    """The audio step. Raises RecordingRejected, or ToolFailed where the recording is not to blame."""

    def prepare(self, recording: Path, out_dir: Path, settings: AudioSettings) -> tuple[Memo, ...]: ...


class Store(Protocol):
    """Recordings and memos. Raises PartUnreachable (`s3-unreachable`, `cdn-unreachable`), and JobFailed with
    `recording-gone`, `superseded` or `source-changed`, or `cdn-wrong` where the URL does not show the memo.

    address: the URL to give away now, signed where URLs are signed; it is neither kept nor shown."""

    def fetch(self, recording: StoredRecording, to: Path) -> None: ...
    def host(self, memo: Memo, job_id: str, result_no: int) -> Hosted: ...
    def check(self, hosted: Hosted) -> None: ...
    def address(self, hosted: Hosted) -> str: ...
    def still_there(self, hosted: Hosted) -> bool: ...
    def discard(self, recording: StoredRecording) -> None: ...


class Journal(Protocol):
    """Every attempt to send, in write-once objects outside the ledger: a ledger that was restored from an older copy
    learns here what it forgot. Raises PartUnreachable (`s3-unreachable`) and Misuse: then nothing is sent.

    begin: True where nobody began or closed this attempt before, and nobody can any more. end: written once, the first
    one stays. attempts: all that were begun, by number."""

    def begin(self, job_id: str, attempt: Attempt) -> bool: ...
    def end(self, job_id: str, number: int, outcome: Outcome) -> None: ...
    def attempts(self, job_id: str) -> tuple[Attempt, ...]: ...


class Messenger(Protocol):
    """Linq. `send_once` makes at most one POST and never raises. may_go is asked when the connection stands, right
    before the first byte: None, or what keeps the POST from being made. The others raise PartUnreachable
    (`linq-unreachable`) and Misuse (`missing-setting`); None: Linq answers, and does not show it."""

    def send_once(
        self, chat_id: str, url: str, *, deadline_s: float, may_go: Callable[[], Outcome | None]
    ) -> Outcome: ...
    def own_messages(self, chat_id: str, *, since: float) -> MessageList | None: ...
    def status(self, message_id: str) -> StatusReport | None: ...
    def chat(self, chat_id: str) -> ChatSeen | None: ...


class Pacer(Protocol):
    """Shared by all workers: at most 30 messages in any 60 s a chat, and a line's own limit in any 24 h (line: None
    where there is none); a backfill leaves a tenth of both to live memos. wait_s: the seconds until a place is free;
    0: there is one. take: the same, and then the place is taken, for `pacing.PLACE_LASTS_S`. Both raise PartUnreachable
    (`redis-unreachable`): nothing is sent then."""

    def wait_s(self, chat_id: str, line: str | None = None, *, lane: Lane = "live") -> float: ...
    def take(self, chat_id: str, line: str | None = None, *, lane: Lane = "live") -> float: ...


class Ledger(Protocol):
    """The truth. Every change is one compare-and-set on `rev`: Fenced where somebody was faster. `note` changes
    bookkeeping without a move, and so without history. Raises PartUnreachable (`ledger-unreachable`).

    waiting: what waits to be sent in a chat, oldest first. may_ask: True for one caller in so many seconds. probe: of
    all who see a pause that is over, one may try, and the others wait until then. lift: with `as_read` only where it is
    still that pause. mark: how many different ones something happened to lately."""

    def add(
        self, request: Request, *, job_id: str, state: State, code: str | None, message: str | None, by: str
    ) -> Job: ...
    def add_many(self, new_jobs: Sequence[NewJob], *, by: str) -> tuple[Job | KeyReused, ...]: ...
    def get(self, job_id: str) -> Job: ...
    def move(
        self, job: Job, to: State, *, by: str, code: str | None = None, message: str | None = None, **changes: object
    ) -> Job: ...
    def note(self, job: Job, **changes: object) -> Job: ...
    def give_key(self, job_id: str, key: str) -> Job: ...
    def give_callback(self, job_id: str, url: str) -> Job: ...
    def renew(self, job: Job, lease_until: float) -> bool: ...
    def heads(self, chat_id: str, now: float) -> tuple[Job, ...]: ...
    def chat(self, chat_id: str) -> Chat: ...
    def is_held_back(self, job: Job) -> bool: ...
    def note_chat(self, chat_id: str, *, line: str | None = None, heard_at: float = 0.0) -> None: ...
    def opt_out(self, chat_id: str, *, at: float) -> None: ...
    def waiting(self, chat_id: str, limit: int) -> tuple[Job, ...]: ...
    def may_ask(self, chat_id: str, *, every_s: float) -> bool: ...
    def pause(self, scope: str, until: float, why: str) -> None: ...
    def probe(self, pause: Pause, until: float) -> bool: ...
    def lift(self, scope: str, as_read: Pause | None = None) -> bool: ...
    def mark(self, what: str, who: str, until: float) -> int: ...
    def find_message(self, report: StatusReport) -> Job | None: ...
    def keep_report(self, report: StatusReport) -> bool: ...
    def applied(self, done: Mapping[str, str | None]) -> None: ...
    def reports_for(self, job: Job) -> tuple[StatusReport, ...]: ...
    def stand(self, scope: str, standing: str, since: float) -> bool: ...
    def standing(self, scope: str) -> str | None: ...
    def history(self, job_id: str) -> tuple[HistoryEntry, ...]: ...
    def flag(self, name: str) -> str | None: ...
    def set_flag(self, name: str, value: str) -> None: ...


@dataclass(frozen=True, kw_only=True, slots=True)
class Rules:
    """The numbers that the story needs, from the settings. Seconds and counts."""

    send_timeout_s: float = 60
    confirm_after_s: float = 60
    audio_lease_s: float = 60
    max_audio_attempts: int = 3
    max_age_s: float = 604_800
    resend_if_absent: bool = False
    line_daily_limit: int | None = None
    quiet: QuietHours | None = None
    audio: AudioSettings = field(default_factory=AudioSettings)

    def audio_for(self, overflow: Overflow | None) -> AudioSettings:
        """The audio settings with a job's own overflow, if it has one."""
        return replace(self.audio, overflow=overflow) if overflow else self.audio


@dataclass(frozen=True, kw_only=True, slots=True)
class Parts:
    """Everything that a step of the story may touch. secret: the install's, from which names are made. work_dir: makes
    an empty folder for one attempt. by: who is acting, for the history."""

    ledger: Ledger
    store: Store
    journal: Journal
    messenger: Messenger
    runner: Runner
    pacer: Pacer
    clock: Clock
    rules: Rules
    secret: bytes
    work_dir: Callable[[str], Path]
    by: str
