"""The same bytes uploaded again after a failure are processed again, once for each upload."""

import json
from datetime import UTC, datetime, timedelta

import dagster as dg
import pytest

from rwt_assets.catalog.intake import Budget, sweep, take_messages
from rwt_assets.catalog.standing import archive_progress
from rwt_assets.component import build_feed_definitions
from rwt_assets.delivery.consumption import read_result
from rwt_assets.orchestration.sensors.dispatch import plan
from rwt_assets.orchestration.steps.parquet_io_manager import ParquetShards
from rwt_assets_tests.archives import make_zip
from rwt_assets_tests.stand_ins import InMemoryObjects

pytestmark = pytest.mark.mostly_long(one_in=3)

NOON = datetime(2026, 11, 24, 12, tzinfo=UTC)
BODY = make_zip({"sales.csv": "item,day,price\npen,2026-01-01,1.50\nink,2026-01-02,-7\n"})
UNREADABLE = make_zip({"sales.csv": "no,header\n1,2\n"})


@pytest.fixture
def stored(shop):
    return with_feed(shop)


def with_feed(shop, **settings):
    shop.feed = shop.feed.model_validate({**shop.feed.model_dump(), **settings})
    shop.definitions = build_feed_definitions(
        shop.feed, object_store=shop.store, queue_client=shop.client
    )
    return shop


def upload(shop, body=BODY, *, seconds=0, name="a.zip"):
    """Put the archive at this time; its key."""
    key = shop.drop(name, body)
    shop.objects.modified["incoming", key] = NOON + timedelta(seconds=seconds)
    return key


def announce(shop, key, *, sequencer=None, seconds=0):
    described = {"key": key, "size": 9, "eTag": shop.objects.etag("incoming", key)}
    if sequencer is not None:
        described["sequencer"] = sequencer
    record = {
        "eventName": "ObjectCreated:Put",
        "eventTime": (NOON + timedelta(seconds=seconds)).isoformat(),
        "s3": {"bucket": {"name": "incoming"}, "object": described},
    }
    shop.queue.put(json.dumps({"Records": [record]}))


def take(shop):
    return take_messages([shop.catalog], shop.queue, Budget(seconds=5), wait_seconds=0)


def by_message(shop, key, seconds):
    announce(shop, key, sequencer=f"{seconds:04X}", seconds=seconds)
    return take(shop)


def by_message_without_sequencer(shop, key, seconds):
    announce(shop, key, seconds=seconds)
    return take(shop)


def by_sweep(shop, key, seconds):
    shop.objects.modified["incoming", key] = NOON + timedelta(seconds=seconds)
    return sweep(shop.catalog, shop.objects)


WAYS = {
    "messages": (by_message, by_message),
    "messages without sequencers": (by_message_without_sequencer, by_message_without_sequencer),
    "sweeps": (by_sweep, by_sweep),
    "a message, then the sweep": (by_message, by_sweep),
    "the sweep, then a message": (by_sweep, by_message),
}


def runs(shop):
    return len(shop.instance.get_runs())


def arrivals(shop):
    found = shop.instance.fetch_materializations(shop.catalog.graph.zip_archive, limit=100)
    return len(found.records)


def fails_to_split(shop, monkeypatch):
    def refuse(*_args, **_settings):
        raise PermissionError("no access to the archive")

    monkeypatch.setattr(InMemoryObjects, "stream", refuse)


def fails_to_enrich(shop, monkeypatch):
    def refuse(*_args, **_settings):
        raise RuntimeError("this shard does not work")

    monkeypatch.setattr(ParquetShards, "write", refuse)


def fails_to_deliver(shop, _monkeypatch):
    with_feed(shop, tolerance={"rows": 0})


@pytest.mark.parametrize("ways", WAYS.values(), ids=WAYS)
@pytest.mark.parametrize("fault", [fails_to_split, fails_to_enrich, fails_to_deliver])
def test_a_failed_archive_is_processed_again(stored, monkeypatch, fault, ways):
    first, second = ways
    key = upload(stored)
    with monkeypatch.context() as patch:
        fault(stored, patch)
        assert first(stored, key, 0).recorded == [key]
        stored.dispatch(expect_failure=True)
        assert archive_progress(stored.catalog, key).stage == "failed"
        assert plan(stored.catalog) == []
    with_feed(stored, tolerance={})
    assert plan(stored.catalog) == [], "nobody has asked yet"
    assert upload(stored) == key
    assert second(stored, key, 60).recorded == [key]
    assert archive_progress(stored.catalog, key).stage != "failed"
    assert stored.dispatch()
    result = read_result(stored.objects, stored.feed.target, key)
    assert result.reconciled
    assert (result.delivery.rows_enriched, result.delivery.rows_quarantined) == (1, 1)
    assert archive_progress(stored.catalog, key).stage == "delivered"


@pytest.mark.parametrize("ways", WAYS.values(), ids=WAYS)
def test_what_fails_again_is_asked_for_once_an_upload(stored, ways):
    first, second = ways
    key = upload(stored, UNREADABLE)
    first(stored, key, 0)
    stored.dispatch(expect_failure=True)
    assert (runs(stored), arrivals(stored)) == (1, 1)
    for number in (1, 2):
        assert second(stored, key, 60 * number).recorded == [key]
        again = second(stored, key, 60 * number)
        assert (again.recorded, again.unchanged) == ([], 1), "asked for while it waits"
        stored.dispatch(expect_failure=True)
        assert archive_progress(stored.catalog, key).stage == "failed"
        again = second(stored, key, 60 * number)
        assert (again.recorded, again.unchanged) == ([], 1), "asked for twice by one upload"
        assert stored.dispatch() == []
        assert (runs(stored), arrivals(stored)) == (1 + number, 1 + number)
    asked = stored.instance.fetch_observations(stored.catalog.graph.archive_manifest, limit=10)
    assert len(asked.records) == 2


@pytest.mark.parametrize("ways", WAYS.values(), ids=WAYS)
def test_nothing_changes_for_what_is_delivered_or_in_work(stored, ways):
    first, second = ways
    key = upload(stored)
    first(stored, key, 0)
    waiting = plan(stored.catalog)
    assert second(stored, key, 60).recorded == []
    assert [one.run_key for one in plan(stored.catalog)] == [one.run_key for one in waiting]
    stored.dispatch()
    done = runs(stored)
    assert second(stored, key, 120).recorded == []
    assert stored.dispatch() == []
    assert (runs(stored), arrivals(stored)) == (done, 1)


@pytest.mark.parametrize("ways", WAYS.values(), ids=WAYS)
def test_an_older_upload_that_is_told_late_asks_for_nothing(stored, ways):
    first, second = ways
    key = upload(stored, UNREADABLE)
    first(stored, key, 60)
    stored.dispatch(expect_failure=True)
    assert second(stored, key, 30).recorded == []
    assert second(stored, key, 60).recorded == []


@pytest.mark.parametrize(
    ("ways", "seconds", "recorded"),
    [
        ("a message, then the sweep", 2, False),
        ("a message, then the sweep", 3, True),
        ("the sweep, then a message", 2, False),
        ("the sweep, then a message", 3, True),
        ("sweeps", 2, False),
        ("sweeps", 3, True),
    ],
)
def test_the_event_and_the_listing_of_one_upload_may_differ_by_two_seconds(
    stored, ways, seconds, recorded
):
    first, second = WAYS[ways]
    key = upload(stored, UNREADABLE)
    first(stored, key, 0)
    stored.dispatch(expect_failure=True)
    assert bool(second(stored, key, seconds).recorded) is recorded


def test_a_dry_sweep_says_it_and_asks_for_nothing(stored):
    key = upload(stored, UNREADABLE)
    by_sweep(stored, key, 0)
    stored.dispatch(expect_failure=True)
    stored.objects.modified["incoming", key] = NOON + timedelta(hours=1)
    assert sweep(stored.catalog, stored.objects, dry_run=True).recorded == [key]
    later = NOON + timedelta(hours=2)
    assert sweep(stored.catalog, stored.objects, since=later).recorded == []
    assert (runs(stored), arrivals(stored)) == (1, 1)
    assert archive_progress(stored.catalog, key).stage == "failed"


def test_an_archive_that_was_not_there_is_processed_when_it_is_uploaded_again(stored):
    key = upload(stored)
    by_message(stored, key, 0)
    del stored.objects.contents["incoming", key]
    stored.dispatch(expect_failure=True)
    failed = archive_progress(stored.catalog, key)
    assert failed.stage == "failed"
    upload(stored)
    assert by_message(stored, key, 60).recorded == [key]
    stored.dispatch()
    stored.assert_delivered(key)
    assert read_result(stored.objects, stored.feed.target, key).reconciled


def test_another_content_of_a_failed_archive_is_no_replay(stored):
    key = upload(stored, UNREADABLE)
    by_sweep(stored, key, 0)
    stored.dispatch(expect_failure=True)
    upload(stored)
    assert by_sweep(stored, key, 60).recorded == [key]
    asked = stored.instance.fetch_observations(stored.catalog.graph.archive_manifest, limit=10)
    assert asked.records == []
    stored.dispatch()
    stored.assert_delivered(key)


def test_a_crash_between_the_request_and_the_record_asks_once(stored, monkeypatch):
    key = upload(stored, UNREADABLE)
    by_message(stored, key, 0)
    stored.dispatch(expect_failure=True)
    announce(stored, key, sequencer="0001", seconds=60)

    def refuse(*_args, **_settings):
        raise dg.DagsterInvariantViolationError("the database is away")

    with monkeypatch.context() as patch:
        patch.setattr("rwt_assets.catalog.catalog.FeedCatalog.record_arrival", refuse)
        with pytest.raises(dg.DagsterInvariantViolationError):
            take(stored)
    stored.queue.redeliver()
    assert take(stored).unchanged == 1
    stored.dispatch(expect_failure=True)
    assert runs(stored) == 2
