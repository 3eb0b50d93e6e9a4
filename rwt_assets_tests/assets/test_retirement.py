"""Old archives leave the catalog, nothing else does, and they come back only if asked."""

import json
from contextlib import suppress
from dataclasses import replace
from datetime import UTC, datetime, timedelta

import dagster as dg
import pytest
from dagster._core.execution.backfill import BulkActionStatus, PartitionBackfill

from rwt_assets.catalog.catalog import FeedCatalog
from rwt_assets.catalog.intake import Budget, sweep, take_messages
from rwt_assets.component import build_feed_definitions
from rwt_assets.delivery.consumption import read_result
from rwt_assets.documents.layout import Layout
from rwt_assets.documents.partitions import ShardKey
from rwt_assets.feed.feed import Retirement
from rwt_assets.orchestration.sensors.dispatch import plan
from rwt_assets.retention.retirement import MEANWHILE, find_old, is_old, parse_age, retire
from rwt_assets.status.progress import ArchiveFacts, Event, ShardFacts, Stage
from rwt_assets_tests.archives import make_zip
from rwt_assets_tests.assets.conftest import FEED, SALES, Shop

pytestmark = pytest.mark.mostly_long(one_in=1)

ARCHIVE = make_zip({"sales.csv": SALES})
MONTH = timedelta(days=30)
IN_A_YEAR = datetime.now(UTC) + timedelta(days=365)


@pytest.fixture
def stored(shop):
    """The shop with the real Parquet IO manager over the in-memory object store."""
    shop.definitions = build_feed_definitions(
        shop.feed, object_store=shop.store, queue_client=shop.client
    )
    return shop


def retire_all(shop, *, keep_data=False, now=IN_A_YEAR):
    old = find_old(shop.catalog, MONTH, now=now)
    return list(retire(shop.catalog, shop.objects, old, keep_data=keep_data))


def results(shop):
    return sorted(key for bucket, key in shop.objects.contents if bucket == "results")


def test_an_old_archive_leaves_with_what_was_written_of_it(stored):
    stored.deliver("a.zip", ARCHIVE)
    kept = stored.deliver("b.zip", make_zip({"sales.csv": SALES, "items.csv": "a,b\n1,2\n"}))
    of_b = [key for key in results(stored) if "b.zip" in key]
    old = [one for one in find_old(stored.catalog, MONTH, now=IN_A_YEAR) if "a.zip" in
           one.partition_key]  # fmt: skip
    (one,) = retire(stored.catalog, stored.objects, old, keep_data=False)
    assert (one.partition_key, one.shards, one.objects, one.left) == ("shop/a.zip", 2, 4, "")
    assert list(stored.catalog.archives()) == [kept]
    assert all(key.startswith("shop/b.zip") for key in stored.catalog.shards())
    assert [key for key in results(stored) if "a.zip" in key] == []
    assert [key for key in results(stored) if "b.zip" in key] == of_b
    assert ("incoming", "shop/a.zip") in stored.objects.contents
    assert stored.counts() == (4, 0, 0, 0)


def mentions(shop, name):
    """Objects of the feed whose key or text names something."""
    return [
        key
        for (bucket, key), body in shop.objects.contents.items()
        if bucket == "results" and (name in key or name.encode() in body)
    ]


def three_revisions(shop, name="a.zip"):
    """Of different members, the second with something quarantined; the last one was replayed."""
    for members in (
        {"sales_2026-01-01.csv": SALES, "first.csv": "a,b\n1,2\n"},
        {"sales.csv": SALES + "hat,2026-01-04,oops\nhat,1\n", "second.csv": "a,b\n1,2\n3\n"},
        {"sales.csv": SALES, "third.csv": "c\n1\n"},
    ):
        key = shop.deliver(name, make_zip(members))
        result = read_result(shop.objects, shop.feed.target, key)
        assert result.reconciled
        assert result.delivery.revision == shop.objects.etag("incoming", key)
    shop.catalog.ask_replay(key, result.delivery.revision)
    shop.dispatch()
    assert len(read_result(shop.objects, shop.feed.target, key).delivery.former) == 3
    layout, shard = Layout("rwt/shop"), ShardKey(key, "older.csv", "day", "2026-01-01")
    for old in (layout.old_enriched("old", shard), layout.old_shard_quarantine("old", shard)):
        shop.objects.put("results", old, b"of a version before generations")
    return key


def test_nothing_in_the_store_names_what_was_retired(stored):
    other = stored.deliver("b.zip", ARCHIVE)
    three_revisions(stored)
    own = read_result(stored.objects, stored.feed.target, "shop/a.zip").delivery
    assert len(mentions(stored, "shop%2Fa.zip")) > 20
    assert any("schemas" in key for key in mentions(stored, own.revision))
    old = [
        one
        for one in find_old(stored.catalog, MONTH, now=IN_A_YEAR)
        if one.partition_key == "shop/a.zip"
    ]
    assert [one.left for one in retire(stored.catalog, stored.objects, old, keep_data=False)] == [
        ""
    ]
    for name in ("shop%2Fa.zip", "shop/a.zip", own.revision, 'third.csv"', "older.csv"):
        found = mentions(stored, name)
        # The kind of a member is the name of a schema, which may be in force for others.
        assert [key for key in found if "/schemas/" not in key or name != 'third.csv"'] == []
    assert read_result(stored.objects, stored.feed.target, other).reconciled
    schemas = [json.loads(stored.objects.read("results", key)) for key in mentions(stored, "kinds")]
    entries = [one for known in schemas for own in known["kinds"].values() for one in own]
    assert {one["archive"] for one in entries} == {"", other}
    assert all(one["definition"]["columns"] for one in entries)
    # What is known is still in force: the same columns are no change.
    stored.deliver("c.zip", make_zip({"third.csv": "c\n1\n"}))
    check = stored.instance.get_latest_asset_check_evaluation_record(
        dg.AssetCheckKey(stored.catalog.graph.archive_manifest, "schema_unchanged")
    )
    assert check.event.dagster_event.asset_check_evaluation_data.passed
    stored.deliver("d.zip", make_zip({"third.csv": "c,d\n1,2\n"}))
    check = stored.instance.get_latest_asset_check_evaluation_record(
        dg.AssetCheckKey(stored.catalog.graph.archive_manifest, "schema_unchanged")
    )
    told = check.event.dagster_event.asset_check_evaluation_data
    assert not told.passed
    assert "differs from an archive that was retired" in told.metadata["differences"].value


def test_of_the_only_archive_nothing_at_all_is_left(stored):
    three_revisions(stored)
    assert [one.left for one in retire_all(stored)] == [""]
    assert results(stored) == []
    assert ("incoming", "shop/a.zip") in stored.objects.contents


def test_with_its_data_every_former_delivery_stays_readable(stored):
    key = three_revisions(stored)
    before = {key: body for key, body in stored.objects.contents.items() if key[0] == "results"}
    assert [one.left for one in retire_all(stored, keep_data=True)] == [""]
    assert before.items() <= stored.objects.contents.items()
    assert read_result(stored.objects, stored.feed.target, key).reconciled


def test_with_keep_data_only_the_catalog_forgets(stored):
    archive = stored.deliver("a.zip", ARCHIVE)
    before = results(stored)
    (one,) = retire_all(stored, keep_data=True)
    assert (one.objects, one.left) == (0, "")
    assert results(stored) == before
    assert list(stored.catalog.archives()) == []
    assert list(stored.catalog.shards()) == []
    assert read_result(stored.objects, stored.feed.target, archive).reconciled


def test_the_sweep_does_not_bring_it_back(stored):
    stored.deliver("a.zip", ARCHIVE)
    retire_all(stored)
    report = sweep(stored.catalog, stored.objects)
    assert (report.recorded, report.unchanged) == ([], 1)
    assert plan(stored.catalog) == []


def test_another_content_comes_in_as_usual(stored):
    archive = stored.deliver("a.zip", ARCHIVE)
    retire_all(stored)
    stored.deliver("a.zip", make_zip({"sales.csv": SALES + "cap,2026-01-03,2\n"}))
    result = read_result(stored.objects, stored.feed.target, archive)
    assert (result.reconciled, result.delivery.rows_enriched) == (True, 4)
    assert stored.counts() == (4, 0, 0, 0)


def announced(key, etag, size, at):
    described = {"key": key, "size": size, "eTag": etag}
    record = {
        "eventName": "ObjectCreated:Put",
        "eventTime": at.isoformat(),
        "s3": {"bucket": {"name": "incoming"}, "object": described},
    }
    return json.dumps({"Records": [record]})


def test_the_same_content_comes_in_again_if_it_is_uploaded_again(stored):
    archive = stored.deliver("a.zip", ARCHIVE)
    known = stored.catalog.latest_revision(archive)
    retire_all(stored)
    etag = stored.objects.head("incoming", archive).etag
    newer = datetime.now(UTC) + timedelta(hours=1)
    for at, recorded in ((known.event_time, []), (newer, [archive]), (newer, [])):
        stored.queue.put(announced(archive, etag, len(ARCHIVE), at))
        budget = Budget(seconds=5)
        report = take_messages([stored.catalog], stored.queue, budget, wait_seconds=0)
        assert report.recorded == recorded
    stored.dispatch()
    assert read_result(stored.objects, stored.feed.target, archive).reconciled
    assert stored.counts() == (3, 0, 0, 0)


@pytest.mark.parametrize("step", ["data", "observation", "shards", "archive"])
def test_what_is_cut_short_is_finished_the_next_time(stored, monkeypatch, step):
    stored.deliver("a.zip", ARCHIVE)

    def stop(*_arguments, **_settings):
        raise RuntimeError("the power is gone")

    with monkeypatch.context() as patch:
        if step == "data":
            patch.setattr(type(stored.objects), "list", stop)
        elif step == "observation":
            patch.setattr(FeedCatalog, "mark_retired", stop)
        elif step == "shards":
            patch.setattr(FeedCatalog, "retire_shards", stop)
        else:
            patch.setattr(dg.DagsterInstance, "delete_dynamic_partition", stop)
        with pytest.raises(RuntimeError):
            retire_all(stored)
    assert plan(stored.catalog) == []
    assert sweep(stored.catalog, stored.objects).recorded == []
    assert [one.left for one in retire_all(stored)] == [""]
    assert list(stored.catalog.archives()) == []
    assert list(stored.catalog.shards()) == []
    assert results(stored) == [key for key in results(stored) if "schemas" in key]


def test_a_revision_that_comes_in_meanwhile_is_not_lost(stored, monkeypatch):
    archive = stored.deliver("a.zip", ARCHIVE)
    retire_shards = FeedCatalog.retire_shards
    newer = make_zip({"sales.csv": SALES + "cap,2026-01-03,2\n"})

    def arrive(catalog, keys):
        retire_shards(catalog, keys)
        stored.drop("a.zip", newer)
        sweep(stored.catalog, stored.objects)

    monkeypatch.setattr(FeedCatalog, "retire_shards", arrive)
    (one,) = retire_all(stored)
    assert one.left == MEANWHILE
    monkeypatch.undo()
    stored.dispatch()
    assert read_result(stored.objects, stored.feed.target, archive).delivery.rows_enriched == 4


def test_a_revision_that_is_delivered_before_its_turn_keeps_its_data(stored):
    first = stored.deliver("a.zip", ARCHIVE)
    second = stored.deliver("b.zip", ARCHIVE)
    old = find_old(stored.catalog, MONTH, now=IN_A_YEAR)
    retiring = retire(stored.catalog, stored.objects, old, keep_data=False)
    assert next(retiring).partition_key == first
    stored.deliver("b.zip", make_zip({"sales.csv": SALES + "cap,2026-01-03,2\n"}))
    assert [one.left for one in retiring] == [MEANWHILE]
    assert read_result(stored.objects, stored.feed.target, second).delivery.rows_enriched == 4
    assert stored.counts() == (4, 0, 0, 0)


def test_a_revision_that_arrives_while_data_are_removed_is_made_whole(stored, monkeypatch):
    archive = stored.deliver("a.zip", ARCHIVE)
    folders = Layout.folders

    def arrive(layout, *arguments):
        stored.drop("a.zip", make_zip({"sales.csv": SALES + "cap,2026-01-03,2\n"}))
        sweep(stored.catalog, stored.objects)
        stored.dispatch()
        return folders(layout, *arguments)

    monkeypatch.setattr(Layout, "folders", arrive)
    assert [one.left for one in retire_all(stored)] == [MEANWHILE]
    result = read_result(stored.objects, stored.feed.target, archive)
    assert (result.reconciled, result.delivery.rows_enriched) == (True, 4)
    assert stored.counts() == (4, 0, 0, 0)


@pytest.mark.parametrize("at_work", ["replay", "run"])
def test_an_archive_that_is_in_work_by_its_turn_is_left(stored, at_work):
    archive = stored.deliver("a.zip", ARCHIVE)
    old = find_old(stored.catalog, MONTH, now=IN_A_YEAR)
    if at_work == "replay":
        stored.catalog.ask_replay(archive, old[0].arrived.revision)
    else:
        stored.instance.create_run_for_job(
            stored.definitions.resolve_job_def("shop_deliver"),
            status=dg.DagsterRunStatus.STARTED,
            tags={"dagster/partition": archive},
        )
    before = results(stored)
    (one,) = retire(stored.catalog, stored.objects, old, keep_data=False)
    assert (one.left, results(stored)) == (MEANWHILE, before)
    assert list(stored.catalog.archives()) == [archive]


def test_nothing_is_taken_from_a_backfill_under_way(stored):
    stored.deliver("a.zip", ARCHIVE)
    for name, asset in (("others", dg.AssetKey("others")), ("own", stored.catalog.graph.delivery)):
        stored.instance.add_backfill(
            PartitionBackfill(
                backfill_id=name,
                status=BulkActionStatus.REQUESTED,
                from_failure=False,
                tags={},
                backfill_timestamp=0.0,
                asset_selection=[asset],
            )
        )
    assert [one.left for one in retire_all(stored)] == ["backfill own is under way"]
    ended = stored.instance.get_backfill("own").with_status(BulkActionStatus.CANCELED)
    stored.instance.update_backfill(ended)
    assert [one.left for one in retire_all(stored)] == [""]


def test_the_same_content_comes_back_although_the_process_dies_in_between(stored, monkeypatch):
    archive = stored.deliver("a.zip", ARCHIVE)
    retire_all(stored)
    etag, later = stored.objects.head("incoming", archive).etag, datetime.now(UTC) + MONTH
    report_event = dg.DagsterInstance.report_runless_asset_event
    for allowed in (0, 1, 9):
        left = iter(range(allowed))

        def report(instance, event, left=left):
            if next(left, None) is None:
                raise RuntimeError("the power is gone")
            report_event(instance, event)

        stored.queue.put(announced(archive, etag, len(ARCHIVE), later))
        with monkeypatch.context() as patch:
            patch.setattr(dg.DagsterInstance, "report_runless_asset_event", report)
            with suppress(RuntimeError):
                take_messages([stored.catalog], stored.queue, Budget(seconds=5), wait_seconds=0)
        stored.queue.redeliver()
    stored.dispatch()
    assert read_result(stored.objects, stored.feed.target, archive).reconciled


def test_an_arrival_whose_partition_is_gone_is_found_by_the_sweep(stored):
    archive = stored.deliver("a.zip", ARCHIVE)
    retire_all(stored)
    stored.drop("a.zip", make_zip({"sales.csv": SALES + "cap,2026-01-03,2\n"}))
    sweep(stored.catalog, stored.objects)
    # The process that retired it died before it put the partition back.
    stored.instance.delete_dynamic_partition(stored.catalog.graph.zip_archives_name, archive)
    assert sweep(stored.catalog, stored.objects).recorded == [archive]
    stored.dispatch()
    assert read_result(stored.objects, stored.feed.target, archive).delivery.rows_enriched == 4


def test_what_is_young_waits_or_failed_is_not_old(stored):
    stored.deliver("a.zip", ARCHIVE)
    assert find_old(stored.catalog, MONTH) == []
    stored.drop("b.zip", ARCHIVE)
    sweep(stored.catalog, stored.objects)
    old = find_old(stored.catalog, MONTH, now=IN_A_YEAR)
    assert [one.partition_key for one in old] == ["shop/a.zip"]


def test_only_a_delivery_at_rest_is_old():
    done = ArchiveFacts(
        "a.zip",
        arrived=Event(1, "r"),
        manifest=Event(2, "r"),
        delivery=Event(5, "r", timestamp=100.0),
        shards=[ShardFacts("s", reported=3, enriched=4)],
    )
    assert is_old(done, before=101.0)
    assert not is_old(done, before=100.0)
    assert not is_old(replace(done, running=Stage.ENRICHING), before=101.0)
    assert not is_old(replace(done, arrived=Event(6, "s")), before=101.0)
    assert not is_old(replace(done, shards=[ShardFacts("s", 6, 4)]), before=101.0)
    assert not is_old(replace(done, delivery=None), before=101.0)


@pytest.mark.parametrize(
    ("text", "hours"), [("30d", 720), ("12h", 12), ("8w", 8 * 7 * 24), (" 1d ", 24)]
)
def test_ages(text, hours):
    assert parse_age(text) == timedelta(hours=hours)


@pytest.mark.parametrize("text", ["", "d", "30", "-1d", "1.5d", "30 d", "30days"])
def test_what_is_no_age_is_said_to_be_none(text):
    with pytest.raises(Exception, match="is no age"):
        parse_age(text)


def test_the_feed_may_say_that_it_happens_every_night():
    feed = FEED.model_copy(update={"retire": Retirement(after_days=30, keep_data=False)})
    with Shop(feed=feed) as shop:
        instance = shop.instance
        shop.definitions = build_feed_definitions(
            feed, object_store=shop.store, queue_client=shop.client
        )
        shop.deliver("a.zip", ARCHIVE)
        schedules = {one.name: one for one in shop.definitions.get_repository_def().schedule_defs}
        schedule = schedules["shop_retire_nightly"]
        with dg.build_schedule_context(
            instance, scheduled_execution_time=datetime.now(UTC)
        ) as context:
            (request,) = schedule.evaluate_tick(context).run_requests
        job = shop.definitions.resolve_job_def("shop_retire")
        assert job.execute_in_process(run_config=request.run_config, instance=instance).success
        assert list(shop.catalog.archives()) == ["shop/a.zip"]
        at_once = {"ops": {"shop_retire_archives": {"config": {"older_than_days": 0.0}}}}
        assert job.execute_in_process(run_config=at_once, instance=instance).success
        assert list(shop.catalog.archives()) == []
    with Shop() as shop:
        names = {one.name for one in shop.definitions.get_repository_def().schedule_defs}
        assert "shop_retire_nightly" not in names
