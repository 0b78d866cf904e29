"""The storage, really created, used, updated and deleted."""

from __future__ import annotations

import json
from collections.abc import Iterator
from typing import Any

import httpx
import pytest
from botocore.exceptions import ClientError

from infra.local.s3 import S3Access
from tests.infra.conftest import MakeClient, Outputs, deploy
from tests.support.waiting import eventually

CHAT = "5e0d0000-0000-4000-8000-000000000001"


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


@pytest.fixture(scope="module")
def short_lived(client: MakeClient) -> Iterator[str]:
    """The name of a stack that the test deletes."""
    deploy(client, "memo-short", "storage.yaml", {"RequireTls": "false"})
    yield "memo-short"


def test_an_update_keeps_what_is_stored_and_a_delete_keeps_the_buckets(client: MakeClient, short_lived: str) -> None:
    """Nobody loses a recording by a wrong command."""
    s3 = client("s3")
    outputs = deploy(
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
