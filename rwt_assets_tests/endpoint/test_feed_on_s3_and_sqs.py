"""The shipped feed against a real endpoint: notification, sensor, assets, IO manager."""

import dagster as dg
import pytest

from rwt_assets.aws.provisioning import provision
from rwt_assets.catalog.catalog import FeedCatalog
from rwt_assets.catalog.intake import sweep
from rwt_assets.component import build_feed_definitions
from rwt_assets.delivery.consumption import read_result
from rwt_assets.documents.generations import enrichment_version
from rwt_assets.documents.layout import Generation
from rwt_assets.orchestration.sensors.queue import queue_sensor
from rwt_assets.orchestration.steps.frames import to_table
from rwt_assets.orchestration.steps.parquet_io_manager import ParquetShards
from rwt_assets.resources.object_store import S3ObjectStoreResource, connect_objects
from rwt_assets.resources.queue import SqsQueueResource, connect_queue
from rwt_assets.testing import carry_out
from rwt_assets_tests.archives import CAIRNS, timetable

pytestmark = [
    pytest.mark.endpoint,
    # boto3 keeps connections open for the next call and has no moment to close them.
    pytest.mark.filterwarnings("ignore:unclosed <socket:ResourceWarning"),
]


@pytest.fixture(autouse=True)
def short_poll(monkeypatch):
    monkeypatch.setattr("rwt_assets.orchestration.sensors.queue.LONG_POLL_SECONDS", 1)


@pytest.fixture
def catalog(instance, feed, provisioned):
    return FeedCatalog(instance, feed)


def tick(catalog):
    with dg.build_sensor_context(instance=catalog.instance) as context:
        return queue_sensor([catalog.feed])(context, queue_client=SqsQueueResource())


def count(sqs, name):
    url = sqs.get_queue_url(QueueName=name)["QueueUrl"]
    names = ["ApproximateNumberOfMessages", "ApproximateNumberOfMessagesNotVisible"]
    attributes = sqs.get_queue_attributes(QueueUrl=url, AttributeNames=names)["Attributes"]
    return sum(int(attributes[name]) for name in names)


def deliver(catalog):
    assert carry_out(catalog, build_feed_definitions(catalog.feed))


def test_an_upload_is_announced_recorded_and_its_message_deleted(catalog, s3, sqs):
    key = "gtfs/Zürich 50% + more.zip"
    answer = s3.put_object(Bucket="rwt-incoming", Key=key, Body=b"x")
    result = tick(catalog)
    assert "1 archives recorded" in result.skip_reason.skip_message
    revision = catalog.latest_revision(key)
    assert revision.revision == answer["ETag"].strip('"')
    assert revision.version_id == answer["VersionId"]
    assert revision.sequencer
    assert count(sqs, "rwt-gtfs") == 0


def test_only_what_the_feed_reads_is_announced(catalog, s3):
    for key in ("gtfs/readme.txt", "other/a.zip"):
        s3.put_object(Bucket="rwt-incoming", Key=key, Body=b"x")
    tick(catalog)
    assert list(catalog.archives()) == []


def test_an_upper_case_suffix_is_announced_and_what_is_no_archive_clogs_nothing(catalog, s3, sqs):
    for key in ("gtfs/MAY.ZIP", "gtfs/readme.txt"):
        s3.put_object(Bucket="rwt-incoming", Key=key, Body=b"x")
    tick(catalog)
    assert list(catalog.archives()) == ["gtfs/MAY.ZIP"]
    assert count(sqs, "rwt-gtfs") == 0


@pytest.mark.extended
def test_a_foreign_message_ends_in_the_dead_letter_queue(catalog, sqs, provisioned, monkeypatch):
    monkeypatch.setattr("rwt_assets.catalog.intake.VISIBILITY_SECONDS", 0)  # it comes again at once
    sqs.send_message(QueueUrl=provisioned.queue_url, MessageBody="what is this")
    for _ in range(7):
        tick(catalog)
    assert count(sqs, "rwt-gtfs") == 0
    assert count(sqs, catalog.feed.source.dead_letter_queue) == 1


def test_two_feeds_on_one_queue_are_told_apart_by_prefix(catalog, s3, sqs):
    source = catalog.feed.source.model_copy(update={"prefix": "kiosk/"})
    kiosk = catalog.feed.model_copy(update={"name": "kiosk", "source": source})
    provision(kiosk, s3=s3, sqs=sqs)
    for key in ("gtfs/a.zip", "kiosk/b.zip"):
        s3.put_object(Bucket="rwt-incoming", Key=key, Body=b"x")
    with dg.build_sensor_context(instance=catalog.instance) as context:
        queue_sensor([catalog.feed, kiosk])(context, queue_client=SqsQueueResource())
    assert list(catalog.archives()) == ["gtfs/a.zip"]
    assert list(FeedCatalog(catalog.instance, kiosk).archives()) == ["kiosk/b.zip"]
    assert count(sqs, "rwt-gtfs") == 0


def test_many_uploads_are_taken_in_one_tick(catalog, s3):
    for number in range(23):
        s3.put_object(Bucket="rwt-incoming", Key=f"gtfs/{number}.zip", Body=b"x")
    assert "23 archives recorded" in tick(catalog).skip_reason.skip_message


def test_a_real_archive_is_delivered_and_read_back(catalog, s3):
    s3.put_object(Bucket="rwt-incoming", Key="gtfs/cairns.zip", Body=CAIRNS.read_bytes())
    tick(catalog)
    deliver(catalog)
    result = read_result(connect_objects(), catalog.feed.target, "gtfs/cairns.zip")
    assert result.reconciled
    rows = {one.member: (one.shards, one.rows_enriched) for one in result.members}
    assert rows["stop_times.txt"] == (52, 37_790)
    assert sum(count for _, count in rows.values()) == 62_365


def test_the_io_manager_gives_what_the_asset_wrote(catalog, s3):
    s3.put_object(Bucket="rwt-incoming", Key="gtfs/a.zip", Body=timetable(trips=3, stops=2))
    tick(catalog)
    deliver(catalog)
    shard = "gtfs/a.zip|stop_times.txt|stop_sequence=1"

    @dg.asset(
        ins={"enriched": dg.AssetIn(catalog.graph.enriched_shard)},
        partitions_def=catalog.graph.csv_shards,
        backfill_policy=dg.BackfillPolicy.single_run(),
        key=["gtfs", "trips"],
    )
    def trips(enriched):
        frames = enriched if isinstance(enriched, dict) else {"one": enriched}
        return sorted(trip for frame in frames.values() for trip in frame.get("trip_id", []))

    definitions = build_feed_definitions(catalog.feed)
    result = dg.materialize(
        [trips, *definitions.assets],
        selection=[trips],
        partition_key=shard,
        instance=catalog.instance,
        resources={**definitions.resources, "io_manager": dg.mem_io_manager},
    )
    assert result.output_for_node("gtfs__trips") == ["T0", "T1", "T2"]


def test_a_reader_never_sees_half_a_shard(catalog, s3, feed):
    """A write that fails leaves what was there before."""
    s3.put_object(Bucket="rwt-incoming", Key="gtfs/a.zip", Body=timetable(trips=3, stops=1))
    tick(catalog)
    deliver(catalog)
    store = S3ObjectStoreResource(s3=build_feed_definitions(feed).resources["object_store"].s3)
    manager = ParquetShards(store.objects(), feed.target, enrichment_version(feed))
    shard = "gtfs/a.zip|stop_times.txt|stop_sequence=0"
    before = manager.read(shard)

    class Breaking:
        at_hand = True
        partition_key = shard
        generation = Generation(catalog.latest_revision("gtfs/a.zip").revision, "s", "e")
        checksum = "x"
        rows_quarantined = 0
        tried_before = False

        def tables(self):
            yield to_table(before)
            raise RuntimeError("in the middle")

    with pytest.raises(RuntimeError, match="in the middle"):
        manager.write(Breaking())
    assert manager.read(shard).equals(before)


def test_lost_messages_are_found_by_the_sweep(catalog, s3, sqs, provisioned):
    s3.put_object(Bucket="rwt-incoming", Key="gtfs/a.zip", Body=timetable(trips=1, stops=1))
    sqs.purge_queue(QueueUrl=provisioned.queue_url)
    assert sweep(catalog, connect_objects()).recorded == ["gtfs/a.zip"]
    tick(catalog)
    assert len(catalog.arrivals()) == 1


def test_the_queue_counts_deliveries(provisioned, sqs):
    sqs.send_message(QueueUrl=provisioned.queue_url, MessageBody="hello")
    received = connect_queue().receive("rwt-gtfs", wait_seconds=1)
    (message,) = [one for one in received if "s3:TestEvent" not in one.body]
    assert (message.body, message.receive_count) == ("hello", 1)
    assert message.sent_at is not None
    assert connect_queue().delete("rwt-gtfs", [message]) == []
