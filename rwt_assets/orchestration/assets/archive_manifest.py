"""Assets `zip_archive`, `archive_manifest` and `csv_shard`: from an archive to its shards."""

from functools import partial
from time import monotonic
from typing import Any

import dagster as dg
from pydantic import SecretStr

from rwt_assets.catalog import AS_OF, FeedCatalog
from rwt_assets.documents import (
    ArchiveManifest,
    KindFinding,
    Layout,
    enrichment_version,
    parse_archive_partition_key,
    record_schemas,
    split_id,
    splitting_version,
)
from rwt_assets.feed import Feed, accesses
from rwt_assets.graph import FeedGraph, markdown_metadata
from rwt_assets.orchestration.assets.one_pass import EnrichedWhileSplitting
from rwt_assets.orchestration.checks import (
    encoding_check_result,
    encoding_check_spec,
    schema_check_result,
    schema_check_spec,
)
from rwt_assets.orchestration.steps import (
    EnrichedShardIOManager,
    ShardPlace,
    code_changed,
    csv_schema,
    explained,
    fenced,
    fit_errors,
    lineage_only,
    refuse_retired,
    refuse_superseded,
)
from rwt_assets.quarantine import NOTHING_CORRECTED, corrections_in_force
from rwt_assets.resources import ObjectStoreResource, SecretsResource, page_of
from rwt_assets.runtime import (
    CAUSE_TAG,
    ArchiveMissingError,
    SupersededError,
    configure_process,
)
from rwt_assets.shard import manifest_etag, read_manifest, unpack_archive, write_manifest
from rwt_assets.storage import ObjectStore
from rwt_assets.text import SafeMarkdown, decoration, markdown_table

ROOT_RUN_TAG = "dagster/root_run_id"


def zip_archive_spec(feed: Feed) -> dg.AssetSpec:
    """External: one event for each revision that arrived in the feed's bucket."""
    graph, source = FeedGraph(feed.name), feed.source
    return dg.AssetSpec(
        graph.zip_archive,
        partitions_def=graph.zip_archives,
        group_name=feed.name,
        owners=[*feed.owners],
        tags=feed.tags,
        kinds={"s3", "zip"},
        description=(
            f"ZIP archives that partners drop at `s3://{source.bucket}/{source.prefix}"
            f"*{source.suffix}`, announced on the queue `{source.queue}`. One event a revision."
        ),
        metadata={"bucket": source.bucket, "prefix": source.prefix, "queue": source.queue},
    )


def csv_shard_spec(feed: Feed) -> dg.AssetSpec:
    """External: one event for each shard that `archive_manifest` wrote."""
    graph = FeedGraph(feed.name)
    splits = "; ".join(
        f"{', '.join(rule.include)} by {rule.split_by or 'nothing'}" for rule in feed.members
    )
    return dg.AssetSpec(
        graph.csv_shard,
        deps=[lineage_only(graph.archive_manifest)],
        partitions_def=graph.csv_shards,
        group_name=feed.name,
        owners=[*feed.owners],
        tags=feed.tags,
        kinds={"s3", "csv"},
        metadata={"dagster/column_schema": csv_schema(feed)},
        description=(
            "The rows of one member that share one value of the split column, as CSV, byte for "
            f"byte as they were in the member. Split: {splits}."
            + ("" if feed.keep_shards else " On record only: the CSV is not kept.")
        ),
    )


def archive_manifest_asset(feed: Feed) -> dg.AssetsDefinition:
    """Inspects, selects, unpacks and splits one archive; registers and reports its shards."""
    graph = FeedGraph(feed.name)

    @dg.asset(
        key=graph.archive_manifest,
        deps=[graph.zip_archive],
        partitions_def=graph.zip_archives,
        group_name=feed.name,
        owners=[*feed.owners],
        tags=feed.tags,
        pool=feed.pool,
        check_specs=[schema_check_spec(feed), encoding_check_spec(feed)],
        kinds={"s3", "python"},
        code_version=splitting_version(feed),
        automation_condition=code_changed(),
        description=(
            "What one revision of an archive consists of: its members, its shards and what was "
            "quarantined. Materializing it unpacks and splits the archive, registers one partition "
            "a shard and reports it as `csv_shard`."
        ),
    )
    @fit_errors()
    def archive_manifest(
        context: dg.AssetExecutionContext,
        object_store: ObjectStoreResource,
        secrets: SecretsResource,
        enriched_shards: dg.ResourceParam[EnrichedShardIOManager],
    ) -> dg.MaterializeResult:  # type: ignore[type-arg]
        began = monotonic()
        configure_process()
        catalog = FeedCatalog(context.instance, feed)
        with explained(context, catalog):
            as_of = catalog.newest_event()
            password = secrets.read(feed.source.password_variable)
            enriched = None
            if feed.one_pass:
                shards = enriched_shards.of(ShardPlace.of_feed(feed))
                enriched = EnrichedWhileSplitting(feed, shards, enrichment_version(feed))
            store = object_store.objects_at(accesses(feed))
            with fenced(catalog, store, [parse_archive_partition_key(context.partition_key)]):
                manifest, schemas = split_newest_revision(
                    catalog,
                    store,
                    context.partition_key,
                    asked_by=asked_by(context.run),
                    password=password,
                    enriched=enriched,
                )
        return dg.MaterializeResult(
            metadata={**_metadata(feed, manifest, monotonic() - began), AS_OF: as_of},
            check_results=[schema_check_result(schemas), encoding_check_result(manifest)],
        )

    return archive_manifest


def split_newest_revision(  # noqa: PLR0913 - each says one thing about the split
    catalog: FeedCatalog,
    store: ObjectStore,
    partition_key: str,
    *,
    asked_by: str,
    password: SecretStr | None = None,
    enriched: EnrichedWhileSplitting | None = None,
) -> tuple[ArchiveManifest, tuple[KindFinding, ...]]:
    """Split the newest recorded revision of an archive and bring the catalog up to date.

    The order matters: shards are registered before they are reported, and the manifest that
    their processing reads is in place before either is seen. Repeating it changes nothing.

    A run that was taken for lost may end late. So the newest arrival and the manifest in place are
    looked at before and after, and the manifest is written only in the place of the one that was
    there when this began.

    Args:
        catalog: of the feed.
        store: where the archive lies and shards are kept.
        partition_key: of the archive.
        asked_by: what asked for this split; see `generations.split_id`.
        password: of encrypted members.
        enriched: takes the enriched shards of a feed that is processed in one pass.

    Returns:
        What the revision consists of, and how its columns compare with those known before.

    Raises:
        ArchiveMissingError: no revision of this archive is on record.
        SupersededError: a newer revision arrived, or another split has ended meanwhile.
    """
    archive, feed = parse_archive_partition_key(partition_key), catalog.feed
    replaces = manifest_etag(store, feed.target, archive)
    revision = catalog.latest_revision(archive)
    if revision is None:
        raise ArchiveMissingError(
            "no revision of this archive is on record",
            where=partition_key,
            effect="Nothing was read.",
            fix="Run `rwt sweep`, or upload the archive again.",
        )
    reason = catalog.asked_because(archive)
    corrections = NOTHING_CORRECTED
    if replaces:  # nothing can have been corrected before the first split
        before = partial(read_manifest, store, feed.target, archive)
        corrections = corrections_in_force(store, feed.target, archive, revision.revision, before)
    asked = " ".join(filter(None, [revision.revision, asked_by, corrections.version]))
    manifest = unpack_archive(
        store,
        feed,
        revision,
        split_id=split_id(feed, asked),
        password=password,
        enriched=enriched.writer if enriched is not None else None,
        corrections=corrections,
    ).model_copy(update={"reason": reason})
    refuse_superseded(catalog, archive, revision.revision)
    etag = write_manifest(store, feed.target, manifest, replaces=replaces)
    catalog.register_shards(manifest)
    catalog.report_shards(manifest)
    current = {shard.partition_key for shard in manifest.shards}
    if enriched is not None:
        reported = catalog.latest_ids(catalog.graph.csv_shard, current)
        catalog.report(enriched.materializations(manifest, reported))
    _refuse_split_meanwhile(catalog, store, manifest, etag)
    catalog.retire_shards(key for key in catalog.shards_of(archive) if key not in current)
    _refuse_split_meanwhile(catalog, store, manifest, etag)
    return manifest, record_schemas(store, feed, manifest, revision.event_time)


def _refuse_split_meanwhile(
    catalog: FeedCatalog, store: ObjectStore, manifest: ArchiveManifest, etag: str
) -> None:
    """Give up if another manifest took the place of this one, and have the catalog put right.

    Raises:
        SupersededError: it did. A split is asked for, since shards were reported that the manifest
            in place may not have. Or the archive was retired.
    """
    refuse_retired(catalog, manifest.key)
    if manifest_etag(store, catalog.feed.target, manifest.key) == etag:
        return
    catalog.ask_split_again(manifest.key, "a run that was taken for lost reported its shards late")
    raise SupersededError(
        "another split of this archive has ended while this one reported its shards",
        where=f"s3://{manifest.bucket}/{manifest.key}, revision {manifest.revision}",
        effect="What was delivered is as it was.",
        fix="Nothing to do: the archive is split again, which puts the catalog right.",
    )


def asked_by(run: dg.DagsterRun) -> str:
    """What asked for a run of this asset: the event that dispatch acts on, else the first run.

    An attempt after a crash has the same (Dagster documentation: "Run retries", the root run).
    """
    cause = run.tags.get(CAUSE_TAG)
    return cause or run.tags.get(ROOT_RUN_TAG) or run.run_id


def _metadata(feed: Feed, manifest: ArchiveManifest, seconds: float) -> dict[str, Any]:
    uri = f"s3://{feed.target.bucket}/{Layout(feed.target.prefix).manifest(manifest.key)}"
    split = [member for member in manifest.members if member.outcome == "split"]
    return {
        "revision": manifest.revision,
        "members": len(split),
        "shards": len(manifest.shards),
        "dagster/row_count": manifest.rows_read,
        "rows_quarantined": manifest.rows_quarantined,
        "rows_corrected": manifest.rows_corrected,
        "members_quarantined": sum(one.outcome == "quarantined" for one in manifest.members),
        "bytes": sum(member.bytes for member in split),
        "seconds": round(seconds, 3),
        "rows_per_second": round(manifest.rows_read / seconds) if seconds else 0,
        "quarantine_ratio": manifest.rows_quarantined / max(manifest.rows_read, 1),
        "dagster/uri": uri,
        "object": dg.MetadataValue.url(page_of(uri)),
        "archive_object": dg.MetadataValue.url(page_of(f"s3://{manifest.bucket}/{manifest.key}")),
        "members_by_outcome": markdown_metadata(decoration(_member_table, manifest)),
    }


def _member_table(manifest: ArchiveManifest) -> SafeMarkdown:
    rows = [
        (one.name, one.outcome, one.rows_read, one.rows_quarantined, one.reason)
        for one in manifest.members
    ]
    return markdown_table(("member", "outcome", "rows:", "quarantined:", "reason"), rows)
