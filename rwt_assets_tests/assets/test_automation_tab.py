"""The Automation tab can be opened after partitions that automation asked for are gone.

What the tab asks of each record is asked here of Dagster's own GraphQL type.
"""

from datetime import UTC, datetime

import dagster as dg
import pytest
from dagster._core.definitions.partitions.context import partition_loading_context
from dagster_graphql.schema.asset_condition_evaluations import (
    GrapheneAssetConditionEvaluationRecord,
)

from rwt_assets.catalog.catalog import FeedCatalog
from rwt_assets.graph.evaluation_records import forget_evaluations
from rwt_assets.storage.notifications import ArchiveRevision
from rwt_assets_tests.assets.conftest import FEED

ARCHIVE = "shop/zürich.zip"
SHARDS = [f"{ARCHIVE}|sales.csv|day=2026-01-0{number}" for number in range(1, 5)]


@pytest.fixture
def catalog():
    with dg.DagsterInstance.local_temp() as instance:
        catalog = FeedCatalog(instance, FEED)
        catalog.record_arrival(ArchiveRevision("incoming", ARCHIVE, "1", 1), via="test")
        instance.add_dynamic_partitions(catalog.graph.csv_shards_name, SHARDS[:3])
        yield catalog


def loading(catalog):
    return partition_loading_context(
        effective_dt=datetime.now(UTC), dynamic_partitions_store=catalog.instance
    )


def automation_asks(catalog, key, partitions):
    """An evaluation that asks for all partitions, kept as Dagster's daemon keeps it."""
    condition = dg.AutomationCondition.missing()
    asset = dg.AssetSpec(key, partitions_def=partitions, automation_condition=condition)

    @dg.multi_asset(specs=[asset])
    def made(): ...

    found = dg.evaluate_automation_conditions(
        defs=dg.Definitions(assets=[made]), instance=catalog.instance
    )
    with loading(catalog):
        catalog.instance.schedule_storage.add_auto_materialize_asset_evaluations(
            1, [one.serializable_evaluation.with_run_ids(set()) for one in found.results]
        )


def tab(catalog, key):
    storage = catalog.instance.schedule_storage
    with loading(catalog):
        return [
            GrapheneAssetConditionEvaluationRecord(record).resolve_numRequested(None)
            for record in storage.get_auto_materialize_asset_evaluations(key, limit=30)
        ]


@pytest.mark.parametrize("removed", [SHARDS[:1], SHARDS[2:3], SHARDS[:3]])
def test_a_shard_that_automation_asked_for_may_be_removed(catalog, monkeypatch, removed):
    graph = catalog.graph
    automation_asks(catalog, graph.enriched_shard, graph.csv_shards)
    assert tab(catalog, graph.enriched_shard) == [3]
    with monkeypatch.context() as patch:
        patch.setattr("rwt_assets.catalog.catalog.forget_evaluations", lambda *_: 0)
        catalog.retire_shards(removed)
        with pytest.raises(dg.DagsterInvalidInvocationError, match="Nonexistent partition keys"):
            tab(catalog, graph.enriched_shard)
    catalog.retire_shards(removed)
    assert tab(catalog, graph.enriched_shard) == []


def test_an_archive_that_automation_asked_for_may_be_retired(catalog):
    graph = catalog.graph
    automation_asks(catalog, graph.delivery, graph.zip_archives)
    assert tab(catalog, graph.delivery) == [1]
    (archive,) = catalog.facts()
    assert catalog.retire_archive(archive)
    assert tab(catalog, graph.delivery) == []


def test_evaluations_of_other_partitions_and_assets_are_kept(catalog):
    graph = catalog.graph
    automation_asks(catalog, graph.enriched_shard, graph.csv_shards)
    assert forget_evaluations(catalog.instance, [graph.enriched_shard], SHARDS[3:]) == 0
    assert forget_evaluations(catalog.instance, [graph.delivery], SHARDS[:3]) == 0
    assert tab(catalog, graph.enriched_shard) == [3]
