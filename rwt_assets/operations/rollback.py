"""A former delivery made current again, on the store and in the catalog.

What belongs here: the order of the two, and what the catalog is told. What does not: the switch
itself (`deliveries.py`). Dagster documentation: "Asset observations" and external events
(`report_runless_asset_event`), "Data versions".

An archive in work is refused, since what is under way would take the place of what a person chose.
The switch comes first. If the process dies before the event of it, the next call finds a delivery
that was rolled back and is not on record as such, and reports it. A run that was taken for lost, or
another person, may switch as well: so the document is looked at before and after the event, and
what the catalog says last is what is in place.
"""

from datetime import datetime
from typing import Any

import dagster as dg

from rwt_assets.catalog import AS_OF, FeedCatalog, is_failed
from rwt_assets.delivery import (
    ROLLED_BACK,
    current_delivery,
    is_named,
    read_former,
    refuse_missing,
    roll_back,
    take_back,
)
from rwt_assets.documents import Delivery, archive_partition_key
from rwt_assets.graph import described
from rwt_assets.orchestration.assets import DELIVERED_AT, data_version, document_metadata
from rwt_assets.orchestration.checks import document_evaluations
from rwt_assets.quarantine import count_delivered
from rwt_assets.runtime import ArchiveMissingError, DeliveryError, SupersededError
from rwt_assets.status import ArchiveFacts, locate
from rwt_assets.storage import ObjectStore
from rwt_assets.text import command

TRIES = 5  # others that switch at the same time


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
        SupersededError: the archive is in work or being retired, or another delivery was written
            meanwhile.
    """
    facts = _facts_at_rest(catalog, archive)
    current = current_delivery(store, catalog.feed.target, archive).delivery
    cut_short = current is not None and not _is_on_record(catalog, current)
    if current is not None and is_named(current, to) and (to or cut_short):
        _confirm(store, catalog, current)
    else:
        current = roll_back(store, catalog.feed.target, archive, to=to, now=now)
    if not _is_on_record(catalog, current):
        _put_on_record(catalog, store, current, facts)
    return current


def _facts_at_rest(catalog: FeedCatalog, archive: str) -> ArchiveFacts:
    """The facts of an archive, unless something is under way that will be delivered."""
    snapshot, key = catalog.snapshot(), archive_partition_key(archive)
    facts = snapshot.others.get(key) or snapshot.at_rest.get(key)
    where = f"s3://{catalog.feed.source.bucket}/{archive}"
    if facts is None:
        raise ArchiveMissingError(
            "the archive is not in the catalog",
            where=where,
            effect="Nothing was changed.",
            fix=f"See `{command('rwt trace', archive)}`.",
        )
    if facts.being_retired:
        raise SupersededError(
            "the archive is being retired",
            where=where,
            effect="Nothing was changed.",
            fix=f"To have it back, upload it again or run `{command('rwt replay', archive)}`.",
        )
    need = locate(facts).open_need
    under_way = facts.running.value + " it" if facts.running is not None else ""
    if not under_way and need is not None and not is_failed(catalog, facts):
        under_way = f"about to {need.step.value} it"
    if under_way:
        raise SupersededError(
            f"the archive is in work: a run is {under_way}, and what comes of it is delivered",
            where=where,
            effect="Nothing was changed.",
            fix=(
                f"Ask again when `{command('rwt trace', archive)}` says that it is delivered or "
                "failed; a run can be canceled in the UI."
            ),
        )
    return facts


def _confirm(store: ObjectStore, catalog: FeedCatalog, current: Delivery) -> None:
    """Check once more for the objects of a switch that was cut short; else take it back."""
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
    said = {} if event is None else {name: one.value for name, one in event.metadata.items()}
    wanted = delivery.delivered_at.isoformat(), delivery.generation
    return (said.get(DELIVERED_AT), said.get("generation")) == wanted


def _put_on_record(
    catalog: FeedCatalog, store: ObjectStore, switched: Delivery, facts: ArchiveFacts
) -> None:
    """Put a switch on record, and whatever has taken its place by then.

    The event stands for what these facts know of (`as_of`), and not for what came later. Of a
    document that a run has written meanwhile the event stands for nothing: so its account is taken
    once more, and the catalog says again what is delivered.

    Raises:
        SupersededError: another delivery was written meanwhile, or the archive was retired.
    """
    known = [facts.manifest.storage_id] if facts.manifest is not None else []
    known += [shard.enriched for shard in facts.shards if shard.enriched is not None]
    document, reported = switched, False
    for _ in range(TRIES):
        current = current_delivery(store, catalog.feed.target, switched.key).delivery
        if current is None:
            if reported:  # the event has made it seem to be there
                catalog.mark_retired(facts, keep_data=False)
            raise _meanwhile(catalog, switched, "the archive was retired")
        if current == document and reported:
            break
        if current != switched and not reported:
            break
        document, reported = current, True
        chosen = document.reason == ROLLED_BACK
        _report(catalog, document, max(known, default=1) if chosen else 1)
    if document != switched or not reported:
        raise _meanwhile(catalog, switched, "another delivery was written")


def _meanwhile(catalog: FeedCatalog, document: Delivery, what: str) -> SupersededError:
    return SupersededError(
        f"{what} meanwhile",
        where=f"s3://{catalog.feed.source.bucket}/{document.key}",
        effect="What is delivered is what came last.",
        fix=f"See `{command('rwt deliveries', document.key)}`.",
    )


def _report(catalog: FeedCatalog, document: Delivery, as_of: int) -> None:
    """Put on record what is current now; the event of the delivery last, since it is looked for."""
    for evaluation in document_evaluations(catalog.feed, document):
        catalog.instance.report_runless_asset_event(evaluation)
    name = document.generation or document.revision
    chosen = document.reason == ROLLED_BACK
    told = f"A person made the delivery {name} current again."
    catalog.instance.report_runless_asset_event(
        dg.AssetMaterialization(
            asset_key=catalog.graph.delivery,
            partition=archive_partition_key(document.key),
            metadata={**_metadata(catalog, document), AS_OF: as_of},
            description=described(told if chosen else f"The delivery {name} is the one in place."),
            tags={"dagster/data_version": data_version(document)},
        )
    )


def _metadata(catalog: FeedCatalog, document: Delivery) -> dict[str, Any]:
    return {
        **document_metadata(catalog, document),
        "members_quarantined": count_delivered(document).members,
        "bytes": sum(one.bytes for one in document.objects),
        "quarantine_ratio": document.rows_quarantined / max(document.rows_read, 1),
        **({"rolled_back": True} if document.reason == ROLLED_BACK else {}),
    }
