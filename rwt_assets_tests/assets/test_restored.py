"""An archive that lies in S3 Glacier fails with what to do, and is taken in when it is back."""

import json
from datetime import UTC, datetime, timedelta

import boto3
import pytest
from botocore.exceptions import ClientError
from botocore.stub import Stubber

from rwt_assets.catalog.intake import Budget, take_messages
from rwt_assets.catalog.standing import archive_progress, take_standing
from rwt_assets.component import build_feed_definitions
from rwt_assets.resources.s3_objects import S3Objects
from rwt_assets.runtime.errors import ArchiveInGlacierError
from rwt_assets.testing import InMemoryObjects

SALES = {"sales.csv": "item,day,price\npen,2026-01-01,1\n"}
FROZEN = ClientError(
    {
        "Error": {"Code": "InvalidObjectState", "Message": "The operation is not valid"},
        "StorageClass": "DEEP_ARCHIVE",
        "ResponseMetadata": {"HTTPStatusCode": 403},
    },
    "GetObject",
)


@pytest.fixture
def stored(shop, monkeypatch):
    """The feed on a bucket whose objects are in Glacier while `frozen` is true."""
    shop.definitions = build_feed_definitions(
        shop.feed, object_store=shop.store, queue_client=shop.client
    )
    shop.frozen = True
    s3 = boto3.client("s3", region_name="eu-central-1")

    def refuse(*_, **__):
        raise FROZEN

    monkeypatch.setattr(s3, "get_object", refuse)
    for name in ("read", "tail", "stream"):
        readable, frozen = getattr(InMemoryObjects, name), getattr(S3Objects(s3), name)

        def read(self, bucket, key, *args, frozen=frozen, readable=readable, **settings):
            if shop.frozen and bucket == "incoming":
                return frozen(bucket, key, *args, **settings)
            return readable(self, bucket, key, *args, **settings)

        monkeypatch.setattr(InMemoryObjects, name, read)
    return shop


def s3_says(shop, key, etag, when):
    """As in Amazon S3 User Guide, "Event message structure": without a sequencer."""
    described = {"key": key, "size": 9, "eTag": etag}
    record = {
        "eventName": "ObjectRestore:Completed",
        "eventTime": when.isoformat(),
        "s3": {"bucket": {"name": "incoming"}, "object": described},
        "glacierEventData": {"restoreEventData": {"lifecycleRestoreStorageClass": "DEEP_ARCHIVE"}},
    }
    return {"Records": [record]}


def eventbridge_says(shop, key, etag, when):
    """As in "EventBridge event message structure"."""
    return {
        "source": "aws.s3",
        "detail-type": "Object Restore Completed",
        "time": when.isoformat(),
        "detail": {
            "bucket": {"name": "incoming"},
            "object": {"key": key, "size": 9, "etag": etag},
            "source-storage-class": "DEEP_ARCHIVE",
        },
    }


def restored(shop, key, says=s3_says, *, etag=None, later=timedelta(hours=12)):
    etag = etag or shop.objects.etag("incoming", key)
    shop.queue.put(json.dumps(says(shop, key, etag, datetime.now(UTC) + later)))
    return take_messages([shop.catalog], shop.queue, Budget(seconds=5), wait_seconds=0)


@pytest.mark.parametrize("says", [s3_says, eventbridge_says])
def test_an_archive_in_glacier_waits_with_what_to_do_and_is_delivered_when_it_is_back(stored, says):
    key = stored.deliver("a.zip", SALES, ends="failed")
    (failed, *_) = take_standing(stored.catalog).failed
    assert "lies in the storage class DEEP_ARCHIVE and cannot be read" in failed.reason
    assert "aws s3api restore-object" in failed.reason
    assert "rwt retry shop/a.zip" in failed.reason
    assert len(stored.instance.get_runs()) == 1, "tried again while nothing can have changed"
    stored.frozen = False
    assert restored(stored, key, says).recorded == [key]
    assert stored.queue.messages == []
    stored.dispatch()
    stored.assert_delivered(key)
    runs = len(stored.instance.get_runs())
    report = restored(stored, key, says, later=timedelta(hours=13))  # of what is delivered
    assert (report.recorded, report.unchanged) == ([], 1)
    stored.dispatch()
    assert len(stored.instance.get_runs()) == runs


def test_an_archive_that_was_never_seen_is_taken_in_when_it_is_restored(stored):
    stored.frozen = False
    key = stored.upload("a.zip", SALES)
    stored.queue.messages.clear()
    assert restored(stored, key).recorded == [key]
    stored.dispatch()
    stored.assert_delivered(key)


def test_the_same_message_twice_asks_once(stored):
    key = stored.deliver("a.zip", SALES, ends="failed")
    assert restored(stored, key).recorded == [key]
    stored.dispatch(expect_failure=True)  # as when it has gone back again meanwhile
    assert restored(stored, key).recorded == []
    assert archive_progress(stored.catalog, key).stage == "failed"


def test_a_former_content_that_is_restored_takes_no_place(stored):
    stored.frozen = False
    key = stored.deliver("a.zip", SALES)
    report = restored(stored, key, etag="0" * 32)
    assert (report.recorded, report.unchanged) == ([], 1)
    stored.dispatch()
    stored.assert_delivered(key)


def test_other_objects_that_are_restored_are_left(stored):
    assert restored(stored, "shop/readme.txt", etag="0" * 32).recorded == []
    report = restored(stored, "elsewhere/a.zip", etag="0" * 32)
    assert len(report.refused) == 1


def test_every_way_of_reading_says_where_the_object_lies():
    client = boto3.client("s3", region_name="eu-central-1")
    objects = S3Objects(client)
    with Stubber(client) as stub:
        for read in (
            lambda: objects.read("b", "k"),
            lambda: objects.read_tagged("b", "k"),
            lambda: objects.tail("b", "k", 5),
            lambda: list(objects.stream("b", "k", 0, 5)),
        ):
            stub.add_client_error("get_object", "InvalidObjectState", http_status_code=403)
            with pytest.raises(ArchiveInGlacierError, match=r"s3://b/k.*rwt retry k"):
                read()
