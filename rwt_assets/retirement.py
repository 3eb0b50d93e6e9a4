"""Old archives taken out of the catalog, with what was written of them or without.

What belongs here: which archives are old, and the order in which they go. What does not: the
catalog (`catalog.py`) and when it is done (`schedules/retirement.py`, `rwt retire`).

Dagster recommends at most 100,000 partitions an asset (documentation: "Partitioning assets"),
so what is no longer looked at has to leave. The partner's ZIP is never touched, and Dagster
keeps the events.
"""

import re
from collections.abc import Iterator
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from typing import TYPE_CHECKING, Final

from rwt_assets.errors import FeedError
from rwt_assets.layout import Layout
from rwt_assets.partitions import parse_archive_partition_key
from rwt_assets.progress import ArchiveFacts, Stage, locate
from rwt_assets.schema_history import forget_archive

if TYPE_CHECKING:
    from rwt_assets.catalog import FeedCatalog
    from rwt_assets.object_store import ObjectStore

AGE: Final = re.compile(r"([0-9]+)([dhw])")
MEANWHILE: Final = "something new came in for it, or a run is at work on it"
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
        FeedError: it is none.
    """
    found = AGE.fullmatch(text.strip())
    if found is None:
        raise FeedError(
            f"{text!r} is no age",
            remedy="Give a number with d, h or w for days, hours or weeks, such as 30d.",
        )
    return timedelta(hours=int(found[1]) * HOURS[found[2]])


def is_old(facts: ArchiveFacts, before: float) -> bool:
    """Whether an archive may go: delivered, at rest, and not since this time (since 1970).

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
    """The archives of a feed that were delivered longer ago than this."""
    before = ((now or datetime.now(UTC)) - age).timestamp()
    return [facts for facts in catalog.facts() if is_old(facts, before)]


def retire(
    catalog: "FeedCatalog", store: "ObjectStore", old: list[ArchiveFacts], *, keep_data: bool
) -> Iterator[Retired]:
    """Take archives out of the catalog, one after the other.

    That an archive is retired is on record first. Then its data go, the delivery that names them
    before the rest, and the catalog last: what is cut short is still old, and the next time
    finishes it. Many archives take long, so each is looked at again before anything of it goes: a
    revision that arrived since, a replay that was asked for, a run at work or a backfill under way
    keeps it.

    Args:
        catalog: of the feed.
        store: where what was written lies.
        old: see `find_old`.
        keep_data: leave what was written; only the catalog forgets it.
    """
    for facts in old:
        key = facts.partition_key
        if backfill := catalog.backfill_under_way():
            yield Retired(key, 0, 0, f"backfill {backfill} is under way")
            continue
        if not catalog.is_untouched(facts):
            yield Retired(key, 0, 0, MEANWHILE)
            continue
        catalog.mark_retired(facts)
        removed = 0 if keep_data else _remove(catalog, store, facts)
        if catalog.retire_archive(facts):
            yield Retired(key, len(facts.shards), removed)
        else:
            yield Retired(key, 0, removed, MEANWHILE)


def _remove(catalog: "FeedCatalog", store: "ObjectStore", facts: ArchiveFacts) -> int:
    """Remove what was written of an archive, of all its revisions and generations.

    Schemas that came with it are in force for others: they stay and no longer say whence they came,
    unless no other archive is left. How many objects were removed, without documents.

    It stops where something has happened to the archive since. A revision is on record before
    anything of it is written, so what was listed before a look that finds none is not its own.
    """
    feed = catalog.feed
    archive, bucket = parse_archive_partition_key(facts.partition_key), feed.target.bucket
    layout = Layout(feed.target.prefix)
    if not catalog.is_untouched(facts):
        return 0
    store.delete(bucket, [layout.delivery(archive)])
    removed = 0
    old = layout.old_folders(archive, store.folders(bucket, layout.old_members()))
    for folder in (*layout.folders(archive), *old):
        keys = [head.key for head in store.list(bucket, folder)]
        if not catalog.is_untouched(facts):
            return removed
        store.delete(bucket, keys)
        removed += len(keys)
    if catalog.is_untouched(facts):
        others = any(key != facts.partition_key for key in catalog.archives())
        forget_archive(store, feed.target, archive, others=others)
        store.delete(bucket, [layout.manifest(archive)])
    return removed
