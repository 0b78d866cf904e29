"""A desk over an SQLite ledger and the embedded S3, with buckets of a test's own."""

from __future__ import annotations

import json
import uuid
from dataclasses import dataclass, replace
from typing import Any

from infra.local.s3 import MAX_RECEIVES
from pipeline.model import Job
from pipeline.settings import Settings
from tests.support.local_stack import s3_client, sqs_client
from workers.doors import Desk, open_desk
from workers.hints import Hints
from workers.watcher import Watcher, open_queue
from workers.wiring import open_inbox_book


@dataclass(frozen=True, kw_only=True, slots=True)
class Inbox:
    """An inbox bucket that reports into a queue, and a desk that reads both. s3, sqs: a user's own clients."""

    settings: Settings
    desk: Desk
    bucket: str
    s3: Any
    sqs: Any

    def watcher(self) -> Watcher:
        """A watcher that begins now, knowing nothing."""
        return Watcher(self.desk, open_queue(self.settings), Hints(None), open_inbox_book(self.settings))

    def with_settings(self, **changes: str) -> Inbox:
        """The same inbox with other settings."""
        settings = self.settings.model_copy(update=changes)
        return replace(self, settings=settings, desk=replace(self.desk, settings=settings))

    def with_s3(self, s3: Any) -> Inbox:
        """The same inbox, whose desk reads and writes by another S3."""
        return replace(self, desk=replace(self.desk, s3=s3))

    def drop(self, key: str, body: bytes = b"sound", **metadata: str) -> None:
        """Put an object; metadata names with `_` for `-`."""
        named = {name.replace("_", "-"): value for name, value in metadata.items()}
        self.s3.put_object(Bucket=self.bucket, Key=key, Body=body, Metadata=named)

    def tell(self, body: str) -> None:
        """Put a message into the queue."""
        self.sqs.send_message(QueueUrl=self.settings.inbox_queue_url, MessageBody=body)

    def tell_of(self, *keys: str) -> None:
        """Put an event of S3's form into the queue."""
        records = [
            {"eventName": "ObjectCreated:Put", "s3": {"bucket": {"name": self.bucket}, "object": {"key": key}}}
            for key in keys
        ]
        self.tell(json.dumps({"Records": records}))

    def waiting(self) -> int:
        """Messages in the queue, handed out or not."""
        names = ["ApproximateNumberOfMessages", "ApproximateNumberOfMessagesNotVisible"]
        found = self.sqs.get_queue_attributes(QueueUrl=self.settings.inbox_queue_url, AttributeNames=names)
        return sum(int(found["Attributes"][name]) for name in names)

    def jobs(self) -> tuple[Job, ...]:
        """All jobs of the ledger."""
        return self.desk.parts.ledger.jobs()  # type: ignore[attr-defined,no-any-return]


def make_inbox(stack: Settings, home: Any, *, versioned: bool = False, events: bool = True) -> Inbox:
    """A fresh bucket, queue and ledger. events: whether the bucket reports by itself."""
    s3, sqs = s3_client(stack), sqs_client(stack)
    name = f"inbox-{uuid.uuid4().hex[:12]}"
    s3.create_bucket(Bucket=name)
    if versioned:
        s3.put_bucket_versioning(Bucket=name, VersioningConfiguration={"Status": "Enabled"})
    may_send = {
        "Effect": "Allow",
        "Principal": {"Service": "s3.amazonaws.com"},
        "Action": "sqs:SendMessage",
        "Resource": "*",
    }
    policy = json.dumps({"Version": "2012-10-17", "Statement": [may_send]})
    dead = sqs.create_queue(QueueName=f"{name}-dead")["QueueUrl"]
    aside = sqs.get_queue_attributes(QueueUrl=dead, AttributeNames=["QueueArn"])["Attributes"]["QueueArn"]
    redrive = json.dumps({"deadLetterTargetArn": aside, "maxReceiveCount": str(MAX_RECEIVES)})
    attributes = {"VisibilityTimeout": "1", "Policy": policy, "RedrivePolicy": redrive}
    url = sqs.create_queue(QueueName=name, Attributes=attributes)["QueueUrl"]
    if events:
        arn = sqs.get_queue_attributes(QueueUrl=url, AttributeNames=["QueueArn"])["Attributes"]["QueueArn"]
        report = {"QueueArn": arn, "Events": ["s3:ObjectCreated:*", "s3:ObjectRemoved:*"]}
        s3.put_bucket_notification_configuration(
            Bucket=name, NotificationConfiguration={"QueueConfigurations": [report]}
        )
    settings = stack.model_copy(
        update={"home": home, "database_url": "", "inbox_bucket": name, "inbox_queue_url": url, "broker_url": None}
    )
    return Inbox(settings=settings, desk=open_desk(settings, "test"), bucket=name, s3=s3, sqs=sqs)
