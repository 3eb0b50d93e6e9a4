"""Asset `delivery`: the archive as a whole, reconciled; what a consumer waits for.

What belongs here: what Dagster is told of it. What does not: the account (`reconciliation.py`)
and what was quarantined (`quarantine.py`). Dagster documentation: "Asset checks".
"""

from collections.abc import Sequence
from contextlib import suppress
from datetime import UTC, datetime
from itertools import takewhile
from time import monotonic
from typing import TYPE_CHECKING, Any

import dagster as dg

from rwt_assets.catalog import AS_OF, FeedCatalog, archive_page
from rwt_assets.delivery import (
    UNREADABLE,
    Account,
    Finding,
    Stored,
    confirm_switch,
    delivery_report,
    delivery_to_replace,
    make_delivery,
    reason_for,
    switch_delivery,
    take_account,
)
from rwt_assets.documents import (
    ArchiveManifest,
    Delivery,
    Generation,
    Layout,
    archive_partition_key,
    damaged,
    enrichment_version,
    generation_of,
    parse_archive_partition_key,
)
from rwt_assets.feed import Feed, accesses
from rwt_assets.graph import FeedGraph, markdown_metadata
from rwt_assets.orchestration.checks import (
    QUARANTINE_WITHIN_TOLERANCE,
    RECONCILED,
    CopyRows,
    completeness_check_specs,
    completeness_evaluations,
    completeness_results,
    delivery_check_specs,
    delivery_results,
    evaluation_of,
    find_unexpected,
    refuse_incomplete,
    volume_check_spec,
    volume_result,
)
from rwt_assets.orchestration.steps import (
    EnrichedShardIOManager,
    ShardPlace,
    code_changed,
    explained,
    fenced,
    fit_errors,
    lineage_only,
    refuse_superseded,
)
from rwt_assets.quarantine import (
    SAMPLE,
    Breach,
    breaches,
    is_as_written,
    quarantine_report,
    read_entries,
)
from rwt_assets.resources import ObjectStoreResource, page_of
from rwt_assets.retention import YOUNG_AT_LEAST
from rwt_assets.runtime import ArchiveMissingError, DeliveryError, SupersededError, ToleranceError
from rwt_assets.shard import manifest_etag, read_tagged_manifest
from rwt_assets.storage import ObjectStore
from rwt_assets.text import SafeMarkdown, command, decoration

if TYPE_CHECKING:
    from rwt_assets.contract import QuarantineEntry

DELIVERY_VERSION = "1"
HEALED = "heal"
HEALED_AT_MOST = 10  # times in a row
DELIVERED_AT = "delivered_at"


def delivery_asset(feed: Feed) -> dg.AssetsDefinition:
    """Reads what was written, adds it up and, only if it adds up, names it for consumers."""
    graph = FeedGraph(feed.name)

    @dg.asset(
        key=graph.delivery,
        deps=[lineage_only(graph.enriched_shard)],
        partitions_def=graph.zip_archives,
        check_specs=[
            *delivery_check_specs(feed),
            *completeness_check_specs(feed),
            volume_check_spec(feed),
        ],
        group_name=feed.name,
        owners=[*feed.owners],
        tags=feed.tags,
        pool=feed.pool,
        kinds={"s3", "json"},
        code_version=DELIVERY_VERSION,
        automation_condition=code_changed(),
        description=(
            "One revision of an archive, reconciled: a document that names exactly the Parquet "
            "objects that belong to it. It is written last and replaced as a whole; what it names "
            "is never changed."
        ),
    )
    @fit_errors()
    def delivery(
        context: dg.AssetExecutionContext,
        object_store: ObjectStoreResource,
        enriched_shards: dg.ResourceParam[EnrichedShardIOManager],
    ) -> dg.MaterializeResult:  # type: ignore[type-arg]
        began = monotonic()
        store, catalog = (
            object_store.objects_at(accesses(feed)),
            FeedCatalog(context.instance, feed),
        )
        archive = parse_archive_partition_key(context.partition_key)
        with explained(context, catalog), fenced(catalog, store, [archive]):
            as_of = catalog.newest_event()
            shards = enriched_shards.of(ShardPlace.of_feed(feed))
            account, found, document = deliver_newest_split(
                catalog,
                store,
                archive,
                shards.stored,
                shards.copy_rows,
                run_id=context.run.run_id,
            )
        volume, figures = volume_result(catalog, account)
        return dg.MaterializeResult(
            metadata={
                **figures,
                **_metadata(catalog, store, account, document, monotonic() - began),
                AS_OF: as_of,
            },
            check_results=[
                *delivery_results(feed, account),
                *completeness_results(feed, found),
                volume,
            ],
            data_version=dg.DataVersion(data_version(document)),
        )

    return delivery


def deliver_newest_split(  # noqa: PLR0913 - each says one thing about the work
    catalog: FeedCatalog,
    store: ObjectStore,
    archive: str,
    stored: Stored,
    copy_rows: CopyRows,
    *,
    run_id: str = "",
) -> tuple[Account, Sequence[Finding], Delivery]:
    """Take the account of an archive's newest split and, if it adds up, make it the delivery.

    Args:
        catalog: of the feed.
        store: where documents lie.
        archive: object key.
        stored: what is kept of a shard; see `reconciliation.take_account`.
        copy_rows: writes what is kept to a file; see `completeness_checks.find_unexpected`.
        run_id: of the run that does this. One that was taken for lost meanwhile, or of a split of
            long ago, looks after its switch whether its objects are still there.

    Returns:
        The account, what of the archive is not as expected, and the document that is in place now.

    Raises:
        DeliveryError: the account does not add up. Shards without an object are reported again.
        ToleranceError: more is quarantined than the feed tolerates.
        ShardDamagedError: what was quarantined by the split is not there as it was written.
        IncompleteError: the archive is not as expected, and the feed does not let it through.
        SupersededError: a newer revision arrived, or another split or delivery has ended meanwhile,
            or objects of this one were collected.
    """
    feed = catalog.feed
    before = delivery_to_replace(store, feed.target, archive)
    manifest, etag = read_tagged_manifest(store, feed.target, archive)
    refuse_stale_manifest(catalog, manifest)
    generation = generation_of(manifest, enrichment_version(feed))
    account = take_account(manifest, generation, stored)
    if not account.reconciled:
        _report_failed(catalog, RECONCILED, account)
        report_missing_again(catalog, account)
        raise does_not_reconcile(account)
    refuse_damaged_quarantine(store, feed, manifest)
    if beyond := breaches(account.set_aside, feed.tolerance):
        _report_failed(catalog, QUARANTINE_WITHIN_TOLERANCE, account)
        raise not_tolerated(account, beyond)
    found = find_unexpected(feed, account, copy_rows)
    _report_unexpected(catalog, archive, found)
    refuse_incomplete(account, found)
    refuse_superseded(catalog, archive, manifest.revision)
    if manifest_etag(store, feed.target, archive) != etag:
        raise split_meanwhile(manifest)
    reason = reason_for(before.delivery, manifest, generation.name)
    if before.etag and before.delivery is None:
        reason = UNREADABLE
    document = make_delivery(
        account, datetime.now(UTC), reason=reason, warnings=[str(one) for one in found]
    )
    switched = switch_delivery(store, feed.target, before, document)
    if not _is_under_way(catalog, run_id) or _was_split_long_ago(catalog, archive):
        confirm_switch(store, feed.target, before, switched)
    return account, found, switched


def _was_split_long_ago(catalog: FeedCatalog, archive: str) -> bool:
    """Whether objects of the newest split may be so old that a collection has begun to remove them.

    It may have begun before the run, such as while the declaration was another for a while.
    """
    key = archive_partition_key(archive)
    split = catalog.latest_events(catalog.graph.archive_manifest, {key}).get(key)
    known_since = split.timestamp if split is not None else 0.0
    return datetime.now(UTC).timestamp() - known_since > YOUNG_AT_LEAST.total_seconds() / 2


def _is_under_way(catalog: FeedCatalog, run_id: str) -> bool:
    """Whether Dagster takes a run for one that is at work: nothing is collected of its archive."""
    run = catalog.instance.get_run_by_id(run_id) if run_id else None
    return run is not None and not run.is_finished


def refuse_damaged_quarantine(store: ObjectStore, feed: Feed, manifest: ArchiveManifest) -> None:
    """Check whether what was quarantined when the archive was split lies as it was written.

    Raises:
        ShardDamagedError: it does not; another split makes it again under another key.
    """
    for key in manifest.quarantine_keys:
        if not is_as_written(store, feed.target.bucket, key):
            error = damaged(feed.target.bucket, key, "it is gone, cut or another")
            error.archive = manifest.key
            raise error


def refuse_stale_manifest(catalog: FeedCatalog, manifest: ArchiveManifest) -> None:
    """Refuse a manifest that is not of the newest arrival.

    If the catalog has the newest revision as split already, the manifest in place is not the one
    that the split wrote: then a split is asked for.

    Raises:
        SupersededError: it is of another revision.
    """
    newest = catalog.latest_revision(manifest.key)
    if newest is None or newest.revision == manifest.revision:
        return
    key = archive_partition_key(manifest.key)
    split = catalog.latest_events(catalog.graph.archive_manifest, {key}).get(key)
    if split is not None and split.revision == newest.revision:
        catalog.ask_split_again(manifest.key, "its manifest is of an older revision")
    refuse_superseded(catalog, manifest.key, manifest.revision)


def split_meanwhile(manifest: ArchiveManifest) -> SupersededError:
    """The error of a delivery whose archive was split again while its account was taken."""
    return SupersededError(
        "the archive was split again meanwhile",
        where=f"s3://{manifest.bucket}/{manifest.key}, revision {manifest.revision}",
        effect="This run gave up without effect; what was delivered is as it was.",
        fix="Nothing to do: the newer split is delivered by itself.",
    )


def report_missing_again(catalog: FeedCatalog, account: Account) -> None:
    """Report shards that are not stored in this generation again, so that they are made.

    They can be missing where a person split the archive while its shards were being enriched, or
    where the declaration changed between enriching and delivering.
    """
    key = archive_partition_key(account.manifest.key)
    delivered = catalog.latest_ids(catalog.graph.delivery, {key}).get(key, 0)
    missing = [
        shard
        for shard in account.missing
        if _may_be_healed(catalog, shard, account.generation, delivered)
    ]
    catalog.report_shards(account.manifest, only=missing, via=_healing(account.generation))


def _healing(generation: Generation) -> str:
    return f"{HEALED} {generation.name}"


def _may_be_healed(
    catalog: FeedCatalog, shard: str, generation: Generation, delivered: int
) -> bool:
    """Whether it can help to report a shard again, and that has not been done too often.

    It was made by this declaration since it was reported for it: then it will be missing again.
    It was made by another: then the declaration changed there and back meanwhile. Should that
    never end, as where two versions of a declaration run side by side, `HEALED_AT_MOST` reports
    follow one another; a split, a delivery and a report by a person begin a new count.
    """
    reports = catalog.reports_of(shard, after=delivered, at_most=HEALED_AT_MOST)
    row = list(takewhile(lambda report: report[1].partition(" ")[0] == HEALED, reports))
    if len(row) == HEALED_AT_MOST:
        return False
    if not row or row[0][1] != _healing(generation):
        return True
    made_by = catalog.enriched_by(shard, after=row[0][0])
    return made_by is not None and made_by != enrichment_version(catalog.feed)


def does_not_reconcile(account: Account) -> DeliveryError:
    """The error of an account that does not add up."""
    manifest = account.manifest
    sample = ", ".join(account.missing[:5])
    lacking = f"; {len(account.missing)} shards have no Parquet: {sample}" if sample else ""
    return DeliveryError(
        f"{manifest.rows_read} rows were read, {account.rows_enriched} enriched and "
        f"{account.rows_quarantined} quarantined{lacking}",
        where=f"s3://{manifest.bucket}/{manifest.key}, revision {manifest.revision}",
        effect="No delivery was written; the one before, if any, is as it was.",
        fix="Shards without Parquet are asked for again; else materialize archive_manifest.",
    )


def not_tolerated(account: Account, beyond: Sequence[Breach]) -> ToleranceError:
    """The error of an account with more in quarantine than the feed tolerates."""
    manifest, found = account.manifest, account.set_aside
    settings = " or ".join(breach.setting for breach in beyond)
    return ToleranceError(
        f"{found.rows} of {found.rows_read} rows and {found.members} of {found.members_read} "
        f"members are quarantined: {'; '.join(map(str, beyond))}",
        where=f"s3://{manifest.bucket}/{manifest.key}, revision {manifest.revision}",
        effect="No delivery was written; the one before, if any, is as it was.",
        fix=(
            f"See `{command('rwt quarantine list --archive', manifest.key)}`; fix the feed and "
            f"run `{command('rwt quarantine replay --archive', manifest.key)}`, or raise "
            f"{settings} of the feed and run `{command('rwt retry', manifest.key)}`."
        ),
    )


def _report_failed(catalog: FeedCatalog, check_name: str, account: Account) -> None:
    """Report a check that fails the run, since a run that raises has no results of its own."""
    partition_key = archive_partition_key(account.manifest.key)
    results = delivery_results(catalog.feed, account)
    result = next(one for one in results if one.check_name == check_name)
    catalog.instance.report_runless_asset_event(evaluation_of(catalog.feed, result, partition_key))


def _report_unexpected(catalog: FeedCatalog, archive: str, found: Sequence[Finding]) -> None:
    """Report the checks of an archive that is not delivered: then the run has no results."""
    if any(one.severity == "fail" for one in found):
        for one in completeness_evaluations(catalog.feed, found, archive_partition_key(archive)):
            catalog.instance.report_runless_asset_event(one)


def _set_aside_metadata(store: ObjectStore, feed: Feed, account: Account) -> dict[str, Any]:
    """What was quarantined, with the reasons of a few entries: one small read, if anything was."""
    found = account.set_aside
    if not found.anything:
        return {}
    return {"quarantine": markdown_metadata(decoration(_quarantine, store, feed, account))}


def _quarantine(store: ObjectStore, feed: Feed, account: Account) -> SafeMarkdown:
    sample: list[QuarantineEntry] = []
    with suppress(ArchiveMissingError):  # an IO manager in memory may keep it nowhere
        sample = read_entries(store, feed.target.bucket, account.quarantine_keys[:1], limit=SAMPLE)
    return quarantine_report(account.set_aside, sample)


def _metadata(
    catalog: FeedCatalog, store: ObjectStore, account: Account, document: Delivery, seconds: float
) -> dict[str, Any]:
    feed = catalog.feed
    arrived = catalog.latest_revision(account.manifest.key)
    latency = {}
    if arrived is not None and arrived.event_time is not None:
        waited = datetime.now(UTC) - arrived.event_time
        latency = {"seconds_from_upload": round(waited.total_seconds(), 1)}
    return {
        "report": markdown_metadata(
            decoration(delivery_report, account, tuple(catalog.graph.csv_shard.path))
        ),
        **document_metadata(catalog, document),
        "members_quarantined": account.set_aside.members,
        "bytes": sum(one.bytes for one in account.objects),
        "quarantine_ratio": account.rows_quarantined / max(account.manifest.rows_read, 1),
        "seconds": round(seconds, 3),
        "rows_per_second": round(account.rows_enriched / seconds) if seconds else 0,
        **latency,
        **_set_aside_metadata(store, feed, account),
    }


def data_version(document: Delivery) -> str:
    """The same for the same objects, so that going back to them is seen downstream.

    Dagster documentation: "Asset versioning and caching".
    """
    return f"{document.revision}/{document.generation}"


def document_metadata(catalog: FeedCatalog, document: Delivery) -> dict[str, Any]:
    """What every event of a delivery says, also of one that a person made current again."""
    target = catalog.feed.target
    uri = f"s3://{target.bucket}/{Layout(target.prefix).delivery(document.key)}"
    return {
        "revision": document.revision,
        "generation": document.generation,
        "reason": document.reason,
        DELIVERED_AT: document.delivered_at.isoformat(),
        "dagster/uri": uri,
        "dagster/row_count": document.rows_enriched,
        "rows_read": document.rows_read,
        "rows_quarantined": document.rows_quarantined,
        "rows_corrected": document.rows_corrected,
        "shards": len(document.objects),
        "object": dg.MetadataValue.url(page_of(uri)),
        "archive_page": archive_page(catalog.graph, document.key),
    }
