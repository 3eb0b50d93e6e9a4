"""What one archive asks of S3, step by step: what its owner pays for."""

from collections import Counter

import dagster as dg
import pytest

from rwt_assets.archive.archive import AROUND_BYTES, TAIL_BYTES
from rwt_assets.catalog.catalog import FeedCatalog
from rwt_assets.component import build_feed_definitions
from rwt_assets.feed.feed import Feed
from rwt_assets.orchestration.sensors.dispatch import plan
from rwt_assets.orchestration.sensors.queue import queue_sensor
from rwt_assets.resources.queue import SqsQueueResource
from rwt_assets.runtime.run_tags import STEP_TAG
from rwt_assets_tests.archives import timetable
from rwt_assets_tests.endpoint.counting_proxy import CountingProxy, by_folder
from rwt_assets_tests.stand_ins import run_request

pytestmark = [
    pytest.mark.endpoint,
    pytest.mark.mostly_long(one_in=1),
    pytest.mark.filterwarnings("ignore:unclosed <socket:ResourceWarning"),
]

KEY = "gtfs/counted.zip"
STOPS = 12
MEMBERS = 2  # stop_times.txt, split into a shard for each stop, and stops.txt, which is one
SHARDS = STOPS + 1
MIB = 1 << 20


@pytest.fixture(params=[True, False], ids=["shards kept", "direct"])
def keeps_shards(request):
    return request.param


@pytest.fixture
def proxy(server):
    with CountingProxy(server.port) as running:
        yield running


@pytest.fixture
def tick(instance, proxy, monkeypatch):
    """One tick of the queue sensor through the proxy; what it asked of the queue."""
    cursor = None

    def ticked(feed):
        nonlocal cursor
        monkeypatch.setattr("rwt_assets.orchestration.sensors.queue.LONG_POLL_SECONDS", 1)
        monkeypatch.setenv("AWS_ENDPOINT_URL", proxy.url)
        proxy.of_queue.clear()
        with dg.build_sensor_context(instance=instance, cursor=cursor) as context:
            cursor = queue_sensor([feed])(context, queue_client=SqsQueueResource()).cursor
        return Counter(proxy.of_queue)

    return ticked


@pytest.fixture
def deliver(instance, feed, provisioned, proxy, s3, tick):
    """Deliver an archive; the requests of each step."""

    def delivered(body, *, keeps_shards=True, **limits):
        settings = feed.model_dump() | {"limits": limits}
        if not keeps_shards:
            settings |= {"one_pass": True, "keep_shards": False}
        catalog = FeedCatalog(instance, Feed.model_validate(settings))
        definitions = build_feed_definitions(catalog.feed)
        s3.put_object(Bucket=feed.source.bucket, Key=KEY, Body=body)
        tick(catalog.feed)
        taken = {"noticed": proxy.taken()}
        while requests := plan(catalog):
            for request in requests:
                assert run_request(definitions, instance, request).success
                taken[request.tags[STEP_TAG]] = proxy.taken()
        return taken

    return delivered


def counted(taken, feed):
    return {step: by_folder(some, KEY, feed.target.prefix) for step, some in taken.items()}


def test_an_archive_makes_exactly_these_requests(deliver, feed, keeps_shards):
    found = counted(deliver(timetable(trips=10, stops=STOPS), keeps_shards=keeps_shards), feed)
    assert found["noticed"] == Counter()  # the ETag is in the message
    if keeps_shards:
        assert found == {
            "noticed": {},
            "split": {
                ("head", "archive"): 1,  # its size, which no message decides
                ("get", "archive"): 1 + MEMBERS,  # its end, then each member as one stream
                ("put", "shards"): SHARDS,
                ("put", "row-numbers"): 1,  # stops.txt is whole, so its rows are consecutive
                # Which one is replaced, and whether it stands before shards are retired and after.
                ("head", "manifests"): 3,
                ("put", "manifests"): 1,
                ("get", "schemas"): MEMBERS,
                ("put", "schemas"): MEMBERS,
            },
            "enrich": {
                ("get", "manifests"): 1,
                ("get", "shards"): SHARDS,
                ("get", "row-numbers"): 2,  # a range for the first shard, whole for the others
                ("put", "enriched"): SHARDS,
            },
            "deliver": {
                ("get", "deliveries"): 1,  # the one that is replaced
                ("get", "manifests"): 1,
                ("head", "manifests"): 1,  # whether it still stands
                ("get", "enriched"): SHARDS,  # the footer of each
                ("put", "deliveries"): 1,
            },
        }
        return
    assert found == {
        "noticed": {},
        "split": {
            ("head", "archive"): 1,
            ("get", "archive"): 1 + MEMBERS,
            ("put", "enriched"): SHARDS,
            ("head", "manifests"): 3,
            ("put", "manifests"): 1,
            ("get", "schemas"): MEMBERS,
            ("put", "schemas"): MEMBERS,
        },
        "deliver": {
            ("get", "deliveries"): 1,
            ("get", "manifests"): 1,
            ("head", "manifests"): 1,
            ("get", "enriched"): SHARDS,
            ("put", "deliveries"): 1,
        },
    }


def test_nothing_is_listed_and_each_object_is_put_once(deliver, keeps_shards):
    taken = deliver(timetable(trips=10, stops=STOPS), keeps_shards=keeps_shards)
    requests = [one for step in taken.values() for one in step]
    assert not [one for one in requests if one.kind == "list"]
    assert max(Counter(one.key for one in requests if one.kind == "put").values()) == 1


def test_an_archive_is_read_once_and_its_end_twice(deliver, keeps_shards):
    body = timetable(trips=2_000, stops=STOPS)
    taken = deliver(body, keeps_shards=keeps_shards)
    read = sum(one.bytes for one in taken["split"] if (one.kind, one.key) == ("get", KEY))
    assert len(body) <= read <= len(body) + TAIL_BYTES + MEMBERS * AROUND_BYTES


def test_a_shard_is_one_object_however_large_its_member_is(deliver, feed):
    trips = 20 * MIB // (STOPS * 28)  # a stop time has 28 bytes or more, a batch 8 MiB
    taken = deliver(timetable(trips=trips, stops=STOPS), buffer_bytes=MIB)
    found = counted(taken, feed)
    assert found["split"]["put", "shards"] == SHARDS
    assert found["enrich"]["put", "enriched"] == SHARDS


def test_an_idle_tick_asks_the_queue_once(feed, provisioned, tick):
    tick(feed)  # takes the test message of the set-up, and the figures, which are due once a minute
    assert tick(feed) == {"GetQueueUrl": 1, "ReceiveMessage": 1}


def test_ten_archives_are_received_and_deleted_by_one_request_each(feed, provisioned, s3, tick):
    tick(feed)
    for number in range(10):
        s3.put_object(Bucket=feed.source.bucket, Key=f"gtfs/{number}.zip", Body=b"x")
    found = tick(feed)
    assert found["DeleteMessageBatch"] <= 2
    assert found["ReceiveMessage"] <= 3
    assert found.total() <= 6
