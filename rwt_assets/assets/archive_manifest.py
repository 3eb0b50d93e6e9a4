"""Assets `zip_archive`, `archive_manifest` and `csv_shard`: from an archive to its shards."""

from hashlib import sha256
from typing import Any

import dagster as dg

from rwt_assets.assets.failures import explained
from rwt_assets.assets.lineage import lineage_only
from rwt_assets.automation import code_changed
from rwt_assets.catalog import FeedCatalog
from rwt_assets.errors import ArchiveMissingError
from rwt_assets.feed import Feed
from rwt_assets.feed_graph import FeedGraph
from rwt_assets.manifest import ArchiveManifest
from rwt_assets.object_store import ObjectStore
from rwt_assets.partitions import parse_archive_partition_key
from rwt_assets.processing import write_manifest
from rwt_assets.resources.object_store import ObjectStoreResource
from rwt_assets.unpacking import unpack_archive

SPLITTING_VERSION = "1"


def zip_archive_spec(feed: Feed) -> dg.AssetSpec:
    """External: one event for each revision that arrived in the feed's bucket."""
    graph, source = FeedGraph(feed.name), feed.source
    return dg.AssetSpec(
        graph.zip_archive,
        partitions_def=graph.zip_archives,
        group_name=feed.name,
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
        kinds={"s3", "csv"},
        description=(
            "The rows of one member that share one value of the split column, as CSV, byte for "
            f"byte as they were in the member. Split: {splits}."
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
        pool=feed.pool,
        kinds={"s3", "python"},
        code_version=splitting_version(feed),
        automation_condition=code_changed(),
        description=(
            "What one revision of an archive consists of: its members, its shards and what was "
            "set aside. Materializing it unpacks and splits the archive, registers one partition "
            "a shard and reports it as `csv_shard`."
        ),
    )
    def archive_manifest(
        context: dg.AssetExecutionContext, object_store: ObjectStoreResource
    ) -> dg.MaterializeResult:  # type: ignore[type-arg]
        with explained(context):
            catalog = FeedCatalog(context.instance, feed)
            manifest = split_newest_revision(catalog, object_store.objects(), context.partition_key)
        return dg.MaterializeResult(metadata=_metadata(manifest))

    return archive_manifest


def split_newest_revision(
    catalog: FeedCatalog, store: ObjectStore, partition_key: str
) -> ArchiveManifest:
    """Split the newest recorded revision of an archive and bring the catalog up to date.

    The order matters: shards are registered before they are reported, and the manifest that
    their processing reads is in place before either is seen. Repeating it changes nothing.

    Raises:
        ArchiveMissingError: no revision of this archive is on record.
    """
    archive = parse_archive_partition_key(partition_key)
    revision = catalog.latest_revision(archive)
    if revision is None:
        raise ArchiveMissingError(
            "no revision of this archive is on record",
            where=partition_key,
            fate="Nothing was read.",
            remedy="Run `rwt sweep`, or upload the archive again.",
        )
    manifest = unpack_archive(store, catalog.feed, revision)
    write_manifest(store, catalog.feed.target, manifest)
    catalog.register_shards(manifest)
    catalog.report_shards(manifest)
    current = {shard.partition_key for shard in manifest.shards}
    catalog.retire_shards(key for key in catalog.shards_of(archive) if key not in current)
    return manifest


def splitting_version(feed: Feed) -> str:
    """Changes with the code and with every setting that decides what a shard is."""
    settings = [f"{r.include}{r.exclude}{r.split_by}{r.required_columns}" for r in feed.members]
    return f"{SPLITTING_VERSION}-{sha256(repr(settings).encode()).hexdigest()[:12]}"


def _metadata(manifest: ArchiveManifest) -> dict[str, Any]:
    split = [member for member in manifest.members if member.outcome == "split"]
    return {
        "revision": manifest.revision,
        "members": len(split),
        "shards": len(manifest.shards),
        "dagster/row_count": manifest.rows_read,
        "rows_quarantined": manifest.rows_quarantined,
        "bytes": sum(member.bytes for member in split),
        "members_by_outcome": dg.MetadataValue.md(_member_table(manifest)),
    }


def _member_table(manifest: ArchiveManifest) -> str:
    lines = ["| member | outcome | rows | quarantined | reason |", "|---|---|---:|---:|---|"]
    for member in manifest.members:
        name, reason = (
            text.replace("|", "\\|").replace("\n", " ") for text in (member.name, member.reason)
        )
        lines.append(
            f"| {name} | {member.outcome} | {member.rows_read} | {member.rows_quarantined} "
            f"| {reason} |"
        )
    return "\n".join(lines)
