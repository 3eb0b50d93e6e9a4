"""Asset `delivery`: the archive as a whole, reconciled; what a consumer waits for.

What belongs here: what Dagster is told of it. What does not: the account (`reconciliation.py`)
and what was set aside (`quarantine.py`). Dagster documentation: "Asset checks".
"""

from collections.abc import Sequence
from datetime import UTC, datetime
from time import monotonic
from typing import Any

import dagster as dg

from rwt_assets.assets.checks import (
    QUARANTINE_WITHIN_TOLERANCE,
    RECONCILED,
    delivery_check_specs,
    delivery_results,
)
from rwt_assets.assets.failures import explained
from rwt_assets.assets.lineage import lineage_only
from rwt_assets.automation import code_changed
from rwt_assets.catalog import FeedCatalog
from rwt_assets.catalog_events import archive_page
from rwt_assets.delivery_report import delivery_report
from rwt_assets.errors import DeliveryError, ToleranceError
from rwt_assets.feed import Feed
from rwt_assets.feed_graph import FeedGraph
from rwt_assets.layout import Layout
from rwt_assets.object_store import ObjectStore
from rwt_assets.partitions import parse_archive_partition_key
from rwt_assets.processing import read_manifest
from rwt_assets.quarantine import SAMPLE, Breach, breaches, quarantine_report, read_entries
from rwt_assets.reconciliation import Account, make_delivery, take_account
from rwt_assets.resources.object_store import ObjectStoreResource, page_of

DELIVERY_VERSION = "1"
HEALED = "heal"


def delivery_asset(feed: Feed) -> dg.AssetsDefinition:
    """Reads what was written, adds it up and, only if it adds up, names it for consumers."""
    graph = FeedGraph(feed.name)

    @dg.asset(
        key=graph.delivery,
        deps=[lineage_only(graph.enriched_shard)],
        partitions_def=graph.zip_archives,
        check_specs=delivery_check_specs(feed),
        group_name=feed.name,
        owners=[*feed.owners],
        tags=feed.tags,
        pool=feed.pool,
        kinds={"s3", "json"},
        code_version=DELIVERY_VERSION,
        automation_condition=code_changed(),
        description=(
            "One revision of an archive, reconciled: a document that names exactly the Parquet "
            "objects that belong to it. It is written last and replaced as a whole."
        ),
    )
    def delivery(
        context: dg.AssetExecutionContext, object_store: ObjectStoreResource
    ) -> dg.MaterializeResult:  # type: ignore[type-arg]
        began = monotonic()
        store = object_store.objects()
        catalog = FeedCatalog(context.instance, feed)
        archive = parse_archive_partition_key(context.partition_key)
        with explained(context):
            account = take_account(store, feed, read_manifest(store, feed.target, archive))
            if not account.reconciled:
                _report_failed(catalog, RECONCILED, context.partition_key, account)
                report_missing_again(catalog, account)
                raise does_not_reconcile(account)
            if beyond := breaches(account.set_aside, feed.tolerance):
                _report_failed(catalog, QUARANTINE_WITHIN_TOLERANCE, context.partition_key, account)
                raise not_tolerated(account, beyond)
            uri = write_delivery(store, feed, account)
            metadata = _metadata(account, catalog, uri, monotonic() - began) | _set_aside_metadata(
                store, feed, account
            )
        return dg.MaterializeResult(
            metadata=metadata, check_results=delivery_results(feed, account)
        )

    return delivery


def write_delivery(store: ObjectStore, feed: Feed, account: Account) -> str:
    """Write the document that consumers read; its URI."""
    key = Layout(feed.target.prefix).delivery(account.manifest.key)
    document = make_delivery(account, datetime.now(UTC))
    store.put(feed.target.bucket, key, document.model_dump_json(indent=1).encode())
    return f"s3://{feed.target.bucket}/{key}"


def report_missing_again(catalog: FeedCatalog, account: Account) -> None:
    """Report shards whose Parquet is not of this revision again, once, so that they are made.

    It can be missing where a person split the archive while its shards were being enriched.
    """
    missing = [key for key in account.missing if catalog.reported_via(key) != HEALED]
    catalog.report_shards(account.manifest, only=missing, via=HEALED)


def does_not_reconcile(account: Account) -> DeliveryError:
    """The error of an account that does not add up."""
    manifest = account.manifest
    sample = ", ".join(account.missing[:5])
    lacking = f"; {len(account.missing)} shards have no Parquet: {sample}" if sample else ""
    return DeliveryError(
        f"{manifest.rows_read} rows were read, {account.rows_enriched} enriched and "
        f"{account.rows_quarantined} quarantined{lacking}",
        where=f"s3://{manifest.bucket}/{manifest.key}, revision {manifest.revision}",
        fate="No delivery was written; the one before, if any, is as it was.",
        remedy="Shards without Parquet are asked for again; else materialize archive_manifest.",
    )


def not_tolerated(account: Account, beyond: Sequence[Breach]) -> ToleranceError:
    """The error of an account with more in quarantine than the feed tolerates."""
    manifest, found = account.manifest, account.set_aside
    settings = " or ".join(breach.setting for breach in beyond)
    return ToleranceError(
        f"{found.rows} of {found.rows_read} rows and {found.members} of {found.members_read} "
        f"members are quarantined: {'; '.join(map(str, beyond))}",
        where=f"s3://{manifest.bucket}/{manifest.key}, revision {manifest.revision}",
        fate="No delivery was written; the one before, if any, is as it was.",
        remedy=(
            f"See `rwt quarantine list --archive {manifest.key}`; mend the feed and run `rwt "
            f"quarantine replay --archive {manifest.key}`, or raise {settings} of the feed and "
            f"run `rwt retry {manifest.key}`."
        ),
    )


def _report_failed(
    catalog: FeedCatalog, check_name: str, partition_key: str, account: Account
) -> None:
    """Report a check that fails the run, since a run that raises has no results of its own."""
    results = delivery_results(catalog.feed, account)
    result = next(one for one in results if one.check_name == check_name)
    catalog.instance.report_runless_asset_event(
        dg.AssetCheckEvaluation(
            check_name=check_name,
            passed=False,
            asset_key=catalog.graph.delivery,
            severity=dg.AssetCheckSeverity.ERROR,
            metadata={**result.metadata, "archive": dg.MetadataValue.text(partition_key)},
        )
    )


def _set_aside_metadata(store: ObjectStore, feed: Feed, account: Account) -> dict[str, Any]:
    """What was set aside, with the reasons of a few entries: one small read, if anything was."""
    found = account.set_aside
    if not found.anything:
        return {}
    sample = read_entries(store, feed.target.bucket, account.quarantine_keys[:1], limit=SAMPLE)
    return {"quarantine": dg.MetadataValue.md(quarantine_report(found, sample))}


def _metadata(account: Account, catalog: FeedCatalog, uri: str, seconds: float) -> dict[str, Any]:
    arrived = catalog.latest_revision(account.manifest.key)
    latency = {}
    if arrived is not None and arrived.event_time is not None:
        waited = datetime.now(UTC) - arrived.event_time
        latency = {"seconds_from_upload": round(waited.total_seconds(), 1)}
    return {
        "report": dg.MetadataValue.md(
            delivery_report(account, tuple(catalog.graph.csv_shard.path))
        ),
        "revision": account.manifest.revision,
        "dagster/uri": uri,
        "dagster/row_count": account.rows_enriched,
        "rows_read": account.manifest.rows_read,
        "rows_quarantined": account.rows_quarantined,
        "members_quarantined": account.set_aside.members,
        "shards": len(account.objects),
        "bytes": sum(one.bytes for one in account.objects),
        "quarantine_ratio": account.rows_quarantined / max(account.manifest.rows_read, 1),
        "seconds": round(seconds, 3),
        "rows_per_second": round(account.rows_enriched / seconds) if seconds else 0,
        "object": dg.MetadataValue.url(page_of(uri)),
        "archive_page": archive_page(catalog.graph, account.manifest.key),
        **latency,
    }
