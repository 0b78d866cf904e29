"""Requests, memos and jobs for tests of the ledger."""

from __future__ import annotations

from typing import Any

from pipeline.ledger.ledger import SqlLedger
from pipeline.model import Hosted, Job, Request, State, StoredRecording

CHAT = "3f5d2a9e-0b6c-4a53-9c1d-6a1f0f4f7a01"
OTHER_CHAT = "9b1d6c1e-8a54-4c39-b3f5-2f0a7f2f9b02"


def a_request(name: str = "a", **changes: Any) -> Request:
    """A request that differs from another one by its name."""
    recording = StoredRecording(uri=f"file:///in/{name}.ogg", name=f"{name}.ogg", size_bytes=42)
    values: dict[str, Any] = {
        "identity": name,
        "fingerprint": f"print-{name}",
        "recording": recording,
        "source": f"/in/{name}.ogg",
        "chat_id": CHAT,
    }
    return Request(**(values | changes))


def a_memo(name: str = "a") -> Hosted:
    """Where a memo lives, with a file name of its own."""
    return Hosted(
        object_key=f"m/{name}.m4a",
        file_name=f"{name}.m4a",
        url=f"https://cdn.example/m/{name}.m4a",
        mime_type="audio/x-m4a",
        size_bytes=9,
        duration_s=1.25,
        bitrate_kbps=64.5,
        sha256="00",
        action="transcode",
    )


def add(ledger: SqlLedger, name: str = "a", state: State = State.RECEIVED, **changes: Any) -> Job:
    """A new job with the id `job-{name}`."""
    return ledger.add(a_request(name, **changes), job_id=f"job-{name}", state=state, code=None, message=None, by="test")


_WAY: dict[State, State] = {
    State.PREPARING: State.RECEIVED,
    State.HOSTED: State.PREPARING,
    State.REJECTED: State.PREPARING,
    State.SENDING: State.HOSTED,
    State.UNCONFIRMED: State.SENDING,
    State.SENT: State.SENDING,
    State.HELD: State.UNCONFIRMED,
    State.FAILED: State.SENDING,
    State.DELIVERED: State.SENT,
    State.CANCELLED: State.RECEIVED,
}


def bring(ledger: SqlLedger, job: Job, to: State, **changes: Any) -> Job:
    """Move a RECEIVED job to a state by the usual way; the changes come with the last move."""
    before = _WAY[to]
    if job.state is not before:
        job = bring(ledger, job, before)
    usual: dict[State, dict[str, Any]] = {
        State.PREPARING: {"audio_attempts": 1, "epoch": job.epoch + 1},
        State.HOSTED: {"hosted": a_memo(job.job_id)},
        State.SENDING: {"send_attempts": 1, "epoch": job.epoch + 1},
    }
    return ledger.move(job, to, by="test", **(usual.get(to, {}) | changes))
