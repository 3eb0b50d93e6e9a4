"""From an archive in the bucket to its delivery, with real assets and in-memory stores."""

import zlib
from collections import Counter
from io import BytesIO

import dagster as dg
import pandas as pd
import pyarrow.parquet as pq
import pytest

from rwt_assets.catalog.catalog import FeedCatalog
from rwt_assets.catalog.intake import sweep
from rwt_assets.catalog.standing import archive_progress, take_standing
from rwt_assets.component import build_feed_definitions
from rwt_assets.delivery.consumption import read_delivery, read_result
from rwt_assets.orchestration.sensors.dispatch import plan
from rwt_assets.orchestration.steps.parquet_io_manager import S3ParquetIOManager, ShardPlace
from rwt_assets_tests.archives import make_zip
from rwt_assets_tests.stand_ins import run_request

SALES = "item,day,price\npen,2026-01-01,1.50\nink,2026-01-02,7\npen,2026-01-02,1.60\n"
ITEMS = '"item","name"\npen,"a ""good"" pen"\nink,Ink\n'
FIRST, SECOND = (f"shop/a.zip|sales.csv|day=2026-01-0{day}" for day in (1, 2))
ITEMS_KEY = "shop/a.zip|items.csv"


@pytest.fixture
def stored(shop):
    """The shop with the real Parquet IO manager over the in-memory object store."""
    shop.definitions = build_feed_definitions(
        shop.feed, object_store=shop.store, queue_client=shop.client
    )
    return shop


def test_an_archive_is_split_enriched_and_delivered(shop):
    archive = shop.deliver("a.zip", make_zip({"sales.csv": SALES, "items.csv": ITEMS, "x": b""}))

    assert list(shop.catalog.shards()) == [FIRST, SECOND, ITEMS_KEY]
    frame = shop.frames[SECOND]
    assert frame["item"].tolist() == ["ink", "pen"]
    assert frame["price"].tolist() == [7.0, 1.6]
    assert [str(day) for day in frame["day"]] == ["2026-01-02"] * 2
    assert frame["crc32"].tolist() == [zlib.crc32(b"ink"), zlib.crc32(b"pen")]
    assert frame["_row"].tolist() == [2, 3]
    assert set(frame["_archive"]) == {archive}
    assert set(frame["_member"]) == {"sales.csv"}
    assert shop.frames[ITEMS_KEY]["name"].tolist() == ['a "good" pen', "Ink"]

    delivery = shop.delivery(archive)
    assert (delivery.rows_read, delivery.rows_enriched, delivery.rows_quarantined) == (5, 5, 0)
    assert [one.partition_key for one in delivery.objects] == [FIRST, SECOND, ITEMS_KEY]
    assert [one.rows for one in delivery.objects] == [1, 2, 2]
    assert shop.rows(archive, "sales.csv")["item"].tolist() == ["pen", "ink", "pen"]
    assert shop.quarantined(archive) == []
    assert checks_on_record(shop) == dict.fromkeys(
        [
            "schema_unchanged",
            "encodings_stated",
            "reconciled",
            "quarantine_within_tolerance",
            "contract_kept",
            "archive_complete",
            "rows_as_usual",
        ],
        True,
    )
    assert shop.counts() == (4, 0, 0, 0)


def checks_on_record(shop):
    """Whether each check that the runs evaluated has passed, by name."""
    events = [
        record.dagster_event.asset_check_evaluation_data
        for run in shop.instance.get_runs()
        for record in shop.instance.all_logs(
            run.run_id, of_type=dg.DagsterEventType.ASSET_CHECK_EVALUATION
        )
    ]
    assert len(events) == len({event.check_name for event in events})
    return {event.check_name: event.passed for event in events}


def test_shards_are_the_bytes_of_the_member(shop):
    shop.deliver("a.zip", make_zip({"sales.csv": SALES, "items.csv": ITEMS}))
    shards = {key: body for (_, key), body in shop.objects.contents.items() if "/shards/" in key}
    assert sorted(body for key, body in shards.items() if key.endswith(".csv")) == sorted(
        [
            b"item,day,price\npen,2026-01-01,1.50\n",
            b"item,day,price\nink,2026-01-02,7\npen,2026-01-02,1.60\n",
            ITEMS.encode(),
        ]
    )


def test_the_delivery_names_exactly_its_parquet_and_reconciles(stored):
    archive = stored.deliver("a.zip", make_zip({"sales.csv": SALES, "items.csv": ITEMS}))
    assert stored.counts() == (4, 0, 0, 0)
    delivery = read_delivery(stored.objects, stored.feed.target, archive)
    assert (delivery.rows_read, delivery.rows_enriched, delivery.rows_quarantined) == (5, 5, 0)
    keys = {one.key for one in delivery.objects}
    assert keys == {key for _, key in stored.objects.contents if "/enriched/" in key}
    for one in delivery.objects:
        body = BytesIO(stored.objects.read("results", one.key))
        assert pq.read_metadata(body).num_rows == one.rows
        assert pq.read_metadata(body).row_group(0).column(0).compression == "ZSTD"
    assert stored.objects.puts[-1].endswith("delivery.json"), "something was written after it"
    assert read_result(stored.objects, stored.feed.target, archive).reconciled


def test_each_step_is_one_run_and_each_shard_one_event(stored):
    stored.drop("a.zip", make_zip({"sales.csv": SALES, "items.csv": ITEMS}))
    sweep(stored.catalog, stored.objects)
    results = stored.dispatch()
    assert [result.job_def.name for result in results] == [
        "shop_split",
        "shop_enrich",
        "shop_deliver",
    ]
    enrich = results[1].get_asset_materialization_events()
    by_key = {event.partition: event.materialization.metadata for event in enrich}
    assert len(enrich) == len(by_key)
    assert set(by_key) == {FIRST, SECOND, ITEMS_KEY}
    assert by_key[SECOND]["dagster/row_count"].value == 2
    columns = enrich[-1].materialization.metadata["dagster/column_schema"].schema.columns
    assert [column.name for column in columns][-4:] == ["crc32", "_archive", "_member", "_row"]


def test_a_new_revision_replaces_the_old_one_whole(stored):
    stored.deliver("a.zip", make_zip({"sales.csv": SALES, "items.csv": ITEMS}))
    changed = "item,day,price\nink,2026-01-02,8\nink,2026-01-03,9\n"
    archive = stored.deliver("a.zip", make_zip({"sales.csv": changed}))

    third = "shop/a.zip|sales.csv|day=2026-01-03"
    assert set(stored.catalog.shards()) == {SECOND, third}
    assert stored.counts() == (3, 0, 0, 0)
    delivery = read_delivery(stored.objects, stored.feed.target, archive)
    assert {one.partition_key for one in delivery.objects} == {SECOND, third}
    assert {f"revision={delivery.revision}" in one.key for one in delivery.objects} == {True}


DOCUMENTS = ("delivery.json", "manifest.json")


def test_doing_it_again_by_hand_changes_no_byte_of_what_was_there(stored):
    body = make_zip({"sales.csv": SALES, "items.csv": ITEMS})
    archive = stored.deliver("a.zip", body)
    before = {k: v for k, v in stored.objects.contents.items() if not k[1].endswith(DOCUMENTS)}
    first = read_delivery(stored.objects, stored.feed.target, archive)
    for step, key in (("split", "shop/a.zip"), ("deliver", "shop/a.zip")):
        job = stored.definitions.resolve_job_def(f"shop_{step}")
        assert job.execute_in_process(instance=stored.instance, partition_key=key).success
        stored.dispatch()
    after = stored.objects.contents
    assert {key: after[key] for key in before} == before
    again = read_delivery(stored.objects, stored.feed.target, archive)
    assert again.revision == first.revision
    assert again.generation != first.generation
    assert [one.generation for one in again.former] == [first.generation]
    assert delivered_rows(stored, again) == delivered_rows(stored, first)


def delivered_rows(shop, delivery):
    bodies = (shop.objects.read("results", one.key) for one in delivery.objects)
    return [row for body in bodies for row in pq.read_table(BytesIO(body)).to_pylist()]


def test_archives_do_not_touch_each_other(stored):
    for name in ("a.zip", "b.zip", "a.zip.zip"):
        stored.drop(name, make_zip({"sales.csv": SALES}))
    sweep(stored.catalog, stored.objects)
    stored.dispatch()
    assert stored.counts() == (9, 0, 0, 0)
    deliveries = Counter(key for key in stored.objects.puts if key.endswith("delivery.json"))
    assert len(deliveries) == 3
    assert set(deliveries.values()) == {1}


def test_an_archive_of_nothing_but_headers_is_delivered(stored):
    archive = stored.deliver(
        "a.zip", make_zip({"sales.csv": "item,day,price\n", "items.csv": "a\n"})
    )
    assert read_delivery(stored.objects, stored.feed.target, archive).rows_read == 0
    assert list(stored.catalog.shards()) == [ITEMS_KEY]


def test_parquet_that_vanished_is_made_again_before_anything_is_delivered(stored):
    archive = stored.deliver("a.zip", make_zip({"sales.csv": SALES}))
    gone = next(key for key in stored.objects.contents if "/enriched/" in key[1])
    del stored.objects.contents[gone]
    request = dg.RunRequest(job_name="shop_deliver", partition_key=archive)
    result = run_request(stored.definitions, stored.instance, request, may_fail=True)
    assert not result.success
    (check,) = stored.instance.event_log_storage.get_asset_check_execution_history(
        dg.AssetCheckKey(stored.catalog.graph.delivery, "reconciled"), limit=1
    )
    assert check.status.value == "FAILED"
    enrich = stored.definitions.resolve_job_def("shop_enrich")
    stale = [s for f in stored.catalog.facts() for s in f.stale]
    assert len(stale) == 1
    assert enrich.execute_in_process(
        instance=stored.instance, partition_key=stale[0].partition_key
    ).success
    stored.dispatch()
    assert gone in stored.objects.contents
    assert read_result(stored.objects, stored.feed.target, archive).reconciled


def test_progress_is_told_step_by_step(stored):
    stored.drop("a.zip", make_zip({"sales.csv": SALES}))
    assert archive_progress(stored.catalog, "shop/a.zip").stage == "unknown"
    sweep(stored.catalog, stored.objects)
    stages = [archive_progress(stored.catalog, "shop/a.zip")]
    while requests := plan(stored.catalog):
        for request in requests:
            run_request(stored.definitions, stored.instance, request)
        stages.append(archive_progress(stored.catalog, "shop/a.zip"))
    told = [(one.stage, one.shards_done, one.shards_found) for one in stages]
    assert told == [
        ("arrived", 0, 0),
        ("enriching", 0, 2),
        ("delivering", 2, 2),
        ("delivered", 2, 2),
    ]


def test_the_io_manager_reads_one_shard_or_many(stored):
    stored.deliver("a.zip", make_zip({"sales.csv": SALES}))
    manager = S3ParquetIOManager(object_store=stored.store)
    with dg.build_resources({"manager": manager}) as resources:
        frame = resources.manager.of(ShardPlace.of_feed(stored.feed)).read(SECOND)
    assert isinstance(frame, pd.DataFrame)
    assert frame["price"].tolist() == [7.0, 1.6]


def test_a_lost_shard_is_noticed_by_the_standing_check(shop):
    shop.drop("a.zip", make_zip({"sales.csv": SALES}))
    sweep(shop.catalog, shop.objects)
    run_request(shop.definitions, shop.instance, plan(shop.catalog)[0])
    assert not take_standing(shop.catalog).forgotten
    forgotten = take_standing(shop.catalog, patience=-1).forgotten
    assert {entry.partition_key for entry in forgotten} == {"shop/a.zip", FIRST, SECOND}
    shop.instance.add_dynamic_partitions("shop_csv_shards", ["shop/gone.zip|sales.csv"])
    assert take_standing(shop.catalog).forgotten[-1].reason == "its archive is not in the catalog"
    shop.expect_failed("shop/gone.zip|sales.csv")


def test_one_needs_only_the_catalog_to_know_what_to_do(shop):
    """A daemon that forgot everything asks for the same."""
    shop.drop("a.zip", make_zip({"sales.csv": SALES}))
    sweep(shop.catalog, shop.objects)
    one, other = plan(shop.catalog), plan(FeedCatalog(shop.instance, shop.feed))
    assert [request.run_key for request in one] == [request.run_key for request in other]


def test_the_keys_of_the_catalog_are_read_as_often_for_many_shards_as_for_few(stored, monkeypatch):
    reads = []
    read = dg.DagsterInstance.get_dynamic_partitions
    monkeypatch.setattr(
        dg.DagsterInstance,
        "get_dynamic_partitions",
        lambda self, partitions_def_name: (
            reads.append(partitions_def_name) or read(self, partitions_def_name)
        ),
    )
    counts = []
    for days in (1, 2, 20):  # the very first look at a catalog reads less
        reads.clear()
        rows = "".join(f"pen,2026-01-{day:02d},1\n" for day in range(1, days + 1))
        stored.deliver(f"{days}.zip", make_zip({"sales.csv": f"item,day,price\n{rows}"}))
        counts.append(len(reads))
    assert counts[1] == counts[2]


def test_columns_are_told_once_for_each_kind_and_by_the_event_that_comes_last(stored):
    rows = [f"pen,2026-01-{day:02d},1" for day in range(1, 10)]
    sales = "\n".join(["item,day,price", *rows])
    stored.drop("a.zip", make_zip({"sales.csv": sales, "items.csv": ITEMS}))
    sweep(stored.catalog, stored.objects)
    events = stored.dispatch()[1].get_asset_materialization_events()
    told = [one for one in events if "dagster/column_lineage" in one.materialization.metadata]
    assert len(events) == 10
    assert len(told) in (2, 3), "once for each kind of member, and the last"
    assert told[-1] is events[-1]
    assert ITEMS_KEY in {one.partition for one in told}
