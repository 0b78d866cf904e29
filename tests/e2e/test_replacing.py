"""Processes are told to stop while memos flow, and one version replaces another: nothing is lost or doubled."""

from __future__ import annotations

import io
import os
import signal
import subprocess
import sys
import tarfile
import time
import uuid
from collections.abc import Iterator, Sequence
from contextlib import ExitStack, contextmanager
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
JOBS, CHATS = 24, 6


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


def hand_in(stack: Embedded, folder: Path, chats: Sequence[str], jobs: int) -> list[str]:
    """Register jobs by one backfill of small recordings, in turn for each chat; returns the ids."""
    lines = ["recording,chat_id,key"]
    for number in range(jobs):
        path = make_wav(folder / f"{uuid.uuid4().hex}.wav", duration_s=1 + number % 3)
        lines.append(f"{path},{chats[number % len(chats)]},{path.stem}")
    (folder / "manifest.csv").write_text("\n".join(lines))
    ran = stack.run("backfill", str(folder / "manifest.csv"))
    assert ran.status == 0, ran
    return [row["job_id"] for row in stack.run("jobs").rows if row["chat_id"] in chats]


def states(stack: Embedded, ids: Sequence[str]) -> dict[str, str]:
    """The state of each job."""
    return {row["job_id"]: row["state"] for row in stack.run("jobs").rows if row["job_id"] in ids}


def all_sent(stack: Embedded, ids: Sequence[str]) -> bool:
    """Whether Linq took all."""
    return set(states(stack, ids).values()) <= {"SENT", "DELIVERED"}


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
        for name, one in leaving.items():
            beat = parts.home / "run" / f"{name}.{one.pid}.alive"
            eventually(beat.exists, f"{name} is at work", deadline_s=90)
        ids = hand_in(parts, tmp_path, chats, JOBS)
        eventually(lambda: "SENT" in states(parts, ids).values(), "some are sent", deadline_s=120)
        assert not all_sent(parts, ids)
        told_s = time.monotonic()
        for one in leaving.values():
            one.send_signal(signal.SIGTERM)
        for name, one in leaving.items():
            assert one.wait(BOUND_S[name]) == 0, (name, (tmp_path / f"leaving-{name}.log").read_text()[-2_000:])
        assert time.monotonic() - told_s < max(BOUND_S.values())
        assert not [file for one in leaving.values() for file in (parts.home / "run").glob(f"*.{one.pid}.alive")]
        eventually(lambda: all_sent(parts, ids), "all are sent", deadline_s=180, every_s=0.5)
    assert {chat: len(parts.memos(chat)) for chat in chats} == dict.fromkeys(chats, JOBS // CHATS)


def version_before() -> str | None:
    """The commit before the one that brought the newest migration; None where there is no such history."""
    folder = ROOT / "pipeline/ledger/migrations/versions"
    newest = max(path.name for path in folder.glob("0*.py"))
    asked = ["git", "-C", str(ROOT), "log", "--diff-filter=A", "--format=%P", "-1", "--", str(folder / newest)]
    try:
        said = subprocess.run(asked, capture_output=True, text=True, check=False).stdout.split()
    except OSError:
        return None
    return said[0] if said else None


def tree_of(commit: str, folder: Path) -> Path:
    """The program as it was."""
    done = subprocess.run(
        ["git", "-C", str(ROOT), "archive", commit, "pipeline", "workers", "infra"], capture_output=True, check=True
    )
    with tarfile.open(fileobj=io.BytesIO(done.stdout)) as archive:
        archive.extractall(folder, filter="data")
    return folder


@pytest.mark.slow
def test_old_and_new_processes_work_on_one_ledger_while_one_replaces_the_other(parts: Embedded, tmp_path: Path) -> None:
    """Old processes made the ledger and are at work; a new program migrates it under them and hands in; they go on.
    New ones come up beside them, the old ones are told to stop, and each memo arrives once."""
    commit = version_before()
    if commit is None:
        pytest.skip("there is no history of versions here")
    old = tree_of(commit, tmp_path / "old")
    database = Database(f"sqlite:///{parts.home / 'ledger.db'}")
    chats = [str(uuid.uuid4()) for _ in range(CHATS)]
    names = ("audio", "send", "sweep")
    with ExitStack() as running:
        olds = {
            name: running.enter_context(process(name, parts.env, tmp_path / f"old-{name}.log", old)) for name in names
        }
        ready = [parts.home / "run" / f"{name}.ready" for name in names]
        eventually(lambda: all(file.exists() for file in ready), "the old processes are ready", deadline_s=90)
        before = revision_of(database)
        assert before is not None and before < HEAD
        first = hand_in(parts, tmp_path, chats, JOBS // 2)
        assert revision_of(database) == HEAD
        eventually(lambda: all_sent(parts, first), "the old ones send what the new one handed in", deadline_s=120)
        assert all(one.poll() is None for one in olds.values())
        news = {name: running.enter_context(process(name, parts.env, tmp_path / f"new-{name}.log")) for name in names}
        for name, one in news.items():
            eventually(
                (parts.home / "run" / f"{name}.{one.pid}.alive").exists, f"the new {name} is ready", deadline_s=90
            )
        second = hand_in(parts, tmp_path, chats, JOBS // 2)
        for one in olds.values():
            one.send_signal(signal.SIGTERM)
        for name, one in olds.items():
            assert one.wait(BOUND_S[name]) in (0, 128 + signal.SIGTERM), name
        eventually(lambda: all_sent(parts, second), "all are sent", deadline_s=180, every_s=0.5)
    database.close()
    assert {chat: len(parts.memos(chat)) for chat in chats} == dict.fromkeys(chats, JOBS // CHATS)
    assert memoline(parts.home, "jobs").status == 0
