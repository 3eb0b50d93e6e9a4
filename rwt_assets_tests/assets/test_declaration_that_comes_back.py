"""A declaration that comes back finds its first objects: what is delivered of them stands."""

from datetime import datetime, timedelta
from itertools import count

import dagster as dg
import pytest

from rwt_assets.catalog.standing import archive_progress, retry_failed
from rwt_assets.delivery.consumption import read_delivery, read_result
from rwt_assets.delivery.deliveries import ENRICHED_AGAIN, ROLLED_BACK
from rwt_assets.documents.generations import enrichment_version
from rwt_assets.documents.layout import digest
from rwt_assets.operations.rollback import make_current_again
from rwt_assets.orchestration.assets import delivery as delivery_module
from rwt_assets.orchestration.assets.delivery import HEALED_AT_MOST
from rwt_assets.orchestration.sensors.dispatch import plan
from rwt_assets_tests.assets.conftest import FEED, with_parquet
from rwt_assets_tests.assets.test_deliveries import (
    KEY,
    NOW,
    REVISIONS,
    collected,
    deliver,
    replay,
)
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


def step(shop, name, *, fails=False):
    """Carry out what is asked for next, which is this step, as the declaration of a shop says."""
    requests = plan(shop.catalog)
    assert {request.tags["rwt/step"] for request in requests} == {name}
    for request in requests:
        result = run_request(shop.definitions, shop.instance, request, may_fail=fails)
        assert result.success is not fails


def enriched_times(shop):
    """How often the shards were asked for: once for each event that made it needed."""
    runs = shop.instance.get_runs(dg.RunsFilter(tags={"rwt/step": "enrich"}))
    return len({run.tags["rwt/cause"] for run in runs})


def assert_delivered_as(shop):
    generation = digest(enrichment_version(shop.feed))
    assert current(shop).generation.endswith(f"-{generation}")
    assert read_result(shop.objects, shop.feed.target, KEY).reconciled
    assert archive_progress(shop.catalog, KEY).stage == "delivered"


@pytest.fixture
def split(stored):
    """The same two declarations, of an archive that is split and nothing more."""
    stored.upload("a.zip", REVISIONS[0])
    stored.take_in()
    step(stored, "split")
    return stored, with_parquet(stored.redeclared(FEED.model_copy(update={"members": BY_DAY})))


@pytest.mark.parametrize("times", [1, 2, 4])
def test_it_changes_there_and_back_between_enriching_and_delivering(split, times):
    first, then = split
    for number in range(times):
        step(then, "enrich")
        step(first, "deliver", fails=True)
        assert enriched_times(first) == number + 1
    first.dispatch()
    assert enriched_times(first) == times + 1
    assert_delivered_as(first)


def test_two_declarations_side_by_side_have_an_end_until_somebody_asks(split):
    """What is enriched by one and delivered by the other never comes into being."""
    first, then = split
    for healed in range(HEALED_AT_MOST):
        assert enriched_times(first) == healed
        step(then, "enrich")
        step(first, "deliver", fails=True)
    step(then, "enrich")
    for _ in range(first.feed.attempts):
        step(first, "deliver", fails=True)
    assert plan(first.catalog) == []
    assert enriched_times(first) == HEALED_AT_MOST + 1
    assert archive_progress(first.catalog, KEY).stage == "failed"
    replay(first)
    assert_delivered_as(first)


def test_a_report_that_waits_is_not_made_again(split):
    first, then = split
    step(then, "enrich")
    step(first, "deliver", fails=True)
    (asked, *_) = plan(first.catalog)
    job = first.definitions.resolve_job_def("shop_deliver")
    with pytest.raises(dg.Failure, match="have no Parquet"):
        job.execute_in_process(instance=first.instance, partition_key=KEY)
    assert plan(first.catalog)[0].run_key == asked.run_key
    first.dispatch()
    assert_delivered_as(first)


def remove_enriched(shop):
    gone = [key for key in shop.objects.contents if "/enriched/" in key[1]]
    assert gone
    for key in gone:
        del shop.objects.contents[key]


def test_an_object_that_is_always_missing_is_made_once_more_and_no_more(split):
    first, _ = split
    for number in count(1):
        if not plan(first.catalog):
            break
        assert number < 10, "there is no end"
        if enriched_times(first) < number <= 2:
            step(first, "enrich")
            remove_enriched(first)
        step(first, "deliver", fails=True)
    assert enriched_times(first) == 2
    assert archive_progress(first.catalog, KEY).stage == "failed"
    assert retry_failed(first.catalog) == [KEY]
    first.dispatch(expect_failure=True)
    assert enriched_times(first) == 2


def test_what_was_healed_before_a_delivery_is_healed_after_it(split, monkeypatch):
    # Shards of a delivered archive are automation's at first.
    monkeypatch.setattr("rwt_assets.status.archive_status.AUTOMATION_PATIENCE_SECONDS", -1)
    first, then = split
    step(then, "enrich")
    step(first, "deliver", fails=True)
    first.dispatch()
    assert_delivered_as(first)
    remove_enriched(first)
    job = first.definitions.resolve_job_def("shop_enrich")
    for key in first.catalog.shards():
        assert job.execute_in_process(instance=first.instance, partition_key=key).success
    remove_enriched(first)
    step(first, "deliver", fails=True)
    first.dispatch()
    assert enriched_times(first) == 3
    assert_delivered_as(first)
