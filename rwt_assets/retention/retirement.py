"""Old archives taken out of the catalog, with what was written of them or without.

What belongs here: which archives are old, and the order in which they go. What does not: the
catalog (`catalog.py`) and when it is done (`retirement.py`, `rwt retire`).

Dagster recommends at most 100,000 partitions an asset (documentation: "Partitioning assets"),
so what is no longer looked at has to leave. The partner's ZIP is never touched, and Dagster
keeps the events.
"""

import re
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from typing import TYPE_CHECKING, Final

from rwt_assets.documents import (
    Layout,
    archive_partition_key,
    forget_archive,
    parse_archive_partition_key,
    remove_document,
    write_document,
)
from rwt_assets.feed import HOURS_AT_MOST
from rwt_assets.runtime import ArchiveMissingError, FeedError
from rwt_assets.status import ArchiveFacts, Stage, locate

if TYPE_CHECKING:
    from rwt_assets.catalog import FeedCatalog
    from rwt_assets.feed import Target
    from rwt_assets.storage import ObjectStore

AGE: Final = re.compile(r"([0-9]+)([dhw])")
MEANWHILE: Final = "something new came in for it, or a run is at work on it"
DIGITS: Final = 12  # more than any age that is taken has
HOURS: Final = {"h": 1, "d": 24, "w": 24 * 7}


@dataclass(frozen=True, slots=True)
class Retired:
    """What became of one archive: it is gone, unless something says why it was left."""

    partition_key: str
    shards: int
    objects: int
    left: str = ""

    def __str__(self) -> str:
        if self.left:
            return f"left {self.partition_key}: {self.left}"
        return f"retired {self.partition_key}, {self.shards} shards, {self.objects} objects removed"


def parse_age(text: str) -> timedelta:
    """An age such as `30d`, `12h` or `8w`.

    Raises:
        FeedError: it is none, or longer than a hundred years.
    """
    found = AGE.fullmatch(text.strip())
    if found is None:
        raise FeedError(
            f"{text!r} is no age",
            fix="Give a number with d, h or w for days, hours or weeks, such as 30d.",
        )
    hours = int(found[1].lstrip("0")[:DIGITS] or 0) * HOURS[found[2]]
    if hours > HOURS_AT_MOST:
        raise FeedError(
            f"{text!r} is more than a hundred years",
            fix="Give a shorter age, such as 30d.",
        )
    return timedelta(hours=hours)


def is_old(facts: ArchiveFacts, before: float) -> bool:
    """Whether an archive may go: delivered, settled, and not since this time (since 1970).

    One that waits or failed is never old: nobody has had anything of it yet.
    """
    position = locate(facts)
    return (
        facts.delivery is not None
        and position.stage is Stage.DELIVERED
        and position.open_need is None
        and facts.running is None
        and facts.delivery.timestamp < before
    )


def find_old(
    catalog: "FeedCatalog", age: timedelta, *, now: datetime | None = None
) -> list[ArchiveFacts]:
    """The archives of a feed that were delivered longer ago than this.

    Those come first that somebody began to retire and did not finish, however young they are.
    """
    before = ((now or datetime.now(UTC)) - age).timestamp()
    begun = find_begun(catalog)
    known = {facts.partition_key for facts in begun}
    old = (facts for facts in catalog.facts() if facts.partition_key not in known)
    return [*begun, *(facts for facts in old if is_old(facts, before))]


def find_begun(catalog: "FeedCatalog") -> list[ArchiveFacts]:
    """The archives of a feed that somebody began to retire and did not finish."""
    return [facts for facts in catalog.open_facts() if _is_begun(facts)]


def _is_begun(facts: ArchiveFacts) -> bool:
    if facts.arrived is None or facts.manifest is None or facts.replay_asked:
        return False
    split = facts.manifest.revision == facts.arrived.revision
    return facts.being_retired and facts.delivered and split


def retire(
    catalog: "FeedCatalog", store: "ObjectStore", old: list[ArchiveFacts], *, keep_data: bool
) -> Iterator[Retired]:
    """Take archives out of the catalog, one after the other.

    That an archive is retired is on record first: from then on a late run gives up, nobody rolls
    back, and what is cut short is known to be. Then its data go, the delivery that names them
    before the rest and only as it was seen, and the catalog last. Many archives take long, so each
    is looked at again before anything of it goes: a revision that arrived since, a replay that was
    asked for, a rollback, a run at work or a backfill under way keeps it.

    Args:
        catalog: of the feed.
        store: where what was written lies.
        old: see `find_old`.
        keep_data: leave what was written; only the catalog forgets it. Of an archive that somebody
            began to retire, they have said it.
    """
    target = catalog.feed.target
    for facts in old:
        key = facts.partition_key
        if backfill := catalog.backfill_under_way():
            yield Retired(key, 0, 0, f"backfill {backfill} is under way")
            continue
        seen = _delivery(store, target, parse_archive_partition_key(key))
        if not catalog.is_untouched(facts):
            yield Retired(key, 0, 0, MEANWHILE)
            continue
        keeps = keep_data
        if facts.retired is not None and _is_begun(facts):
            keeps = bool(facts.retired.keeps_data)
        catalog.mark_retired(facts, keep_data=keeps)
        removed = 0 if keeps else _remove(catalog, store, facts, seen)
        if removed is not None and catalog.retire_archive(facts):
            yield Retired(key, len(facts.shards), removed)
            continue
        if keeps or removed is None:  # nothing has gone
            catalog.withdraw_retirement(facts)
        yield Retired(key, 0, removed or 0, MEANWHILE)


def remove_late(catalog: "FeedCatalog", store: "ObjectStore", archive: str) -> None:
    """Remove what a run that was taken for lost has written of an archive after it was retired.

    Nothing goes if the archive has come in again, and only its shards in the catalog if it was
    retired with its data.

    Args:
        catalog: of the feed.
        store: where it was written.
        archive: object key.
    """
    key, target = archive_partition_key(archive), catalog.feed.target
    retired = catalog.retirement_of(key)
    if retired is None:
        return
    if not retired.keeps_data:
        seen = _delivery(store, target, archive)
        if seen is not None and catalog.retirement_of(key) is not None:
            delivery = Layout(target.prefix).delivery(archive)
            remove_document(store, target.bucket, delivery, etag=seen[1])
        _remove_objects(catalog, store, archive, lambda: catalog.retirement_of(key) is not None)
    if not catalog.is_registered(key):
        catalog.retire_shards(catalog.shards_of(archive))


def _delivery(store: "ObjectStore", target: "Target", archive: str) -> tuple[bytes, str] | None:
    """The document in place and its ETag; None if there is none."""
    try:
        return store.read_tagged(target.bucket, Layout(target.prefix).delivery(archive))
    except ArchiveMissingError:
        return None


def _remove(
    catalog: "FeedCatalog",
    store: "ObjectStore",
    facts: ArchiveFacts,
    seen: tuple[bytes, str] | None,
) -> int | None:
    """Remove what was written of an archive, of all its revisions and generations.

    The delivery goes only if it is the one that was `seen` before the last look, and is put back
    if something has happened to the archive by then, since nothing else has gone yet.

    Returns:
        How many objects were removed, without documents; None if the delivery stays.
    """
    archive, target = parse_archive_partition_key(facts.partition_key), catalog.feed.target
    if not catalog.is_untouched(facts):
        return None
    if seen is not None:
        (body, etag), key = seen, Layout(target.prefix).delivery(archive)
        if not remove_document(store, target.bucket, key, etag=etag):
            return None
        if not catalog.is_untouched(facts):
            write_document(store, target.bucket, key, body, replaces="")
            return None
    return _remove_objects(catalog, store, archive, lambda: catalog.is_untouched(facts))


def _remove_objects(
    catalog: "FeedCatalog", store: "ObjectStore", archive: str, is_gone: Callable[[], bool]
) -> int:
    """Remove what lies in the folders of an archive, then its manifest.

    Schemas that came with it are in force for others: they stay and no longer say whence they came,
    unless no other archive is left. How many objects were removed, without documents.

    It stops where something has happened to the archive since. A revision is on record before
    anything of it is written, so what was listed before a look that finds none is not its own.
    """
    feed = catalog.feed
    layout, bucket = Layout(feed.target.prefix), feed.target.bucket
    removed = 0
    old = layout.old_folders(archive, store.folders(bucket, layout.old_members()))
    for folder in (*layout.folders(archive), *old):
        keys = [head.key for head in store.list(bucket, folder)]
        if not is_gone():
            return removed
        store.delete(bucket, keys)
        removed += len(keys)
    if is_gone():
        partition = archive_partition_key(archive)
        others = any(key != partition for key in catalog.archives())
        forget_archive(store, feed.target, archive, others=others)
        store.delete(bucket, [layout.manifest(archive)])
    return removed
