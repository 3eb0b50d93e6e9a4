# ruff: noqa: E402 - a code location is set up before Arrow is imported, too
"""Ours: what the assets do, by the functions that they call, without Dagster around them."""

from rwt_assets.runtime import configure_process

configure_process()

from collections.abc import Callable
from typing import Any, cast
from uuid import uuid4

from dagster_aws.s3 import S3Resource

from rwt_assets.documents.generations import enrichment_version
from rwt_assets.feed.feed import Feed
from rwt_assets.orchestration.assets.one_pass import EnrichedWhileSplitting
from rwt_assets.orchestration.steps.enriched import EnrichedShard
from rwt_assets.orchestration.steps.frames import member_frame_type
from rwt_assets.orchestration.steps.parquet_io_manager import AHEAD, WORKERS, ParquetShards
from rwt_assets.resources.object_store import S3ObjectStoreResource
from rwt_assets.runtime.concurrency import map_ahead
from rwt_assets.shard.processing import manifest_etag, shard_runs, write_manifest
from rwt_assets.shard.unpacking import unpack_archive
from rwt_assets.storage.notifications import ArchiveRevision
from rwt_assets_tests.benchmarks.contenders.endpoint import ARCHIVE, KEY, SOURCE, SPLIT, TARGET


def by_shards() -> Callable[[], int]:
    """Archive to CSV shards on S3, each read back, held to the contract, enriched, put up."""
    return _work(feed("ours_by_shards"))


def with_shards() -> Callable[[], int]:
    """Archive to CSV shards and Parquet in one pass."""
    return _work(feed("ours", one_pass=True))


def direct() -> Callable[[], int]:
    """Archive to Parquet in one pass; shards are on record, their CSV is not kept."""
    return _work(feed("ours_direct", one_pass=True, keep_shards=False))


def feed(prefix: str, **settings: Any) -> Feed:
    """The feed of the benchmark's archive; its results lie below the prefix."""
    return Feed.model_validate(
        {
            "name": "bench",
            "source": {"bucket": SOURCE, "queue": "bench", "prefix": "bench/"},
            "target": {"bucket": TARGET, "prefix": prefix},
            "members": [{"include": ["*.csv"], "split_by": SPLIT, "key_column": KEY}],
            **settings,
        }
    )


def _work(declared: Feed) -> Callable[[], int]:
    target = declared.target
    resource = S3ObjectStoreResource(s3=S3Resource(max_attempts=5))
    at_target = target.model_copy(update={"bucket": TARGET})
    manager = ParquetShards(resource.objects(), at_target, enrichment_version(declared))
    kind = member_frame_type("BenchRows", declared.members[0])

    store = resource.objects()  # the scripts make their client beforehand, too

    def work() -> int:
        head = store.head(SOURCE, ARCHIVE)
        revision = ArchiveRevision(SOURCE, ARCHIVE, head.etag, head.size)
        enriched = EnrichedWhileSplitting(declared, manager, "bench")
        # A generation of its own, as each request has: nothing of the round before is in place.
        split, replaces = uuid4().hex[:10], manifest_etag(store, target, ARCHIVE)
        manifest = unpack_archive(
            store, declared, revision, split_id=split, enriched=enriched.writer
        )
        write_manifest(store, target, manifest, replaces=replaces)
        if declared.one_pass:
            reported = {shard.partition_key: 0 for shard in manifest.shards}
            events = enriched.materializations(manifest, reported)
            return sum(cast("int", one.metadata["dagster/row_count"].value) for one in events)
        runs = shard_runs(store, declared, [shard.partition_key for shard in manifest.shards])
        shards = (EnrichedShard(run, kind) for run in runs)
        return sum(w.rows for w in map_ahead(manager.write, shards, workers=WORKERS, ahead=AHEAD))

    return work
