"""The whole way of an archive without Dagster: unpacked, split and enriched in memory."""

from dataclasses import dataclass
from typing import Any

from rwt_assets.feed import Feed, MemberRule
from rwt_assets.manifest import ArchiveManifest
from rwt_assets.notifications import ArchiveRevision
from rwt_assets.processing import shard_runs, write_manifest
from rwt_assets.unpacking import unpack_archive
from rwt_assets_tests.archives import make_zip
from rwt_assets_tests.stand_ins import InMemoryObjects


@dataclass
class Taken:
    """What an archive came to: rows in the order of their members, and what lies on the store."""

    manifest: ArchiveManifest
    rows: list[dict[str, Any]]
    store: InMemoryObjects


def take(archive: bytes, *rules: MemberRule, **settings: Any) -> Taken:
    """Take an archive all the way by these rules; settings are those of the feed."""
    feed = Feed.model_validate(
        {
            "name": "wild",
            "source": {"bucket": "incoming", "queue": "wild"},
            "target": {"bucket": "results", "prefix": "rwt/wild"},
            "members": [rule.model_dump() for rule in rules],
            **settings,
        }
    )
    store = InMemoryObjects()
    store.put("incoming", "a.zip", archive)
    head = store.head("incoming", "a.zip")
    revision = ArchiveRevision("incoming", "a.zip", head.etag, head.size)
    manifest = unpack_archive(store, feed, revision)
    write_manifest(store, feed.target, manifest)
    runs = list(shard_runs(store, feed, [shard.partition_key for shard in manifest.shards]))
    rows = [row for run in runs for table in run.tables() for row in table.to_pylist()]
    set_aside = manifest.rows_quarantined + sum(run.rows_quarantined for run in runs)
    assert manifest.rows_read == len(rows) + set_aside
    rows.sort(key=lambda row: (row["_member"], row["_row"]))
    return Taken(manifest, rows, store)


def take_member(data: bytes, rule: MemberRule, **settings: Any) -> Taken:
    """Take one member all the way."""
    return take(make_zip({"m.csv": data}), rule, **settings)
