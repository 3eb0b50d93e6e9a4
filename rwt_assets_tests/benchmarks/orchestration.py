"""One archive of thousands of shards through the real daemon, and what a run a shard would cost."""

import tempfile
import time
from pathlib import Path
from urllib.parse import urlsplit

import dagster as dg
from dagster_graphql import DagsterGraphQLClient

from rwt_assets.graph.feed_graph import FeedGraph
from rwt_assets.runtime.run_tags import PARTITION_TAG
from rwt_assets.status.progress import Step
from rwt_assets_tests.archives import timetable
from rwt_assets_tests.benchmarks.account import print_account, take_account
from rwt_assets_tests.benchmarks.cpu import CpuMeter
from rwt_assets_tests.benchmarks.databases import database
from rwt_assets_tests.end_to_end.running_stack import RunningStack

PATIENCE_SECONDS = 3_600
SETTLE_SECONDS = 30
NAIVE_SHARDS = 50
TRIPS = 5


def measure_orchestration(shards: int, storage: str) -> None:
    """Print what each step of one archive takes, and the same for a run a shard.

    Args:
        shards: how many.
        storage: of Dagster: sqlite or postgresql.
    """
    with tempfile.TemporaryDirectory() as folder, database(storage) as url:
        state = Path(folder).resolve() / "state"
        state.mkdir()
        stack = RunningStack(state, storage=url)
        stack.start()
        try:
            time.sleep(SETTLE_SECONDS)
            key = f"{stack.feed.source.prefix}many.zip"
            cpu = CpuMeter(stack.record.pid)
            began = time.time()
            stack.upload("many.zip", timetable(trips=TRIPS, stops=shards - 1))
            with stack.instance() as instance:

                def delivered() -> bool:
                    cpu.look()
                    return _delivered(instance, stack.feed.name, key)

                stack.wait_for(delivered, PATIENCE_SECONDS)
                own, others = cpu.used()
                account = take_account(instance, stack.feed.name, key, began)
                print(
                    f"\none archive of {shards:,} shards, {TRIPS * (shards - 1):,} rows, "
                    f"{storage}: {account.delivered:.1f} s from upload to delivery, "
                    f"{account.delivered / shards * 1_000:.1f} ms a shard\n",
                    flush=True,
                )
                print_account(account, shards)
                print(
                    f"\n  CPU: the stack {own:.0f} s, {own / shards * 1_000:.1f} ms a shard; "
                    f"other programs of the machine meanwhile {others:.0f} s",
                    flush=True,
                )
                naive = _a_run_a_shard(stack, instance)
            print(
                f"\na run for each of {NAIVE_SHARDS} shards: {naive * 1_000:.0f} ms a shard, "
                f"{naive * shards / account.delivered:.0f} times as much, for enriching alone"
            )
        finally:
            stack.stop()


def _delivered(instance: dg.DagsterInstance, feed: str, key: str) -> bool:
    """Whether there is a delivery: one small query, since looking costs the stack time."""
    wanted = dg.AssetRecordsFilter(FeedGraph(feed).delivery, asset_partitions=[key])
    return bool(instance.fetch_materializations(wanted, limit=1).records)


def _a_run_a_shard(stack: RunningStack, instance: dg.DagsterInstance) -> float:
    """Seconds a shard if each is enriched by a run of its own, through the same daemon."""
    client = DagsterGraphQLClient("127.0.0.1", port_number=urlsplit(stack.record.ui_url).port)
    keys = instance.get_dynamic_partitions(FeedGraph(stack.feed.name).csv_shards_name)
    began = time.time()
    runs = [
        client.submit_job_execution(
            f"{stack.feed.name}_{Step.ENRICH.value}",
            repository_location_name="rwt_assets",
            repository_name="__repository__",
            tags={PARTITION_TAG: key},
        )
        for key in keys[:NAIVE_SHARDS]
    ]

    def ended() -> bool:
        time.sleep(1)
        found = instance.get_runs(dg.RunsFilter(run_ids=runs))
        assert not any(run.status is dg.DagsterRunStatus.FAILURE for run in found)
        return all(run.status is dg.DagsterRunStatus.SUCCESS for run in found)

    stack.wait_for(ended, PATIENCE_SECONDS)
    return (time.time() - began) / len(runs)
