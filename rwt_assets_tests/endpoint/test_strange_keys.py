"""Keys that some client of S3 would change go the whole way, and a target has none of them."""

from datetime import timedelta

import boto3
import dagster as dg
import pytest
from hypothesis import given
from hypothesis import strategies as st

from rwt_assets.aws.provisioning import provision
from rwt_assets.catalog.catalog import FeedCatalog
from rwt_assets.catalog.intake import sweep
from rwt_assets.component import build_feed_definitions
from rwt_assets.documents.partitions import archive_partition_key
from rwt_assets.feed.feed import Feed
from rwt_assets.feed.object_keys import is_plain_path
from rwt_assets.orchestration.sensors.queue import queue_sensor
from rwt_assets.reading.delivered import delivered_by, query, read_delivery
from rwt_assets.resources.object_store import connect_objects
from rwt_assets.resources.queue import SqsQueueResource
from rwt_assets.resources.quick_s3_objects import QuickS3Objects
from rwt_assets.retention.retirement import find_old, retire
from rwt_assets.testing import carry_out, make_archive

pytestmark = [
    pytest.mark.endpoint,
    pytest.mark.mostly_long(one_in=1),
    pytest.mark.filterwarnings("ignore:unclosed <socket:ResourceWarning"),
]
# Everything that S3 takes and that a path, an URL, a form, XML or a template reads otherwise.
STRANGE = [
    "/leading.zip",
    "../a//b/./c/../ 50%25 + 1%2F zürich zu\u0308rich 東京 \U0001f600.zip",
    "\t\n\r\x01\x7f\u2028...?query=1&b#fragment;c\\d:e|f*[g]{{ h }}'\"<i>.zip",
]


@pytest.fixture(autouse=True)
def short_poll(monkeypatch):
    monkeypatch.setattr("rwt_assets.orchestration.sensors.queue.LONG_POLL_SECONDS", 0)


@pytest.fixture
def strange_feed(monkeypatch):
    def declare(**source):
        feed = declaration(**source)
        monkeypatch.setattr("rwt_assets.reading.delivered.declared_feeds", lambda: [feed])
        return feed

    return declare


def declaration(**source):
    return Feed.model_validate(
        {
            "name": "strange",
            "source": {"bucket": "strange", "queue": "strange", **source},
            "target": {"bucket": "lake", "prefix": "rwt/of strange % + zürich"},
            "members": [{"include": ["*.csv"]}],
            "one_pass": True,
        }
    )


def upload(s3, keys):
    for number, key in enumerate(keys):
        body = make_archive({"rows.csv": f"id\n{number}\n"})
        s3.put_object(Bucket="strange", Key=key, Body=body)


def tick(catalog):
    with dg.build_sensor_context(instance=catalog.instance) as context:
        queue_sensor([catalog.feed])(context, queue_client=SqsQueueResource())


@pytest.mark.extended
def test_every_key_goes_from_the_queue_to_its_delivery_and_out_again(
    s3, sqs, instance, strange_feed
):
    feed = strange_feed()
    provision(feed, s3=s3, sqs=sqs)
    catalog = FeedCatalog(instance, feed)
    upload(s3, STRANGE)
    for _ in range(3):
        tick(catalog)
    carry_out(catalog, build_feed_definitions(feed))
    store = connect_objects()
    assert isinstance(store, QuickS3Objects)
    for number, key in enumerate(STRANGE):
        assert read_delivery(key)["id"].tolist() == [str(number)], key
    assert sweep(catalog, store).recorded == []
    tables = delivered_by(store, [(feed, ())])
    with query(tables, "select count(distinct id) from rows") as found:
        (counted,) = found.fetchall()
    assert counted == (len(STRANGE),)
    written = [head.key for head in store.list("lake", "")]
    assert all(key.startswith(f"{feed.target.prefix}/") and is_plain_path(key) for key in written)
    old = find_old(catalog, timedelta(days=-1))
    assert {one.left for one in retire(catalog, store, old, keep_data=False)} == {""}
    assert [head.key for head in store.list("lake", "") if "/schemas/" not in head.key] == []


@pytest.mark.parametrize("prefix", ["/in/", "./in//../ +%/"])
def test_a_source_may_have_any_prefix(s3, sqs, instance, strange_feed, prefix):
    feed = strange_feed(prefix=prefix)
    provision(feed, s3=s3, sqs=sqs)
    catalog = FeedCatalog(instance, feed)
    upload(s3, [f"{prefix}a.zip", "in/a.zip", "other/a.zip"])
    tick(catalog)
    carry_out(catalog, build_feed_definitions(feed))
    assert [*catalog.archives()] == [archive_partition_key(f"{prefix}a.zip")]
    assert read_delivery(f"{prefix}a.zip")["id"].tolist() == ["0"]


def test_a_key_is_one_and_the_same_object_for_every_request(s3):
    @given(st.text(st.sampled_from("/.a %+é\t\n?#"), min_size=1, max_size=6))
    def holds(key):
        store = QuickS3Objects(s3, boto3.Session())
        store.put("one", key, b"put")
        assert [head.key for head in store.list("one", "")] == [key]
        assert store.read("one", key) == b"put"
        assert store.tail("one", key, 2) == (b"ut", 3)
        assert store.head("one", key).size == 3
        assert store.put_if("one", key, b"other", etag="") == ""
        s3.delete_object(Bucket="one", Key=key)
        assert store.put_if("one", key, b"new", etag="")
        assert [head.key for head in store.list("one", "")] == [key]
        s3.delete_object(Bucket="one", Key=key)

    s3.create_bucket(Bucket="one")
    holds()
