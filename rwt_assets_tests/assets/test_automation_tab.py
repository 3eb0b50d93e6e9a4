"""The Automation tab can be opened after partitions that automation asked for are gone."""

from datetime import UTC, datetime, timedelta

import dagster as dg
import pytest
from dagster._core.definitions.partitions.context import partition_loading_context
from dagster._core.remote_origin import InProcessCodeLocationOrigin
from dagster._core.types.loadable_target_origin import LoadableTargetOrigin
from dagster._core.workspace.context import WorkspaceProcessContext
from dagster._core.workspace.load_target import InProcessWorkspaceLoadTarget
from dagster_graphql.test.utils import execute_dagster_graphql

from rwt_assets.catalog import FeedCatalog
from rwt_assets.definitions import defs
from rwt_assets.notifications import ArchiveRevision
from rwt_assets_tests.declared import declared_feed

ARCHIVE = "gtfs/a.zip"
SHARDS = [f"{ARCHIVE}|stop_times.txt|stop_sequence={number}" for number in range(4)]
# What the page asks for, as far as it depends on partitions.
QUERY = """
query Tab($asset: AssetKeyInput!) {
  assetConditionEvaluationRecordsOrError(assetKey: $asset, limit: 30) {
    __typename
    ... on AssetConditionEvaluationRecords {
      records { evaluationId numRequested evaluationNodes { numTrue numCandidates } }
    }
  }
}
"""


@pytest.fixture
def catalog():
    with dg.instance_for_test() as instance:
        catalog = FeedCatalog(instance, declared_feed())
        catalog.record_arrival(ArchiveRevision("b", ARCHIVE, "1", 1), via="test")
        instance.add_dynamic_partitions(catalog.graph.csv_shards_name, SHARDS)
        yield catalog


class Automation:
    """Evaluates the conditions of the project and keeps what Dagster's daemon keeps."""

    def __init__(self, catalog):
        self.catalog, self.cursor, self.number = catalog, None, 0
        self.now = datetime(2030, 1, 1, tzinfo=UTC)

    def tick(self):
        self.number, self.now = self.number + 1, self.now + timedelta(minutes=5)
        found = dg.evaluate_automation_conditions(
            defs=defs(),
            instance=self.catalog.instance,
            cursor=self.cursor,
            evaluation_time=self.now,
        )
        self.cursor = found.cursor
        instance = self.catalog.instance
        evaluations = [one.serializable_evaluation.with_run_ids(set()) for one in found.results]
        with partition_loading_context(effective_dt=self.now, dynamic_partitions_store=instance):
            instance.schedule_storage.add_auto_materialize_asset_evaluations(
                self.number, evaluations
            )
        return found


def tab(catalog, asset):
    origin = InProcessCodeLocationOrigin(
        LoadableTargetOrigin(module_name="rwt_assets.definitions"), location_name="ours"
    )
    with WorkspaceProcessContext(catalog.instance, InProcessWorkspaceLoadTarget(origin)) as context:
        answer = execute_dagster_graphql(
            context.create_request_context(), QUERY, {"asset": {"path": [*asset.path]}}
        )
    return answer.data["assetConditionEvaluationRecordsOrError"]["records"]


def report(catalog, asset, partitions):
    for one in partitions:
        catalog.instance.report_runless_asset_event(dg.AssetMaterialization(asset, partition=one))


def requested(catalog, asset):
    return [one["numRequested"] for one in tab(catalog, asset)]


def automated(catalog, asset, upstream, partitions):
    """Automation asks for these partitions; the numbers of the tab."""
    automation = Automation(catalog)
    automation.tick()
    report(catalog, upstream, partitions)
    report(catalog, asset, partitions)
    automation.tick()
    report(catalog, upstream, partitions)
    for _ in range(4):
        automation.tick()
    return requested(catalog, asset)


@pytest.mark.parametrize("removed", [SHARDS[:1], SHARDS[1:2], SHARDS[2:], SHARDS])
def test_a_shard_that_automation_asked_for_may_be_removed(catalog, removed):
    graph = catalog.graph
    before = automated(catalog, graph.enriched_shard, graph.csv_shard, SHARDS[:3])
    assert 3 in before, "automation asked for nothing, so this tests nothing"
    catalog.retire_shards(removed)
    after = tab(catalog, graph.enriched_shard)
    assert all(one["numRequested"] <= 3 for one in after)
    (archive,) = catalog.facts()
    assert catalog.retire_archive(archive)
    tab(catalog, graph.enriched_shard)
    tab(catalog, graph.archive_manifest)
    tab(catalog, graph.delivery)


def test_evaluations_of_other_shards_and_assets_are_kept(catalog):
    graph = catalog.graph
    before = automated(catalog, graph.enriched_shard, graph.csv_shard, SHARDS[:1])
    catalog.retire_shards(SHARDS[3:])
    assert requested(catalog, graph.enriched_shard) == before
