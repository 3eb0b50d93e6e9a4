"""Whether a run still works on what it began with: one that was taken for lost may end late.

What belongs here: giving up, and leaving nothing behind of an archive that was retired. What does
not: what is removed (`retirement.py`).
"""

from collections.abc import Iterable, Iterator
from contextlib import contextmanager

from rwt_assets.catalog import FeedCatalog
from rwt_assets.documents import archive_partition_key
from rwt_assets.retention import remove_late
from rwt_assets.runtime import SupersededError
from rwt_assets.storage import ObjectStore


def refuse_superseded(catalog: FeedCatalog, archive: str, revision: str) -> None:
    """Give up if a newer revision of an archive is on record, or the archive was retired.

    Args:
        catalog: of the feed.
        archive: object key.
        revision: that the run has worked on.

    Raises:
        SupersededError: another revision is the newest on record, or none is processed any more.
    """
    newest = catalog.latest_revision(archive)
    if newest is not None and newest.revision != revision:
        raise SupersededError(
            f"revision {newest.revision} of the archive has arrived meanwhile",
            where=f"s3://{newest.bucket}/{archive}, revision {revision}",
            effect="This run gave up without effect; what was delivered is as it was.",
            fix="Nothing to do: the newer revision is processed by itself.",
        )
    refuse_retired(catalog, archive)


def refuse_retired(catalog: FeedCatalog, archive: str) -> None:
    """Give up if an archive was retired, or is being retired.

    Raises:
        SupersededError: it was.
    """
    if _is_retired(catalog, archive):
        raise _retired(catalog, archive)


@contextmanager
def fenced(catalog: FeedCatalog, store: ObjectStore, archives: Iterable[str]) -> Iterator[None]:
    """Work on archives; if one was retired meanwhile, nothing of the work is left.

    Args:
        catalog: of the feed.
        store: where the work is written.
        archives: object keys.

    Raises:
        SupersededError: one was retired, or is being retired. What was written of it is removed,
            unless it was retired with its data.
    """
    try:
        yield
    except Exception as error:
        if gone := _remove_retired(catalog, store, archives):
            raise _retired(catalog, gone) from error
        raise
    if gone := _remove_retired(catalog, store, archives):
        raise _retired(catalog, gone)


def _remove_retired(catalog: FeedCatalog, store: ObjectStore, archives: Iterable[str]) -> str:
    """Remove what was written of those that were retired; one of them, "" if none was."""
    keys = {archive_partition_key(archive): archive for archive in archives}
    retired = catalog.retirements_of(set(keys)).keys() | keys.keys() - catalog.registered(set(keys))
    gone = [archive for key, archive in keys.items() if key in retired]
    for archive in gone:
        remove_late(catalog, store, archive)
    return gone[0] if gone else ""


def _is_retired(catalog: FeedCatalog, archive: str) -> bool:
    key = archive_partition_key(archive)
    return not catalog.is_registered(key) or catalog.retirement_of(key) is not None


def _retired(catalog: FeedCatalog, archive: str) -> SupersededError:
    return SupersededError(
        "the archive was retired meanwhile",
        where=f"s3://{catalog.feed.source.bucket}/{archive}",
        effect="This run gave up, and nothing of what it wrote is delivered.",
        fix="Nothing to do. To have the archive back, upload it again.",
    )
