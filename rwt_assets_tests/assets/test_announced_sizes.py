"""A message announces any size: what is delivered is the object as it lies on the store."""

import json
from dataclasses import dataclass

import pytest

from rwt_assets.catalog.intake import Budget, take_messages
from rwt_assets.catalog.standing import take_standing
from rwt_assets.component import build_feed_definitions
from rwt_assets.delivery.consumption import read_result
from rwt_assets.shard.processing import read_manifest
from rwt_assets.shard.remaking import remade_runs
from rwt_assets_tests.archives import make_zip
from rwt_assets_tests.odd_archives import STORED, Entry, archive
from rwt_assets_tests.stand_ins import InMemoryObjects

pytestmark = pytest.mark.mostly_long(one_in=3)

INNER = make_zip({"sales.csv": "item,day,price\nnib,2026-01-05,3\n"})
OUTER = archive(
    [
        Entry("in.zip", INNER, STORED),
        Entry("sales.csv", b"item,day,price\npen,2026-01-01,1\nink,2026-01-02,7\n"),
    ]
)
ROWS = {"in.zip/sales.csv": 1, "sales.csv": 2}
# The bytes up to the end of the inner archive are a ZIP file with something before it.
ANNOUNCED = {
    "zero": 0,
    "one byte": 1,
    "cut": len(OUTER) - 1,
    "an inner archive": OUTER.index(INNER) + len(INNER),
    "too large": len(OUTER) + 1_000,
    "huge": 2**63 - 1,
    "beyond all bounds": 10**30,
    "negative": -1,
    "a text": "12",
    "none": None,
}


@pytest.fixture(params=[False, True], ids=["by shards", "one pass"])
def stored(shop, request):
    shop.feed = shop.feed.model_copy(
        update={"one_pass": request.param, "keep_shards": not request.param}
    )
    shop.definitions = build_feed_definitions(
        shop.feed, object_store=shop.store, queue_client=shop.client
    )
    return shop


def announce(shop, key, **facts):
    described = {"key": key, "eTag": shop.objects.etag("incoming", key), "sequencer": "01", **facts}
    record = {
        "eventName": "ObjectCreated:Put",
        "eventTime": "2026-11-24T12:00:00.000Z",
        "s3": {"bucket": {"name": "incoming"}, "object": described},
    }
    shop.queue.put(json.dumps({"Records": [record]}))
    return take_messages([shop.catalog], shop.queue, Budget(seconds=5), wait_seconds=0)


@pytest.mark.parametrize("size", ANNOUNCED.values(), ids=ANNOUNCED)
def test_whatever_size_is_announced_the_true_content_is_delivered(stored, size):
    key = stored.drop("a.zip", OUTER)
    assert announce(stored, key, size=size).recorded == [key]
    stored.dispatch()
    stored.assert_delivered(key)
    result = read_result(stored.objects, stored.feed.target, key)
    assert result.reconciled
    assert {one.member: one.rows_enriched for one in result.members} == ROWS
    assert not take_standing(stored.catalog).failed


def test_a_message_without_a_size_is_taken_in(stored):
    key = stored.drop("a.zip", OUTER)
    assert announce(stored, key).recorded == [key]
    stored.dispatch()
    result = read_result(stored.objects, stored.feed.target, key)
    assert {one.member: one.rows_enriched for one in result.members} == ROWS


@dataclass
class Heads:
    """Which HEAD requests were made."""

    of: list[tuple[str, str | None]]


@pytest.fixture
def heads(monkeypatch):
    found = Heads([])
    original = InMemoryObjects.head

    def head(self, bucket, key, *, version_id=None):
        found.of.append((key, version_id))
        return original(self, bucket, key, version_id=version_id)

    monkeypatch.setattr(InMemoryObjects, "head", head)
    return found


def test_neither_does_an_announced_version_decide_what_is_read(shop, heads):
    """A version that the message names may be another content, of another size."""
    shop.feed = shop.feed.model_copy(update={"one_pass": True, "keep_shards": False})
    shop.definitions = build_feed_definitions(
        shop.feed, object_store=shop.store, queue_client=shop.client
    )
    key = shop.drop("a.zip", OUTER)
    announce(shop, key, size=1, versionId="another")
    shop.dispatch()
    shards = [
        one.partition_key for one in read_manifest(shop.objects, shop.feed.target, key).shards
    ]
    remade = list(remade_runs(shop.objects, shop.feed, shards, check=lambda *_: None))
    assert [run.partition_key for run in remade] == shards
    assert [one for one in heads.of if one[0] == key] == [(key, None)] * 2


def test_an_object_that_was_replaced_is_said_to_be_before_anything_is_read(stored, monkeypatch):
    key = stored.drop("a.zip", OUTER)
    announce(stored, key, size=len(OUTER))
    stored.drop("a.zip", INNER)

    def read(*_args, **_settings):
        raise AssertionError("bytes of another content were read")

    with monkeypatch.context() as patch:
        patch.setattr(InMemoryObjects, "read", read)
        results = stored.dispatch(expect_failure=True)
    assert [result.success for result in results] == [False] * stored.feed.attempts
    (failed,) = take_standing(stored.catalog).failed
    assert "replaced by another content" in failed.reason
