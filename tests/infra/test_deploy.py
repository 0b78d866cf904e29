"""The storage and the roles, really created, used, updated and deleted."""

from __future__ import annotations

import json
from collections.abc import Callable, Iterator
from dataclasses import replace
from pathlib import Path
from typing import Any

import httpx
import pytest
from botocore.exceptions import ClientError

from infra.local.s3 import REGION, S3Access
from pipeline import erasing, jobs
from pipeline.hosting.aws import S3Config
from pipeline.hosting.invalidation import Invalidation
from pipeline.hosting.journal import S3Journal
from pipeline.hosting.names import identity_of_object
from pipeline.hosting.s3 import S3
from pipeline.hosting.store import MemoStore
from pipeline.model import State, StoredRecording
from tests.infra.conftest import MakeClient, template
from tests.support.story import SECRET, build_stage, request
from tests.support.waiting import eventually

CHAT = "5e0d0000-0000-4000-8000-000000000001"
Outputs = dict[str, str]


def _deploy(client: MakeClient, stack: str, name: str, parameters: dict[str, str], *, update: bool = False) -> Outputs:
    """Create or update a stack, and wait until it stands. Returns its outputs."""
    cfn = client("cloudformation")
    act = cfn.update_stack if update else cfn.create_stack
    given = [{"ParameterKey": key, "ParameterValue": value} for key, value in parameters.items()]
    act(StackName=stack, TemplateBody=template(name), Parameters=given, Capabilities=["CAPABILITY_IAM"])
    wanted = "UPDATE_COMPLETE" if update else "CREATE_COMPLETE"

    def done() -> dict[str, Any] | None:
        found: dict[str, Any] = cfn.describe_stacks(StackName=stack)["Stacks"][0]
        assert "ROLLBACK" not in found["StackStatus"], cfn.describe_stack_events(StackName=stack)["StackEvents"][:5]
        assert "FAILED" not in found["StackStatus"], found
        return found if found["StackStatus"] == wanted else None

    found = eventually(done, f"{stack} is {wanted}", deadline_s=90)
    return {row["OutputKey"]: row["OutputValue"] for row in found.get("Outputs", [])}


@pytest.fixture(scope="module")
def storage(client: MakeClient) -> Outputs:
    """The outputs of the deployed storage."""
    return _deploy(client, "memo-storage", "storage.yaml", {"RequireTls": "false"})


@pytest.fixture(scope="module")
def roles(client: MakeClient, storage: Outputs) -> Outputs:
    """The outputs of the deployed roles."""
    parameters = {
        "MemoBucket": storage["MemolineBucket"],
        "InboxBucket": storage["MemolineInboxBucket"],
        "InboxQueueArn": storage["InboxQueueArn"],
        "InboxDeadQueueArn": storage["InboxDeadQueueArn"],
        "DistributionId": storage["MemolineCdnDistributionId"],
        "SecretArns": "arn:aws:secretsmanager:us-east-1:000000000000:secret:memo-x",
    }
    return _deploy(client, "memo-roles", "roles.yaml", parameters)


@pytest.fixture(scope="module")
def assume(client: MakeClient, roles: Outputs) -> Callable[[str, str], Any]:
    """Makes a client of a service in a role."""

    def make(role: str, service: str) -> Any:
        got = client("sts").assume_role(RoleArn=roles[f"{role}RoleArn"], RoleSessionName="test")["Credentials"]
        keys = {
            "aws_access_key_id": got["AccessKeyId"],
            "aws_secret_access_key": got["SecretAccessKey"],
            "aws_session_token": got["SessionToken"],
        }
        return client(service, keys)

    return make


def test_the_outputs_are_the_settings(storage: Outputs) -> None:
    """Each is there and has the form that its setting wants."""
    assert storage["MemolineCdnUrl"].startswith("https://")
    assert storage["MemolineInboxQueueUrl"].startswith("http")
    assert storage["MemolineBucket"] != storage["MemolineInboxBucket"]


def test_a_dropped_recording_is_in_the_queue(client: MakeClient, storage: Outputs) -> None:
    """With its key and its version."""
    bucket, key = storage["MemolineInboxBucket"], f"{CHAT}/a note+1.ogg"
    version = client("s3").put_object(Bucket=bucket, Key=key, Body=b"sound")["VersionId"]
    sqs = client("sqs")

    def event() -> dict[str, Any] | None:
        got = sqs.receive_message(QueueUrl=storage["MemolineInboxQueueUrl"], WaitTimeSeconds=1).get("Messages", [])
        records = [record for message in got for record in json.loads(message["Body"]).get("Records", [])]
        return next((one["s3"]["object"] for one in records if one["s3"]["object"].get("versionId") == version), None)

    assert eventually(event, "the event comes", deadline_s=30)["key"] == f"{CHAT}/a+note%2B1.ogg"


def test_the_cdn_serves_memos_and_nothing_else(client: MakeClient, account: S3Access, storage: Outputs) -> None:
    """`m/` by its host name; an intent is not to be had, nor anything by plain HTTP."""
    s3, bucket = client("s3"), storage["MemolineBucket"]
    for key in ("m/a.m4a", "intent/a"):
        s3.put_object(Bucket=bucket, Key=key, Body=b"memo", ContentType="audio/x-m4a")
    host = storage["MemolineCdnUrl"].removeprefix("https://")

    def get(path: str, scheme: str = "https") -> httpx.Response:
        headers = {"Host": host, "X-Forwarded-Proto": scheme}
        return httpx.get(f"{account.url}/{path}", headers=headers, trust_env=False)

    memo = get("m/a.m4a")
    assert (memo.status_code, memo.content, memo.headers["content-type"]) == (200, b"memo", "audio/x-m4a")
    assert get("intent/a").status_code == 403
    assert get("m/a.m4a", "http").status_code in (301, 403)


MAY = [
    ("Audio", "put_object", "memo", "m/x", True),
    ("Audio", "put_object", "memo", "intent/x", False),
    ("Audio", "get_object", "inbox", f"{CHAT}/there.ogg", True),
    ("Audio", "put_object", "inbox", f"{CHAT}/x.ogg", False),
    ("Audio", "delete_object", "memo", "m/there", False),
    ("Audio", "delete_object", "memo", "m/doctor-x", True),
    ("Send", "get_object", "memo", "m/there", True),
    ("Send", "put_object", "memo", "intent/x", True),
    ("Send", "put_object", "memo", "receipt/x", True),
    ("Send", "put_object", "memo", "m/x", False),
    ("Send", "delete_object", "memo", "intent/x", False),
    ("Send", "get_object", "inbox", f"{CHAT}/there.ogg", True),
    ("Send", "put_object", "inbox", "uploads/x", True),
    ("Send", "put_object", "inbox", f"{CHAT}/x.ogg", False),
    ("Send", "delete_object", "inbox", f"{CHAT}/there.ogg", False),
    ("Watch", "get_object", "inbox", f"{CHAT}/there.ogg", True),
    ("Watch", "put_object", "memo", "result/x", True),
    ("Watch", "put_object", "memo", "m/x", False),
    ("Watch", "put_object", "inbox", f"{CHAT}/x.ogg", False),
    ("Web", "put_object", "inbox", "uploads/x", True),
    ("Web", "put_object", "inbox", f"{CHAT}/x.ogg", False),
    ("Web", "get_object", "memo", "m/there", False),
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
    bucket = storage["MemolineBucket" if where == "memo" else "MemolineInboxBucket"]
    for there in ("m/there", "intent/there") if where == "memo" else (f"{CHAT}/there.ogg",):
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
    """The send worker is refused."""
    url = storage["MemolineInboxQueueUrl"]
    assert "ResponseMetadata" in assume("Watch", "sqs").receive_message(QueueUrl=url)
    with pytest.raises(ClientError):
        assume("Send", "sqs").receive_message(QueueUrl=url)


def test_erasing_leaves_nothing_and_lets_the_cdn_forget(
    client: MakeClient, account: S3Access, storage: Outputs, roles: Outputs, tmp_path: Path
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
    got = client("sts").assume_role(RoleArn=roles["EraseRoleArn"], RoleSessionName="test")["Credentials"]
    config = S3Config(
        endpoint_url=account.url,
        region=REGION,
        access_key_id=got["AccessKeyId"],
        secret_access_key=got["SecretAccessKey"],
        session_token=got["SessionToken"],
        bucket=bucket,
        inbox_bucket=inbox,
    )
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


@pytest.fixture(scope="module")
def short_lived(client: MakeClient) -> Iterator[str]:
    """The name of a stack that the test deletes."""
    _deploy(client, "memo-short", "storage.yaml", {"RequireTls": "false"})
    yield "memo-short"


def test_an_update_keeps_what_is_stored_and_a_delete_keeps_the_buckets(client: MakeClient, short_lived: str) -> None:
    """Nobody loses a recording by a wrong command."""
    s3 = client("s3")
    outputs = _deploy(
        client, short_lived, "storage.yaml", {"RequireTls": "false", "MemoRetentionDays": "30"}, update=True
    )
    bucket = outputs["MemolineBucket"]
    s3.put_object(Bucket=bucket, Key="m/kept", Body=b"kept")
    client("cloudformation").delete_stack(StackName=short_lived)

    def gone() -> bool:
        try:
            found = client("cloudformation").describe_stacks(StackName=short_lived)["Stacks"]
        except ClientError:
            return True
        return all(stack["StackStatus"] == "DELETE_COMPLETE" for stack in found)

    eventually(gone, "the stack is deleted", deadline_s=60)
    assert s3.get_object(Bucket=bucket, Key="m/kept")["Body"].read() == b"kept"
    with pytest.raises(ClientError):
        client("sqs").get_queue_attributes(QueueUrl=outputs["MemolineInboxQueueUrl"], AttributeNames=["QueueArn"])
