"""What `pipeline/jobs.py` is given: the few doors to the outside, as protocols. `workers/wiring.py` fills them."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Protocol

from pipeline.errors import KeyReused
from pipeline.model import (
    AudioSettings,
    HistoryEntry,
    Hosted,
    Job,
    Memo,
    MessageList,
    NewJob,
    Outcome,
    Overflow,
    Request,
    State,
    StatusReport,
    StoredRecording,
)


class Clock(Protocol):
    """Unix seconds that never step back while the process lives."""

    def now(self) -> float: ...


class Runner(Protocol):
    """The audio step. Raises RecordingRejected, or ToolFailed where the recording is not to blame."""

    def prepare(self, recording: Path, out_dir: Path, settings: AudioSettings) -> tuple[Memo, ...]: ...


class Store(Protocol):
    """Recordings and memos. Raises PartUnreachable (`s3-unreachable`, `cdn-unreachable`), and JobFailed with
    `recording-gone`, `superseded` or `source-changed`, or `cdn-wrong` where the URL does not show the memo."""

    def fetch(self, recording: StoredRecording, to: Path) -> None: ...
    def host(self, memo: Memo, job_id: str, result_no: int) -> Hosted: ...
    def check(self, hosted: Hosted) -> None: ...
    def still_there(self, hosted: Hosted) -> bool: ...
    def discard(self, recording: StoredRecording) -> None: ...


class Messenger(Protocol):
    """Linq. `send_once` makes at most one POST and never raises. The others raise PartUnreachable (`linq-unreachable`)
    and Misuse (`missing-setting`); None: Linq answers, and does not show it."""

    def send_once(self, chat_id: str, url: str, *, deadline_s: float) -> Outcome: ...
    def own_messages(self, chat_id: str, *, since: float) -> MessageList | None: ...
    def status(self, message_id: str) -> StatusReport | None: ...


class Pacer(Protocol):
    """Shared by all workers: at most 30 messages in any 60 s a chat. Returns the seconds to wait, 0 = go, and then the
    place is taken. Raises PartUnreachable (`redis-unreachable`): then nothing is sent."""

    def take(self, chat_id: str) -> float: ...


class Ledger(Protocol):
    """The truth. Every change is one compare-and-set on `rev`: Fenced where somebody was faster. `note` changes
    bookkeeping without a move, and so without history. Raises PartUnreachable (`ledger-unreachable`)."""

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
    def renew(self, job: Job, lease_until: float) -> bool: ...
    def heads(self, chat_id: str, now: float) -> tuple[Job, ...]: ...
    def pause(self, scope: str, until: float, why: str) -> None: ...
    def paused_until(self, *scopes: str) -> float: ...
    def find_message(self, report: StatusReport) -> Job | None: ...
    def keep_report(self, report: StatusReport) -> bool: ...
    def applied(self, done: Mapping[str, str | None]) -> None: ...
    def reports_for(self, job: Job) -> tuple[StatusReport, ...]: ...
    def stand(self, scope: str, standing: str, since: float) -> None: ...
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
    messenger: Messenger
    runner: Runner
    pacer: Pacer
    clock: Clock
    rules: Rules
    secret: bytes
    work_dir: Callable[[str], Path]
    by: str
