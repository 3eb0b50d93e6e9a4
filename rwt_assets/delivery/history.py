"""The deliveries of an archive, the current one and those before it, and whether they still stand.

What belongs here: the list. What does not: switching between them (`deliveries.py`) and removing
what they named (`collection.py`).
"""

from collections.abc import Sequence
from dataclasses import dataclass
from datetime import datetime
from typing import Literal

from rwt_assets.delivery.deliveries import current_delivery, expires_at, never_delivered
from rwt_assets.feed import Feed
from rwt_assets.runtime import ArchiveMissingError
from rwt_assets.storage import ObjectHead, ObjectStore

State = Literal["current", "kept", "collected"]


@dataclass(frozen=True, slots=True)
class PastDelivery:
    """One delivery of an archive.

    `generation` is "" for those of versions before generations. `replaced_at` is None for the
    current one. The objects of one that is kept stand until `kept_until` at least.
    """

    generation: str
    revision: str
    delivered_at: datetime
    replaced_at: datetime | None
    rows_read: int
    rows_enriched: int
    rows_quarantined: int
    reason: str
    state: State
    kept_until: datetime | None = None


def delivery_history(store: ObjectStore, feed: Feed, archive: str) -> Sequence[PastDelivery]:
    """All deliveries of an archive that are on record, the newest first.

    Args:
        store: where deliveries lie.
        feed: whose they are.
        archive: object key.

    Raises:
        ArchiveMissingError: it was never delivered.
    """
    target = feed.target
    current = current_delivery(store, target, archive).delivery
    if current is None:
        raise never_delivered(target, archive)
    history = [
        PastDelivery(
            generation=current.generation,
            revision=current.revision,
            delivered_at=current.delivered_at,
            replaced_at=None,
            rows_read=current.rows_read,
            rows_enriched=current.rows_enriched,
            rows_quarantined=current.rows_quarantined,
            reason=current.reason,
            state="current",
        )
    ]
    for former in current.former:
        # Collection removes the document before the objects.
        document = _head(store, target.bucket, former.document)
        until = None if document is None else expires_at(document, feed.keep_former_hours)
        history.append(
            PastDelivery(
                generation=former.generation,
                revision=former.revision,
                delivered_at=former.delivered_at,
                replaced_at=former.replaced_at,
                rows_read=former.rows_read,
                rows_enriched=former.rows_enriched,
                rows_quarantined=former.rows_quarantined,
                reason=former.reason,
                state="collected" if document is None else "kept",
                kept_until=until,
            )
        )
    return history


def _head(store: ObjectStore, bucket: str, key: str) -> ObjectHead | None:
    try:
        return store.head(bucket, key)
    except ArchiveMissingError:
        return None
