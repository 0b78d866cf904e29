"""The ledger of a running stack is put back to an older copy: with real S3, Redis, CDN and Linq sandbox nothing that
was sent is sent again, whether or not its receipt was written."""

from __future__ import annotations

import shutil
import sqlite3
import uuid
from collections.abc import Iterator
from contextlib import closing
from pathlib import Path

import httpx
import pytest

from pipeline import jobs
from pipeline.ledger.ledger import SqlLedger
from pipeline.model import Job, State
from pipeline.ports import Parts
from pipeline.settings import Settings
from tests.support.local_stack import running_stack
from tests.support.recordings import make_wav
from tests.support.waiting import eventually
from workers.doors import open_desk, submit
from workers.wiring import connect
from workers.wishes import Wish

FAST = {"MEMOLINE_CONFIRM_AFTER_S": "0.5", "MEMOLINE_SEND_TIMEOUT_S": "8"}


@pytest.fixture(scope="module")
def settings(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Settings]:
    """All outside parts; no worker but this test."""
    home = tmp_path_factory.mktemp("restored") / "home"
    with running_stack(home, "broker", "s3", "cdn", "linq", explicit={"MEMOLINE_HOME": str(home), **FAST}) as running:
        yield running


def memos(settings: Settings, chat_id: str) -> list[object]:
    """The messages in a chat."""
    state = httpx.get(f"{settings.linq_base_url}/_sandbox/state", trust_env=False, timeout=20).json()
    return list(state["messages"]["by_chat"].get(chat_id, []))


def inject(settings: Settings, kind: str, chat_id: str) -> None:
    """A fault of the sandbox for one chat."""
    body = {"faults": [{"kind": kind, "chat_id": chat_id}]}
    httpx.post(f"{settings.linq_base_url}/_sandbox/faults", json=body, trust_env=False).raise_for_status()


def settle(parts: Parts, job_id: str) -> Job:
    """Work on one job until it has ended."""

    def step() -> Job | None:
        jobs.prepare(parts, job_id)
        job = jobs.deliver(parts, job_id)
        return job if job and job.state in (State.SENT, State.DELIVERED, State.HELD, State.FAILED) else None

    return eventually(step, f"job {job_id} ends", deadline_s=60)


def close(parts: Parts) -> None:
    """End a process's hold on the ledger."""
    assert isinstance(parts.ledger, SqlLedger)
    parts.ledger.close()


@pytest.mark.parametrize("copied", ["empty", "RECEIVED", "HOSTED"])
@pytest.mark.parametrize("answer", ["heard", "lost"])
def test_a_ledger_from_an_older_copy_sends_nothing_again(
    settings: Settings, tmp_path: Path, copied: str, answer: str
) -> None:
    """The client repeats its key, gets the same job, and the person one memo."""
    ledger_file, chat_id, key = settings.home / "ledger.db", str(uuid.uuid4()), uuid.uuid4().hex
    note = make_wav(tmp_path / "note.wav", duration_s=1)

    def copy_if(moment: str) -> None:
        if moment == copied:
            with closing(sqlite3.connect(ledger_file)) as now, closing(sqlite3.connect(tmp_path / "older.db")) as older:
                now.backup(older)

    def handed_in() -> str:
        desk = open_desk(settings, "test")
        job = submit(desk, note, Wish(chat_id=chat_id, key=key))
        close(desk.parts)
        return job.job_id

    close(connect(settings, "test"))
    copy_if("empty")
    job_id = handed_in()
    copy_if("RECEIVED")
    parts = connect(settings, "worker")
    jobs.prepare(parts, job_id)
    copy_if("HOSTED")
    if answer == "lost":
        inject(settings, "answer-lost", chat_id)
        assert jobs.deliver(parts, job_id).state is State.UNCONFIRMED  # type: ignore[union-attr]
    else:
        assert jobs.deliver(parts, job_id).state is State.SENT  # type: ignore[union-attr]
    close(parts)
    for old in ledger_file.parent.glob("ledger.db*"):
        old.unlink()
    shutil.copy(tmp_path / "older.db", ledger_file)
    assert handed_in() == job_id
    parts = connect(settings, "worker")
    job = settle(parts, job_id)
    close(parts)
    assert job.state is State.SENT
    assert len(memos(settings, chat_id)) == 1
    assert job.code == ("receipt" if answer == "heard" else "found")
