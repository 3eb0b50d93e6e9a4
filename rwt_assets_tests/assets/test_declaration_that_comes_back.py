"""A declaration that comes back finds its first objects: what is delivered of them stands."""

from datetime import datetime, timedelta

import pytest

from rwt_assets.catalog.standing import archive_progress
from rwt_assets.delivery.consumption import read_delivery, read_result
from rwt_assets.delivery.deliveries import ENRICHED_AGAIN, ROLLED_BACK
from rwt_assets.operations.rollback import make_current_again
from rwt_assets.orchestration.assets import delivery as delivery_module
from rwt_assets.orchestration.assets.delivery import HEALED_AT_MOST
from rwt_assets.orchestration.sensors.dispatch import plan
from rwt_assets_tests.assets.conftest import FEED, with_parquet
from rwt_assets_tests.assets.test_deliveries import KEY, NOW, REVISIONS, collected, deliver
from rwt_assets_tests.stand_ins import InMemoryObjects, run_request

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


def step(name, *, shop, by, succeeds=True):
    """The step that is asked for now, carried out by the declaration that stands meanwhile."""
    (request,) = plan(shop.catalog)
    assert request.tags["rwt/step"] == name
    done = run_request(by.definitions, shop.instance, request, may_fail=not succeeds)
    assert done.success is succeeds


def split_only(shop):
    shop.upload("a.zip", REVISIONS[0])
    shop.take_in()
    step("split", shop=shop, by=shop)


@pytest.mark.parametrize("times", [1, 2, HEALED_AT_MOST])
def test_one_that_comes_and_goes_between_enriching_and_delivering_ends_in_a_delivery(stored, times):
    then = with_parquet(stored.redeclared(FEED.model_copy(update={"members": BY_DAY})))
    split_only(stored)
    for _ in range(times):
        step("enrich", shop=stored, by=then)
        step("deliver", shop=stored, by=stored, succeeds=False)
    stored.dispatch()
    stored.assert_delivered(KEY)


def test_one_that_comes_and_goes_for_ever_is_not_followed_for_ever(stored):
    then = with_parquet(stored.redeclared(FEED.model_copy(update={"members": BY_DAY})))
    split_only(stored)
    for _ in range(HEALED_AT_MOST + 1):
        step("enrich", shop=stored, by=then)
        step("deliver", shop=stored, by=stored, succeeds=False)
    stored.dispatch(expect_failure=True)
    stored.assert_failed(KEY)
    assert "shards have no Parquet" in stored.reason(KEY)


def test_what_is_lost_each_time_is_made_again_once(stored, monkeypatch):
    """The declaration stays as it is, so nothing else has enriched the shards meanwhile."""
    split_only(stored)
    kept = stored.objects.put_if

    def losing(bucket, key, body, **condition):
        return "lost" if key.endswith(".parquet") else kept(bucket, key, body, **condition)

    monkeypatch.setattr(stored.objects, "put_if", losing)
    for _ in range(2):
        step("enrich", shop=stored, by=stored)
        step("deliver", shop=stored, by=stored, succeeds=False)
    stored.dispatch(expect_failure=True)
    stored.assert_failed(KEY)
