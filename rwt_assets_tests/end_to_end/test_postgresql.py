"""`rwt up --storage`: Dagster's runs and events in PostgreSQL, everything else as without."""

import random
import signal
import stat
import string

import dagster as dg
import pytest

from rwt_assets.embedded.stack import dagster_home
from rwt_assets.feed import FEED_NAME_AT_MOST
from rwt_assets.feed_graph import RANGE_END_TAG, RANGE_START_TAG, FeedGraph
from rwt_assets.partition_batches import add_partitions, remove_partitions
from rwt_assets.reporting import report_materializations
from rwt_assets.split_values import PARTITION_KEY_BYTES
from rwt_assets.standing import archive_progress
from rwt_assets_tests.archives import timetable
from rwt_assets_tests.benchmarks.databases import database
from rwt_assets_tests.end_to_end.running_stack import RunningStack

pytestmark = [pytest.mark.end_to_end, pytest.mark.long, pytest.mark.timeout(600)]
SHARDS = 30


def test_an_archive_is_delivered_and_is_still_on_record_after_a_restart(tmp_path):
    state = tmp_path / "state"
    state.mkdir()
    with database("postgresql") as url:
        stack = RunningStack(state, storage=url)
        stack.start()
        try:
            stack.upload("a.zip", timetable(trips=3, stops=SHARDS - 1))
            stack.wait_for(lambda: stage(stack) == "delivered", 180)
            settings = dagster_home(state) / "dagster.yaml"
            assert stat.S_IMODE(settings.stat().st_mode) == 0o600, "the URL may have a password"
            assert not list(state.glob("**/index.db")), "nothing is left in SQLite"
            assert stack.stop(signal.SIGTERM) == 0, "as a supervisor stops it"
            stack.start()
            progress = stack.ask(lambda catalog: archive_progress(catalog, "gtfs/a.zip"))
            assert (progress.stage, progress.shards_done) == ("delivered", SHARDS)
            status = stack.rwt("status")
            assert status.returncode == 0, status.stdout + status.stderr
        finally:
            stack.stop()


def stage(stack):
    return stack.ask(lambda catalog: archive_progress(catalog, "gtfs/a.zip")).stage


def test_the_longest_keys_fit_into_the_indexes(tmp_path):
    """A key that no compression shortens, of a feed with the longest name, in every table."""
    rng = random.Random(5)  # noqa: S311
    letters = "".join(rng.choices(string.ascii_letters + string.digits, k=PARTITION_KEY_BYTES))
    name = ("f" + letters.lower())[:FEED_NAME_AT_MOST]
    key = f"a.zip|m.csv|c={letters}"[:PARTITION_KEY_BYTES]
    graph = FeedGraph(name)
    with (
        database("postgresql") as url,
        dg.instance_for_test(
            overrides={
                "storage": {"postgres": {"postgres_url": url}},
                "run_coordinator": {"module": "dagster", "class": "DefaultRunCoordinator"},
            },
            temp_dir=str(tmp_path),
        ) as instance,
    ):
        add_partitions(instance, graph.csv_shards_name, [key])
        asset = dg.AssetMaterialization(graph.enriched_shard, partition=key)
        report_materializations(instance, [asset])

        @dg.asset(
            key=graph.enriched_shard,
            partitions_def=graph.csv_shards,
            check_specs=[dg.AssetCheckSpec("a" * 60, asset=graph.enriched_shard)],
        )
        def enriched_shard():
            return dg.MaterializeResult(
                check_results=[dg.AssetCheckResult(passed=True)],
                data_version=dg.DataVersion("x" * 200),
            )

        range_tags = {RANGE_START_TAG: key, RANGE_END_TAG: key}
        made = dg.materialize(
            [enriched_shard], partition_key=key, instance=instance, tags=range_tags
        )
        assert made.success
        found = instance.get_latest_storage_id_by_partition(
            graph.enriched_shard, dg.DagsterEventType.ASSET_MATERIALIZATION, {key}
        )
        assert [*found] == [key]
        assert instance.get_runs(dg.RunsFilter(tags={RANGE_START_TAG: key}))
        remove_partitions(instance, graph.csv_shards_name, [key])
