"""A former delivery made current again, on the store and in the catalog.

What belongs here: the order of the two, and what the catalog is told. What does not: the switch
itself (`deliveries.py`). Dagster documentation: "Asset observations" and external events
(`report_runless_asset_event`), "Data versions".

The switch comes first. If the process dies before the event of it, the next call finds a delivery
that was rolled back and is not on record as such, and reports it.
"""

from datetime import datetime
from typing import Any

import dagster as dg

from rwt_assets.assets.checks import document_evaluations
from rwt_assets.assets.delivery import data_version, document_metadata
from rwt_assets.catalog import AS_OF, FeedCatalog
from rwt_assets.deliveries import (
    ROLLED_BACK,
    current_delivery,
    is_named,
    read_former,
    refuse_missing,
    roll_back,
    take_back,
)
from rwt_assets.errors import ArchiveMissingError, DeliveryError, SupersededError
from rwt_assets.manifest import Delivery
from rwt_assets.object_store import ObjectStore
from rwt_assets.partitions import archive_partition_key
from rwt_assets.quarantine import count_delivered

DELIVERED_AT = "delivered_at"


def make_current_again(
    catalog: FeedCatalog, store: ObjectStore, archive: str, *, to: str = "", now: datetime
) -> Delivery:
    """Make a former delivery current, and put that on record.

    Dispatch leaves it alone until a newer revision, a replay or another enrichment of its shards.

    Args:
        catalog: of the feed.
        store: where deliveries lie.
        archive: object key.
        to: see `deliveries.roll_back`. Without it, a call that was cut short is finished.
        now: when this is asked.

    Returns:
        The delivery that is current now.

    Raises:
        ArchiveMissingError: the archive is not in the catalog, or was never delivered.
        DeliveryError: there is no such former delivery, or its objects are not there any more.
        SupersededError: a run is at work on the archive, or another delivery was written meanwhile.
    """
    as_of = catalog.newest_event()
    _refuse_in_work(catalog, archive)
    current = current_delivery(store, catalog.feed.target, archive).delivery
    cut_short = current is not None and not _is_on_record(catalog, current)
    if current is not None and is_named(current, to) and (to or cut_short):
        _confirm(store, catalog, current)
    else:
        current = roll_back(store, catalog.feed.target, archive, to=to, now=now)
    if not _is_on_record(catalog, current):
        _report(catalog, current, as_of)
    return current


def _refuse_in_work(catalog: FeedCatalog, archive: str) -> None:
    look, key = catalog.look(), archive_partition_key(archive)
    facts = look.others.get(key) or look.at_rest.get(key)
    where = f"s3://{catalog.feed.source.bucket}/{archive}"
    if facts is None:
        raise ArchiveMissingError(
            "the archive is not in the catalog",
            where=where,
            fate="Nothing was changed.",
            remedy=f"See `rwt trace {archive}`.",
        )
    if facts.running is not None:
        raise SupersededError(
            f"a run is {facts.running.value} the archive, which will deliver it anew",
            where=where,
            fate="Nothing was changed.",
            remedy="Wait until it has ended, or cancel it in the UI; then ask again.",
        )


def _confirm(store: ObjectStore, catalog: FeedCatalog, current: Delivery) -> None:
    """Look once more for the objects of a switch that was cut short; else take it back."""
    target = catalog.feed.target
    try:
        refuse_missing(store, target, current)
    except DeliveryError:
        if current.former and current.reason == ROLLED_BACK:
            before, *older = current.former
            document = read_former(store, target, before)
            again = document.model_copy(update={"former": tuple(older)})
            take_back(store, target, current, again)
        raise


def _is_on_record(catalog: FeedCatalog, delivery: Delivery) -> bool:
    """Whether the catalog knows that this delivery is current, if a person has made it so."""
    if delivery.reason != ROLLED_BACK:
        return True
    found = catalog.instance.fetch_materializations(
        dg.AssetRecordsFilter(
            asset_key=catalog.graph.delivery,
            asset_partitions=[archive_partition_key(delivery.key)],
        ),
        limit=1,
    ).records
    event = found[0].asset_materialization if found else None
    said = None if event is None else event.metadata.get(DELIVERED_AT)
    return said is not None and said.value == delivery.delivered_at.isoformat()


def _report(catalog: FeedCatalog, document: Delivery, as_of: int) -> None:
    """Put on record what is current now; the event of the delivery last, since it is looked for.

    It stands for what was on record before the switch (`as_of`), and not for what came later.
    """
    for evaluation in document_evaluations(catalog.feed, document):
        catalog.instance.report_runless_asset_event(evaluation)
    name = document.generation or document.revision
    catalog.instance.report_runless_asset_event(
        dg.AssetMaterialization(
            asset_key=catalog.graph.delivery,
            partition=archive_partition_key(document.key),
            metadata={**_metadata(catalog, document), AS_OF: as_of},
            description=f"A person made the delivery {name} current again.",
            tags={"dagster/data_version": data_version(document)},
        )
    )


def _metadata(catalog: FeedCatalog, document: Delivery) -> dict[str, Any]:
    return {
        **document_metadata(catalog, document),
        "members_quarantined": count_delivered(document).members,
        "bytes": sum(one.bytes for one in document.objects),
        "quarantine_ratio": document.rows_quarantined / max(document.rows_read, 1),
        "rolled_back": True,
        DELIVERED_AT: document.delivered_at.isoformat(),
    }
