"""A feed that is processed in one pass: what is different, and all that must be the same."""

import re
from io import BytesIO

import dagster as dg
import pyarrow.parquet as pq
import pytest

from rwt_assets.catalog.catalog import FeedCatalog
from rwt_assets.catalog.intake import sweep
from rwt_assets.component import build_feed_definitions
from rwt_assets.delivery.consumption import read_delivery, read_result
from rwt_assets.feed.feed import Feed
from rwt_assets.orchestration.sensors.dispatch import plan
from rwt_assets.runtime.run_tags import RANGE_END_TAG, RANGE_START_TAG
from rwt_assets.shard.processing import read_manifest
from rwt_assets_tests.archives import make_zip
from rwt_assets_tests.assets.conftest import FEED, Shop
from rwt_assets_tests.stand_ins import InMemoryIOManager, run_request

pytestmark = pytest.mark.mostly_long(one_in=1)

SALES = "item,day,price\npen,2026-01-01,1.50\nink,2026-01-02,7\npen,2026-01-02,x\n"
ITEMS = '"item","name"\npen,"a ""good"" pen"\nink,Ink\n'
FIRST, SECOND = (f"shop/a.zip|sales.csv|day=2026-01-0{day}" for day in (1, 2))
ITEMS_KEY = "shop/a.zip|items.csv"
ARCHIVE = make_zip({"sales.csv": SALES, "items.csv": ITEMS})


def feed(*, keep_shards: bool) -> Feed:
    return FEED.model_copy(update={"one_pass": True, "keep_shards": keep_shards})


@pytest.fixture(params=[True, False], ids=["kept", "not kept"])
def shop(request):
    with Shop(feed=feed(keep_shards=request.param)) as shop:
        yield shop


@pytest.fixture
def stored(shop):
    """The shop with the real Parquet IO manager over the in-memory object store."""
    shop.definitions = build_feed_definitions(
        shop.feed, object_store=shop.store, queue_client=shop.client
    )
    return shop


def objects(shop, folder):
    return {key: body for (_, key), body in shop.objects.contents.items() if f"/{folder}/" in key}


def whatever_the_split(found):
    """The same objects without the part of their names that says which split they are of."""
    return {
        re.sub("/rwt_generation=[0-9a-f]{10}", "/rwt_generation=", key): body
        for key, body in found.items()
    }


def by_shards(name="a.zip", body=ARCHIVE):
    """The same archive taken shard by shard, with the real Parquet IO manager."""
    with Shop() as other:
        other.definitions = build_feed_definitions(
            other.feed, object_store=other.store, queue_client=other.client
        )
        other.deliver(name, body)
        return other


def test_what_is_stored_is_what_the_way_by_shards_stores(stored):
    stored.deliver("a.zip", ARCHIVE)
    other = by_shards()
    for folder in ("enriched", "quarantine", "shards"):
        kept = objects(other, folder) if folder != "shards" or stored.feed.keep_shards else {}
        assert whatever_the_split(objects(stored, folder)) == whatever_the_split(kept)
    result = read_result(stored.objects, stored.feed.target, "shop/a.zip")
    assert (result.reconciled, result.delivery.rows_quarantined) == (True, 1)


def test_it_takes_two_runs_and_every_shard_has_its_events(stored):
    stored.drop("a.zip", ARCHIVE)

    sweep(stored.catalog, stored.objects)
    results = stored.dispatch()
    assert [result.job_def.name for result in results] == ["shop_split", "shop_deliver"]
    assert stored.counts() == (4, 0, 0, 0)
    graph = stored.catalog.graph
    for key in (FIRST, SECOND, ITEMS_KEY):
        for asset in (graph.csv_shard, graph.enriched_shard):
            (record,) = stored.instance.fetch_materializations(
                dg.AssetRecordsFilter(asset, asset_partitions=[key]), limit=5
            ).records
            metadata = record.asset_materialization.metadata
            assert metadata["dagster/row_count"].value in (1, 2)
        uri = metadata["dagster/uri"].value
        assert re.search(r"/rwt_generation=[0-9a-f]{10}-[0-9a-f]{10}/.*/rows-[0-9a-f]{8}", uri)


def test_a_backfill_of_its_shards_makes_them_again(stored):
    stored.deliver("a.zip", ARCHIVE)
    before = objects(stored, "enriched")
    for key in before:
        del stored.objects.contents["results", key]
    again = run_request(
        stored.definitions,
        stored.instance,
        dg.RunRequest(
            job_name="shop_enrich", tags={RANGE_START_TAG: FIRST, RANGE_END_TAG: ITEMS_KEY}
        ),
    )
    assert again.success
    assert objects(stored, "enriched") == before


def test_one_shard_alone_is_made_again_with_its_quarantine(stored):
    stored.deliver("a.zip", ARCHIVE)
    quarantine = objects(stored, "quarantine")
    (key,) = [key for key in objects(stored, "enriched") if "day=2026-01-02" in key]
    body = stored.objects.contents.pop(("results", key))
    for left in quarantine:
        del stored.objects.contents["results", left]
    request = dg.RunRequest(job_name="shop_enrich", partition_key=SECOND)
    assert run_request(stored.definitions, stored.instance, request).success
    assert stored.objects.contents["results", key] == body
    assert objects(stored, "quarantine") == quarantine


def test_shards_that_were_reported_and_not_enriched_are_asked_for(shop, monkeypatch):
    report = FeedCatalog.report

    def stop(catalog, events):
        first = next(iter(events), None)
        if first is not None and first.asset_key == catalog.graph.enriched_shard:
            raise RuntimeError("the power is gone")
        report(catalog, [first, *events] if first else [])

    monkeypatch.setattr(FeedCatalog, "report", stop)
    shop.drop("a.zip", ARCHIVE)

    sweep(shop.catalog, shop.objects)

    (request,) = plan(shop.catalog)
    assert not run_request(shop.definitions, shop.instance, request, may_fail=True).success
    monkeypatch.undo()
    shop.dispatch()
    assert shop.frames[FIRST]["item"].tolist() == ["pen"]
    assert set(shop.frames) == {FIRST, SECOND, ITEMS_KEY}


def test_a_new_revision_replaces_the_shards(stored):
    stored.deliver("a.zip", ARCHIVE)
    newer = SALES.replace("2026-01-01", "2026-01-03")
    stored.deliver("a.zip", make_zip({"sales.csv": newer}))
    third = "shop/a.zip|sales.csv|day=2026-01-03"
    assert sorted(stored.catalog.shards()) == sorted([SECOND, third])
    delivery = read_delivery(stored.objects, stored.feed.target, "shop/a.zip")
    assert {one.partition_key for one in delivery.objects} == {SECOND, third}
    assert stored.counts() == (3, 0, 0, 0)


def test_an_archive_replaced_meanwhile_is_not_mixed_into_what_is_made_again():
    with Shop(feed=feed(keep_shards=False)) as shop:
        shop.deliver("a.zip", ARCHIVE)
        before = dict(shop.frames)
        shop.drop("a.zip", make_zip({"sales.csv": SALES.replace("pen", "cap")}))
        request = dg.RunRequest(job_name="shop_enrich", partition_key=FIRST)
        result = run_request(shop.definitions, shop.instance, request, may_fail=True)
        assert not result.success
        assert shop.frames.keys() == before.keys()
        assert shop.frames[FIRST]["item"].tolist() == ["pen"]


def test_shards_that_were_not_kept_are_explained_when_the_feed_changes():
    with Shop(feed=feed(keep_shards=False)) as shop:
        shop.deliver("a.zip", ARCHIVE)
        manifest = read_manifest(shop.objects, shop.feed.target, "shop/a.zip")
        assert {part.key for shard in manifest.shards for part in shard.parts} == {None}
        changed = shop.redeclared(FEED)
        changed.io_manager = InMemoryIOManager()
        request = dg.RunRequest(job_name="shop_enrich", partition_key=FIRST)
        result = run_request(changed.definitions, shop.instance, request, may_fail=True)
        assert not result.success
        reason = shop.instance.get_run_by_id(result.run_id).tags["rwt/reason"]
        assert "not kept as CSV" in reason
        request = dg.RunRequest(job_name="shop_split", partition_key="shop/a.zip")
        run_request(changed.definitions, shop.instance, request)
        changed.dispatch()
        assert changed.frames[FIRST]["item"].tolist() == ["pen"]


def test_named_enrichments_give_the_same_either_way():
    enrichments = [
        {"use": "rename", "column": "price", "to": "euro"},
        {
            "use": "lookup",
            "column": "item",
            "to": "kind",
            "table": {"pen": "dry"},
            "default": "wet",
        },
        {"use": "rwt_assets_tests.own_enrichments.shouted", "frame": "arrow"},
    ]
    declared = FEED.model_dump(exclude_unset=True)
    first, *others = declared["members"]
    declared["members"] = [first | {"enrichments": enrichments}, *others]
    found = {}
    for one_pass in (True, False):
        feed = Feed.model_validate(declared | {"one_pass": one_pass})
        with Shop(feed=feed) as shop:
            shop.definitions = build_feed_definitions(
                feed, object_store=shop.store, queue_client=shop.client
            )
            shop.deliver("a.zip", make_zip({"sales.csv": SALES}))
            assert shop.counts()[1:] == (0, 0, 0)
            found[one_pass] = {
                key: pq.read_table(BytesIO(body)).to_pylist()
                for key, body in objects(shop, "enriched").items()
            }
    assert found[True] == found[False]
    (rows,) = (rows for key, rows in found[True].items() if "2026-01-02" in key)
    assert [(row["euro"], row["kind"], row["loud"]) for row in rows] == [(7.0, "wet", "INK")]
