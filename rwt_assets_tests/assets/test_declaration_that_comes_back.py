"""A declaration that comes back finds its first objects: what is delivered of them stands."""

from datetime import datetime, timedelta

import pytest

from rwt_assets.catalog.standing import archive_progress
from rwt_assets.delivery.consumption import read_delivery, read_result
from rwt_assets.delivery.deliveries import ENRICHED_AGAIN, ROLLED_BACK
from rwt_assets.operations.rollback import make_current_again
from rwt_assets.orchestration.assets import delivery as delivery_module
from rwt_assets_tests.assets.conftest import FEED, with_parquet
from rwt_assets_tests.assets.test_deliveries import KEY, NOW, REVISIONS, collected, deliver
from rwt_assets_tests.stand_ins import InMemoryObjects

BY_DAY = (FEED.members[0].model_copy(update={"key_column": "day"}), FEED.members[1])


def current(shop):
    return read_delivery(shop.objects, shop.feed.target, KEY)


def enrich(shop, **expected):
    """Have all shards made as the declaration says now, and whatever follows from it."""
    job = shop.definitions.resolve_job_def("shop_enrich")
    for key in shop.catalog.shards():
        assert job.execute_in_process(instance=shop.instance, partition_key=key).success
    shop.dispatch(**expected)


@pytest.fixture
def both(stored):
    """The shop as it is declared first, and as it is declared then, which is delivered."""
    deliver(stored, REVISIONS[0])
    then = with_parquet(stored.redeclared(FEED.model_copy(update={"members": BY_DAY})))
    enrich(then)
    return stored, then


def test_a_rollback_after_it_makes_the_delivery_before_current(both):
    first, then = both
    second = current(then).generation
    chosen = make_current_again(first.catalog, first.objects, KEY, now=NOW)
    enrich(first)
    assert (current(first).generation, current(first).reason) == (chosen.generation, ROLLED_BACK)
    again = make_current_again(first.catalog, first.objects, KEY, now=NOW + timedelta(hours=1))
    assert again.generation == second
    assert current(first) == again


def test_a_collection_that_had_begun_before_takes_nothing_of_what_is_delivered(both, monkeypatch):
    """The account is taken, then the collection removes, then the delivery is written."""
    first, then = both
    first.objects.modified = dict.fromkeys(first.objects.modified, NOW - timedelta(days=3))
    delete, switch = InMemoryObjects.delete, delivery_module.switch_delivery
    pending = []

    class LongAfter(datetime):
        @classmethod
        def now(cls, tz=None):
            return datetime.now(tz) + timedelta(days=3)

    def removing(store, bucket, keys):
        keys = list(keys)
        if pending or not any("/enriched/" in key for key in keys):
            delete(store, bucket, keys)
            return
        pending.append(keys)
        enrich(first, expect_failure=True)

    def switching(*arguments):
        if len(pending) == 1:
            pending.append([])
            delete(first.objects, "results", pending[0])
        return switch(*arguments)

    with monkeypatch.context() as patch:
        patch.setattr(InMemoryObjects, "delete", removing)
        patch.setattr(delivery_module, "switch_delivery", switching)
        patch.setattr(delivery_module, "datetime", LongAfter)
        collected(then, now=NOW)
    assert pending[0], "the collection was about to remove objects"
    assert current(first).reason == ENRICHED_AGAIN
    assert read_result(first.objects, first.feed.target, KEY).reconciled
    assert archive_progress(first.catalog, KEY).stage == "delivered"
