"""What each process may do, by the roles as they are deployed: what it must, and no more."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest
from botocore.exceptions import ClientError

from infra.local.s3 import REGION, S3Access
from pipeline import decisions, erasing, jobs
from pipeline.errors import NotNow, RecordingRejected
from pipeline.hosting.aws import S3Config
from pipeline.hosting.invalidation import Invalidation
from pipeline.hosting.journal import S3Journal
from pipeline.hosting.names import identity_of_object
from pipeline.hosting.s3 import S3
from pipeline.hosting.spool import LocalSpool
from pipeline.hosting.store import MemoStore
from pipeline.model import Hosted, Job, Refusal, State, StoredRecording
from pipeline.ports import Parts
from pipeline.recordings import Overflow
from pipeline.settings import checked
from tests.infra.conftest import SOURCES, MakeClient, Outputs
from tests.support.splitting import taken
from tests.support.story import SECRET, Stage, build_stage, request
from workers.doors import Desk
from workers.hints import Hints
from workers.register import Register, take_call

CHAT = "5e0d0000-0000-4000-8000-000000000001"
AsRole = Callable[[str], S3Config]

MAY = [
    ("Audio", "put_object", "memo", "m/x", True),
    ("Audio", "put_object", "memo", "intent/x", True),
    ("Audio", "put_object", "memo", "receipt/x", False),
    ("Audio", "delete_object", "memo", "intent/there", False),
    ("Audio", "get_object", "inbox", f"{CHAT}/there.ogg", True),
    ("Audio", "put_object", "inbox", f"{CHAT}/x.ogg", False),
    ("Audio", "put_object", "inbox", "uploads/x", False),
    ("Audio", "delete_object", "inbox", "uploads/there", False),
    ("Audio", "delete_object", "memo", "m/there", False),
    ("Audio", "delete_object", "memo", "m/doctor-x", True),
    ("Send", "get_object", "memo", "m/there", True),
    ("Send", "put_object", "memo", "intent/x", True),
    ("Send", "put_object", "memo", "receipt/x", True),
    ("Send", "put_object", "memo", "m/x", False),
    ("Send", "delete_object", "memo", "intent/x", False),
    ("Send", "get_object", "inbox", f"{CHAT}/there.ogg", False),
    ("Send", "put_object", "inbox", "uploads/x", False),
    ("Send", "delete_object", "inbox", "uploads/there", False),
    ("Audio", "get_object", "source", "there", True),
    ("Audio", "put_object", "source", "x", False),
    ("Send", "get_object", "source", "there", False),
    ("Web", "get_object", "source", "there", True),
    ("Web", "delete_object", "source", "there", False),
    ("Watch", "get_object", "inbox", f"{CHAT}/there.ogg", True),
    ("Watch", "put_object", "memo", "result/x", True),
    ("Watch", "put_object", "memo", "m/x", False),
    ("Watch", "put_object", "inbox", f"{CHAT}/x.ogg", False),
    ("Web", "put_object", "inbox", "uploads/x", True),
    ("Web", "put_object", "inbox", f"{CHAT}/x.ogg", False),
    ("Web", "get_object", "memo", "m/there", False),
    ("Web", "get_object", "memo", "intent/there", True),
    ("Web", "put_object", "memo", "intent/x", False),
    ("Erase", "delete_object", "memo", "m/gone", True),
    ("Erase", "delete_object", "memo", "intent/there", False),
    ("Erase", "put_object", "memo", "m/x", False),
    ("Erase", "put_object", "memo", "erased/x", True),
    ("Watch", "delete_object", "inbox", f"{CHAT}/there.ogg", False),
    ("Web", "delete_object", "inbox", f"{CHAT}/there.ogg", False),
]


@pytest.mark.parametrize(("role", "action", "where", "key", "may"), MAY, ids=lambda value: str(value)[:30])
def test_a_role_may_what_it_must_and_no_more(
    client: MakeClient,
    storage: Outputs,
    assume: Callable[[str, str], Any],
    role: str,
    action: str,
    where: str,
    key: str,
    may: bool,
) -> None:
    """Each by its own credentials."""
    buckets = {"memo": storage["MemolineBucket"], "inbox": storage["MemolineInboxBucket"], "source": SOURCES[1]}
    bucket = buckets[where]
    for there in {"memo": ("m/there", "intent/there"), "inbox": (f"{CHAT}/there.ogg", "uploads/there")}.get(
        where, ("there",)
    ):
        client("s3").put_object(Bucket=bucket, Key=there, Body=b"there")
    body = {"Body": b"x"} if action == "put_object" else {}
    try:
        getattr(assume(role, "s3"), action)(Bucket=bucket, Key=key, **body)
    except ClientError as error:
        assert error.response["Error"]["Code"] in ("AccessDenied", "403"), error
        assert not may, error
    else:
        assert may


def test_only_the_watcher_takes_events(storage: Outputs, assume: Callable[[str, str], Any]) -> None:
    """The others are refused; the web process may count them."""
    url = storage["MemolineInboxQueueUrl"]
    assert "ResponseMetadata" in assume("Watch", "sqs").receive_message(QueueUrl=url)
    assert "Attributes" in assume("Web", "sqs").get_queue_attributes(QueueUrl=url, AttributeNames=["All"])
    for role in ("Audio", "Send", "Web", "Erase"):
        with pytest.raises(ClientError):
            assume(role, "sqs").receive_message(QueueUrl=url)


@pytest.fixture(scope="module")
def as_role(client: MakeClient, account: S3Access, storage: Outputs, roles: Outputs) -> AsRole:
    """What our own S3 client needs to work in a role."""

    def make(role: str) -> S3Config:
        got = client("sts").assume_role(RoleArn=roles[f"{role}RoleArn"], RoleSessionName="test")["Credentials"]
        return S3Config(
            endpoint_url=account.url,
            region=REGION,
            access_key_id=got["AccessKeyId"],
            secret_access_key=got["SecretAccessKey"],
            session_token=got["SessionToken"],
            bucket=storage["MemolineBucket"],
            inbox_bucket=storage["MemolineInboxBucket"],
        )

    return make


class Storing(MemoStore):
    """Without the look at the URL, as no CDN with a certificate stands in front of the emulator."""

    def check(self, hosted: Hosted) -> None:
        """Nothing."""


def _in_role(stage: Stage, config: S3Config, spool: Path) -> Parts:
    """The story's parts, but for its store and its journal, which are the real ones."""
    store = Storing(S3(config), cdn_url="https://cdn.invalid", ca_bundle=None, secret=SECRET, spool=spool)
    return replace(stage.parts, store=store, journal=S3Journal(S3(config)))


def _called(stage: Stage, config: S3Config, spool: Path, recording: str, overflow: Overflow) -> Job:
    """The job that the Celery door makes of a call, in a role."""
    settings = checked({"MEMOLINE_INBOX_BUCKET": config.inbox_bucket or "", "MEMOLINE_HOME": str(spool)})
    parts = _in_role(stage, config, spool)
    desk = Desk(parts=parts, spool=LocalSpool(spool), s3=S3(config), settings=settings)
    refused: list[Refusal] = []
    book = SimpleNamespace(keep=refused.append)
    door = Register(desk=lambda: desk, book=lambda: book, hints=Hints(None))  # type: ignore[arg-type, return-value]
    take_call(door, "task", (recording, CHAT, recording), {"overflow": overflow})
    assert refused == []
    [job] = [one for one in stage.ledger.jobs() if one.key == recording]
    return job


@pytest.mark.parametrize("overflow", ["compress", "split"])
def test_a_call_becomes_a_memo_with_the_rights_of_the_two_workers(
    client: MakeClient, as_role: AsRole, tmp_path: Path, overflow: Overflow
) -> None:
    """The real code: the audio worker registers a call by Celery and prepares it, in parts where that is asked for; the
    send worker sends it."""
    audio, send, stage = as_role("Audio"), as_role("Send"), build_stage(tmp_path)
    client("s3").put_object(Bucket=audio.inbox_bucket, Key=f"{CHAT}/{overflow}.ogg", Body=b"sound")
    stage.runner.lengths_s = (10.0, 4.0) if overflow == "split" else (1.0,)
    stage.linq.outcomes = [taken(1), taken(2)]
    job = _called(stage, audio, tmp_path, f"s3://{audio.inbox_bucket}/{CHAT}/{overflow}.ogg", overflow)
    made = jobs.prepare(_in_role(stage, audio, tmp_path), job.job_id)
    assert made and made.state is State.HOSTED, made
    for part in stage.ledger.parts_of(job.job_id) or (job,):
        jobs.deliver(_in_role(stage, send, tmp_path), part.job_id)
    assert stage.ledger.get(job.job_id).state is State.SENT
    assert len(stage.linq.posts) == (2 if overflow == "split" else 1)


@pytest.mark.parametrize("what", ["rejected", "cancelled"])
def test_what_an_older_ledger_forgot_is_known_with_the_rights_of_each(
    client: MakeClient, as_role: AsRole, tmp_path: Path, what: str
) -> None:
    """It was sent; then a ledger without that is put back: neither the audio worker, which finds that it cannot be
    prepared any more, nor the web process, which is asked to cancel it, takes it for unsent."""
    audio, send, stage = as_role("Audio"), as_role("Send"), build_stage(tmp_path)
    client("s3").put_object(Bucket=audio.inbox_bucket, Key=f"{CHAT}/{what}.ogg", Body=b"sound")
    recording = f"s3://{audio.inbox_bucket}/{CHAT}/{what}.ogg"
    job = _called(stage, audio, tmp_path, recording, "compress")
    jobs.prepare(_in_role(stage, audio, tmp_path), job.job_id)
    sent = jobs.deliver(_in_role(stage, send, tmp_path), job.job_id)
    assert sent and sent.state is State.SENT
    (tmp_path / "older").mkdir()
    older = build_stage(tmp_path / "older")
    again = _called(older, audio, tmp_path, recording, "compress")
    assert (again.job_id, again.state) == (job.job_id, State.RECEIVED)
    if what == "rejected":
        older.runner.fails.append(RecordingRejected("no-audio-stream", "none"))
        jobs.prepare(_in_role(older, audio, tmp_path), job.job_id)
    else:
        with pytest.raises(NotNow):
            decisions.cancel(_in_role(older, as_role("Web"), tmp_path), again)
    known = older.ledger.get(job.job_id)
    assert (known.state, known.message_id) == (State.SENT, sent.message_id)


def test_erasing_leaves_nothing_and_lets_the_cdn_forget(
    client: MakeClient, account: S3Access, storage: Outputs, as_role: AsRole, tmp_path: Path
) -> None:
    """The real code with the credentials of the role that erases: every version of the recording, the memo, an
    invalidation of its URL; not an intent."""
    s3, inbox, bucket = client("s3"), storage["MemolineInboxBucket"], storage["MemolineBucket"]
    key, stage = f"{CHAT}/erased.ogg", build_stage(tmp_path)
    versions = [s3.put_object(Bucket=inbox, Key=key, Body=body)["VersionId"] for body in (b"older", b"sound")]
    stored = StoredRecording(uri=f"s3://{inbox}/{key}", name="erased.ogg", size_bytes=5, version=versions[1])
    identity = identity_of_object(inbox, key, versions[1])
    job = jobs.register(stage.parts, replace(request(identity), recording=stored, source=stored.uri))
    sent = jobs.prepare(stage.parts, job.job_id) and jobs.deliver(stage.parts, job.job_id)
    assert sent and sent.hosted and sent.state is State.SENT
    s3.put_object(Bucket=bucket, Key=sent.hosted.object_key, Body=b"memo")
    s3.put_object(Bucket=bucket, Key=f"intent/{job.job_id}/1", Body=b"{}")
    config = as_role("Erase")
    store = MemoStore(
        S3(config),
        cdn_url=storage["MemolineCdnUrl"],
        ca_bundle=None,
        secret=SECRET,
        spool=tmp_path,
        invalidate=Invalidation(config, storage["MemolineCdnDistributionId"], account.url),
    )
    parts = replace(stage.parts, store=store, journal=S3Journal(S3(config)))
    erased = erasing.carry_out(parts, erasing.want(parts, sent, "asked"))
    assert erased.state is State.ERASED
    found = s3.list_object_versions(Bucket=inbox, Prefix=key)
    assert not found.get("Versions") and not found.get("DeleteMarkers")
    left = [item["Key"] for item in s3.list_objects_v2(Bucket=bucket)["Contents"] if job.job_id in item["Key"]]
    assert sorted(left) == [f"erased/{job.job_id}", f"intent/{job.job_id}/1", f"intent/{job.job_id}/2"]
    assert not s3.list_objects_v2(Bucket=bucket, Prefix=sent.hosted.object_key).get("Contents")
    cloudfront, distribution = client("cloudfront"), storage["MemolineCdnDistributionId"]
    (made,) = cloudfront.list_invalidations(DistributionId=distribution)["InvalidationList"]["Items"]
    told = cloudfront.get_invalidation(DistributionId=distribution, Id=made["Id"])["Invalidation"]["InvalidationBatch"]
    assert told["Paths"]["Items"] == [f"/{sent.hosted.object_key}"]
