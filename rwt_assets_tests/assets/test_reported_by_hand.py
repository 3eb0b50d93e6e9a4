"""Events that a person reports by hand in the UI, on any asset at any time: no archive is lost."""

import dagster as dg
import pytest

from rwt_assets.catalog.standing import take_standing
from rwt_assets.component import build_feed_definitions
from rwt_assets.delivery.consumption import read_result
from rwt_assets.orchestration.sensors.dispatch import plan
from rwt_assets.testing import run_request

SALES = {"sales.csv": "item,day,price\npen,2026-01-01,1\nink,2026-01-02,7\n"}
SHARD = "shop/a.zip|sales.csv|day=2026-01-01"
ASSETS = {
    "zip_archive": "shop/a.zip",
    "archive_manifest": "shop/a.zip",
    "csv_shard": SHARD,
    "enriched_shard": SHARD,
    "delivery": "shop/a.zip",
}
STEPS = {"taken in": 0, "split": 1, "enriched": 2, "delivered": 3}


def at(shop, steps):
    """The archive after so many steps; Parquet is written to the store."""
    shop.definitions = build_feed_definitions(
        shop.feed, object_store=shop.store, queue_client=shop.client
    )
    key = shop.upload("a.zip", SALES)
    shop.take_in()
    for _ in range(steps):
        (request,) = plan(shop.catalog)
        run_request(shop.definitions, shop.instance, request)
    return key


def by_hand(shop, asset):
    """As the UI's dialog does; what it reports has no metadata."""
    key = getattr(shop.catalog.graph, asset)
    shop.instance.report_runless_asset_event(
        dg.AssetMaterialization(key, partition=ASSETS[asset], description="by hand")
    )


@pytest.mark.mostly_long(one_in=3)
@pytest.mark.parametrize("asset", ASSETS)
@pytest.mark.parametrize("when", STEPS)
def test_an_event_by_hand_keeps_no_archive_from_its_delivery(shop, monkeypatch, asset, when):
    monkeypatch.setattr("rwt_assets.status.archive_status.AUTOMATION_PATIENCE_SECONDS", -1)
    key = at(shop, STEPS[when])
    by_hand(shop, asset)
    # A shard that was never made is found missing by the delivery, which asks for it.
    shop.dispatch(expect_failure=(asset, when) == ("enriched_shard", "split"))
    standing = take_standing(shop.catalog, patience=-1)
    assert not standing.failed
    assert not standing.waiting
    forgotten = {one.partition_key for one in standing.forgotten}
    assert forgotten <= {SHARD} if when == "taken in" else not forgotten
    result = read_result(shop.objects, shop.feed.target, key)
    assert (result.reconciled, result.delivery.rows_enriched) == (True, 2)
    shop.assert_nothing_unexpected()


def test_an_arrival_by_hand_is_of_the_revision_that_is_known(shop):
    key = at(shop, 3)
    revision = shop.catalog.latest_revision(key)
    for _ in range(3):
        by_hand(shop, "zip_archive")
    assert shop.catalog.latest_revision(key) == revision
    assert plan(shop.catalog) == []


def test_reported_again_and_again_it_says_what_to_do_in_the_end(shop, monkeypatch):
    monkeypatch.setattr("rwt_assets.catalog.catalog.SUCCESSES_AT_MOST", 2)
    at(shop, 3)
    for _ in range(3):
        by_hand(shop, "archive_manifest")
        shop.dispatch()
    (failed, *_) = take_standing(shop.catalog).failed
    assert "succeeded, and something came later that undid its work" in failed.reason
    assert "rwt retry" in failed.reason
    shop.expect_failed(*(one.partition_key for one in take_standing(shop.catalog).failed))
