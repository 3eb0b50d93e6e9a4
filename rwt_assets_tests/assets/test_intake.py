"""Messages to recorded archives: nothing is lost, nothing is recorded twice."""

import json

import dagster as dg
import pytest

from rwt_assets.intake import Budget, sweep, take_messages
from rwt_assets.sensors.dispatch import dispatch_sensor, step_jobs, watch
from rwt_assets.sensors.queue import queue_sensor
from rwt_assets.sensors.sweep import sweep_sensor
from rwt_assets_tests.archives import make_zip


def created(key, etag="e1", bucket="incoming", sequencer="01", **facts):
    described = {"key": key, "size": 3, "eTag": etag, "sequencer": sequencer, **facts}
    record = {
        "eventName": "ObjectCreated:Put",
        "eventTime": "2026-11-24T12:00:00.000Z",
        "s3": {"bucket": {"name": bucket}, "object": described},
    }
    return json.dumps({"Records": [record]})


def take(shop, *, wait_seconds=0, **budget):
    given = Budget(**{"seconds": 5, **budget})
    return take_messages([shop.catalog], shop.queue, given, wait_seconds=wait_seconds)


def recorded(shop):
    return [
        (r.partition_key, r.asset_materialization.metadata["revision"].value)
        for r in shop.instance.fetch_materializations(
            shop.catalog.graph.zip_archive, limit=100, ascending=True
        ).records
    ]


def test_an_announced_archive_is_on_record_and_its_message_gone(shop):
    message = shop.queue.put(created("shop/a+b%2B.zip"))
    report = take(shop)
    assert report.recorded == ["shop/a b+.zip"]
    assert shop.queue.deleted == [message]
    revision = shop.catalog.latest_revision("shop/a b+.zip")
    assert (revision.revision, revision.size, revision.sequencer) == ("e1", 3, "01")


def test_a_message_that_comes_twice_is_recorded_once(shop):
    for _ in range(2):
        shop.queue.put(created("shop/a.zip"))
    take(shop)
    shop.queue.put(created("shop/a.zip"))
    assert take(shop).unchanged == 1
    assert recorded(shop) == [("shop/a.zip", "e1")]
    assert shop.queue.messages == []


def test_an_older_revision_that_comes_late_changes_nothing(shop):
    shop.queue.put(created("shop/a.zip", etag="new", sequencer="0B"))
    shop.queue.put(created("shop/a.zip", etag="old", sequencer="0A"))
    take(shop)
    assert recorded(shop) == [("shop/a.zip", "new")]


def test_what_is_not_ours_stays_in_the_queue_and_is_told(shop):
    shop.queue.put("what is this")
    shop.queue.put(created("other/a.zip"))
    shop.queue.put(created("shop/a.zip", bucket="elsewhere"))
    shop.queue.put(created("shop/good.zip"))
    shop.queue.put('{"Event": "s3:TestEvent"}')
    report = take(shop)
    assert report.recorded == ["shop/good.zip"]
    assert len(report.refused) == 3
    assert "message-0" in report.refused[0]
    assert "s3://other" not in report.refused[1]
    assert "s3://incoming/other/a.zip is nothing that the queue's feeds read" in report.refused[1]
    assert [m.message_id for m in shop.queue.messages] == ["message-0", "message-1", "message-2"]
    assert shop.objects.contents == {}, "something was fetched"


def test_a_message_is_deleted_only_after_its_archive_is_on_record(shop, monkeypatch):
    shop.queue.put(created("shop/a.zip"))

    def refuse(*_args, **_kwargs):
        raise dg.DagsterInvariantViolationError("the database is away")

    with monkeypatch.context() as patch:
        patch.setattr(dg.DagsterInstance, "report_runless_asset_event", refuse)
        with pytest.raises(dg.DagsterInvariantViolationError):
            take(shop)
    assert shop.queue.deleted == []
    shop.queue.redeliver()
    assert take(shop).recorded == ["shop/a.zip"]


def test_many_messages_are_taken_in_one_tick_within_its_budget(shop):
    for number in range(35):
        shop.queue.put(created(f"shop/{number}.zip"))

    def clock():
        """Half the time is over after each look at an empty queue or a batch of ten."""
        return len(shop.queue.deleted) / 10

    report = take(shop, seconds=2, wait_seconds=7, clock=clock)
    assert report.received == 20
    assert shop.queue.waits == [7, 0], "only an empty queue is worth a wait"
    assert len(take(shop).recorded) == 15


def test_a_sweep_finds_what_was_never_announced_and_only_that(shop):
    shop.drop("a.zip", make_zip({"a.csv": "x\n"}))
    shop.drop("readme.txt", b"")
    shop.objects.put("incoming", "other/b.zip", b"")
    assert sweep(shop.catalog, shop.objects).recorded == ["shop/a.zip"]
    assert sweep(shop.catalog, shop.objects).recorded == []
    shop.drop("a.zip", make_zip({"a.csv": "y\n"}))
    report = sweep(shop.catalog, shop.objects)
    assert report.recorded == ["shop/a.zip"]
    assert report.ignored == {"object that is no archive": 1}


def test_the_queue_sensor_asks_for_nothing_and_says_what_it_did(shop, monkeypatch):
    monkeypatch.setattr("rwt_assets.sensors.queue.LONG_POLL_SECONDS", 0)
    shop.queue.put(created("shop/a.zip"))
    shop.queue.put("nonsense")
    with dg.build_sensor_context(instance=shop.instance) as context:
        result = queue_sensor([shop.feed])(context, queue_client=shop.client)
    assert result.skip_reason.skip_message.startswith(
        "2 messages: 1 archives recorded (shop/a.zip)"
    )
    assert result.skip_reason.skip_message.endswith("1 refused")


def test_the_sweep_sensor_says_what_it_found(shop):
    shop.drop("a.zip", b"")
    with dg.build_sensor_context(instance=shop.instance) as context:
        result = sweep_sensor(shop.feed)(context, object_store=shop.store)
    assert "1 archives were never announced: shop/a.zip" in result.skip_reason.skip_message


def test_the_dispatch_sensor_asks_for_each_step_once_and_reports_the_standing(shop, monkeypatch):
    monkeypatch.setattr("rwt_assets.sensors.dispatch.WATCH_SECONDS", 0)
    shop.drop("a.zip", make_zip({"sales.csv": "item,day,price\n"}))
    sweep(shop.catalog, shop.objects)
    sensor = dispatch_sensor(shop.feed, step_jobs(shop.feed))
    with dg.build_sensor_context(instance=shop.instance, definitions=shop.definitions) as context:
        first = sensor(context)
    assert [request.job_name for request in first.run_requests] == ["shop_split"]
    assert first.run_requests[0].tags["rwt/archive"] == "shop/a.zip"
    shop.dispatch()
    with dg.build_sensor_context(instance=shop.instance, definitions=shop.definitions) as context:
        last = sensor(context)
    assert not last.run_requests
    (check,) = last.asset_events
    assert (check.check_name, check.passed) == ("nothing_forgotten", True)
    assert last.cursor == "1 done, 0 waiting, 0 failed, 0 forgotten"


def test_watching_ends_at_the_first_request_or_in_time():
    looks = iter([[], [], ["request"]])
    assert watch(lambda: next(looks), seconds=60, pause=0) == ["request"]
    assert watch(list, seconds=0, pause=0.1) == []
