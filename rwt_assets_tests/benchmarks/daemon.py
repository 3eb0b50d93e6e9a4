"""From upload to delivery with the real daemon: small archives, and one of 200 shards."""

import os
import statistics
import tempfile
import time
from pathlib import Path
from random import Random
from uuid import uuid4

from dagster_aws.s3 import S3Resource

from rwt_assets.catalog.standing import archive_progress
from rwt_assets.delivery.reconciliation import take_account as reconcile
from rwt_assets.documents.generations import enrichment_version, generation_of
from rwt_assets.embedded.server import local_environment
from rwt_assets.orchestration.steps.enriched import EnrichedShard
from rwt_assets.orchestration.steps.frames import member_frame_type
from rwt_assets.orchestration.steps.parquet_io_manager import AHEAD, WORKERS, ParquetShards
from rwt_assets.resources.object_store import S3ObjectStoreResource
from rwt_assets.runtime.concurrency import map_ahead
from rwt_assets.shard.processing import manifest_etag, shard_runs, write_manifest
from rwt_assets.shard.unpacking import unpack_archive
from rwt_assets_tests.archives import TIMES, make_zip, timetable
from rwt_assets_tests.benchmarks.account import (
    Account,
    medians,
    print_account,
    take_account,
)
from rwt_assets_tests.benchmarks.databases import database
from rwt_assets_tests.end_to_end.running_stack import RunningStack

PATIENCE_SECONDS = 600
SETTLE_SECONDS = 30
SMALL_STOPS, SMALL_TRIPS = 20, 4_900
SHARDS = 199  # and one for stops.txt
TRIPS = 500


def measure_daemon(rounds: int, storage: str) -> None:
    """Print the time from upload to delivery, and the share that is bookkeeping."""
    with tempfile.TemporaryDirectory() as folder, database(storage) as url:
        state = Path(folder).resolve() / "state"
        state.mkdir()
        stack = RunningStack(state, storage=url)
        stack.start()
        try:
            time.sleep(SETTLE_SECONDS)
            small = [_small(number) for number in range(rounds)]
            accounts = [_deliver(stack, f"small-{n}.zip", body) for n, body in enumerate(small)]
            taken = [account.delivered for account in accounts]
            size = statistics.median(map(len, small)) / 1e6
            print(
                f"\n{rounds} archives of {size:.1f} MB, {SMALL_STOPS + 1} shards each, one after "
                f"the other, upload to delivery: median {statistics.median(taken):.1f} s, "
                f"{min(taken):.1f} to {max(taken):.1f} s; of these, at the median:"
            )
            for name, seconds in medians(accounts):
                print(f"  {name:<66}{seconds:>6.1f} s")
            body = timetable(trips=TRIPS, stops=SHARDS)
            account = _deliver(stack, "large.zip", body)
            whole = account.delivered
            work = _work_seconds(stack, "gtfs/large.zip")
            print(
                f"\nan archive of {SHARDS + 1} shards, {TRIPS * SHARDS:,} rows, "
                f"{len(body) / 1e6:.1f} MB: {whole:.1f} s from upload to delivery\n"
                f"  on data (reading, splitting, enriching, writing, footers) {work:.1f} s, "
                f"{work / whole:.0%}\n"
                f"  bookkeeping (events, queueing, starting runs, sensors) "
                f"{whole - work:.1f} s, {1 - work / whole:.0%}\n"
            )
            print_account(account, SHARDS + 1)
        finally:
            stack.stop()


def _small(number: int) -> bytes:
    """An archive of 1 MB: 21 shards, times that compress as badly as real ones."""
    random = Random(number)
    lines = [",".join(TIMES)]
    for trip in range(SMALL_TRIPS):
        for stop in range(SMALL_STOPS):
            time_ = f"{random.randrange(5, 24):02d}:{random.randrange(60):02d}:"
            seconds = random.sample(range(10, 60), 2)
            arrival, departure = (f"{time_}{second}" for second in seconds)
            lines.append(f"T{trip},{arrival},{departure},S{random.randrange(400)},{stop}")
    return make_zip({"stop_times.txt": "\n".join(lines), "stops.txt": "stop_id\nS1\n"})


def _deliver(stack: RunningStack, name: str, body: bytes) -> Account:
    """Upload an archive, wait for its delivery, and tell where the time went."""
    began = time.time()
    stack.upload(name, body)
    key = f"{stack.feed.source.prefix}{name}"

    def delivered() -> bool:
        time.sleep(1)  # looking costs the stack time
        progress = stack.ask(lambda catalog: archive_progress(catalog, key))
        return progress.stage == "delivered"

    stack.wait_for(delivered, PATIENCE_SECONDS)
    with stack.instance() as instance:
        return take_account(instance, stack.feed.name, key, began)


def _work_seconds(stack: RunningStack, archive: str) -> float:
    """The same work on the same server, in this process and without Dagster's bookkeeping."""
    os.environ.update(local_environment(stack.record.endpoint_url, {}))
    revision = stack.ask(lambda catalog: catalog.latest_revision(archive))
    assert revision is not None
    target = stack.feed.target.model_copy(update={"prefix": "bench"})
    feed = stack.feed.model_copy(update={"target": target})
    resource = S3ObjectStoreResource(s3=S3Resource(max_attempts=5))
    version = enrichment_version(feed)
    manager = ParquetShards(resource.objects(), target, version)
    kinds = {rule.include: member_frame_type("Rows", rule) for rule in feed.members}
    store = resource.objects()
    began = time.perf_counter()
    replaces = manifest_etag(store, target, archive)
    manifest = unpack_archive(store, feed, revision, split_id=uuid4().hex[:10])
    write_manifest(store, target, manifest, replaces=replaces)
    runs = shard_runs(store, feed, [shard.partition_key for shard in manifest.shards])
    shards = (EnrichedShard(run, kinds[run.rule.include], version=version) for run in runs)
    list(map_ahead(manager.write, shards, workers=WORKERS, ahead=AHEAD))
    assert reconcile(manifest, generation_of(manifest, version), manager.stored).reconciled
    return time.perf_counter() - began
