"""Messages that were delivered too often: what they are, why, and back into their queue.

What belongs here: reading a dead-letter queue and returning what is in it. What does not: the
queue (`storage/queue.py`) and the command (`dead_letters.py`). Rules: Amazon SQS Developer
Guide, "Using dead-letter queues in Amazon SQS", "Learn how to configure a dead-letter queue
redrive".
"""

from collections.abc import Callable, Collection, Iterator, Sequence
from dataclasses import dataclass
from datetime import datetime
from typing import TYPE_CHECKING, Final

from rwt_assets.catalog import is_beside_archives, refusal
from rwt_assets.runtime import NotificationError
from rwt_assets.storage import parse_notification

if TYPE_CHECKING:
    from rwt_assets.feed import Feed
    from rwt_assets.storage import Message, Queue

HIDDEN_SECONDS: Final = 60
WAIT_SECONDS: Final = 1
SHOWN: Final = 200


@dataclass(frozen=True, slots=True)
class DeadLetter:
    """One message. `reason` says why it was not taken; "" if it would be taken now."""

    message_id: str
    sent_at: datetime | None
    receive_count: int
    reason: str
    objects: tuple[str, ...]
    begins: str


def list_dead_letters(queue: "Queue", feeds: "Sequence[Feed]", *, at_most: int) -> list[DeadLetter]:
    """Check the dead letters of a queue; they stay where they are.

    Args:
        queue: the queues' service.
        feeds: those that share the queue.
        at_most: how many to read.
    """
    name = feeds[0].source.dead_letter_queue
    seen: list[Message] = []
    try:
        for message in _received(queue, name):
            seen.append(message)
            if len(seen) >= at_most:
                break
    finally:
        queue.hide(name, seen, 0)
    return [_explained(message, feeds) for message in seen]


def redrive(
    queue: "Queue",
    feeds: "Sequence[Feed]",
    *,
    message_ids: Collection[str] = (),
    told: Callable[[str], None] = lambda _: None,
) -> int | None:
    """Put dead letters back into the queue that they came from.

    A message is put back before it is deleted: one that comes twice changes nothing.

    Args:
        queue: the queues' service.
        feeds: those that share the queue.
        message_ids: which; none for all.
        told: gets the id of each message that was put back.

    Returns:
        How many were put back; None if SQS moves them by itself, now and for some time.
    """
    source = feeds[0].source
    if not message_ids and queue.start_move(source.dead_letter_queue):
        return None
    left = set(message_ids)
    spared: list[Message] = []
    moved = 0
    try:
        for message in _received(queue, source.dead_letter_queue):
            if message_ids and message.message_id not in left:
                spared.append(message)
                continue
            queue.send(source.queue, message.body)
            queue.delete(source.dead_letter_queue, [message])
            moved += 1
            told(message.message_id)
            left.discard(message.message_id)
            if message_ids and not left:
                break
    finally:
        queue.hide(source.dead_letter_queue, spared, 0)
    return moved


def _received(queue: "Queue", name: str) -> "Iterator[Message]":
    """Messages until none comes, each once; what is not used of a batch is given back."""
    seen: set[str] = set()
    while batch := queue.receive(
        name, wait_seconds=WAIT_SECONDS, visibility_seconds=HIDDEN_SECONDS
    ):
        for number, message in enumerate(batch):
            if message.message_id in seen:
                return
            seen.add(message.message_id)
            try:
                yield message
            except GeneratorExit:
                queue.hide(name, batch[number + 1 :], 0)
                raise


def _explained(message: "Message", feeds: "Sequence[Feed]") -> DeadLetter:
    reason = ""
    objects: tuple[str, ...] = ()
    try:
        revisions = parse_notification(message.body).revisions
    except NotificationError as error:
        reason = error.what
    else:
        objects = tuple(f"s3://{one.bucket}/{one.key}" for one in revisions)
        foreign = [one for one in revisions if not is_beside_archives(feeds, one)]
        reason = refusal(feeds, foreign[0]) if foreign else ""
    return DeadLetter(
        message_id=message.message_id,
        sent_at=message.sent_at,
        receive_count=message.receive_count,
        reason=reason,
        objects=objects,
        begins=message.body[:SHOWN],
    )
