"""Processes are told to stop while memos flow, and one version replaces another: nothing is lost or doubled."""

from __future__ import annotations

import os
import shutil
import signal
import sqlite3
import subprocess
import sys
import time
import uuid
from collections.abc import Iterator, Mapping, Sequence
from contextlib import ExitStack, closing, contextmanager
from pathlib import Path

import pytest

from infra.local.stack import environment
from pipeline.ledger.engine import Database
from pipeline.ledger.migrate import HEAD, revision_of
from tests.support.embedded import FAST, ROOT, Embedded, memoline
from tests.support.local_stack import running_stack
from tests.support.recordings import make_wav
from tests.support.waiting import eventually

COMMANDS = {
    "audio": ["worker", "audio"],
    "send": ["worker", "send"],
    "watch": ["watch"],
    "sweep": ["sweep"],
    "serve": ["serve"],
}
BOUND_S = {"audio": 60, "send": 90, "watch": 60, "sweep": 60, "serve": 45}
"""What the units and the templates give each."""
JOBS, CHATS = 48, 6
SENT = {"SENT", "DELIVERED"}


@contextmanager
def process(name: str, env: dict[str, str], log: Path, tree: Path = ROOT) -> Iterator[subprocess.Popen[bytes]]:
    """One of our processes, as a unit starts it, from some tree; killed at the end where it still runs."""
    with log.open("wb") as said:
        started = subprocess.Popen(
            [sys.executable, "-m", "workers", *COMMANDS[name]],
            env=dict(os.environ) | env | {"PYTHONPATH": str(tree)},
            cwd=tree,
            stdin=subprocess.DEVNULL,
            stdout=said,
            stderr=said,
            start_new_session=True,
        )
    try:
        yield started
    finally:
        if started.poll() is None:
            os.killpg(started.pid, signal.SIGKILL)
        started.wait()


def at_work(parts: Embedded, processes: Mapping[str, subprocess.Popen[bytes]]) -> None:
    """Wait until each shows that its loop turns."""
    for name, one in processes.items():
        beat = parts.home / "run" / f"{name}.{one.pid}.alive"
        eventually(beat.exists, f"{name} is at work", deadline_s=120)


def hand_in(parts: Embedded, folder: Path, chats: Sequence[str], jobs: int, tree: Path = ROOT) -> list[str]:
    """Register jobs by one backfill of small recordings, in turn for each chat; returns their keys."""
    lines, keys = ["recording,chat_id,key"], []
    for number in range(jobs):
        path = make_wav(folder / f"{uuid.uuid4().hex}.wav", duration_s=1 + number % 3)
        lines.append(f"{path},{chats[number % len(chats)]},{path.stem}")
        keys.append(path.stem)
    manifest = folder / f"{uuid.uuid4().hex}.csv"
    manifest.write_text("\n".join(lines))
    ran = memoline(parts.home, "backfill", str(manifest), env={"PYTHONPATH": str(tree)})
    assert ran.status == 0, ran
    return keys


def states(parts: Embedded, keys: Sequence[str]) -> list[str]:
    """The states of these jobs."""
    with closing(sqlite3.connect(parts.home / "ledger.db")) as ledger:
        return [state for key, state in ledger.execute("SELECT key, state FROM jobs") if key in keys]


def all_sent(parts: Embedded, keys: Sequence[str]) -> bool:
    """Whether Linq took all."""
    found = states(parts, keys)
    return len(found) == len(keys) and set(found) <= SENT


@pytest.fixture
def parts(tmp_path: Path) -> Iterator[Embedded]:
    """Broker, S3, CDN and Linq; the processes are the test's own."""
    home = tmp_path / "home"
    with running_stack(home, "broker", "s3", "cdn", "linq"):
        yield Embedded(home=home, env=environment(home, {}) | FAST | {"MEMOLINE_HOME": str(home)})


@pytest.mark.slow
def test_each_process_ends_well_when_it_is_told_to_amid_the_flow(parts: Embedded, tmp_path: Path) -> None:
    """Two of each process; one is told to stop while jobs are on their way. It ends within its bound with 0, the other
    goes on, and each memo arrives once."""
    chats = [str(uuid.uuid4()) for _ in range(CHATS)]
    with ExitStack() as running:
        for name in COMMANDS:
            running.enter_context(process(name, parts.env, tmp_path / f"staying-{name}.log"))
        port = {"MEMOLINE_HTTP_PORT": "0"}
        leaving = {
            name: running.enter_context(process(name, parts.env | port, tmp_path / f"leaving-{name}.log"))
            for name in COMMANDS
        }
        at_work(parts, leaving)
        keys = hand_in(parts, tmp_path, chats, JOBS)
        eventually(lambda: SENT & set(states(parts, keys)), "some are sent", deadline_s=120)
        assert not all_sent(parts, keys)
        told_s = time.monotonic()
        for one in leaving.values():
            one.send_signal(signal.SIGTERM)
        for name, one in leaving.items():
            assert one.wait(BOUND_S[name]) == 0, (name, (tmp_path / f"leaving-{name}.log").read_text()[-2_000:])
        assert time.monotonic() - told_s < max(BOUND_S.values())
        assert not [file for one in leaving.values() for file in (parts.home / "run").glob(f"*.{one.pid}.alive")]
        eventually(lambda: all_sent(parts, keys), "all are sent", deadline_s=180)
    assert {chat: len(parts.memos(chat)) for chat in chats} == dict.fromkeys(chats, JOBS // CHATS)


_NEXT = """
import sqlalchemy as sa
from alembic import op

revision, down_revision = "{next}", "{head}"


def upgrade() -> None:
    op.add_column("jobs", sa.Column("of_the_next_version", sa.Text()))
"""


def next_version(folder: Path) -> Path:
    """The program as the next version might be: with one more migration, which adds."""
    for room in ("pipeline", "workers", "infra"):
        shutil.copytree(ROOT / room, folder / room, ignore=shutil.ignore_patterns("__pycache__"))
    coming = f"{int(HEAD) + 1:04}"
    ledger = folder / "pipeline/ledger"
    (ledger / f"migrations/versions/{coming}_next.py").write_text(_NEXT.format(next=coming, head=HEAD))
    text = (ledger / "migrate.py").read_text()
    assert f'HEAD: Final = "{HEAD}"' in text
    (ledger / "migrate.py").write_text(text.replace(f'HEAD: Final = "{HEAD}"', f'HEAD: Final = "{coming}"'))
    return folder


@pytest.mark.slow
def test_old_and_new_processes_work_on_one_ledger_while_one_replaces_the_other(parts: Embedded, tmp_path: Path) -> None:
    """This version made the ledger and is at work; the next one migrates it under it and hands in; this one goes on,
    in processes that run and in one that starts anew. New ones come up beside them, the old ones are told to stop, and
    each memo arrives once."""
    new = next_version(tmp_path / "new")
    database, chats = Database(f"sqlite:///{parts.home / 'ledger.db'}"), [str(uuid.uuid4()) for _ in range(CHATS)]
    names = ("audio", "send", "sweep")
    with ExitStack() as running:
        olds = {name: running.enter_context(process(name, parts.env, tmp_path / f"old-{name}.log")) for name in names}
        at_work(parts, olds)
        assert revision_of(database) == HEAD
        first = hand_in(parts, tmp_path, chats, JOBS // 2, new)
        assert str(revision_of(database)) > HEAD
        again = {"send": running.enter_context(process("send", parts.env, tmp_path / "again-send.log"))}
        at_work(parts, again)
        eventually(lambda: all_sent(parts, first), "the old ones send what the new one handed in", deadline_s=120)
        assert all(one.poll() is None for one in (*olds.values(), *again.values()))
        news = {
            name: running.enter_context(process(name, parts.env, tmp_path / f"new-{name}.log", new)) for name in names
        }
        at_work(parts, news)
        second = hand_in(parts, tmp_path, chats, JOBS // 2, new)
        for one in (*olds.values(), *again.values()):
            one.send_signal(signal.SIGTERM)
        for name, one in (*olds.items(), *again.items()):
            assert one.wait(BOUND_S[name]) == 0, name
        eventually(lambda: all_sent(parts, second), "all are sent", deadline_s=180)
    database.close()
    assert {chat: len(parts.memos(chat)) for chat in chats} == dict.fromkeys(chats, JOBS // CHATS)
