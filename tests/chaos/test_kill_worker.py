"""A job survives `kill -9` of its worker in each of its steps: one memo, or a named state that is true."""

from __future__ import annotations

import os
import subprocess
import sys
import uuid
from collections.abc import Iterator
from pathlib import Path

import httpx
import pytest

from infra.local import stack
from pipeline.ledger.ledger import SqlLedger
from pipeline.model import Job, State
from pipeline.settings import Settings, load_settings
from tests.chaos.dying_worker import POINTS
from tests.support.keeper import Keeper
from tests.support.recordings import make_ogg
from tests.support.waiting import eventually
from workers.clock import SteadyClock
from workers.doors import open_desk, submit
from workers.wishes import Wish

FAST = {
    "MEMOLINE_AUDIO_LEASE_S": "2",
    "MEMOLINE_SWEEP_EVERY_S": "0.5",
    "MEMOLINE_SEND_TIMEOUT_S": "8",
    "MEMOLINE_CONFIRM_AFTER_S": "2",
}
SPLIT_POINTS = ("before-split", "after-split", "before-sending", "after-post", "after-sent")
ONE_MEMO = tuple(point for point in POINTS if not point.endswith("-split"))
SEND_POINTS = (
    "before-sending",
    "after-sending",
    "after-intent",
    "after-post",
    "before-sent",
    "after-sent",
    "after-receipt",
)


@pytest.fixture(scope="module")
def embedded(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Settings]:
    """Broker, S3, CDN and the Linq sandbox; the workers are this test's own."""
    home = tmp_path_factory.mktemp("stack")
    explicit = {"MEMOLINE_HOME": str(home), **FAST}
    stack.up(explicit, home, only=frozenset({"broker", "s3", "cdn", "linq"}))
    yield load_settings(explicit, home)
    stack.down(home)


def start_keepers(settings: Settings, point: str, folder: Path, **more: str) -> list[Keeper]:
    """One dying worker, one healthy one for the other queue, and a sweeper."""
    env = dict(os.environ) | settings.as_environment() | more
    dying = "send" if point in SEND_POINTS else "audio"
    other = "audio" if dying == "send" else "send"
    commands = {
        "dying": ["-m", "tests.chaos.dying_worker", dying, point],
        "other": ["-m", "workers", "worker", other],
        "sweep": ["-m", "workers", "sweep"],
    }
    return [Keeper([sys.executable, *argv], env, folder / f"{name}.log") for name, argv in commands.items()]


@pytest.mark.slow
@pytest.mark.parametrize("point", ONE_MEMO)
def test_a_job_survives_a_killed_worker(embedded: Settings, tmp_path: Path, point: str) -> None:
    """SIGKILL at the point, a new worker, the sweeper: at most one POST, and never a lost job."""
    chat_id = str(uuid.uuid4())
    job = submit(open_desk(embedded, "test"), make_ogg(tmp_path / "a.ogg", duration_s=20), Wish(chat_id=chat_id))
    ledger = SqlLedger(embedded.ledger_url, SteadyClock())
    keepers = start_keepers(embedded, point, tmp_path)

    def ended() -> Job | None:
        for keeper in keepers:
            keeper.look()
        # The state at which a job has ended may be committed a moment before the worker dies of it.
        if not keepers[0].deaths:
            return None
        now = ledger.get(job.job_id)
        return now if now.state in (State.SENT, State.DELIVERED, State.HELD, State.FAILED) else None

    try:
        last = eventually(ended, f"job {job.job_id} ends", deadline_s=150)
    finally:
        for keeper in keepers:
            keeper.end()
    assert keepers[0].deaths == 1, "the worker died exactly once, at its point"
    assert (embedded.home / f"died-{point}").exists()
    posts = httpx.get(f"{embedded.linq_base_url}/_sandbox/state", trust_env=False).json()
    memos = posts["messages"]["by_chat"].get(chat_id, [])
    if point == "after-intent":  # between it and the POST nobody can know
        assert (last.state, last.code, len(memos)) == (State.HELD, "outcome-unknown", 0)
    else:
        assert last.state in (State.SENT, State.DELIVERED)
        assert len(memos) == 1
    orphans = subprocess.run(["pgrep", "-f", f"{embedded.home}/work/{job.job_id}"], capture_output=True, check=False)
    assert orphans.returncode == 1, "no ffmpeg of the dead worker lives on"


@pytest.mark.slow
@pytest.mark.parametrize("point", SPLIT_POINTS)
def test_a_split_survives_a_killed_worker(embedded: Settings, tmp_path: Path, point: str) -> None:
    """SIGKILL amid it: the sandbox shows all parts, each once, in their order."""
    chat_id = str(uuid.uuid4())
    (embedded.home / f"died-{point}").unlink(missing_ok=True)
    recording = make_ogg(tmp_path / "a.ogg", duration_s=40)
    job = submit(open_desk(embedded, "test"), recording, Wish(chat_id=chat_id, overflow="split"))
    ledger = SqlLedger(embedded.ledger_url, SteadyClock())
    keepers = start_keepers(embedded, point, tmp_path, MEMOLINE_MAX_BYTES="60000")

    def ended() -> Job | None:
        for keeper in keepers:
            keeper.look()
        now = ledger.get(job.job_id)
        done = now.state in (State.SENT, State.DELIVERED, State.HELD, State.FAILED)
        return now if done and keepers[0].deaths else None

    try:
        last = eventually(ended, f"job {job.job_id} ends", deadline_s=150)
    finally:
        for keeper in keepers:
            keeper.end()
    parts = ledger.parts_of(job.job_id)
    assert last.state in (State.SENT, State.DELIVERED)
    assert len(parts) == len(last.spans) >= 2
    state = httpx.get(f"{embedded.linq_base_url}/_sandbox/state", trust_env=False).json()
    assert [memo["id"] for memo in state["messages"]["by_chat"][chat_id]] == [part.message_id for part in parts]
