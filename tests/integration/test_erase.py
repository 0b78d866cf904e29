"""`memoline erase` on real parts: every copy goes, wherever it lies, and nothing that belongs to somebody else."""

from __future__ import annotations

import ssl
import subprocess
import sys
import uuid
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import httpx
import pytest

from pipeline import jobs
from pipeline.hosting.names import identity_of_part, job_id_for, memo_key
from pipeline.model import Job, State
from pipeline.settings import Settings
from tests.support.embedded import Ran, memoline
from tests.support.local_stack import running_stack, s3_client
from tests.support.recordings import make_ogg
from workers.doors import Desk, open_desk, submit, submit_object
from workers.wishes import Wish


@pytest.fixture(scope="module")
def settings(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Settings]:
    """Everything but the processes: the test takes each step itself."""
    with running_stack(tmp_path_factory.mktemp("erase") / "home", "s3", "cdn", "linq", "broker") as running:
        yield running


@pytest.fixture
def desk(settings: Settings) -> Desk:
    return open_desk(settings, "test")


@pytest.fixture
def chat_id() -> str:
    return str(uuid.uuid4())


@pytest.fixture
def recording(tmp_path: Path) -> Path:
    return make_ogg(tmp_path / "for-ada.ogg", duration_s=1)


def sent(desk: Desk, job: Job) -> Job:
    jobs.prepare(desk.parts, job.job_id)
    done = jobs.deliver(desk.parts, job.job_id)
    assert done and done.state is State.SENT, done
    return done


def get(settings: Settings, url: str | None) -> int:
    context = ssl.create_default_context(cafile=str(settings.ca_bundle))
    return httpx.get(url or "", verify=context, trust_env=False).status_code


def erase(settings: Settings, *arguments: str) -> Ran:
    return memoline(settings.home, "erase", *arguments)


def keys(settings: Settings, bucket: str | None, prefix: str = "") -> list[str]:
    found = s3_client(settings).list_object_versions(Bucket=bucket, Prefix=prefix)
    return [item["Key"] for kind in ("Versions", "DeleteMarkers") for item in found.get(kind, [])]


LOOK = """
import pathlib, sqlite3, sys
home, word = pathlib.Path(sys.argv[1]), sys.argv[2].encode()
connection = sqlite3.connect(home / "ledger.db", timeout=20)
busy = connection.execute("PRAGMA wal_checkpoint(TRUNCATE)").fetchone()[0]
connection.close()
sys.exit(3 if busy else any(word in path.read_bytes() for path in home.glob("ledger.db*")))
"""


def in_the_ledger(settings: Settings, word: str) -> bool:
    """Whether the ledger's file holds a word anywhere, once its log is written back. Looked at in another process: one
    that closes a file drops its own locks on it."""
    done = subprocess.run([sys.executable, "-c", LOOK, str(settings.home), word], check=False)
    assert done.returncode in (0, 1), done
    return done.returncode == 1


def test_a_sent_file_leaves_no_copy(settings: Settings, desk: Desk, recording: Path, chat_id: str) -> None:
    """Neither in the bucket nor in the CDN's cache nor in the ledger's file, free pages included; the file itself and
    the memo of somebody else stay."""
    mine, other = (sent(desk, submit(desk, recording, Wish(chat_id=chat))) for chat in (chat_id, str(uuid.uuid4())))
    assert (get(settings, mine.url), get(settings, other.url)) == (200, 200)
    assert in_the_ledger(settings, chat_id)
    ran = erase(settings, mine.job_id[:12], "--why", "ticket 12")
    assert ran.status == 0 and (ran.row["state"], ran.row["chat_id"], ran.row["url"]) == ("ERASED", None, None), ran
    assert (get(settings, mine.url), get(settings, other.url)) == (404, 200)
    assert mine.hosted and keys(settings, settings.bucket, mine.hosted.object_key) == []
    assert len([path for path in (settings.home / "cdn-cache").iterdir() if path.suffix != ".part"]) == 1
    assert not in_the_ledger(settings, chat_id) and recording.exists()
    shown = memoline(settings.home, "show", mine.job_id).row
    assert [line["action"] for line in shown["audit"]] == ["erase-wanted", "erased"]
    assert shown["audit"][-1]["removed"] == ["recording", "memo", "cdn", "ledger"]
    assert erase(settings, mine.job_id).row["state"] == "ERASED", "twice is once"


def test_a_memo_of_a_part_that_never_became_a_job_goes(
    settings: Settings, desk: Desk, recording: Path, chat_id: str
) -> None:
    """A worker stored it and died before the ledger knew of the split: the bucket tells of it."""
    job = sent(desk, submit(desk, recording, Wish(chat_id=chat_id)))
    assert job.hosted
    part_id = job_id_for(desk.parts.secret, identity_of_part(job.job_id, 2))
    stray = memo_key(desk.parts.secret, part_id, 7, "m4a")
    desk.parts.journal.divide(job.job_id, (7, 7))
    s3_client(settings).put_object(Bucket=settings.bucket, Key=stray, Body=b"sound")
    assert keys(settings, settings.bucket, stray) == [stray]
    assert erase(settings, job.job_id).row["state"] == "ERASED"
    assert keys(settings, settings.bucket, stray) == []


def drop(settings: Settings, key: str, *bodies: bytes) -> list[str]:
    client = s3_client(settings)
    return [client.put_object(Bucket=settings.inbox_bucket, Key=key, Body=body).get("VersionId", "") for body in bodies]


@pytest.fixture
def versioned(settings: Settings) -> Iterator[Any]:
    """The inbox bucket with versions."""
    client = s3_client(settings)
    client.put_bucket_versioning(Bucket=settings.inbox_bucket, VersioningConfiguration={"Status": "Enabled"})
    yield client
    client.put_bucket_versioning(Bucket=settings.inbox_bucket, VersioningConfiguration={"Status": "Suspended"})


def test_every_version_of_a_dropped_recording_goes(
    settings: Settings, desk: Desk, recording: Path, chat_id: str, versioned: Any
) -> None:
    """Older ones, markers and the note beside it too; not the version of another job, nor one that came later."""
    key = f"{chat_id}/a.ogg"
    uri, sound = f"s3://{settings.inbox_bucket}/{key}", recording.read_bytes()
    drop(settings, f"{key}.json", b"{}")
    drop(settings, key, b"older")
    drop(settings, key, sound)
    mine = sent(desk, submit_object(desk, uri, Wish(chat_id=chat_id)))
    versioned.delete_object(Bucket=settings.inbox_bucket, Key=key)
    (later,) = drop(settings, key, b"later")
    assert erase(settings, mine.job_id).row["state"] == "ERASED"
    left = versioned.list_object_versions(Bucket=settings.inbox_bucket, Prefix=chat_id)
    assert [one["VersionId"] for one in left["Versions"] if one["Key"] == key] == [later]
    second = submit_object(desk, uri, Wish(chat_id=chat_id))
    assert second.job_id != mine.job_id and second.state is State.RECEIVED
    (third,) = drop(settings, key, sound)
    assert erase(settings, submit_object(desk, uri, Wish(chat_id=chat_id)).job_id).row["state"] == "ERASED"
    left = versioned.list_object_versions(Bucket=settings.inbox_bucket, Prefix=chat_id)
    assert third and [one["VersionId"] for one in left["Versions"] if one["Key"] == key] == [later], "the second job's"
    assert erase(settings, second.job_id).row["state"] == "ERASED"
    assert keys(settings, settings.inbox_bucket, chat_id) == []


def test_an_inbox_without_versions_is_emptied_of_what_was_sent(
    settings: Settings, desk: Desk, recording: Path, chat_id: str
) -> None:
    """By the content that was registered: what lies there under the same name since then is somebody's next one."""
    for name, after in (("a.ogg", None), ("b.ogg", b"the next one")):
        key = f"{chat_id}/{name}"
        drop(settings, key, recording.read_bytes())
        job = sent(desk, submit_object(desk, f"s3://{settings.inbox_bucket}/{key}", Wish(chat_id=chat_id)))
        if after:
            drop(settings, key, after)
        assert erase(settings, job.job_id).row["state"] == "ERASED"
    assert keys(settings, settings.inbox_bucket, chat_id) == [f"{chat_id}/b.ogg"]


def test_a_whole_chat_goes(settings: Settings, desk: Desk, recording: Path, chat_id: str) -> None:
    """All its jobs, sent or not, and what is known of it."""
    first = sent(desk, submit(desk, recording, Wish(chat_id=chat_id)))
    second = submit(desk, recording, Wish(chat_id=chat_id))
    spool = Path(second.recording.uri.removeprefix("file://"))
    assert spool.exists()
    ran = erase(settings, "--chat", chat_id)
    assert ran.status == 0 and [row["state"] for row in ran.rows] == ["ERASED"] * 2, ran
    assert {row["job_id"] for row in ran.rows} == {first.job_id, second.job_id}
    assert not spool.exists() and not in_the_ledger(settings, chat_id)


def test_without_s3_the_wish_is_kept_and_the_state_stays_true(
    settings: Settings, desk: Desk, recording: Path, chat_id: str
) -> None:
    """It is said so; once S3 is back, the same command does it."""
    job = sent(desk, submit(desk, recording, Wish(chat_id=chat_id)))
    away = {"AWS_ENDPOINT_URL_S3": "http://127.0.0.1:1", "MEMOLINE_BUCKET": str(settings.bucket)}
    away |= {"AWS_ACCESS_KEY_ID": "a", "AWS_SECRET_ACCESS_KEY": "b"}
    ran = memoline(settings.home, "erase", job.job_id, env=away)
    assert ran.status == 0 and (ran.row["state"], ran.row["erasing"]) == ("SENT", True), ran
    assert "It is noted" in ran.stderr
    assert memoline(settings.home, "retry", job.job_id).rows[0]["error"]["code"] == "erase-wanted"
    assert get(settings, job.url) == 200
    assert erase(settings, job.job_id).row["state"] == "ERASED"
    assert get(settings, job.url) == 404


def test_what_is_asked_wrongly_is_said(settings: Settings) -> None:
    """Both, neither, unknown."""
    assert erase(settings).status == 2
    assert erase(settings, "abcdef", "--chat", str(uuid.uuid4())).status == 2
    assert erase(settings, "abcdef0123").status == 1
