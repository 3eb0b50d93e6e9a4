"""A delivery.json that is whole, and yet not the one that was delivered in this place, is told."""

from datetime import timedelta

import pytest

from rwt_assets.catalog.missing_deliveries import other_on_record
from rwt_assets.delivery.consumption import read_delivery
from rwt_assets.delivery.deliveries import named_keys, switch_delivery
from rwt_assets.delivery.verification import verify_document
from rwt_assets.documents.layout import Layout
from rwt_assets.operations.rollback import make_current_again
from rwt_assets.reading import delivered as delivered_module
from rwt_assets.retention.collection import collect
from rwt_assets.runtime.errors import DocumentDamagedError
from rwt_assets_tests.assets.conftest import with_parquet
from rwt_assets_tests.assets.test_deliveries import KEY, NOW, REVISIONS, deliver, replay, results
from rwt_assets_tests.assets.test_verification import evaluate
from rwt_assets_tests.stand_ins import InMemoryObjects

OTHER = "shop/b.zip"
PLACE, OTHER_PLACE = map(Layout("rwt/shop").delivery, (KEY, OTHER))


def faults(shop):
    found = [
        verify_document(
            shop.objects,
            shop.feed,
            place,
            known={KEY, OTHER},
            recorded=other_on_record(shop.catalog),
        )
        for place in (PLACE, OTHER_PLACE)
        if ("results", place) in shop.objects.contents
    ]
    return [fault for one in found for fault in one.faults]


def copy(shop, source, to):
    shop.objects.contents["results", to] = shop.objects.contents["results", source]


def test_the_document_of_another_archive_is_told_and_not_read(stored):
    for name in ("a.zip", "b.zip"):
        deliver(stored, REVISIONS[len(name) % 2], name=name)
    copy(stored, OTHER_PLACE, PLACE)
    (fault,) = faults(stored)
    assert (fault.archive, fault.where) == (KEY, f"s3://results/{PLACE}")
    assert f"is that of {OTHER}" in fault.what
    with pytest.raises(DocumentDamagedError, match=f"is that of {OTHER}"):
        read_delivery(stored.objects, stored.feed.target, KEY)
    replay(stored)
    document = read_delivery(stored.objects, stored.feed.target, KEY)
    assert (document.key, document.former) == (KEY, ())
    assert faults(stored) == []


def test_a_document_from_before_that_was_put_back_is_told_by_command_and_check(stored):
    deliver(stored, REVISIONS[0])
    before = stored.objects.contents["results", PLACE]
    deliver(stored, REVISIONS[1])
    assert faults(stored) == []
    stored.objects.contents["results", PLACE] = before
    (fault,) = faults(stored)
    assert "is on record as delivered" in fault.what
    assert not evaluate(stored).passed
    replay(stored)
    assert stored.delivery(KEY).rows_enriched == 5
    assert faults(stored) == []
    assert evaluate(stored).passed


def test_a_rollback_and_a_delivery_whose_event_is_still_to_come_are_no_faults(stored, monkeypatch):
    deliver(stored, *REVISIONS[:2])
    make_current_again(stored.catalog, stored.objects, KEY, now=NOW)
    assert faults(stored) == []
    seen = []

    def switch(*arguments):
        switched = switch_delivery(*arguments)
        seen.append(faults(stored))
        return switched

    monkeypatch.setattr("rwt_assets.orchestration.assets.delivery.switch_delivery", switch)
    replay(stored)
    assert seen == [[]]


def test_who_reads_all_deliveries_reads_past_one_that_was_retired_since_it_was_listed(
    stored, monkeypatch
):
    for name in ("a.zip", "b.zip"):
        deliver(stored, REVISIONS[0], name=name)
    listing = InMemoryObjects.list

    def lists(store, *arguments, **settings):
        heads = [*listing(store, *arguments, **settings)]
        store.contents.pop(("results", PLACE), None)
        return iter(heads)

    monkeypatch.setattr(InMemoryObjects, "list", lists)
    found = delivered_module._deliveries(stored.objects, stored.feed)
    assert [one.key for one in found] == [OTHER]


def test_ages_are_counted_by_the_clock_of_the_store(stored, monkeypatch):
    deliver(stored, *REVISIONS[:2])
    (former,) = stored.delivery(KEY).former
    before = results(stored)
    written = NOW - timedelta(days=365)
    stored.objects.modified = dict.fromkeys(stored.objects.modified, written)
    job = with_parquet(stored).definitions.resolve_job_def("shop_collect")
    for hours, left in ((23, True), (25, False)):
        at = written + timedelta(hours=hours)
        monkeypatch.setattr(InMemoryObjects, "now", lambda *_, at=at: at)
        assert job.execute_in_process(instance=stored.instance).success
        assert (results(stored) == before) is left
    assert former.document not in results(stored)
    assert named_keys(stored.delivery(KEY)) <= results(stored).keys()
    assert not list(collect(stored.catalog, stored.objects, now=NOW))
