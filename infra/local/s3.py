"""The embedded S3 and SQS: ministack, in an environment of its own because it pins botocore.

It takes nobody's requests but those signed with the key pair of this home. Its state is saved when it ends; killed, it
keeps objects but loses queue messages, which is why the watcher lists the bucket too.
"""

from __future__ import annotations

import json
import sys
from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING, Any

from pipeline.errors import PartUnreachable

if TYPE_CHECKING:
    from mypy_boto3_s3 import S3Client
    from mypy_boto3_sqs import SQSClient

REGION = "us-east-1"
MEMO_BUCKET = "memoline-memos"
INBOX_BUCKET = "memoline-inbox"
QUEUE = "memoline-inbox"
DEAD_QUEUE = "memoline-inbox-dead"
ACCOUNT = "000000000000"
VISIBILITY_S = 60
MAX_RECEIVES = 5


@dataclass(frozen=True, slots=True, kw_only=True)
class S3Access:
    """Where the embedded S3 is and with which keys."""

    port: int
    access_key_id: str
    secret_access_key: str = field(repr=False)

    @property
    def url(self) -> str:
        """Endpoint of both S3 and SQS."""
        return f"http://127.0.0.1:{self.port}"

    @property
    def queue_url(self) -> str:
        """The queue that tells of dropped recordings."""
        return f"{self.url}/{ACCOUNT}/{QUEUE}"

    def settings(self) -> dict[str, str]:
        """The settings with which any S3 client talks to it."""
        return {
            "AWS_ENDPOINT_URL_S3": self.url,
            "AWS_ENDPOINT_URL_SQS": self.url,
            "AWS_ACCESS_KEY_ID": self.access_key_id,
            "AWS_SECRET_ACCESS_KEY": self.secret_access_key,
            "AWS_REGION": REGION,
            "AWS_DEFAULT_REGION": REGION,
            "MEMOLINE_BUCKET": MEMO_BUCKET,
            "MEMOLINE_INBOX_BUCKET": INBOX_BUCKET,
            "MEMOLINE_INBOX_QUEUE_URL": self.queue_url,
        }


def ministack_python(venv: Path | None = None) -> Path:
    """The interpreter of ministack's environment, by default the one beside ours.

    Raises PartUnreachable (`part-failed`) where it is not installed."""
    venv = venv or Path(sys.prefix).parent / ".venv-ministack"
    python = venv / "bin" / "python"
    if not python.exists():
        how = f"`make setup`, or `python3 -m venv {venv} && {venv}/bin/pip install ministack`"
        text = f"The embedded S3 is not installed in {venv}: run {how}, or set AWS_ENDPOINT_URL_S3."
        raise PartUnreachable("part-failed", text, part="s3")
    return python


def server_environment(home: Path, access: S3Access) -> dict[str, str]:
    """ministack's own settings: loopback only, signatures checked, everything kept under the home."""
    folder = home / "s3"
    for name in ("objects", "state", "tmp"):
        (folder / name).mkdir(exist_ok=True, mode=0o700)
    return {
        "BIND_HOST": "127.0.0.1",
        "GATEWAY_PORT": str(access.port),
        "MINISTACK_HOST": "127.0.0.1",
        "SERVICES": "s3,sqs,iam,sts",
        "SFTP_ENABLED": "0",
        "S3_PERSIST": "1",
        "S3_DATA_DIR": str(folder / "objects"),
        "PERSIST_STATE": "1",
        "STATE_DIR": str(folder / "state"),
        "TMPDIR": str(folder / "tmp"),
        "AUTH": "true",
        "AWS_ACCESS_KEY_ID": access.access_key_id,
        "AWS_SECRET_ACCESS_KEY": access.secret_access_key,
        "LOG_LEVEL": "WARNING",
    }


def furnish(access: S3Access) -> None:
    """Make both buckets, the queue with its dead-letter queue, and the notification from one to the other. What is
    there already stays. Raises PartUnreachable (`s3-unreachable`)."""
    from botocore.exceptions import BotoCoreError, ClientError

    try:
        s3, sqs = _clients(access)
        for bucket in (MEMO_BUCKET, INBOX_BUCKET):
            _make_bucket(s3, bucket)
        _notify(s3, _queue_arn(sqs))
    except (BotoCoreError, ClientError) as error:
        raise PartUnreachable("s3-unreachable", f"The embedded S3 could not be set up: {error}", part="s3") from None


def _clients(access: S3Access) -> tuple[S3Client, SQSClient]:
    import boto3
    from botocore.config import Config

    session = boto3.session.Session()
    options: Mapping[str, Any] = {
        "endpoint_url": access.url,
        "region_name": REGION,
        "aws_access_key_id": access.access_key_id,
        "aws_secret_access_key": access.secret_access_key,
        "config": Config(
            proxies={},
            connect_timeout=5,
            read_timeout=20,
            retries={"total_max_attempts": 2},
            s3={"addressing_style": "path"},
        ),
    }
    return session.client("s3", **options), session.client("sqs", **options)


def _make_bucket(s3: S3Client, bucket: str) -> None:
    try:
        s3.create_bucket(Bucket=bucket)
    except s3.exceptions.BucketAlreadyOwnedByYou:
        # Told only after the server was killed: then it finds the bucket's folder, but not what it knew of it.
        return


def _queue_arn(sqs: SQSClient) -> str:
    dead = sqs.create_queue(QueueName=DEAD_QUEUE)["QueueUrl"]
    redrive = json.dumps({"deadLetterTargetArn": _arn(sqs, dead), "maxReceiveCount": str(MAX_RECEIVES)})
    queue = sqs.create_queue(QueueName=QUEUE)["QueueUrl"]
    sqs.set_queue_attributes(
        QueueUrl=queue,
        Attributes={"VisibilityTimeout": str(VISIBILITY_S), "RedrivePolicy": redrive, "Policy": _policy()},
    )
    return _arn(sqs, queue)


def _policy() -> str:
    """Lets the inbox bucket, and no other, put its events into the queue, as real S3 demands."""
    source = {"ArnEquals": {"aws:SourceArn": f"arn:aws:s3:::{INBOX_BUCKET}"}}
    statement = {
        "Effect": "Allow",
        "Principal": {"Service": "s3.amazonaws.com"},
        "Action": "sqs:SendMessage",
        "Resource": f"arn:aws:sqs:{REGION}:{ACCOUNT}:{QUEUE}",
        "Condition": source,
    }
    return json.dumps({"Version": "2012-10-17", "Statement": [statement]})


def _arn(sqs: SQSClient, url: str) -> str:
    return sqs.get_queue_attributes(QueueUrl=url, AttributeNames=["QueueArn"])["Attributes"]["QueueArn"]


def _notify(s3: S3Client, queue_arn: str) -> None:
    known = s3.get_bucket_notification_configuration(Bucket=INBOX_BUCKET).get("QueueConfigurations", [])
    # Writing the same configuration again would put another test event into the queue at every start.
    if not any(one["QueueArn"] == queue_arn and "s3:ObjectCreated:*" in one["Events"] for one in known):
        s3.put_bucket_notification_configuration(
            Bucket=INBOX_BUCKET,
            NotificationConfiguration={
                "QueueConfigurations": [{"QueueArn": queue_arn, "Events": ["s3:ObjectCreated:*"]}]
            },
        )
