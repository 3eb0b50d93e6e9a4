"""The queue that announces archives: Amazon SQS.

What belongs here: calls of boto3 for messages. What does not: what a message means
(`notifications.py`) and what becomes of it (`intake.py`). Rules: Amazon SQS Developer Guide,
"Amazon SQS short and long polling", "Amazon SQS visibility timeout"; API Reference,
"ReceiveMessage", "DeleteMessageBatch".
"""

from abc import ABC, abstractmethod
from collections.abc import Sequence
from dataclasses import dataclass
from datetime import UTC, datetime
from typing import TYPE_CHECKING, Protocol

import boto3
import dagster as dg
from botocore.config import Config

if TYPE_CHECKING:
    from mypy_boto3_sqs import SQSClient

BATCH = 10  # the most that one ReceiveMessage or DeleteMessageBatch takes


@dataclass(frozen=True, slots=True)
class Message:
    """One message as received. `receive_count` is 1 at its first delivery."""

    message_id: str
    receipt_handle: str
    body: str
    sent_at: datetime | None
    receive_count: int


class Queue(Protocol):
    """A queue of at-least-once delivery."""

    def receive(self, queue: str, *, wait_seconds: int) -> Sequence[Message]:
        """Up to ten messages; waits up to `wait_seconds` (at most 20) for the first."""
        ...

    def delete(self, queue: str, messages: Sequence[Message]) -> Sequence[Message]:
        """Delete messages; those that could not be deleted come back and are redelivered."""
        ...


class SqsQueue:
    """`Queue` on SQS, over one boto3 client."""

    def __init__(self, client: "SQSClient") -> None:
        self._client = client
        self._urls: dict[str, str] = {}

    def url(self, queue: str) -> str:
        """The URL of a queue by its name."""
        if queue not in self._urls:
            self._urls[queue] = self._client.get_queue_url(QueueName=queue)["QueueUrl"]
        return self._urls[queue]

    def receive(self, queue: str, *, wait_seconds: int) -> Sequence[Message]:
        """See `Queue.receive`."""
        answer = self._client.receive_message(
            QueueUrl=self.url(queue),
            MaxNumberOfMessages=BATCH,
            WaitTimeSeconds=wait_seconds,
            MessageSystemAttributeNames=["SentTimestamp", "ApproximateReceiveCount"],
        )
        return [
            Message(
                message_id=message["MessageId"],
                receipt_handle=message["ReceiptHandle"],
                body=message["Body"],
                sent_at=_time(message.get("Attributes", {}).get("SentTimestamp")),
                receive_count=int(message.get("Attributes", {}).get("ApproximateReceiveCount", 1)),
            )
            for message in answer.get("Messages", ())
        ]

    def delete(self, queue: str, messages: Sequence[Message]) -> Sequence[Message]:
        """See `Queue.delete`."""
        kept: list[Message] = []
        for start in range(0, len(messages), BATCH):
            batch = messages[start : start + BATCH]
            entries = [
                {"Id": str(number), "ReceiptHandle": message.receipt_handle}
                for number, message in enumerate(batch)
            ]
            answer = self._client.delete_message_batch(
                QueueUrl=self.url(queue),
                Entries=entries,  # type: ignore[arg-type]
            )
            kept += [batch[int(failure["Id"])] for failure in answer.get("Failed", ())]
        return kept


def _time(milliseconds: str | None) -> datetime | None:
    return datetime.fromtimestamp(int(milliseconds) / 1000, UTC) if milliseconds else None


def connect_queue() -> SqsQueue:
    """A queue from the environment's credentials, region and endpoint."""
    config = Config(retries={"max_attempts": 3, "mode": "standard"})
    return SqsQueue(boto3.client("sqs", config=config))


class QueueResource(dg.ConfigurableResource, ABC):  # type: ignore[type-arg]
    """Gives sensors their queue; tests put an in-memory one in its place."""

    @abstractmethod
    def queue(self) -> Queue:
        """The queue."""


class SqsQueueResource(QueueResource):
    """The queue on SQS, configured by the environment alone."""

    def queue(self) -> Queue:
        """A queue over a client of its own."""
        return connect_queue()
