"""Assets `zip_archive`, `archive_manifest` and `csv_shard`: from an archive to its shards."""

from hashlib import sha256
from time import monotonic
from typing import TYPE_CHECKING, Any

import dagster as dg
from pydantic import SecretStr

from rwt_assets.assets.columns import csv_schema
from rwt_assets.assets.enriched_shard import enrichment_version, io_manager_key
from rwt_assets.assets.failures import explained
from rwt_assets.assets.lineage import lineage_only
from rwt_assets.assets.one_pass import EnrichedWhileSplitting
from rwt_assets.assets.schema_check import schema_check_result, schema_check_spec
from rwt_assets.automation import code_changed
from rwt_assets.catalog import FeedCatalog
from rwt_assets.errors import ArchiveMissingError
from rwt_assets.feed import Feed, MemberRule
from rwt_assets.feed_graph import FeedGraph
from rwt_assets.layout import Layout
from rwt_assets.manifest import ArchiveManifest
from rwt_assets.markdown_tables import in_table
from rwt_assets.memory import give_back_large_pieces
from rwt_assets.object_store import ObjectStore
from rwt_assets.partitions import parse_archive_partition_key
from rwt_assets.processing import write_manifest
from rwt_assets.resources.object_store import page_of
from rwt_assets.schema_history import KindFinding, record_schemas
from rwt_assets.unpacking import unpack_archive

if TYPE_CHECKING:
    from rwt_assets.resources.object_store import ObjectStoreResource
    from rwt_assets.resources.secrets import SecretsResource

SPLITTING_VERSION = "1"


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
    # A key that differs from feed to feed cannot be an argument's name, and Dagster takes
    # either arguments or keys.
    resource_keys = {"object_store", "secrets"}
    if feed.one_pass:
        resource_keys.add(io_manager_key(feed))

    @dg.asset(
        key=graph.archive_manifest,
        deps=[graph.zip_archive],
        partitions_def=graph.zip_archives,
        group_name=feed.name,
        owners=[*feed.owners],
        tags=feed.tags,
        pool=feed.pool,
        check_specs=[schema_check_spec(feed)],
        kinds={"s3", "python"},
        required_resource_keys=resource_keys,
        code_version=splitting_version(feed),
        automation_condition=code_changed(),
        description=(
            "What one revision of an archive consists of: its members, its shards and what was "
            "set aside. Materializing it unpacks and splits the archive, registers one partition "
            "a shard and reports it as `csv_shard`."
        ),
    )
    def archive_manifest(context: dg.AssetExecutionContext) -> dg.MaterializeResult:  # type: ignore[type-arg]
        object_store: ObjectStoreResource = context.resources.object_store
        secrets: SecretsResource = context.resources.secrets
        began = monotonic()
        give_back_large_pieces()
        with explained(context):
            catalog = FeedCatalog(context.instance, feed)
            password = secrets.read(feed.source.password_variable)
            enriched = None
            if feed.one_pass:
                io_manager = getattr(context.resources, io_manager_key(feed))
                enriched = EnrichedWhileSplitting(feed, io_manager, enrichment_version(feed))
            manifest, schemas = split_newest_revision(
                catalog,
                object_store.objects(),
                context.partition_key,
                password=password,
                enriched=enriched,
            )
        return dg.MaterializeResult(
            metadata=_metadata(feed, manifest, monotonic() - began),
            check_results=[schema_check_result(schemas)],
        )

    return archive_manifest


def split_newest_revision(
    catalog: FeedCatalog,
    store: ObjectStore,
    partition_key: str,
    *,
    password: SecretStr | None = None,
    enriched: EnrichedWhileSplitting | None = None,
) -> tuple[ArchiveManifest, tuple[KindFinding, ...]]:
    """Split the newest recorded revision of an archive and bring the catalog up to date.

    The order matters: shards are registered before they are reported, and the manifest that
    their processing reads is in place before either is seen. Repeating it changes nothing.

    Args:
        catalog: of the feed.
        store: where the archive lies and shards are kept.
        partition_key: of the archive.
        password: of encrypted members.
        enriched: takes the enriched shards of a feed that is processed in one pass.

    Returns:
        What the revision consists of, and how its columns compare with those known before.

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
    manifest = unpack_archive(
        store,
        catalog.feed,
        revision,
        password=password,
        enriched=enriched.writer if enriched is not None else None,
    )
    write_manifest(store, catalog.feed.target, manifest)
    catalog.register_shards(manifest)
    catalog.report_shards(manifest)
    current = {shard.partition_key for shard in manifest.shards}
    if enriched is not None:
        reported = catalog.latest_ids(catalog.graph.csv_shard, current)
        catalog.report(enriched.materializations(manifest, reported))
    catalog.retire_shards(key for key in catalog.shards_of(archive) if key not in current)
    return manifest, record_schemas(store, catalog.feed, manifest, revision.event_time)


def splitting_version(feed: Feed) -> str:
    """Changes with the code and with every setting that decides what a shard is."""
    settings = [
        feed.source.name_encoding,
        feed.limits.nesting,
        *map(_splitting_settings, feed.members),
        *([] if feed.keep_shards else ["not kept"]),
    ]
    return f"{SPLITTING_VERSION}-{sha256(repr(settings).encode()).hexdigest()[:12]}"


def _splitting_settings(rule: MemberRule) -> dict[str, Any]:
    """What decides on shards; a setting at its default is left out, so that a new one is too."""
    own = {"include", "exclude", "split_by", "dialect"}
    settings = rule.model_dump(mode="json", include=own, exclude_defaults=True)
    settings["required"] = rule.required_columns
    evolution, names = rule.evolution, tuple(rule.columns)
    if rule.dialect.header is not True:
        settings["names"] = names
    if evolution.new_columns in ("quarantine", "fail") and names:
        settings["new"] = evolution.new_columns, sorted(names)
    if evolution.missing_columns != "null" and names:
        settings["missing"] = evolution.missing_columns, sorted(names)
    if evolution.rescues:
        settings["rescues"] = True
    return settings


def _metadata(feed: Feed, manifest: ArchiveManifest, seconds: float) -> dict[str, Any]:
    uri = f"s3://{feed.target.bucket}/{Layout(feed.target.prefix).manifest(manifest.key)}"
    split = [member for member in manifest.members if member.outcome == "split"]
    return {
        "revision": manifest.revision,
        "members": len(split),
        "shards": len(manifest.shards),
        "dagster/row_count": manifest.rows_read,
        "rows_quarantined": manifest.rows_quarantined,
        "members_quarantined": sum(one.outcome == "quarantined" for one in manifest.members),
        "bytes": sum(member.bytes for member in split),
        "seconds": round(seconds, 3),
        "rows_per_second": round(manifest.rows_read / seconds) if seconds else 0,
        "quarantine_ratio": manifest.rows_quarantined / max(manifest.rows_read, 1),
        "dagster/uri": uri,
        "object": dg.MetadataValue.url(page_of(uri)),
        "archive_object": dg.MetadataValue.url(page_of(f"s3://{manifest.bucket}/{manifest.key}")),
        "members_by_outcome": dg.MetadataValue.md(_member_table(manifest)),
    }


def _member_table(manifest: ArchiveManifest) -> str:
    lines = ["| member | outcome | rows | quarantined | reason |", "|---|---|---:|---:|---|"]
    for member in manifest.members:
        name, reason = (in_table(text) for text in (member.name, member.reason))
        lines.append(
            f"| {name} | {member.outcome} | {member.rows_read} | {member.rows_quarantined} "
            f"| {reason} |"
        )
    return "\n".join(lines)
