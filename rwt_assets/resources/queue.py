"""The queue that announces archives: Amazon SQS.

What belongs here: calls of boto3 for messages. What does not: what a message means
(`notifications.py`) and what becomes of it (`intake.py`). Rules: Amazon SQS Developer Guide,
"Amazon SQS short and long polling", "Amazon SQS visibility timeout", "Using dead-letter
queues in Amazon SQS"; API Reference, "ReceiveMessage", "DeleteMessageBatch",
"ChangeMessageVisibilityBatch", "StartMessageMoveTask".
"""

from abc import ABC, abstractmethod
from collections.abc import Sequence
from datetime import UTC, datetime
from typing import TYPE_CHECKING

import boto3
import dagster as dg
from botocore.config import Config
from botocore.exceptions import ClientError

from rwt_assets.feed import parse_queue
from rwt_assets.resources.account_access import queue_named
from rwt_assets.storage import Message, Queue, QueueDepth

if TYPE_CHECKING:
    from mypy_boto3_sqs import SQSClient

DENIED = {"AccessDenied", "AccessDeniedException"}
BATCH = 10  # the most that one ReceiveMessage or DeleteMessageBatch takes


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
        """See `Queue.start_move`; SQS can do that, local servers cannot."""
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


def connect_queue() -> Queue:
    """The queue of commands and sensors: SQS, by the environment's credentials and endpoint.

    Nothing else chooses; another kind of queue is given here.
    """
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
