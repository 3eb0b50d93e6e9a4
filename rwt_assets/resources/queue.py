"""The queue that announces archives: Amazon SQS.

What belongs here: calls of boto3 for messages. What does not: what a message means
(`notifications.py`) and what becomes of it (`intake.py`). Rules: Amazon SQS Developer Guide,
"Amazon SQS short and long polling", "Amazon SQS visibility timeout", "Using dead-letter
queues in Amazon SQS"; API Reference, "ReceiveMessage", "DeleteMessageBatch",
"ChangeMessageVisibilityBatch", "StartMessageMoveTask".
"""

from abc import ABC, abstractmethod
from collections.abc import Sequence
from dataclasses import dataclass
from datetime import UTC, datetime
from typing import TYPE_CHECKING, Protocol

import boto3
import dagster as dg
from botocore.config import Config
from botocore.exceptions import ClientError

from rwt_assets.feed import parse_queue
from rwt_assets.resources.account_access import queue_named

if TYPE_CHECKING:
    from mypy_boto3_sqs import SQSClient

DENIED = {"AccessDenied", "AccessDeniedException"}
BATCH = 10  # the most that one ReceiveMessage or DeleteMessageBatch takes


@dataclass(frozen=True, slots=True)
class Message:
    """One message as received. `receive_count` is 1 at its first delivery."""

    message_id: str
    receipt_handle: str
    body: str
    sent_at: datetime | None
    receive_count: int


@dataclass(frozen=True, slots=True)
class QueueDepth:
    """Approximate numbers of messages: waiting to be received, and received but not deleted."""

    waiting: int
    in_flight: int


class Queue(Protocol):
    """A queue of at-least-once delivery."""

    def receive(
        self, queue: str, *, wait_seconds: int, visibility_seconds: int | None = None
    ) -> Sequence[Message]:
        """Up to ten messages; waits up to `wait_seconds` (at most 20) for the first.

        They are hidden from others for `visibility_seconds`, or as long as the queue says.
        """
        ...

    def hide(self, queue: str, messages: Sequence[Message], seconds: int) -> None:
        """Hide received messages for so long from now on; 0 gives them back at once.

        A message whose receipt has expired is left as it is: it will be received again.
        """
        ...

    def send(self, queue: str, body: str) -> None:
        """Put a message into a queue."""
        ...

    def depth(self, queue: str) -> QueueDepth:
        """How much is in a queue."""
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
        """The URL of a queue by its name, its URL or its ARN."""
        if queue not in self._urls:
            self._urls[queue] = self._client.get_queue_url(**queue_named(queue))["QueueUrl"]
        return self._urls[queue]

    def receive(
        self, queue: str, *, wait_seconds: int, visibility_seconds: int | None = None
    ) -> Sequence[Message]:
        """See `Queue.receive`."""
        hidden = {} if visibility_seconds is None else {"VisibilityTimeout": visibility_seconds}
        answer = self._client.receive_message(
            QueueUrl=self.url(queue),
            MaxNumberOfMessages=BATCH,
            WaitTimeSeconds=wait_seconds,
            MessageSystemAttributeNames=["SentTimestamp", "ApproximateReceiveCount"],
            **hidden,  # type: ignore[arg-type]
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

    def hide(self, queue: str, messages: Sequence[Message], seconds: int) -> None:
        """See `Queue.hide`."""
        for start in range(0, len(messages), BATCH):
            self._client.change_message_visibility_batch(
                QueueUrl=self.url(queue),
                Entries=[
                    {
                        "Id": str(number),
                        "ReceiptHandle": message.receipt_handle,
                        "VisibilityTimeout": seconds,
                    }
                    for number, message in enumerate(messages[start : start + BATCH])
                ],
            )

    def send(self, queue: str, body: str) -> None:
        """See `Queue.send`."""
        self._client.send_message(QueueUrl=self.url(queue), MessageBody=body)

    def depth(self, queue: str) -> QueueDepth:
        """See `Queue.depth`."""
        attributes = self._client.get_queue_attributes(
            QueueUrl=self.url(queue),
            AttributeNames=[
                "ApproximateNumberOfMessages",
                "ApproximateNumberOfMessagesNotVisible",
            ],
        )["Attributes"]
        return QueueDepth(
            waiting=int(attributes["ApproximateNumberOfMessages"]),
            in_flight=int(attributes["ApproximateNumberOfMessagesNotVisible"]),
        )

    def start_move(self, dead_letter_queue: str) -> bool:
        """Have SQS move all dead letters back to where they came from.

        Returns:
            Whether the endpoint can do that; SQS can, local servers cannot.
        """
        answer = self._client.get_queue_attributes(
            QueueUrl=self.url(dead_letter_queue), AttributeNames=["QueueArn"]
        )
        try:
            self._client.start_message_move_task(SourceArn=answer["Attributes"]["QueueArn"])
        except ClientError as error:
            denied = error.response.get("Error", {}).get("Code") in DENIED
            # Nobody may do that with a queue of another account (SQS Developer Guide, "Limitations
            # of custom policies").
            if denied and not parse_queue(dead_letter_queue).account:
                raise
            return False
        return True


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
