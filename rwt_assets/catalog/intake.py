"""Taking archives in: from the queue's messages, and from a comparison with the bucket.

What belongs here: what is recorded, what is refused and what may be deleted from the queue.
What does not: SQS and S3 themselves (`resources/`) and the wording of messages
(`notifications.py`).

A message leaves the queue only after all its archives are on record. What is refused stays
in the queue, which hands it to its dead-letter queue after some deliveries (Amazon SQS
Developer Guide: "Using dead-letter queues in Amazon SQS", "Amazon SQS visibility timeout").

A message may be forged and may come late, so it never has the last word on a revision: the
sweep asks the bucket itself.
"""

from collections import Counter
from collections.abc import Callable, Container, Iterator, Mapping, Sequence
from dataclasses import dataclass, field, replace
from datetime import datetime, timedelta
from itertools import islice
from time import monotonic
from typing import TYPE_CHECKING, Final

from rwt_assets.catalog.standing import left_out, left_out_since
from rwt_assets.documents import archive_partition_key
from rwt_assets.runtime import ArchiveMissingError, NotificationError
from rwt_assets.storage import ArchiveRevision, parse_notification

if TYPE_CHECKING:
    from rwt_assets.catalog.catalog import FeedCatalog
    from rwt_assets.feed import Feed
    from rwt_assets.status import Event
    from rwt_assets.storage import Message, ObjectHead, ObjectStore, Queue

VISIBILITY_SECONDS: Final = 60
PAGE: Final = 1_000
RESTORED: Final = "it was restored from S3 Glacier"
NO_ARCHIVE: Final = "object that is no archive"
SAME_UPLOAD_WITHIN: Final = timedelta(seconds=2)  # its event, and its time in a listing


@dataclass(slots=True)
class IntakeReport:
    """What an intake did.

    `recorded` holds object keys, `refused` sentences, `ignored` counts what announces nothing
    by its kind. `full` says that the feed has as many archives in work as it may have;
    `newest_sent_at` is when the message taken last was sent. `next_after` is the key after
    which a sweep that ended early goes on, "" if it came to the end.
    """

    recorded: list[str] = field(default_factory=list)
    refused: list[str] = field(default_factory=list)
    ignored: Counter[str] = field(default_factory=Counter)
    unchanged: int = 0
    received: int = 0
    full: bool = False
    newest_sent_at: datetime | None = None
    next_after: str = ""


@dataclass(slots=True)
class Budget:
    """How much an intake may do: archives to record, and seconds from now on."""

    archives: int | None = None
    seconds: float | None = None
    clock: Callable[[], float] = monotonic
    _began: float = field(init=False)

    def __post_init__(self) -> None:
        self._began = self.clock()

    def is_full(self, report: IntakeReport) -> bool:
        """Whether no further archive may be recorded."""
        return self.archives is not None and len(report.recorded) >= self.archives

    def is_spent(self) -> bool:
        """Whether the time is up."""
        return self.seconds is not None and self.clock() - self._began >= self.seconds


def take_messages(
    catalogs: "Sequence[FeedCatalog]", queue: "Queue", budget: Budget, *, wait_seconds: int
) -> IntakeReport:
    """Receive, record, delete: until the queue is empty, the feeds are full or time is up.

    Args:
        catalogs: of the feeds that share the queue; where archives are recorded.
        queue: where messages come from.
        budget: no receive call is begun beyond it; a batch that was received is recorded
            whole, the rest stays in the queue.
        wait_seconds: how long an empty queue is waited for (long polling).

    Returns:
        What was recorded, unchanged, ignored and refused, and how many messages came.

    Raises:
        Exception: the first that recording a message raised, after all other messages of its
            batch were recorded and deleted. Its message is received again.
    """
    report = IntakeReport()
    name = catalogs[0].feed.source.queue
    while not budget.is_spent():
        report.full = budget.is_full(report)
        if report.full:
            break
        wait = 0 if report.recorded else wait_seconds
        messages = queue.receive(name, wait_seconds=wait, visibility_seconds=VISIBILITY_SECONDS)
        if not messages:
            break
        report.received += len(messages)
        _settle_all(catalogs, queue, messages, report, budget.clock)
    return report


def _settle_all(
    catalogs: "Sequence[FeedCatalog]",
    queue: "Queue",
    messages: "Sequence[Message]",
    report: IntakeReport,
    clock: Callable[[], float],
) -> None:
    """Record what the messages announce and delete those of which everything is on record."""
    name = catalogs[0].feed.source.queue
    settled: list[Message] = []
    failures: list[Exception] = []
    hidden_at = clock()
    for number, message in enumerate(messages):
        if clock() - hidden_at > VISIBILITY_SECONDS / 2:
            queue.hide(name, [*settled, *messages[number:]], VISIBILITY_SECONDS)
            hidden_at = clock()
        try:
            if _settle(catalogs, message, report):
                settled.append(message)
        except Exception as error:  # noqa: BLE001 - raised below, when the others are safe
            failures.append(error)
        if message.sent_at is not None:
            report.newest_sent_at = message.sent_at
    queue.delete(name, settled)
    if failures:
        raise failures[0]


def _settle(catalogs: "Sequence[FeedCatalog]", message: "Message", report: IntakeReport) -> bool:
    """Record what a message announces; True if the message may be deleted."""
    where = f"queue {catalogs[0].feed.source.queue}, message {message.message_id}"
    try:
        notification = parse_notification(message.body)
    except NotificationError as error:
        report.refused.append(f"{where}, delivery {message.receive_count}: {error}")
        return False
    report.ignored.update(notification.ignored)
    foreign: list[ArchiveRevision] = []
    feeds = [catalog.feed for catalog in catalogs]
    announced = [(one, _record_announced) for one in notification.revisions]
    announced += [(one, _record_restored) for one in notification.restored]
    for revision, record in announced:
        catalog = _owner(catalogs, revision)
        if catalog is not None:
            record(catalog, revision, report, message.message_id)
        elif is_beside_archives(feeds, revision):
            report.ignored[NO_ARCHIVE] += 1
        else:
            foreign.append(revision)
    report.refused += [f"{where}: {refusal(feeds, revision)}" for revision in foreign]
    return not foreign


def is_beside_archives(feeds: "Sequence[Feed]", revision: ArchiveRevision) -> bool:
    """Whether an object lies where a feed's archives do and has another suffix.

    S3 cannot leave such objects out where the suffix may be in any case, so they are no mistake.
    """
    return any(
        revision.bucket == feed.source.bucket and revision.key.startswith(feed.source.prefix)
        for feed in feeds
    )


def refusal(feeds: "Sequence[Feed]", revision: ArchiveRevision) -> str:
    """Why an announced object is none that these feeds read."""
    reads = ", ".join(
        f"feed {feed.name}: s3://{feed.source.bucket}/{feed.source.prefix}*{feed.source.suffix}"
        for feed in feeds
    )
    return (
        f"s3://{revision.bucket}/{revision.key} is nothing that the queue's feeds read ({reads}). "
        "It was not fetched; the message stays until it goes to the dead-letter queue."
    )


def _owner(catalogs: "Sequence[FeedCatalog]", revision: ArchiveRevision) -> "FeedCatalog | None":
    for catalog in catalogs:
        if catalog.feed.reads(revision.bucket, revision.key):
            return catalog
    return None


def _record_announced(
    catalog: "FeedCatalog", revision: ArchiveRevision, report: IntakeReport, message_id: str
) -> None:
    """Record a revision that is new; one on record, or older than that, changes nothing.

    So a message may come twice and in any order. The same content uploaded again is taken in
    again if its archive was retired or has failed, or a person has rolled back from it: anyone who
    uploads it asks for it.
    """
    known = catalog.latest_revision(revision.key)
    again = (
        known is not None
        and known.revision == revision.revision
        and (_is_back(catalog, revision, known) or _asks_again(catalog, revision, known))
    )
    on_record = known is not None and (
        known.revision == revision.revision or _is_late(revision, known)
    )
    if on_record and not again:
        report.unchanged += 1
        return
    if again:
        # First: once the archive is in the catalog, the same message would say nothing new.
        catalog.ask_replay(archive_partition_key(revision.key), revision.revision)
    catalog.record_arrival(revision, via="notification", message_id=message_id)
    report.recorded.append(revision.key)


def _record_restored(
    catalog: "FeedCatalog", revision: ArchiveRevision, report: IntakeReport, message_id: str
) -> None:
    """Have an archive processed that failed because it lay in Glacier, and can be read now.

    One that was never seen is recorded. What is delivered, waits by itself, or has other content by
    now is left as it is: who restores an archive may have other reasons.
    """
    known = catalog.latest_revision(revision.key)
    if known is not None and not (
        known.revision == revision.revision and _asks_again(catalog, revision, known)
    ):
        report.unchanged += 1
        return
    if known is not None:  # first, as in `_record_announced`
        catalog.ask_replay(archive_partition_key(revision.key), revision.revision, RESTORED)
        # Its sequencer stays: what was uploaded since, and is announced late, is newer.
        revision = replace(revision, sequencer=known.sequencer)
    catalog.record_arrival(revision, via="restore", message_id=message_id)
    report.recorded.append(revision.key)


def _is_back(catalog: "FeedCatalog", revision: ArchiveRevision, known: ArchiveRevision) -> bool:
    """Whether the content on record was uploaded again after its archive was retired."""
    return _is_late(known, revision) and not catalog.is_registered(
        archive_partition_key(revision.key)
    )


def _asks_again(catalog: "FeedCatalog", revision: ArchiveRevision, known: ArchiveRevision) -> bool:
    """Whether the content on record was uploaded again after it failed or was left out."""
    if (revision.sequencer is None) != (known.sequencer is None):
        # One of the two is from a listing: its time and that of the event differ a little.
        newer = _is_clearly_newer(revision.event_time, known)
    else:
        newer = _is_late(known, revision)
    if not newer:
        return False
    since = left_out_since(catalog, archive_partition_key(revision.key))
    return since is not None and (not since or _is_after(revision.event_time, since))


def _is_after(time: datetime | None, since: float) -> bool:
    return time is None or time.timestamp() > since


def _is_clearly_newer(time: datetime | None, known: ArchiveRevision) -> bool:
    """Whether a time is later than that of the revision on record by more than rounding."""
    return (
        time is not None
        and known.event_time is not None
        and time - known.event_time > SAME_UPLOAD_WITHIN
    )


def _is_late(revision: ArchiveRevision, known: ArchiveRevision) -> bool:
    """Whether a revision is older than the one on record and only arrives after it."""
    if revision.sequencer is not None and known.sequencer is not None:
        return revision.is_older_than(known.sequencer)
    if revision.event_time is None or known.event_time is None:
        return False
    # A listing has whole seconds, a notification has fractions.
    return revision.event_time < known.event_time.replace(microsecond=0)


def sweep(  # noqa: PLR0913 - one for each option of `rwt sweep`
    catalog: "FeedCatalog",
    objects: "ObjectStore",
    budget: Budget | None = None,
    *,
    start_after: str = "",
    since: datetime | None = None,
    dry_run: bool = False,
) -> IntakeReport:
    """Record what lies in the bucket and was never announced.

    Compares the objects under the feed's prefix with the catalog, a page at a time, by ETag.
    A lost notification, or a queue that forgot its messages, loses nothing while this runs. The
    content of an archive that failed, was retired or was rolled back from is recorded again, once,
    if it was uploaded again since.

    Args:
        catalog: where archives are recorded.
        objects: the bucket.
        budget: when to end early; None to go through everything.
        start_after: go on after this key.
        since: leave alone what was last modified before.
        dry_run: say what would be recorded, and record nothing.

    Returns:
        What was recorded, and where to go on (`next_after`).
    """
    report = IntakeReport(next_after=start_after)
    source = catalog.feed.source
    budget = budget or Budget()
    heads = objects.list(source.bucket, source.prefix, start_after=start_after)
    on_record = _OnRecord(set(catalog.archives()), left_out(catalog))
    while page := list(islice(heads, PAGE)):
        for head, again in _unrecorded(catalog, objects, page, since, report, on_record):
            report.full = budget.is_full(report)
            if report.full:
                return report
            if not dry_run:
                if again:  # first, as in `_record_announced`
                    catalog.ask_replay(archive_partition_key(head.key), head.etag)
                catalog.record_arrival(_revision_of(source.bucket, head), via="sweep")
            report.recorded.append(head.key)
            report.next_after = head.key
        report.next_after = page[-1].key
        if budget.is_spent():
            return report
    report.next_after = ""
    return report


@dataclass(frozen=True, slots=True)
class _OnRecord:
    """Partition keys when a sweep began: of all archives, and of those that are left out.

    `left_out` says since when; see `standing.left_out_since`.
    """

    registered: Container[str]
    left_out: Mapping[str, float]


def _unrecorded(  # noqa: PLR0913, PLR0917 - what a page is compared with, and how
    catalog: "FeedCatalog",
    objects: "ObjectStore",
    page: "Sequence[ObjectHead]",
    since: datetime | None,
    report: IntakeReport,
    when_begun: _OnRecord,
) -> "Iterator[tuple[ObjectHead, bool]]":
    """The archives of a page to record; true if the content is on record and is left out."""
    source = catalog.feed.source
    archives = [head for head in page if catalog.feed.reads(source.bucket, head.key)]
    report.ignored[NO_ARCHIVE] += len(page) - len(archives)
    on_record = catalog.arrivals_of(archive_partition_key(head.key) for head in archives)
    gone = {key: event for key, event in on_record.items() if key not in when_begun.registered}
    retired = catalog.retired(gone)
    lost = gone.keys() - retired.keys()  # arrived while its archive was retired
    lost = {key for key in lost if not catalog.is_registered(key)}  # nor since this sweep began
    on_record = {key: event for key, event in on_record.items() if key not in lost}
    for head in archives:
        known = on_record.get(archive_partition_key(head.key))
        older = since is not None and head.last_modified < since
        # What is on record may be newer than the listing: then the bucket is asked once more.
        now = head if known is None or older else _current(objects, source.bucket, head, known)
        if not older and now is not None and (known is None or known.revision != now.etag):
            yield now, False
            continue
        again, key = None, archive_partition_key(head.key)
        out = retired[key].timestamp if key in retired else when_begun.left_out.get(key)
        if not older and out is not None and _is_after(head.last_modified, out):
            again = _uploaded_again(catalog, objects, head, out)
        if again is None:
            report.unchanged += 1
        else:
            yield again, True


def _uploaded_again(
    catalog: "FeedCatalog", objects: "ObjectStore", listed: "ObjectHead", since: float
) -> "ObjectHead | None":
    """The object as it is now, if it is the content on record, uploaded again since this time."""
    known, key = catalog.latest_revision(listed.key), archive_partition_key(listed.key)
    out = left_out_since(catalog, key) if catalog.is_registered(key) else since
    if known is None or out is None or not _is_clearly_newer(listed.last_modified, known):
        return None
    try:
        now = objects.head(catalog.feed.source.bucket, listed.key)
    except ArchiveMissingError:
        return None  # removed since it was listed
    same = now.etag == known.revision and _is_clearly_newer(now.last_modified, known)
    return now if same and _is_after(now.last_modified, out) else None


def _current(
    objects: "ObjectStore", bucket: str, head: "ObjectHead", known: "Event"
) -> "ObjectHead | None":
    if known.revision == head.etag:
        return head
    try:
        return objects.head(bucket, head.key)
    except ArchiveMissingError:
        return None  # removed since it was listed


def _revision_of(bucket: str, head: "ObjectHead") -> ArchiveRevision:
    return ArchiveRevision(
        bucket=bucket,
        key=head.key,
        etag=head.etag,
        size=head.size,
        version_id=head.version_id,
        event_time=head.last_modified,
    )
