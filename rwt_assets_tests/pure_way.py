"""The whole way of an archive without Dagster: unpacked, split and enriched in memory."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from io import BytesIO
from typing import Any

import pyarrow.parquet as pq

from rwt_assets.documents.manifest import ArchiveManifest
from rwt_assets.feed.feed import Feed, MemberRule
from rwt_assets.quarantine.corrections import NOTHING_CORRECTED, Corrections
from rwt_assets.shard.processing import OnePassRun, ShardRun, shard_runs, write_manifest
from rwt_assets.shard.unpacking import OnePassWriter, unpack_archive
from rwt_assets.storage.notifications import ArchiveRevision
from rwt_assets_tests.archives import make_zip
from rwt_assets_tests.stand_ins import InMemoryObjects


@dataclass
class Taken:
    """What an archive came to: rows in the order of their members, and what lies on the store."""

    manifest: ArchiveManifest
    rows: list[dict[str, Any]]
    store: InMemoryObjects


def take(
    archive: bytes,
    *rules: MemberRule,
    corrections: Corrections = NOTHING_CORRECTED,
    **settings: Any,
) -> Taken:
    """Take an archive all the way by these rules; settings are those of the feed.

    It is taken shard by shard, and in one pass with and without shards kept: what comes out is
    the same.
    """
    taken = _take(archive, rules, settings, corrections)
    for keep_shards in (True, False):
        one_pass = {**settings, "one_pass": True, "keep_shards": keep_shards}
        again = _take(archive, rules, one_pass, corrections)
        assert again.rows == taken.rows
        assert again.manifest.members == taken.manifest.members
        assert _shards(again) == _shards(taken)
        if keep_shards:
            assert _below(again, "shards") == _below(taken, "shards")
        assert _set_aside(again) == _set_aside(taken)
    return taken


def _take(
    archive: bytes,
    rules: Sequence[MemberRule],
    settings: Mapping[str, Any],
    corrections: Corrections,
) -> Taken:
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
    found: list[tuple[list[dict[str, Any]], int]] = []

    def consume(run: ShardRun | OnePassRun) -> None:
        rows = [row for table in run.tables() for row in table.to_pylist()]
        found.append((rows, run.rows_quarantined))

    enriched = OnePassWriter(check=lambda _rule, _table: None, write=consume)
    manifest = unpack_archive(store, feed, revision, enriched=enriched, corrections=corrections)
    write_manifest(store, feed.target, manifest, replaces="")
    if not feed.one_pass:
        for run in shard_runs(store, feed, [shard.partition_key for shard in manifest.shards]):
            consume(run)
    rows = [row for own, _ in found for row in own]
    set_aside = manifest.rows_quarantined + sum(quarantined for _, quarantined in found)
    assert manifest.rows_read == len(rows) + set_aside
    rows.sort(key=lambda row: (row["_member"], row["_row"]))
    return Taken(manifest, rows, store)


def _shards(taken: Taken) -> list[tuple[str, int, int, str]]:
    return [
        (shard.partition_key, shard.rows, shard.bytes, shard.checksum)
        for shard in taken.manifest.shards
    ]


def _below(taken: Taken, folder: str) -> dict[str, bytes]:
    prefix = f"rwt/wild/{folder}/"
    return {
        key: body
        for (bucket, key), body in taken.store.contents.items()
        if bucket == "results" and key.startswith(prefix)
    }


def _set_aside(taken: Taken) -> dict[str, list[dict[str, Any]]]:
    found = _below(taken, "quarantine")
    return {key: pq.read_table(BytesIO(body)).to_pylist() for key, body in found.items()}


def take_member(data: bytes, rule: MemberRule, **settings: Any) -> Taken:
    """Take one member all the way."""
    return take(make_zip({"m.csv": data}), rule, **settings)
