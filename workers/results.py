"""What other systems may read of a job: a small JSON object, and where it lies. Pure."""

from __future__ import annotations

import hashlib
from collections.abc import Iterable

from pipeline.model import HistoryEntry, Job, State
from pipeline.settings import Settings
from workers.s3_events import DONE, MAX_KEY_BYTES, RESULT_SUFFIX, RESULTS
from workers.views import iso, job_json

UNTOLD = (State.PREPARING, State.SENDING)
"""States of moments: who reads results learns of the one before and the one after."""
ARRIVING = (State.SENT, State.DELIVERED)
ENDED = (*ARRIVING, State.REJECTED, State.FAILED, State.CANCELLED)


def result_name(settings: Settings, job: Job) -> str | None:
    """What a job's result is about: the key of its object in the inbox, or `job/ID` where results are asked for all
    jobs; None where nobody asked for one. A part of a split job is told of with the whole."""
    if job.parent_id:
        return None
    key = inbox_key(settings, job)
    return key or (f"job/{job.job_id}" if settings.results_for == "all" else None)


def inbox_key(settings: Settings, job: Job) -> str | None:
    """The key of the inbox object that a job was made of, if it was."""
    inbox = f"s3://{settings.inbox_bucket}/"
    return job.source.removeprefix(inbox) if job.source.startswith(inbox) else None


def result_place(settings: Settings, job: Job) -> tuple[str, str] | None:
    """(bucket, key) of a job's result object; None where there is none by the settings."""
    name = result_name(settings, job)
    return place_of(settings, name, job.job_id) if name is not None else None


def place_of(settings: Settings, name: str, job_id: str) -> tuple[str, str] | None:
    """The same by the name of the result. One whose key would be too long is named by its job."""
    if settings.results == "off":
        return None
    beside = settings.results == "beside" and settings.inbox_bucket and not name.startswith("job/")
    prefix = RESULTS if settings.results == "beside" else settings.results
    key = f"{name}{RESULT_SUFFIX}" if beside else f"{prefix}{name}{RESULT_SUFFIX}"
    if len(key.encode()) > MAX_KEY_BYTES:
        return settings.need("bucket"), f"{prefix}job/{job_id}{RESULT_SUFFIX}"
    return settings.need("inbox_bucket" if beside else "bucket"), key


def done_place(settings: Settings, job: Job) -> tuple[str, str] | None:
    """(bucket, key) to which a finished recording is moved; None for a job that is not of the inbox, or whose key is
    too long for it."""
    key = inbox_key(settings, job)
    if key is None or len(f"{DONE}{key}".encode()) > MAX_KEY_BYTES:
        return None
    return settings.need("inbox_bucket"), f"{DONE}{key}"


def dropped_version(job: Job) -> str | None:
    """The version (an id, or `etag:…`) of the object that was dropped for a job."""
    return job.recording.copy_of or job.recording.version


def result_of(job: Job, history: Iterable[HistoryEntry], parts: Iterable[Job] = ()) -> dict[str, object]:
    """The content of a result: the job's fields as everywhere, and what a reader would have to ask for beside them."""
    reached = {entry.to_state: entry.at for entry in history}
    memo = job.hosted
    return job_json(job, parts) | {
        "reason": job.message,
        "sent_at": iso(reached.get(State.SENT, 0.0)),
        "delivered_at": iso(reached.get(State.DELIVERED, 0.0)),
        "recording": {
            "name": job.recording.name,
            "size_bytes": job.recording.size_bytes,
            "version": dropped_version(job),
        },
        "memo": {"mime_type": memo.mime_type, "size_bytes": memo.size_bytes, "duration_s": memo.duration_s}
        if memo
        else None,
    }


def told_of(job: Job) -> str:
    """What a result says, in short: as long as it is the same, none is written."""
    said = (job.state, job.code, job.url, job.message_id, job.chat_id, job.key)
    return hashlib.sha256(repr([part and str(part) for part in said]).encode()).hexdigest()[:32]
