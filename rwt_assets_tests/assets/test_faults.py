"""A crash at any point, and errors of the endpoint: nothing is lost and nothing is doubled.

The process "dies" by an exception that no code of ours catches, and after which nothing can be
recorded, so the run stays as it was; then what a restart does is done (runs without a process are
closed, the queue delivers again), and work goes on. What is
compared is what a consumer reads: the rows of every Parquet object that the deliveries name,
as a multiset, against the rows that were in the archives.

Not covered here: processes that really die (`end_to_end/test_stack.py`, `test_soak.py`).
"""

import json
from collections import Counter

import dagster as dg
import pytest
from botocore.exceptions import ClientError, EndpointConnectionError, ReadTimeoutError
from dagster._core.storage.event_log import SqlEventLogStorage

from rwt_assets.catalog.catalog import FeedCatalog
from rwt_assets.catalog.intake import Budget, sweep, take_messages
from rwt_assets.catalog.standing import retry_failed, take_standing
from rwt_assets.component import AUTOMATION_TAGS, build_feed_definitions
from rwt_assets.orchestration.sensors.dispatch import plan
from rwt_assets.orchestration.steps.parquet_io_manager import ParquetShards, S3ParquetIOManager
from rwt_assets_tests.faulty_round import (
    Crash,
    Injected,
    Point,
    announce,
    assert_whole,
    delivered_rows,
    go_on,
    restart,
    rows_of,
)
from rwt_assets_tests.stand_ins import InMemoryObjects, InMemoryQueue, run_request

pytestmark = pytest.mark.mostly_long(one_in=3)

OLD = {"sales.csv": "item,day,price\npen,2026-01-01,1\nink,2026-01-02,7\npen,2026-01-04,2\n"}
NEW = {
    "sales.csv": "item,day,price\npen,2026-01-01,1\nink,2026-01-02,8\nink,2026-01-03,9\n",
    "items.csv": "item,name\npen,Pen\nink,Ink\n",
}
OTHER = {"sales.csv": "item,day,price\npen,2026-02-01,1\npen,2026-02-01,1\n"}


POINTS = {
    "before a message is received": Point(InMemoryQueue, "receive"),
    "after messages were received": Point(InMemoryQueue, "receive", after=True),
    "before a message is recorded": Point(FeedCatalog, "record_arrival"),
    "between the partition and its event": Point(dg.DagsterInstance, "report_runless_asset_event"),
    "after one of two messages is recorded": Point(FeedCatalog, "record_arrival", after=True),
    "between recording and deleting": Point(InMemoryQueue, "delete"),
    "after deleting, before the tick is stored": Point(InMemoryQueue, "delete", after=True),
    "while dispatch looks": Point(FeedCatalog, "open_facts"),
    "before dispatch asks": Point(FeedCatalog, "attempts"),
    "while the first shard is written": Point(InMemoryObjects, "put", only="/shards/"),
    "between two shards": Point(InMemoryObjects, "put", call=2, only="/shards/"),
    "before the manifest is written": Point(InMemoryObjects, "put_if", only="manifest.json"),
    "after the manifest was written": Point(
        InMemoryObjects, "put_if", only="manifest.json", after=True
    ),
    "before shards are registered": Point(FeedCatalog, "register_shards"),
    "between registering and reporting": Point(FeedCatalog, "register_shards", after=True),
    "between two reports": Point(SqlEventLogStorage, "store_event", call=2, only="csv_shard"),
    "between reporting and retiring": Point(FeedCatalog, "report_shards", after=True),
    "after retiring, before the run's event": Point(FeedCatalog, "retire_shards", after=True),
    "before the first Parquet is written": Point(InMemoryObjects, "put_if", only="/enriched/"),
    "between two Parquet objects": Point(InMemoryObjects, "put_if", call=2, only="/enriched/"),
    "after Parquet, before its event": Point(S3ParquetIOManager, "handle_output", after=True),
    "before the delivery is written": Point(InMemoryObjects, "put_if", only="delivery.json"),
    "after the delivery, before its event": Point(
        InMemoryObjects, "put_if", only="delivery.json", after=True
    ),
}


@pytest.fixture
def stored(shop, monkeypatch):
    monkeypatch.setattr("rwt_assets.status.archive_status.OUTAGE_PAUSES_SECONDS", (0.0, 0.0))
    shop.definitions = build_feed_definitions(
        shop.feed, object_store=shop.store, queue_client=shop.client
    )
    return shop


@pytest.mark.parametrize("point", POINTS.values(), ids=POINTS)
def test_a_crash_loses_nothing_and_doubles_nothing(stored, monkeypatch, point):
    """Of an archive that replaces an older revision, with another beside it."""
    announce(stored, "a.zip", OLD, "01")
    go_on(stored)
    archives = {
        announce(stored, "a.zip", NEW, "02"): NEW,
        announce(stored, "b.zip", OTHER, "01"): OTHER,
    }
    with monkeypatch.context() as patch:
        injected = Injected(patch, point, Crash)
        with pytest.raises(Crash):
            go_on(stored)
        assert injected.raised, "the point was never reached"
    restart(stored)
    go_on(stored)
    assert_whole(stored, archives)


DAYS = [f"pen,2026-01-{day:02d},{day}\n" for day in range(1, 13)]
MANY = {"sales.csv": "item,day,price\n" + "".join(DAYS)}
NINTH_PARQUET = Point(InMemoryObjects, "put_if", call=9, only="/enriched/")


def test_an_attempt_writes_only_the_shards_that_the_one_before_did_not(stored, monkeypatch):
    deliver_in_two_attempts(stored, monkeypatch, Crash)
    assert set(Counter(parquet_puts(stored)).values()) == {1}
    told = Counter(kept_by(stored))
    assert told["an earlier attempt"] >= 8
    assert told[None] >= 1


def test_an_attempt_keeps_nothing_that_was_made_in_another_way(stored, monkeypatch):
    def change_and_crash():
        monkeypatch.setattr("rwt_assets.documents.generations.ENRICHMENT_VERSION", "another")
        return Crash()

    deliver_in_two_attempts(stored, monkeypatch, change_and_crash)
    assert set(kept_by(stored)) == {None}
    assert len(parquet_puts(stored)) >= 8 + 12


def deliver_in_two_attempts(shop, monkeypatch, error):
    """An archive whose first attempt ends in the middle of its range."""
    archives = {announce(shop, "a.zip", MANY, "01"): MANY}
    with monkeypatch.context() as patch:
        Injected(patch, NINTH_PARQUET, error)
        with pytest.raises(Crash):
            go_on(shop)
    restart(shop)
    go_on(shop)
    assert_whole(shop, archives)


def parquet_puts(shop):
    return [key for key in shop.objects.puts if "/enriched/" in key]


def kept_by(shop):
    """What the newest event of each enriched shard says of who kept it."""
    for key in shop.catalog.shards():
        event = shop.instance.fetch_materializations(
            dg.AssetRecordsFilter(
                asset_key=shop.catalog.graph.enriched_shard, asset_partitions=[key]
            ),
            limit=1,
        ).records[0]
        entry = event.asset_materialization.metadata.get("kept_by")
        yield None if entry is None else entry.value


def test_what_dispatch_asked_for_and_nobody_started_is_asked_for_again(stored):
    archives = {announce(stored, "a.zip", NEW, "01"): NEW}
    take_messages([stored.catalog], stored.queue, Budget(), wait_seconds=0)
    lost = plan(stored.catalog)
    assert [request.run_key for request in plan(stored.catalog)] == [
        request.run_key for request in lost
    ], "Dagster could not tell that it is the same request"
    go_on(stored)
    assert_whole(stored, archives)


def slow_down():
    return ClientError({"Error": {"Code": "SlowDown", "Message": "reduce"}}, "PutObject")


def timed_out():
    return ReadTimeoutError(endpoint_url="http://127.0.0.1:1")


def denied():
    return ClientError({"Error": {"Code": "AccessDenied", "Message": "no"}}, "GetObject")


@pytest.mark.parametrize("error", [slow_down, timed_out, denied])
@pytest.mark.parametrize(
    "point",
    [
        Point(InMemoryObjects, "read"),
        Point(InMemoryObjects, "stream"),
        Point(InMemoryObjects, "put", call=2),
        Point(InMemoryObjects, "put_if", only="/enriched/"),
        Point(InMemoryObjects, "tail"),
    ],
    ids=lambda point: f"{point.method} {point.only}",
)
def test_an_error_of_the_store_is_tried_again(stored, monkeypatch, point, error):
    archives = {announce(stored, "a.zip", NEW, "01"): NEW}
    with monkeypatch.context() as patch:
        injected = Injected(patch, point, error)
        go_on(stored, expect_failure=True)
    assert injected.raised
    assert_whole(stored, archives)


@pytest.mark.parametrize("method", ["receive", "delete"])
@pytest.mark.parametrize("error", [slow_down, timed_out, denied])
def test_an_error_of_the_queue_ends_the_tick_and_not_the_archive(
    stored, monkeypatch, method, error
):
    archives = {announce(stored, "a.zip", NEW, "01"): NEW}
    with monkeypatch.context() as patch:
        Injected(patch, Point(InMemoryQueue, method), error)
        with pytest.raises((ClientError, ReadTimeoutError)):
            go_on(stored)
    stored.queue.redeliver()
    go_on(stored)
    assert_whole(stored, archives)


def test_access_that_stays_denied_fails_with_its_reason_until_a_person_asks(stored, monkeypatch):
    archives = {announce(stored, "a.zip", NEW, "01"): NEW}

    def refuse(*_args, **_kwargs):
        raise denied()

    with monkeypatch.context() as patch:
        patch.setattr(InMemoryObjects, "stream", refuse)
        go_on(stored, expect_failure=True)
        runs = len(stored.instance.get_runs())
        assert runs == stored.feed.attempts
        go_on(stored)
        assert len(stored.instance.get_runs()) == runs, "it is asked for for ever"
    (failed,) = take_standing(stored.catalog).failed
    assert "AccessDenied" in failed.reason
    assert retry_failed(stored.catalog, {"shop/other.zip"}) == []
    assert retry_failed(stored.catalog) == ["shop/a.zip"]
    go_on(stored)
    assert_whole(stored, archives)


def test_an_outage_is_waited_for_and_costs_no_attempt(stored, monkeypatch):
    archives = {announce(stored, "a.zip", NEW, "01"): NEW}
    outages = stored.feed.attempts + 3
    original = InMemoryObjects.tail
    calls = []

    def away(self, *args):
        calls.append(args)
        if len(calls) <= outages:
            raise EndpointConnectionError(endpoint_url="http://127.0.0.1:1")
        return original(self, *args)

    monkeypatch.setattr(InMemoryObjects, "tail", away)
    monkeypatch.setattr("rwt_assets.delivery.reconciliation.WORKERS", 1)
    with monkeypatch.context() as patch:
        patch.setattr("rwt_assets.status.archive_status.OUTAGE_PAUSES_SECONDS", (3600.0, 3600.0))
        go_on(stored, expect_failure=True)
        assert plan(stored.catalog) == [], "the endpoint is given no time"
        standing = take_standing(stored.catalog, patience=-1)
        assert "an outage: EndpointConnectionError" in standing.waiting[0].reason
        assert not standing.forgotten
    go_on(stored, expect_failure=True)
    failed = stored.instance.get_runs(dg.RunsFilter(tags={"rwt/outage": "true"}))
    assert len(failed) > stored.feed.attempts
    assert_whole(stored, archives)


def test_an_outage_without_an_end_is_not_waited_for_for_ever(stored, monkeypatch):
    announce(stored, "a.zip", NEW, "01")
    monkeypatch.setattr("rwt_assets.catalog.catalog.OUTAGES_AT_MOST", 4)

    def away(*_args, **_kwargs):
        raise slow_down()

    monkeypatch.setattr(InMemoryObjects, "stream", away)
    go_on(stored, expect_failure=True)
    assert len(stored.instance.get_runs()) == 4
    (failed,) = take_standing(stored.catalog).failed
    assert "SlowDown" in failed.reason
    assert retry_failed(stored.catalog) == ["shop/a.zip"]
    assert len(plan(stored.catalog)) == 1


def interrupted_when_read(shop, monkeypatch, times):
    """Runs are told to end in the middle of their work so many times, as Dagster tells it."""
    left = iter(range(times))
    original = InMemoryObjects.stream

    def stream(self, *args, **settings):
        if next(left, None) is not None:
            raise dg.DagsterExecutionInterruptedError
        return original(self, *args, **settings)

    monkeypatch.setattr(InMemoryObjects, "stream", stream)
    for _ in range(times):
        (request,) = plan(shop.catalog)
        result = run_request(shop.definitions, shop.instance, request, may_fail=True)
        assert not result.success


def test_a_run_that_was_told_to_end_costs_no_attempt(stored, monkeypatch):
    stored.feed = stored.feed.model_copy(update={"attempts": 2})
    archives = {announce(stored, "a.zip", NEW, "01"): NEW}
    take_messages([stored.catalog], stored.queue, Budget(seconds=5), wait_seconds=0)
    interrupted_when_read(stored, monkeypatch, times=3)
    go_on(stored)
    split = stored.instance.get_runs(dg.RunsFilter(tags={"rwt/step": "split"}))
    assert [run.tags.get("rwt/interrupted") for run in split] == [None, *["true"] * 3]
    assert_whole(stored, archives)


def test_a_run_that_is_told_to_end_each_time_is_not_asked_for_for_ever(stored, monkeypatch):
    monkeypatch.setattr("rwt_assets.catalog.catalog.INTERRUPTIONS_AT_MOST", 3)
    announce(stored, "a.zip", NEW, "01")
    take_messages([stored.catalog], stored.queue, Budget(seconds=5), wait_seconds=0)
    interrupted_when_read(stored, monkeypatch, times=3)
    assert plan(stored.catalog) == []
    assert len(take_standing(stored.catalog).failed) == 1
    stored.expect_failed("shop/a.zip")
    assert retry_failed(stored.catalog) == ["shop/a.zip"]


@pytest.mark.parametrize(
    ("content", "error", "repeated"),
    [
        ({"readme.txt": "no table"}, None, "false"),
        (NEW, EndpointConnectionError(endpoint_url="http://store"), "true"),
    ],
    ids=["the same each time", "an outage"],
)
def test_dagster_repeats_no_run_that_would_fail_the_same_way(
    stored, monkeypatch, content, error, repeated
):
    """As automation has it repeat its runs once."""
    monkeypatch.setattr(dg.DagsterInstance, "run_retries_enabled", True)
    archive = announce(stored, "a.zip", content, "01")
    take_messages([stored.catalog], stored.queue, Budget(seconds=5), wait_seconds=0)
    (asked,) = plan(stored.catalog)
    tags = {**asked.tags, **AUTOMATION_TAGS}
    request = dg.RunRequest(job_name=asked.job_name, partition_key=asked.partition_key, tags=tags)
    with monkeypatch.context() as patch:
        if error is not None:

            def stream(*args, **settings):
                raise error

            patch.setattr(InMemoryObjects, "stream", stream)
        result = run_request(stored.definitions, stored.instance, request, may_fail=True)
    assert not result.success
    assert stored.instance.get_run_by_id(result.run_id).tags["dagster/will_retry"] == repeated
    if error is None:
        stored.expect_failed(archive)


def test_a_shard_that_fails_each_time_is_tried_so_often_and_then_shown(stored, monkeypatch):
    archives = {announce(stored, "a.zip", NEW, "01"): NEW}
    shard = "shop/a.zip|sales.csv|day=2026-01-02"
    original = ParquetShards.write

    def fail(self, one):
        if one.partition_key == shard:
            raise RuntimeError("this shard never works")
        return original(self, one)

    with monkeypatch.context() as patch:
        patch.setattr(ParquetShards, "write", fail)
        go_on(stored, expect_failure=True)
        enriching = stored.instance.get_runs(dg.RunsFilter(tags={"rwt/step": "enrich"}))
        assert len(enriching) == stored.feed.attempts
    standing = take_standing(stored.catalog)
    assert shard in {entry.partition_key for entry in standing.failed}
    assert {entry.reason for entry in standing.failed} == {"RuntimeError: this shard never works"}
    retry_failed(stored.catalog)
    go_on(stored)
    assert_whole(stored, archives)


def test_a_message_whose_visibility_expired_is_taken_twice_with_one_effect(stored, monkeypatch):
    archives = {announce(stored, "a.zip", NEW, "01"): NEW}
    with monkeypatch.context() as patch:
        patch.setattr(InMemoryQueue, "delete", lambda *_: [])
        take_messages([stored.catalog], stored.queue, Budget(), wait_seconds=0)
    stored.queue.redeliver()
    go_on(stored)
    assert_whole(stored, archives)
    deliveries = stored.instance.fetch_materializations(stored.catalog.graph.delivery, limit=9)
    assert len(deliveries.records) == 1


def test_an_object_replaced_while_it_is_read_is_never_mixed(stored, monkeypatch):
    archives = {announce(stored, "a.zip", OLD, "01"): NEW}
    original = InMemoryObjects.stream
    replaced = []

    def replace_first(self, *args, **kwargs):
        if not replaced:
            replaced.append(announce(stored, "a.zip", NEW, "02"))
        return original(self, *args, **kwargs)

    monkeypatch.setattr(InMemoryObjects, "stream", replace_first)
    go_on(stored, expect_failure=True)
    assert_whole(stored, archives)


def test_an_archive_removed_before_it_is_read_fails_and_stops_nobody(stored):
    gone = announce(stored, "gone.zip", NEW, "01")
    del stored.objects.contents["incoming", gone]
    other = announce(stored, "b.zip", OTHER, "01")
    go_on(stored, expect_failure=True)
    (failed,) = take_standing(stored.catalog).failed
    assert failed.partition_key == gone
    assert delivered_rows(stored, other) == rows_of(OTHER)


def test_a_forged_message_of_our_own_key_is_put_right_by_the_sweep(stored):
    """With a sequencer after which every true one is late."""
    archives = {announce(stored, "a.zip", OLD, "01"): NEW}
    body = json.loads(stored.queue.messages[0].body)
    described = body["Records"][0]["s3"]["object"]
    described["sequencer"], described["eTag"] = "FFFFFFFFFFFF", "forged"
    body["Records"][0]["eventTime"] = "2099-01-01T00:00:00Z"
    stored.queue.put(json.dumps(body))
    go_on(stored, expect_failure=True)
    announce(stored, "a.zip", NEW, "02")
    go_on(stored)
    assert take_standing(stored.catalog).failed
    assert sweep(stored.catalog, stored.objects).recorded == ["shop/a.zip"]
    go_on(stored)
    assert_whole(stored, archives)


@pytest.mark.parametrize("year", [1999, 2099])
def test_a_clock_that_is_wrong_does_not_matter_where_there_are_sequencers(stored, year):
    announce(stored, "a.zip", OLD, "01")
    go_on(stored)
    archives = {announce(stored, "a.zip", NEW, "02"): NEW}
    (message,) = stored.queue.messages
    stored.queue.messages.clear()
    stored.queue.put(message.body.replace("2026-11-24", f"{year}-11-24"))
    go_on(stored)
    assert_whole(stored, archives)


def test_the_first_content_uploaded_again_replaces_the_second(stored):
    for sequencer, members in (("01", OLD), ("02", NEW), ("03", OLD)):
        key = announce(stored, "a.zip", members, sequencer)
        go_on(stored)
    assert_whole(stored, {key: OLD})


def test_a_repeat_that_finds_its_uploads_done_changes_no_byte(stored):
    """A run that was taken for lost and did end, done again for the same cause."""
    archives = {announce(stored, "a.zip", NEW, "01"): NEW}
    take_messages([stored.catalog], stored.queue, Budget(), wait_seconds=0)
    (split,) = plan(stored.catalog)
    go_on(stored)
    before = dict(stored.objects.contents)
    assert run_request(stored.definitions, stored.instance, split).success
    go_on(stored)
    assert stored.objects.contents == before
    assert_whole(stored, archives)
