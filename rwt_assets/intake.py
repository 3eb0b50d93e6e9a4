"""Taking archives in: from the queue's messages, and from a look at the bucket.

What belongs here: what is recorded, what is refused and what may be deleted from the queue.
What does not: SQS and S3 themselves (`resources/`) and the wording of messages
(`notifications.py`).

A message leaves the queue only after all its archives are on record. What is refused stays
in the queue, which hands it to its dead-letter queue after some deliveries (Amazon SQS
Developer Guide: "Using dead-letter queues in Amazon SQS").
"""

from collections.abc import Callable, Iterable
from dataclasses import dataclass, field
from time import monotonic
from typing import TYPE_CHECKING

from rwt_assets.errors import NotificationError
from rwt_assets.notifications import ArchiveRevision, parse_notification
from rwt_assets.partitions import archive_partition_key

if TYPE_CHECKING:
    from rwt_assets.catalog import FeedCatalog
    from rwt_assets.object_store import ObjectStore
    from rwt_assets.resources.queue import Message, Queue


@dataclass(slots=True)
class IntakeReport:
    """What an intake did. Lists hold object keys, except `refused`, which holds sentences."""

    recorded: list[str] = field(default_factory=list)
    unchanged: list[str] = field(default_factory=list)
    ignored: list[str] = field(default_factory=list)
    refused: list[str] = field(default_factory=list)
    received: int = 0


def record_revisions(
    catalog: "FeedCatalog",
    revisions: Iterable[ArchiveRevision],
    report: IntakeReport,
    *,
    via: str,
    message_id: str = "",
) -> None:
    """Put revisions on record that are new.

    The content that is on record already, and a revision older than the one on record, change
    nothing: so a message may come twice and in any order.
    """
    for revision in revisions:
        known = catalog.latest_revision(revision.key)
        if known is not None and (known.revision == revision.revision or _is_late(revision, known)):
            report.unchanged.append(revision.key)
        else:
            catalog.record_arrival(revision, via=via, message_id=message_id)
            report.recorded.append(revision.key)


def _is_late(revision: ArchiveRevision, known: ArchiveRevision) -> bool:
    """Whether a revision is older than the one on record and only arrives after it."""
    if revision.sequencer is not None and known.sequencer is not None:
        return revision.is_older_than(known.sequencer)
    if revision.event_time is None or known.event_time is None:
        return False
    # A listing has whole seconds, a notification has fractions.
    return revision.event_time < known.event_time.replace(microsecond=0)


def take_messages(
    catalog: "FeedCatalog",
    queue: "Queue",
    *,
    budget_seconds: float,
    wait_seconds: int,
    clock: Callable[[], float] = monotonic,
) -> IntakeReport:
    """Receive, record, delete: until the queue is empty or the time budget is spent.

    Args:
        catalog: where archives are recorded.
        queue: where messages come from.
        budget_seconds: no receive call is begun after this time.
        wait_seconds: how long an empty queue is waited for (long polling).
        clock: seconds, for tests.

    Returns:
        What was recorded, unchanged, ignored and refused, and how many messages came.
    """
    report = IntakeReport()
    name = catalog.feed.source.queue
    deadline = clock() + budget_seconds
    while clock() < deadline:
        messages = queue.receive(name, wait_seconds=0 if report.recorded else wait_seconds)
        if not messages:
            break
        report.received += len(messages)
        settled = [message for message in messages if _settle(catalog, message, report)]
        queue.delete(name, settled)
    return report


def _settle(catalog: "FeedCatalog", message: "Message", report: IntakeReport) -> bool:
    """Record what a message announces; True if the message may be deleted."""
    where = f"queue {catalog.feed.source.queue}, message {message.message_id}"
    try:
        notification = parse_notification(message.body)
    except NotificationError as error:
        report.refused.append(f"{where}, delivery {message.receive_count}: {error}")
        return False
    source = catalog.feed.source
    foreign = [r for r in notification.revisions if not source.names(r.bucket, r.key)]
    own = [r for r in notification.revisions if source.names(r.bucket, r.key)]
    record_revisions(catalog, own, report, via="notification", message_id=message.message_id)
    report.ignored += notification.ignored
    report.refused += [
        f"{where}: s3://{r.bucket}/{r.key} is not what feed {catalog.feed.name} reads "
        f"(s3://{source.bucket}/{source.prefix}*{source.suffix}). It was not fetched; the "
        "message stays in the queue until it goes to the dead-letter queue."
        for r in foreign
    ]
    return not foreign


def sweep(catalog: "FeedCatalog", objects: "ObjectStore") -> IntakeReport:
    """Record what lies in the bucket and was never announced.

    Compares the objects under the feed's prefix with the catalog, by ETag. A lost
    notification, or a queue that forgot its messages, loses nothing while this runs.
    """
    report = IntakeReport()
    source = catalog.feed.source
    on_record = catalog.arrivals()
    for head in objects.list(source.bucket, source.prefix):
        if not source.names(source.bucket, head.key):
            report.ignored.append(head.key)
            continue
        known = on_record.get(archive_partition_key(head.key))
        if known is not None and known.revision == head.etag:
            report.unchanged.append(head.key)
            continue
        revision = ArchiveRevision(
            bucket=source.bucket,
            key=head.key,
            etag=head.etag,
            size=head.size,
            event_time=head.last_modified,
        )
        record_revisions(catalog, [revision], report, via="sweep")
    return report
