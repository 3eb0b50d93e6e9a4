"""Automation conditions, by Dagster's own evaluation."""

from datetime import UTC, datetime, timedelta

import dagster as dg
import pytest

from rwt_assets.catalog.intake import sweep
from rwt_assets.component import build_feed_definitions
from rwt_assets.orchestration.sensors.dispatch import plan
from rwt_assets_tests.archives import make_zip

SALES = "item,day,price\npen,2026-01-01,1\nink,2026-01-02,7\n"
START = datetime(2030, 1, 1, 12, 0, 1, tzinfo=UTC)


class Clock:
    """Evaluates the feed's conditions, half a minute later each time."""

    def __init__(self, shop) -> None:
        self.shop = shop
        self.now = START
        self.cursor = None

    def tick(self, definitions=None):
        self.now += timedelta(seconds=30)
        result = dg.evaluate_automation_conditions(
            defs=definitions or self.shop.definitions,
            instance=self.shop.instance,
            cursor=self.cursor,
            evaluation_time=self.now,
        )
        self.cursor = result.cursor
        graph = self.shop.catalog.graph
        return {
            name: result.get_requested_partitions(getattr(graph, name))
            for name in ("archive_manifest", "enriched_shard", "delivery")
            if result.get_num_requested(getattr(graph, name))
        }


@pytest.fixture
def clock(shop):
    return Clock(shop)


def test_what_is_new_is_left_to_dispatch(shop, clock):
    assert clock.tick() == {}
    shop.drop("a.zip", make_zip({"sales.csv": SALES}))
    sweep(shop.catalog, shop.objects)
    assert [clock.tick() for _ in range(4)] == [{}] * 4
    shop.dispatch()
    assert [clock.tick() for _ in range(4)] == [{}] * 4


def test_a_shard_reported_again_is_asked_for_once_after_a_minute(shop, clock):
    clock.tick()
    shop.deliver("a.zip", make_zip({"sales.csv": SALES}))
    for _ in range(5):
        clock.tick()
    shard = shop.catalog.shards()[0]
    shop.instance.report_runless_asset_event(
        dg.AssetMaterialization(shop.catalog.graph.csv_shard, partition=shard)
    )
    asked = [clock.tick() for _ in range(8)]
    assert asked.count({}) == 7, "asked for not once"
    assert {"enriched_shard": {shard}} in asked
    assert asked.index({"enriched_shard": {shard}}) >= 2, "asked for before dispatch could"


def test_what_automation_missed_is_asked_for_by_dispatch(shop, monkeypatch):
    shop.definitions = build_feed_definitions(
        shop.feed, object_store=shop.store, queue_client=shop.client
    )
    shop.deliver("a.zip", make_zip({"sales.csv": SALES}))
    shard = shop.catalog.shards()[0]
    shop.instance.report_runless_asset_event(
        dg.AssetMaterialization(shop.catalog.graph.csv_shard, partition=shard)
    )
    assert plan(shop.catalog) == []
    assert shop.counts() == (1, 2, 0, 0)
    monkeypatch.setattr("rwt_assets.status.archive_status.AUTOMATION_PATIENCE_SECONDS", -1)
    (request,) = plan(shop.catalog)
    assert request.tags["dagster/asset_partition_range_start"] == shard
    shop.dispatch()
    assert shop.counts() == (3, 0, 0, 0)


def test_a_changed_declaration_asks_for_the_old_partitions_once(shop, clock):
    clock.tick()
    shop.deliver("a.zip", make_zip({"sales.csv": SALES}))
    clock.tick()
    rules = [rule.model_copy(update={"key_column": "day"}) for rule in shop.feed.members]
    changed = build_feed_definitions(
        shop.feed.model_copy(update={"members": tuple(rules)}),
        object_store=shop.store,
        queue_client=shop.client,
        io_manager=shop.io_manager,
    )
    asked = [clock.tick(changed) for _ in range(4)]
    assert {"enriched_shard", "archive_manifest"} >= {name for one in asked for name in one}
    shards = [one["enriched_shard"] for one in asked if "enriched_shard" in one]
    assert shards == [set(shop.catalog.shards())]


def changed_twice(shop):
    """The feed with another key column, and another one required: both versions change."""
    sales, others = shop.feed.members
    rule = sales.model_copy(update={"key_column": "price"})
    return build_feed_definitions(
        shop.feed.model_copy(update={"members": (rule, others)}),
        object_store=shop.store,
        queue_client=shop.client,
        io_manager=shop.io_manager,
    )


@pytest.mark.parametrize("replayed_first", [True, False])
def test_a_replay_and_automation_do_not_repeat_each_other(shop, clock, replayed_first):
    clock.tick()
    archive = shop.deliver("a.zip", make_zip({"sales.csv": SALES}))
    clock.tick()
    changed = changed_twice(shop)
    (revision,) = (event.revision for event in shop.catalog.arrivals().values())
    asked = [] if replayed_first else [clock.tick(changed)]
    shop.catalog.ask_replay(archive, revision)
    shop.definitions = changed
    steps = [result.job_def.name for result in shop.dispatch() if result.success]
    assert steps[:2] == ["shop_split", "shop_enrich"]
    asked += [clock.tick(changed) for _ in range(4)]
    expected = [] if replayed_first else ["archive_manifest", "enriched_shard"]
    assert [name for one in asked for name in one] == expected


def test_the_two_partition_sets_are_evaluated_by_two_sensors(shop):
    repository = shop.definitions.get_repository_def()
    sensors = {
        sensor.name: sensor
        for sensor in repository.sensor_defs
        if isinstance(sensor, dg.AutomationConditionSensorDefinition)
    }
    graph = repository.asset_graph
    targets = {
        name: {key.path[1] for key in sensor.asset_selection.resolve(graph)}
        for name, sensor in sensors.items()
    }
    assert targets == {
        "shop_archive_automation": {"archive_manifest", "delivery"},
        "shop_shard_automation": {"enriched_shard"},
    }
