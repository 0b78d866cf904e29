"""The door to SQS: the queue into which the inbox bucket reports what was dropped."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from functools import cached_property
from typing import TYPE_CHECKING

from pipeline.errors import Misuse, PartUnreachable
from pipeline.hosting.aws import S3Config, make_client, translated

if TYPE_CHECKING:
    from mypy_boto3_sqs import SQSClient

BATCH = 10
"""SQS hands out, and takes back, at most ten messages a call."""


@dataclass(frozen=True, kw_only=True, slots=True)
class QueueMessage:
    """A message as it was received. receipt: what deletes it, until it is handed out again. received: how often it was
    handed out; the queue moves it aside after its `maxReceiveCount`."""

    body: str
    receipt: str
    message_id: str
    received: int


class Queue:
    """One queue for one process; the client is made when first used. All methods raise PartUnreachable
    (`sqs-unreachable`), and Misuse (`sqs-refused`) where the queue's name or the credentials are wrong."""

    def __init__(self, config: S3Config, *, url: str, endpoint_url: str | None) -> None:
        self._config = config
        self._url = url
        self._endpoint_url = endpoint_url

    def receive(self, *, wait_s: int) -> tuple[QueueMessage, ...]:
        """Up to ten messages, waited for at most wait_s (0 to 20) seconds."""
        with as_sqs(self._url, self._endpoint_url):
            answer = self._client.receive_message(
                QueueUrl=self._url,
                MaxNumberOfMessages=BATCH,
                WaitTimeSeconds=wait_s,
                MessageSystemAttributeNames=["ApproximateReceiveCount"],
            )
        return tuple(
            QueueMessage(
                body=message.get("Body", ""),
                receipt=message["ReceiptHandle"],
                message_id=message.get("MessageId", ""),
                received=int(message.get("Attributes", {}).get("ApproximateReceiveCount", 1)),
            )
            for message in answer.get("Messages", [])
        )

    def delete(self, messages: Sequence[QueueMessage]) -> tuple[QueueMessage, ...]:
        """Take messages off the queue. Returns those that stayed: an answer 200 does not mean that all went."""
        stayed: list[QueueMessage] = []
        for start in range(0, len(messages), BATCH):
            batch = messages[start : start + BATCH]
            with as_sqs(self._url, self._endpoint_url):
                answer = self._client.delete_message_batch(
                    QueueUrl=self._url,
                    Entries=[{"Id": str(i), "ReceiptHandle": message.receipt} for i, message in enumerate(batch)],
                )
            stayed += [batch[int(failed["Id"])] for failed in answer.get("Failed", [])]
        return tuple(stayed)

    @cached_property
    def _client(self) -> SQSClient:
        client: SQSClient = make_client(self._config, "sqs", self._endpoint_url)
        return client


@contextmanager
def as_sqs(url: str, endpoint_url: str | None) -> Iterator[None]:
    """Says "queue" where the shared translation says "S3"."""
    try:
        with translated(f"Queue {url}", endpoint_url):
            yield
    except Misuse as error:
        raise Misuse("sqs-refused", error.message, **error.facts) from None
    except PartUnreachable:
        text = f"The queue {url} cannot be reached: start it, or correct MEMOLINE_INBOX_QUEUE_URL."
        raise PartUnreachable("sqs-unreachable", text) from None
