"""What is put under fire: the whole embedded stack, or the same broker, S3, CDN and Linq with the naive worker."""

from __future__ import annotations

import os
import shutil
import signal
import sqlite3
import sys
import threading
import uuid
from collections import defaultdict
from collections.abc import Iterable
from contextlib import closing
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, Protocol

import httpx
from celery import Celery

from infra.local import stack
from infra.local.processes import members
from pipeline.errors import MemolineError
from pipeline.hosting.journal import S3Journal
from pipeline.hosting.names import memo_name
from pipeline.ledger.ledger import SqlLedger
from pipeline.ledger.states import OPEN
from pipeline.model import State
from pipeline.settings import Settings, load_settings
from tests.support.keeper import Keeper
from tests.support.postgres import Server
from tests.support.waiting import eventually
from workers.clock import SteadyClock
from workers.doors import Desk, open_desk, submit
from workers.wiring import open_s3
from workers.wishes import Wish

FAST = {
    "MEMOLINE_SWEEP_EVERY_S": "1",
    "MEMOLINE_SEND_TIMEOUT_S": "6",
    "MEMOLINE_CONFIRM_AFTER_S": "3",
    "MEMOLINE_AUDIO_LEASE_S": "8",
}
SEND_TIMEOUT_S, CONFIRM_AFTER_S, LEASE_S = 6, 3, 8
INFRASTRUCTURE = ("broker", "s3", "cdn", "linq")


@dataclass(frozen=True, kw_only=True)
class Order:
    """One memo that somebody wants."""

    number: int
    recording: Path
    chat_id: str

    @property
    def key(self) -> str:
        return f"memo-{self.number}"


@dataclass(frozen=True, kw_only=True)
class Belief:
    """What a system says of an order at the end. ended: nothing more will come of it by itself. sequence: its place in
    the order of its chat. code: why it ended so. doubt: an answer to its POST really was lost or said nothing."""

    state: str
    ended: bool
    code: str | None = None
    sequence: int = 0
    doubt: bool = False


@dataclass(kw_only=True)
class Truth:
    """What is in the chats. numbers: of the orders whose memos are there, by chat, in the order in which Linq took
    them; None for a message that nobody can place."""

    by_chat: dict[str, list[int | None]] = field(default_factory=lambda: defaultdict(list))
    posts: int = 0
    faults: dict[str, int] = field(default_factory=dict)

    @property
    def all(self) -> list[int | None]:
        return [number for numbers in self.by_chat.values() for number in numbers]


class System(Protocol):
    """A way to get memos sent."""

    name: str
    home: Path
    settings: Settings

    def start(self) -> None: ...
    def stop(self) -> None: ...
    def accept(self, order: Order) -> bool: ...
    def leader(self, part: str) -> int | None: ...
    def busy(self) -> bool: ...
    def beliefs(self, orders: Iterable[Order]) -> dict[int, Belief]: ...
    def story(self, order: Order) -> list[str]: ...
    def number_of(self, file_name: str) -> int | None: ...


class Stack:
    """The embedded stack, of which only some parts may be wanted."""

    def __init__(self, home: Path, only: tuple[str, ...] = (), extra: dict[str, str] | None = None) -> None:
        self.home = home
        self._only = frozenset(only) or None
        self._explicit = {"MEMOLINE_HOME": str(home), **FAST, **(extra or {})}

    def start(self) -> None:
        """`up`; safe to call whenever the supervisor may be dead."""
        stack.up(self._explicit, self.home, only=self._only)
        self.settings = load_settings(self._explicit, self.home)

    def stop(self) -> None:
        stack.down(self.home)

    def leader(self, part: str) -> int | None:
        """The main process of a part; None where it does not run."""
        return next((status.pid for status in stack.status(self.home) if status.name == part), None)


class Memoline(Stack):
    """Ours."""

    name = "memoline"

    def __init__(self, home: Path, database: Server | None = None) -> None:
        super().__init__(home, extra={"MEMOLINE_DATABASE_URL": database.url} if database else None)
        self.database = database
        self._names: dict[str, int] = {}
        self._ids: dict[int, str] = {}
        self._desk: Desk | None = None
        self._guard = threading.Lock()

    @property
    def ledger_file(self) -> Path | None:
        """The ledger's file, where it is SQLite."""
        url = self.settings.ledger_url
        return Path(url.removeprefix("sqlite:///")) if url.startswith("sqlite") else None

    def accept(self, order: Order) -> bool:
        """Whether the order is durable; asking twice is safe."""
        try:
            with self._guard:
                if self._desk is None:
                    self._desk = open_desk(self.settings, "orders")
            job = submit(self._desk, order.recording, Wish(chat_id=order.chat_id, key=order.key))
        except (MemolineError, OSError):
            return False
        self._ids[order.number] = job.job_id
        return True

    def forget_connections(self) -> None:
        """Before the ledger's file is replaced: who keeps it open goes on reading the old one."""
        with self._guard:
            if self._desk is not None:
                self._desk.parts.ledger.close()  # type: ignore[attr-defined]
            self._desk = None

    def busy(self) -> bool:
        ledger = SqlLedger(self.settings.ledger_url, SteadyClock())
        try:
            return any(ledger.counts()[state] for state in OPEN)
        except MemolineError:
            return True
        finally:
            ledger.close()

    def beliefs(self, orders: Iterable[Order]) -> dict[int, Belief]:
        ledger = SqlLedger(self.settings.ledger_url, SteadyClock())
        jobs = {job.key: job for job in ledger.jobs()}
        secret = ledger.install_secret()
        held = [job for job in jobs.values() if job.state is State.HELD]
        doubtful = {job.key for job in held if any(line.code in AMBIGUOUS for line in ledger.history(job.job_id))}
        ledger.close()
        for order in orders:
            job = jobs.get(order.key)
            for result_no in range(1, (job.epoch if job else 0) + 50):
                job_id = self._ids.get(order.number) or (job.job_id if job else "")
                self._names[memo_name(secret, job_id, result_no)] = order.number
        return {
            order.number: Belief(
                state=str(job.state),
                ended=job.state not in OPEN,
                code=job.code,
                sequence=job.seq,
                doubt=job.key in doubtful,
            )
            for order in orders
            if (job := jobs.get(order.key))
        }

    def story(self, order: Order) -> list[str]:
        ledger = SqlLedger(self.settings.ledger_url, SteadyClock())
        journal = S3Journal(open_s3(self.settings))
        told = []
        for job in ledger.jobs(chat_id=order.chat_id):
            if job.key == order.key:
                told += [f"{at.at:.1f} {at.to_state} {at.code} {at.by}" for at in ledger.history(job.job_id)]
                told += [str(attempt) for attempt in journal.attempts(job.job_id)]
        ledger.close()
        return told

    def number_of(self, file_name: str) -> int | None:
        return self._names.get(file_name.rsplit(".", 1)[0])


class Naive(Stack):
    """The tutorial's worker on the same infrastructure, started again whenever it ends."""

    name = "naive"

    def __init__(self, home: Path, *, installed_ffmpeg: bool = False) -> None:
        super().__init__(home, only=INFRASTRUCTURE)
        self._extra = {"NAIVE_FFMPEG": "installed"} if installed_ffmpeg else {}
        self._keeper: Keeper | None = None
        self._sent: dict[int, str] = {}
        self._watch = threading.Event()

    def start(self) -> None:
        super().start()
        if self._keeper is not None:
            return
        env = dict(os.environ) | self.settings.as_environment() | {"SSL_CERT_FILE": str(self.settings.ca_bundle)}
        env |= self._extra
        url = env["MEMOLINE_BROKER_URL"]
        # Two, since a client that has a backend subscribes to every result, and gives up for ever when it is away.
        self._client, self._answers = Celery("orders", broker=url), Celery("answers", backend=url)
        self._client.conf.broker_transport_options = {"socket_timeout": 5, "socket_connect_timeout": 3}
        argv = [sys.executable, "-m", "celery", "-A", "tests.bench.naive.worker", "worker"]
        argv += ["--concurrency", str(os.cpu_count() or 1), "--loglevel", "WARNING"]
        self._keeper = Keeper(argv, env, self.home / "naive.log")
        threading.Thread(target=self._keep, daemon=True).start()

    def _keep(self) -> None:
        while not self._watch.wait(1.0):
            if self._keeper is not None:
                self._keeper.look()

    def stop(self) -> None:
        self._watch.set()
        if self._keeper is not None:
            self._keeper.end()
        super().stop()

    def leader(self, part: str) -> int | None:
        if part in INFRASTRUCTURE or part == "supervisor":
            return super().leader(part)
        return self._keeper.pid if part in ("audio", "send") and self._keeper else None

    def accept(self, order: Order) -> bool:
        about = [str(order.recording), order.chat_id, order.number]
        try:
            self._sent[order.number] = self._client.send_task("naive.send", args=about, queue="naive").id
        except Exception:  # whatever the broker's client raises: the caller tries again
            return False
        return True

    def busy(self) -> bool:
        """Whether a message still waits, or belongs to a worker."""
        import redis

        with redis.Redis.from_url(self.settings.need("broker_url"), socket_timeout=5) as client:
            try:
                return bool(client.llen("naive") or client.hlen("unacked"))
            except redis.RedisError:
                return True

    def beliefs(self, orders: Iterable[Order]) -> dict[int, Belief]:
        found = {}
        for order in orders:
            task_id = self._sent.get(order.number)
            state = str(self._answers.AsyncResult(task_id).state) if task_id else "PENDING"
            found[order.number] = Belief(state=state, ended=state in ("SUCCESS", "FAILURE"), sequence=order.number)
        return found

    def story(self, order: Order) -> list[str]:
        return [f"task {self._sent.get(order.number)}"]

    def number_of(self, file_name: str) -> int | None:
        number = file_name.split("-", 1)[0]
        return int(number) if number.isdigit() else None


def truth_of(system: System) -> Truth:
    """What the sandbox has, whoever sent it."""
    url = f"{system.settings.linq_base_url}/_sandbox/state"
    state = eventually(lambda: _get(url), "the sandbox tells what it has")
    truth = Truth(posts=state["posts"]["total"], faults=state["faults"]["fired"])
    for chat_id, messages in state["messages"]["by_chat"].items():
        for message in messages:
            name = (message["source"] or "").rsplit("/", 1)[-1]
            truth.by_chat[chat_id].append(system.number_of(name))
    return truth


def messages_at(system: System) -> int:
    """How many messages the sandbox has."""
    return int(eventually(lambda: _get(f"{system.settings.linq_base_url}/_sandbox/count"), "it counts")["messages"])


def _get(url: str) -> dict[str, Any] | None:
    try:
        return dict(httpx.get(url, trust_env=False, timeout=20).json())
    except (httpx.HTTPError, ValueError):
        return None


def signal_part(system: System, part: str, number: signal.Signals, *, whole: bool = False) -> int:
    """Signal the main process of a part, or all that it has started. Returns how many were hit."""
    leader = system.leader(part)
    hit = 0
    for pid in members(leader) if leader and whole else [leader] if leader else []:
        try:
            os.kill(pid, number)
        except ProcessLookupError:
            continue
        hit += 1
    return hit


def copy_database(file: Path, to: Path) -> None:
    """A back-up of a SQLite database that is in use."""
    to.unlink(missing_ok=True)
    with closing(sqlite3.connect(file)) as source, closing(sqlite3.connect(to)) as target:
        source.backup(target)


def put_back(copy: Path, file: Path) -> None:
    """Replace a database that nobody has open."""
    for left in (file, file.with_name(f"{file.name}-wal"), file.with_name(f"{file.name}-shm")):
        left.unlink(missing_ok=True)
    shutil.copyfile(copy, file)
    file.chmod(0o600)


def chats(count: int, seed: int) -> list[str]:
    """Chat ids from a seed."""
    return [str(uuid.uuid5(uuid.NAMESPACE_URL, f"chat:{seed}:{number}")) for number in range(count)]


AMBIGUOUS = frozenset({"answer-lost", "answer-not-linqs", "answer-without-id", "linq-error", "sender-lost"})
"""Codes of a job that is UNCONFIRMED because nobody can know from the answer whether Linq took its memo."""
NOT_SENT = (str(State.FAILED), str(State.REJECTED), str(State.CANCELLED), "FAILURE")
SENT = (str(State.SENT), str(State.DELIVERED), "SUCCESS")
