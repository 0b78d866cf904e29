"""How the inbox bucket, the queue of its events and the queue of dead letters hang together, as AWS tells it."""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from pipeline.hosting.aws import S3Config, make_client, translated
from pipeline.hosting.sqs import as_sqs


@dataclass(frozen=True, kw_only=True, slots=True)
class QueueState:
    """A queue. waiting: messages that nobody has in work. tries: how often a message is handed out before it is moved
    aside; 0 where it never is. dead_letters: how many were; None where there is no queue for them."""

    arn: str
    waiting: int
    tries: int = 0
    dead_letters: int | None = None


def queue_state(config: S3Config, url: str, endpoint_url: str | None) -> QueueState:
    """What is in the queue of the inbox's events, and beside it. Raises PartUnreachable (`sqs-unreachable`), Misuse
    (`sqs-refused`)."""
    client = make_client(config, "sqs", endpoint_url)
    with as_sqs(url, endpoint_url):
        found = _attributes(client, url)
        policy = json.loads(found.get("RedrivePolicy") or "{}")
        account, _, name = str(policy.get("deadLetterTargetArn") or "").removeprefix("arn:").rpartition(":")
        dead = client.get_queue_url(QueueName=name, QueueOwnerAWSAccountId=account.rpartition(":")[2]) if name else None
        letters = _waiting(_attributes(client, dead["QueueUrl"])) if dead else None
    return QueueState(
        arn=found.get("QueueArn", ""),
        waiting=_waiting(found),
        tries=int(policy.get("maxReceiveCount") or 0),
        dead_letters=letters,
    )


def queues_told(config: S3Config, bucket: str) -> tuple[str, ...]:
    """The ARNs of the queues that are told of every new object of a bucket, whatever its key; `EventBridge` where that
    is told. Raises PartUnreachable (`s3-unreachable`), Misuse (`s3-refused`)."""
    client = make_client(config, "s3", config.endpoint_url)
    with translated(f"Bucket {bucket!r}", config.endpoint_url):
        found = client.get_bucket_notification_configuration(Bucket=bucket)
    queues = [one["QueueArn"] for one in found.get("QueueConfigurations", []) if _is_told_of_all(one)]
    topics = [one["TopicArn"] for one in found.get("TopicConfigurations", []) if _is_told_of_all(one)]
    return (*queues, *topics, *(["EventBridge"] if "EventBridgeConfiguration" in found else []))


def _is_told_of_all(rule: Mapping[str, Any]) -> bool:
    events: Sequence[str] = rule.get("Events", [])
    return any(event.startswith("s3:ObjectCreated:") for event in events) and not rule.get("Filter")


def _attributes(client: Any, url: str) -> Mapping[str, str]:
    names = ["QueueArn", "ApproximateNumberOfMessages", "RedrivePolicy"]
    found: Mapping[str, str] = client.get_queue_attributes(QueueUrl=url, AttributeNames=names).get("Attributes", {})
    return found


def _waiting(attributes: Mapping[str, str]) -> int:
    return int(attributes.get("ApproximateNumberOfMessages", 0))
