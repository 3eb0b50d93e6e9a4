"""Messages to recorded archives: nothing is lost, nothing is recorded twice."""

import json
from datetime import UTC, datetime, timedelta

import dagster as dg
import pytest

from rwt_assets.catalog.catalog import FeedCatalog
from rwt_assets.catalog.figures import latest_figures, take_figures
from rwt_assets.catalog.intake import VISIBILITY_SECONDS, Budget, sweep, take_messages
from rwt_assets.catalog.standing import available_capacity, take_standing
from rwt_assets.orchestration.sensors.dispatch import dispatch_sensor, plan, step_jobs, watch
from rwt_assets.orchestration.sensors.queue import queue_sensor
from rwt_assets.orchestration.sensors.sweep import sweep_sensor
from rwt_assets_tests.archives import make_zip
from rwt_assets_tests.stand_ins import run_request


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


@pytest.mark.parametrize("name", ["MAY.ZIP", "June.Zip", "july.zip"])
def test_an_archive_is_taken_in_whatever_the_case_of_its_suffix(shop, name):
    shop.queue.put(created(f"shop/{name}"))
    assert take(shop).recorded == [f"shop/{name}"]
    shop.drop(f"b-{name}", make_zip({"a.csv": "x\n"}))
    assert sweep(shop.catalog, shop.objects).recorded == [f"shop/b-{name}"]


def test_what_lies_beside_the_archives_is_announced_and_no_mistake(shop):
    message = shop.queue.put(created("shop/readme.txt"))
    report = take(shop)
    assert (report.recorded, report.refused) == ([], [])
    assert report.ignored == {"object that is no archive": 1}
    assert shop.queue.deleted == [message]


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


@pytest.mark.parametrize(
    ("time", "newest"),
    [("12:00:00.000", "other"), ("11:59:59.999", "e1"), ("12:00:00.699", "other")],
)
def test_a_time_of_whole_seconds_is_late_only_before_the_second_on_record(shop, time, newest):
    """The event on record has fractions and a sequencer; the other has none, as a listing."""
    shop.queue.put(created("shop/a.zip").replace("12:00:00.000", "12:00:00.700"))
    listed = created("shop/a.zip", etag="other", sequencer=None).replace("12:00:00.000", time)
    shop.queue.put(listed)
    report = take(shop)
    assert recorded(shop)[-1] == ("shop/a.zip", newest)
    assert report.unchanged == (newest == "e1")


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


def test_a_message_that_cannot_be_recorded_does_not_hold_up_the_others(shop, monkeypatch):
    for name in ("a", "b", "c"):
        shop.queue.put(created(f"shop/{name}.zip"))
    original = FeedCatalog.record_arrival

    def refuse_b(self, revision, **facts):
        if revision.key == "shop/b.zip":
            raise RuntimeError("the catalog does not take b")
        original(self, revision, **facts)

    with monkeypatch.context() as patch:
        patch.setattr(FeedCatalog, "record_arrival", refuse_b)
        with pytest.raises(RuntimeError, match="does not take b"):
            take(shop)
    assert [key for key, _ in recorded(shop)] == ["shop/a.zip", "shop/c.zip"]
    assert shop.queue.deleted == ["message-0", "message-2"]
    shop.queue.redeliver()
    assert take(shop).recorded == ["shop/b.zip"]


def test_messages_stay_hidden_while_a_tick_works_on_them(shop, monkeypatch):
    for number in range(4):
        shop.queue.put(created(f"shop/{number}.zip"))
    now = [0.0]
    original = FeedCatalog.record_arrival

    def record_slowly(self, *args, **facts):
        now[0] += VISIBILITY_SECONDS * 0.4
        original(self, *args, **facts)

    monkeypatch.setattr(FeedCatalog, "record_arrival", record_slowly)
    take(shop, seconds=1, clock=lambda: now[0])
    assert shop.queue.hidden == ["message-0", "message-1", "message-2", "message-3"]
    assert shop.queue.messages == []


def test_with_a_thousand_archives_waiting_messages_stay_in_the_queue(shop):
    shop.feed = shop.feed.model_copy(update={"archives_in_work": 30})
    for number in range(1_000):
        shop.queue.put(created(f"shop/{number:04d}.zip"))

    def tick():
        return take(shop, archives=available_capacity(shop.catalog), seconds=60)

    report = tick()
    assert (len(report.recorded), report.full) == (30, True)
    assert shop.queue.depth("shop").waiting == 970
    assert tick().received == 0
    requests = plan(shop.catalog)
    assert [r.partition_key for r in requests] == [f"shop/{n:04d}.zip" for n in range(20)]
    for _ in range(2):  # there is no such object: each fails as often as it may
        for request in plan(shop.catalog):
            result = run_request(shop.definitions, shop.instance, request, may_fail=True)
            assert not result.success
    failed = take_standing(shop.catalog).failed
    assert len(failed) == 20
    shop.expect_failed(*(entry.partition_key for entry in failed))
    assert tick().recorded == [f"shop/{n:04d}.zip" for n in range(30, 50)]


def test_no_more_is_asked_for_while_enough_runs_are_under_way(shop):
    for number in range(5):
        shop.drop(f"{number}.zip", make_zip({"a.csv": "x\n"}))
    sweep(shop.catalog, shop.objects)
    job = shop.definitions.resolve_job_def("shop_split")
    for request in plan(shop.catalog)[:2]:
        shop.instance.create_run_for_job(
            job,
            tags={**request.tags, "dagster/partition": request.partition_key},
            status=dg.DagsterRunStatus.STARTED,
        )
    assert [r.partition_key for r in plan(shop.catalog, at_most=3)] == ["shop/2.zip"]
    assert plan(shop.catalog, at_most=2) == []


def test_two_feeds_on_one_queue_are_told_apart_by_prefix(shop):
    source = shop.feed.source.model_copy(update={"prefix": "kiosk/"})
    kiosk = FeedCatalog(
        shop.instance, shop.feed.model_copy(update={"name": "kiosk", "source": source})
    )
    shop.queue.put(created("kiosk/a.zip"))
    shop.queue.put(created("shop/b.zip"))
    shop.queue.put(created("else/c.zip"))
    report = take_messages([kiosk, shop.catalog], shop.queue, Budget(seconds=5), wait_seconds=0)
    assert list(kiosk.archives()) == ["kiosk/a.zip"]
    assert list(shop.catalog.archives()) == ["shop/b.zip"]
    (refused,) = report.refused
    assert "feed kiosk: s3://incoming/kiosk/*.zip, feed shop: s3://incoming/shop/*.zip" in refused


def test_a_sweep_ends_when_its_budget_does_and_goes_on_from_there(shop, monkeypatch):
    monkeypatch.setattr("rwt_assets.catalog.intake.PAGE", 2)
    for number in range(7):
        shop.drop(f"{number}.zip", b"")
    first = sweep(shop.catalog, shop.objects, Budget(archives=3))
    assert first.full
    assert first.recorded == [f"shop/{n}.zip" for n in range(3)]
    second = sweep(shop.catalog, shop.objects, Budget(seconds=0), start_after=first.next_after)
    assert second.recorded == ["shop/3.zip", "shop/4.zip"]
    last = sweep(shop.catalog, shop.objects, start_after=second.next_after)
    assert (last.recorded, last.next_after) == (["shop/5.zip", "shop/6.zip"], "")
    assert sweep(shop.catalog, shop.objects).unchanged == 7


def test_a_dry_sweep_records_nothing_and_since_leaves_out_what_is_older(shop):
    shop.drop("a.zip", b"")
    assert sweep(shop.catalog, shop.objects, dry_run=True).recorded == ["shop/a.zip"]
    assert list(shop.catalog.archives()) == []
    tomorrow = datetime.now(UTC) + timedelta(days=1)
    assert sweep(shop.catalog, shop.objects, since=tomorrow).recorded == []
    assert sweep(shop.catalog, shop.objects, since=tomorrow - timedelta(days=2)).recorded


def test_a_listing_that_is_older_than_the_catalog_changes_nothing(shop, monkeypatch):
    shop.drop("a.zip", b"old")
    stale = list(shop.objects.list("incoming", "shop/"))
    shop.drop("a.zip", b"new")
    sweep(shop.catalog, shop.objects)
    monkeypatch.setattr(shop.objects, "list", lambda *_, **__: iter(stale))
    assert sweep(shop.catalog, shop.objects).recorded == []
    del shop.objects.contents["incoming", "shop/a.zip"]
    assert sweep(shop.catalog, shop.objects).recorded == [], "it is gone meanwhile"


def test_figures_are_observed_when_they_change(shop, monkeypatch):
    monkeypatch.setattr("rwt_assets.orchestration.sensors.queue.LONG_POLL_SECONDS", 0)
    shop.queue.put(created("shop/a.zip"))
    shop.queue.put("nonsense")
    sensor = queue_sensor([shop.feed])

    def tick(cursor):
        with dg.build_sensor_context(instance=shop.instance, cursor=cursor) as context:
            return sensor(context, queue_client=shop.client)

    first = tick(None)
    (observation,) = first.asset_events
    assert {name: value.value for name, value in observation.metadata.items()} == {
        "messages_waiting": 0,
        "messages_in_flight": 1,
        "oldest_message_seconds": 0,
        "dead_letters": 1,  # the stand-in has one queue for both
        "archives_in_work": 1,
        "archives_failed": 0,
    }
    shop.instance.report_runless_asset_event(observation)
    assert latest_figures(shop.catalog)["archives_in_work"] == 1
    assert tick(first.cursor).asset_events == [], "observed again within a minute"
    monkeypatch.setattr("rwt_assets.orchestration.sensors.queue.FIGURES_SECONDS", -1)
    assert tick(first.cursor).asset_events == [], "nothing has changed"
    shop.queue.redeliver()
    waiting = take_figures(
        shop.catalog, shop.queue, newest_sent_at=datetime.now(UTC) - timedelta(seconds=90)
    )
    assert (waiting.messages_waiting, waiting.oldest_message_seconds) == (1, 90)


def test_the_queue_sensor_asks_for_nothing_and_says_what_it_did(shop, monkeypatch):
    monkeypatch.setattr("rwt_assets.orchestration.sensors.queue.LONG_POLL_SECONDS", 0)
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
    monkeypatch.setattr("rwt_assets.orchestration.sensors.dispatch.WATCH_SECONDS", 0)
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


def test_watching_rests_some_times_as_long_as_a_look_takes_before_the_next_tick(monkeypatch):
    now, rested = [0.0], []

    def sleep(seconds):
        rested.append(seconds)
        now[0] += seconds

    def look_for(seconds):
        def look():
            now[0] += seconds
            return []

        return look

    monkeypatch.setattr("rwt_assets.orchestration.sensors.dispatch.monotonic", lambda: now[0])
    monkeypatch.setattr("rwt_assets.orchestration.sensors.dispatch.sleep", sleep)
    assert watch(look_for(1), seconds=4, pause=0.5) == []
    assert rested == [4.0]
    rested.clear()
    assert watch(look_for(30), seconds=4, pause=0.5) == []
    assert rested == [20.0], "a tick may take a minute"
    rested.clear()
    assert watch(look_for(0), seconds=4, pause=0.5) == []
    assert rested == [0.5] * 7, "the daemon itself pauses after the last"
