"""Ports for tests of the story: a real SQLite ledger, and a store, Linq, pacer and clock that do as they are told."""

from __future__ import annotations

from collections.abc import Callable, Collection, Iterator, Sequence
from dataclasses import dataclass, field, replace
from hashlib import sha256
from pathlib import Path

from pipeline.errors import MemolineError
from pipeline.hosting.names import memo_name, memo_names
from pipeline.ledger.ledger import SqlLedger
from pipeline.ledger.migrate import migrate
from pipeline.messages import Attempt, ChatSeen, MessageList, Outcome, OutcomeKind, StatusReport
from pipeline.model import Hosted, Job, Lane, Request, StoredRecording
from pipeline.ports import Parts, Rules
from pipeline.recordings import Action, AudioSettings, Memo

CHAT = "5e0d0000-0000-4000-8000-000000000001"
ACCEPTED = Outcome(
    kind=OutcomeKind.ACCEPTED,
    code="accepted",
    message="taken",
    message_id="m-1",
    attachment_id="a-1",
    trace_id="t-1",
    status=202,
)


SECRET = b"secret"


@dataclass
class FakeClock:
    """A clock that a test moves."""

    at: float = 1_000_000.0

    def now(self) -> float:
        return self.at


@dataclass
class FakeStore:
    """Keeps memos in a list. fails: raised by the named method, once for each entry."""

    hosted: list[str] = field(default_factory=list)
    discarded: list[str] = field(default_factory=list)
    erased: list[str] = field(default_factory=list)
    fails: dict[str, list[MemolineError]] = field(default_factory=dict)
    there: bool = True
    query: str = ""

    def _maybe_fail(self, method: str) -> None:
        if self.fails.get(method):
            raise self.fails[method].pop(0)

    def fetch(self, recording: StoredRecording, to: Path) -> None:
        self._maybe_fail("fetch")
        to.write_bytes(b"sound")

    def host(self, memo: Memo, job_id: str, result_no: int) -> Hosted:
        self._maybe_fail("host")
        name = f"{memo_name(SECRET, job_id, result_no)}.m4a"
        self.hosted.append(name)
        return Hosted(
            object_key=f"m/{name}",
            file_name=name,
            url=f"https://cdn.test/m/{name}",
            mime_type=memo.mime_type,
            size_bytes=memo.size_bytes,
            duration_s=memo.duration_s,
            bitrate_kbps=memo.bitrate_kbps,
            sha256=memo.sha256,
            action=str(memo.action),
        )

    def check(self, hosted: Hosted) -> None:
        self._maybe_fail("check")

    def address(self, hosted: Hosted) -> str:
        return f"{hosted.url}{self.query}"

    def still_there(self, hosted: Hosted) -> bool:
        return self.there

    def discard(self, recording: StoredRecording) -> None:
        self.discarded.append(recording.uri)

    def erase(
        self,
        job: Job,
        *,
        is_other: Callable[[str, str, str], bool] | None,
        alone: bool = False,
        names: Collection[str] = (),
    ) -> tuple[str, ...]:
        self._maybe_fail("erase")
        self.erased.append(job.job_id)
        gone = memo_names(SECRET, job.job_id, job.epoch).union(names)
        self.hosted = [name for name in self.hosted if name.partition(".")[0] not in gone]
        return ("recording", "memo")


@dataclass
class FakeJournal:
    """Remembers attempts, write-once. fails: raised by the named method, once for each entry."""

    intents: dict[tuple[str, int], Attempt] = field(default_factory=dict)
    receipts: dict[tuple[str, int], Outcome] = field(default_factory=dict)
    graves: list[str] = field(default_factory=list)
    divisions: list[tuple[str, tuple[int, ...]]] = field(default_factory=list)
    fails: dict[str, list[MemolineError]] = field(default_factory=dict)

    def _maybe_fail(self, method: str) -> None:
        if self.fails.get(method):
            raise self.fails[method].pop(0)

    def begin(self, job_id: str, attempt: Attempt) -> bool:
        self._maybe_fail("begin")
        return self.intents.setdefault((job_id, attempt.number), attempt) is attempt

    def end(self, job_id: str, number: int, outcome: Outcome) -> None:
        self._maybe_fail("end")
        self.receipts.setdefault((job_id, number), outcome)

    def attempts(self, job_id: str) -> tuple[Attempt, ...]:
        self._maybe_fail("attempts")
        found = sorted((number, one) for (owner, number), one in self.intents.items() if owner == job_id)
        return tuple(replace(one, outcome=self.receipts.get((job_id, number))) for number, one in found)

    def bury(self, job_id: str, at: float) -> None:
        self._maybe_fail("bury")
        self.graves.append(job_id)

    def buried(self) -> Iterator[str]:
        self._maybe_fail("buried")
        yield from self.graves

    def divide(self, job_id: str, epochs: Sequence[int]) -> None:
        self._maybe_fail("divide")
        self.divisions.append((job_id, tuple(epochs)))

    def divided(self, job_id: str) -> tuple[tuple[int, ...], ...]:
        return tuple(epochs for owner, epochs in self.divisions if owner == job_id)


@dataclass
class FakeLinq:
    """Answers POSTs from a list of outcomes (the last one for ever), and lists what a test put into `listed`."""

    outcomes: list[Outcome] = field(default_factory=lambda: [ACCEPTED])
    posts: list[tuple[str, str]] = field(default_factory=list)
    deadlines_s: list[float] = field(default_factory=list)
    listed: MessageList | None = field(default_factory=lambda: MessageList(messages=(), complete=True))
    list_fails: MemolineError | None = None
    statuses: dict[str, StatusReport] = field(default_factory=dict)
    chats: dict[str, ChatSeen] = field(default_factory=dict)
    during_post: Callable[[], object] | None = None
    during_list: Callable[[], object] | None = None

    def send_once(self, chat_id: str, url: str, *, deadline_s: float, may_go: Callable[[], Outcome | None]) -> Outcome:
        if held_back := may_go():
            return held_back
        self.posts.append((chat_id, url))
        self.deadlines_s.append(deadline_s)
        if self.during_post:
            self.during_post()
        return self.outcomes.pop(0) if len(self.outcomes) > 1 else self.outcomes[0]

    def own_messages(self, chat_id: str, *, since: float) -> MessageList | None:
        if self.during_list:
            self.during_list()
        if self.list_fails:
            raise self.list_fails
        return self.listed

    def status(self, message_id: str) -> StatusReport | None:
        return self.statuses.get(message_id)

    def chat(self, chat_id: str) -> ChatSeen | None:
        return self.chats.get(chat_id)


@dataclass
class FakePacer:
    """Answers with the waits that a test put in; 0 when there are none. late: what it says when a place is taken."""

    waits: list[float | MemolineError] = field(default_factory=list)
    late: list[float | MemolineError] = field(default_factory=list)

    def wait_s(self, chat_id: str, line: str | None = None, *, lane: Lane = "live") -> float:
        return _next(self.waits)

    def take(self, chat_id: str, line: str | None = None, *, lane: Lane = "live") -> float:
        return _next(self.late)


def _next(waits: list[float | MemolineError]) -> float:
    wait = waits.pop(0) if waits else 0.0
    if isinstance(wait, MemolineError):
        raise wait
    return wait


@dataclass
class FakeRunner:
    """Makes a memo of anything, or several, of `lengths_s` each, unless told to fail."""

    fails: list[MemolineError] = field(default_factory=list)
    runs: int = 0
    lengths_s: tuple[float, ...] = (1.0,)

    def prepare(self, recording: Path, out_dir: Path, settings: AudioSettings) -> tuple[Memo, ...]:
        self.runs += 1
        if self.fails:
            raise self.fails.pop(0)
        return tuple(_memo(recording, out_dir, self.lengths_s, number) for number in range(len(self.lengths_s)))


def _memo(recording: Path, out_dir: Path, lengths_s: tuple[float, ...], number: int) -> Memo:
    path = out_dir / f"memo-{number}.m4a"
    path.write_bytes(recording.read_bytes())
    return Memo(
        action=Action.TRANSCODE,
        path=path,
        size_bytes=5,
        duration_s=lengths_s[number],
        starts_at_s=sum(lengths_s[:number]),
        bitrate_kbps=64,
        mime_type="audio/x-m4a",
        extension="m4a",
        sha256=sha256(recording.read_bytes()).hexdigest(),
        reason="test",
    )


@dataclass
class Stage:
    """Everything a test of the story holds in its hands."""

    parts: Parts
    ledger: SqlLedger
    store: FakeStore
    journal: FakeJournal
    linq: FakeLinq
    pacer: FakePacer
    runner: FakeRunner
    clock: FakeClock


def build_stage(folder: Path, *, url: str | None = None, **rules: float) -> Stage:
    """A fresh ledger in `folder`, or at `url`, and fakes round it."""
    url = url or f"sqlite:///{folder / 'ledger.db'}"
    migrate(url)
    clock = FakeClock()
    ledger = SqlLedger(url, clock)
    store, journal, linq, pacer, runner = FakeStore(), FakeJournal(), FakeLinq(), FakePacer(), FakeRunner()

    def work_dir(name: str) -> Path:
        path = folder / "work" / name
        path.mkdir(parents=True, exist_ok=True)
        return path

    parts = Parts(
        ledger=ledger,
        store=store,
        journal=journal,
        messenger=linq,
        runner=runner,
        pacer=pacer,
        clock=clock,
        rules=Rules(**rules),  # type: ignore[arg-type]
        secret=SECRET,
        work_dir=work_dir,
        by="test",
    )
    return Stage(
        parts=parts,
        ledger=ledger,
        store=store,
        journal=journal,
        linq=linq,
        pacer=pacer,
        runner=runner,
        clock=clock,
    )


def request(
    identity: str, *, chat_id: str | None = CHAT, fingerprint: str = "f", lane: Lane = "live", not_before: float = 0.0
) -> Request:
    """A wish with the given identity."""
    return Request(
        identity=identity,
        fingerprint=fingerprint,
        recording=StoredRecording(uri=f"file:///spool/{identity}", name="a.ogg", size_bytes=5, sha256="ab"),
        source="/home/me/a.ogg",
        chat_id=chat_id,
        key=None,
        lane=lane,
        not_before=not_before,
    )
