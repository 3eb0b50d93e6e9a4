"""What is asked of a queue, whichever it is: the protocol, its messages and its depth.

What belongs here: what every queue can do. What does not: Amazon SQS and which queue is connected
to (`resources/queue.py`), and what a message means (`notifications.py`).
"""

from collections.abc import Sequence
from dataclasses import dataclass
from datetime import datetime
from typing import Protocol


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

    def start_move(self, dead_letter_queue: str) -> bool:
        """Have the service move all dead letters back to where they came from, if it can do that.

        Where it cannot, they are received, sent and deleted one by one (`operations.redrive`).
        """
        ...
