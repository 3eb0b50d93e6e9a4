"""What events that no run makes say: of an archive that arrived, of a shard that was written.

What belongs here: their metadata, written and read back. What does not: putting them on record
(`catalog.py`). Dagster documentation: "External assets".
"""

from collections.abc import Mapping
from datetime import datetime
from typing import TYPE_CHECKING, Any

import dagster as dg

from rwt_assets.documents import archive_partition_key
from rwt_assets.graph import FeedGraph
from rwt_assets.resources import page_of
from rwt_assets.storage import ArchiveRevision
from rwt_assets.text import partition_page, visible

if TYPE_CHECKING:
    from rwt_assets.documents import ArchiveManifest, Shard
    from rwt_assets.feed import Target


def shard_materialization(
    graph: FeedGraph, target: "Target", manifest: "ArchiveManifest", shard: "Shard", via: str
) -> dg.AssetMaterialization:
    """The event of a shard.

    Args:
        graph: of the feed.
        target: of the feed.
        manifest: of the shard's archive.
        shard: which one.
        via: why it is reported: "split", "heal".
    """
    links: dict[str, Any] = {"archive_page": archive_page(graph, manifest.key)}
    kept = shard.parts[0].key
    if kept is not None:
        uri = f"s3://{target.bucket}/{kept}"
        links |= {"dagster/uri": uri, "object": dg.MetadataValue.url(page_of(uri))}
    return dg.AssetMaterialization(
        asset_key=graph.csv_shard,
        partition=shard.partition_key,
        metadata={
            "archive": visible(manifest.key),
            "revision": manifest.revision,
            "member": visible(shard.member),
            "value": "" if shard.value is None else visible(shard.value),
            "dagster/row_count": shard.rows,
            "bytes": shard.bytes,
            **links,
            "via": via,
        },
        tags={"dagster/data_version": shard.checksum},
    )


def archive_page(graph: FeedGraph, archive: str) -> dg.UrlMetadataValue:
    """A link to the page of an archive's manifest in the UI, by the archive's object key."""
    asset = tuple(graph.archive_manifest.path)
    return dg.MetadataValue.url(partition_page(asset, archive_partition_key(archive)))


def arrival_metadata(revision: ArchiveRevision, *, via: str, message_id: str) -> dict[str, Any]:
    """What the event of an arrival says."""
    metadata: dict[str, Any] = {
        "bucket": revision.bucket,
        "key": revision.key,
        "revision": revision.revision,
        "bytes": revision.size,
        "dagster/uri": visible(f"s3://{revision.bucket}/{revision.key}"),
        "object": dg.MetadataValue.url(page_of(f"s3://{revision.bucket}/{revision.key}")),
        "via": via,
    }
    optional = {
        "version_id": revision.version_id,
        "sequencer": revision.sequencer,
        "message_id": message_id or None,
    }
    metadata |= {name: value for name, value in optional.items() if value is not None}
    if revision.event_time is not None:
        metadata["event_time"] = revision.event_time.isoformat()
    return metadata


def revision_from(metadata: Mapping[str, dg.MetadataValue[Any]]) -> ArchiveRevision | None:
    """The revision that the event of an arrival tells; None if a person reported it."""
    values = {name: value.value for name, value in metadata.items()}
    if not {"bucket", "key", "revision", "bytes"} <= values.keys():
        return None  # a person reported this event by hand
    optional = {
        name: None if values.get(name) is None else str(values[name])
        for name in ("version_id", "sequencer")
    }
    event_time = values.get("event_time")
    return ArchiveRevision(
        bucket=str(values["bucket"]),
        key=str(values["key"]),
        etag=str(values["revision"]),
        size=int(str(values["bytes"])),
        event_time=None if event_time is None else datetime.fromisoformat(str(event_time)),
        **optional,
    )
