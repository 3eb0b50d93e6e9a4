"""A former delivery is made current again, on the store and in the catalog."""

from dataclasses import replace
from datetime import UTC, datetime, timedelta

import dagster as dg
import pytest

from rwt_assets.catalog.standing import archive_progress
from rwt_assets.delivery import deliveries
from rwt_assets.delivery.consumption import read_delivery, read_result
from rwt_assets.delivery.deliveries import FIRST, NEW_REVISION, ROLLED_BACK, current_delivery
from rwt_assets.delivery.history import delivery_history
from rwt_assets.documents.layout import Layout
from rwt_assets.documents.manifest import Delivery
from rwt_assets.operations import rollback
from rwt_assets.operations.replay import count_quarantined, find_quarantined
from rwt_assets.operations.rollback import make_current_again
from rwt_assets.operations.tracing import trace_archive
from rwt_assets.orchestration.sensors.dispatch import plan
from rwt_assets.retention.collection import collect
from rwt_assets.retention.retirement import find_old, retire
from rwt_assets.runtime.errors import ArchiveMissingError, DeliveryError, SupersededError
from rwt_assets_tests.archives import make_zip
from rwt_assets_tests.assets.conftest import FEED, SALES, with_parquet
from rwt_assets_tests.assets.test_deliveries import (
    IN_TWO_DAYS,
    KEY,
    NOW,
    REVISIONS,
    deliver,
    replay,
    results,
)

pytestmark = pytest.mark.mostly_long(one_in=3)

DELIVERY = Layout("rwt/shop").delivery(KEY)


def current(shop) -> Delivery:
    return read_delivery(shop.objects, shop.feed.target, KEY)


def back(shop, to="", now=NOW):
    return make_current_again(shop.catalog, shop.objects, KEY, to=to, now=now)


def events(shop):
    """The events of the delivery, the newest first."""
    found = shop.instance.fetch_materializations(shop.catalog.graph.delivery, limit=20).records
    return [one.asset_materialization for one in found]


def said(event):
    return {name: one.value for name, one in event.metadata.items()}


def test_the_history_says_what_was_delivered_and_what_still_stands(stored):
    deliver(stored, *REVISIONS)
    history = delivery_history(stored.objects, stored.feed, KEY)
    assert [one.state for one in history] == ["current", "kept", "kept"]
    assert [one.rows_enriched for one in history] == [4, 5, 3]
    assert [one.rows_quarantined for one in history] == [1, 0, 0]
    assert [one.reason for one in history] == [NEW_REVISION, NEW_REVISION, FIRST]
    assert [one.replaced_at for one in history[1:]] == [one.delivered_at for one in history[:-1]]
    assert history[0].replaced_at is history[0].kept_until is None
    kept = [one.kept_until - one.replaced_at for one in history[1:]]
    assert all(abs(one - timedelta(hours=24)) < timedelta(seconds=5) for one in kept)
    list(collect(stored.catalog, stored.objects, now=IN_TWO_DAYS))
    history = delivery_history(stored.objects, stored.feed, KEY)
    assert [one.state for one in history] == ["current", "collected", "collected"]
    assert [one.kept_until for one in history] == [None, None, None]


def test_what_was_never_delivered_has_no_history(stored):
    with pytest.raises(ArchiveMissingError, match="was never delivered"):
        delivery_history(stored.objects, stored.feed, KEY)


@pytest.mark.parametrize("bodies", [REVISIONS[:2], REVISIONS], ids=["one before", "two before"])
def test_the_one_before_is_current_again_and_stays(stored, bodies):
    deliver(stored, *bodies)
    before = current(stored).former[0]
    made = back(stored)
    assert made == current(stored)
    assert (made.reason, made.delivered_at) == (ROLLED_BACK, NOW)
    assert (made.revision, made.generation) == (before.revision, before.generation)
    assert read_result(stored.objects, stored.feed.target, KEY).reconciled
    event = events(stored)[0]
    assert said(event)["rolled_back"] is True
    assert said(event)["generation"] == made.generation
    assert "A person made the delivery" in event.description
    assert plan(stored.catalog) == []
    assert archive_progress(stored.catalog, KEY).stage == "delivered"
    assert stored.counts()[1:] == (0, 0, 0)


def test_the_data_version_tells_the_generations_apart(stored):
    deliver(stored, *REVISIONS[:2])
    replay(stored)
    back(stored, to=current(stored).former[1].generation)
    versions = [event.tags["dagster/data_version"] for event in events(stored)]
    assert versions[0] == versions[3]
    assert len(set(versions)) == 3


def test_any_former_one_is_chosen_by_its_generation(stored):
    deliver(stored, *REVISIONS)
    first = current(stored).former[1]
    assert back(stored, to=first.generation).revision == first.revision
    assert plan(stored.catalog) == []
    assert [one.rows_enriched for one in delivery_history(stored.objects, stored.feed, KEY)] == [
        3,
        4,
        5,
    ]


def test_going_back_and_forth(stored):
    deliver(stored, *REVISIONS[:2])
    second = current(stored).generation
    first = back(stored).generation
    assert back(stored, now=NOW + timedelta(minutes=1)).generation == second
    assert back(stored, now=NOW + timedelta(minutes=2)).generation == first
    assert [one.generation for one in current(stored).former] == [second]
    assert read_result(stored.objects, stored.feed.target, KEY).delivery.rows_enriched == 3


def test_what_is_current_already_is_left_as_it_is(stored):
    deliver(stored, *REVISIONS[:2])
    made = back(stored)
    before, known = results(stored), len(events(stored))
    assert back(stored, to=made.generation, now=NOW + timedelta(hours=1)) == made
    assert (results(stored), len(events(stored))) == (before, known)


@pytest.mark.parametrize("asked", ["the one before", "by generation"])
def test_a_switch_without_its_event_is_finished(stored, monkeypatch, asked):
    deliver(stored, *REVISIONS[:2])
    to = current(stored).former[0].generation if asked == "by generation" else ""

    def stop(*_arguments):
        raise RuntimeError("the power is gone")

    for method in ("report_runless_asset_event", "after the checks"):
        with monkeypatch.context() as patch:
            if method == "after the checks":
                patch.setattr(rollback, "_metadata", stop)
            else:
                patch.setattr(dg.DagsterInstance, method, stop)
            with pytest.raises(RuntimeError):
                back(stored, to=to)
    switched = current(stored)
    assert switched.reason == ROLLED_BACK
    known = len(events(stored))
    assert back(stored, to=to, now=NOW + timedelta(hours=1)) == switched
    assert len(events(stored)) == known + 1
    assert said(events(stored)[0])["generation"] == switched.generation
    assert plan(stored.catalog) == []


@pytest.mark.parametrize("then", ["upload", "replay"])
def test_what_comes_later_takes_its_place(stored, then):
    deliver(stored, *REVISIONS[:2])
    back(stored)
    if then == "upload":
        deliver(stored, make_zip({"sales.csv": SALES + "cap,2026-01-03,2\nhat,2026-01-04,3\n"}))
        assert current(stored).reason == NEW_REVISION
    else:
        replay(stored)
        assert current(stored).revision == stored.objects.etag("incoming", KEY)
    assert current(stored).rows_enriched == 5
    assert read_result(stored.objects, stored.feed.target, KEY).reconciled
    assert stored.counts()[1:] == (0, 0, 0)
    assert "rolled_back" not in said(events(stored)[0])


def test_an_archive_that_failed_since_is_what_the_person_made_it(stored):
    tolerance = FEED.tolerance.model_copy(update={"rows": 0})
    shop = with_parquet(stored.redeclared(FEED.model_copy(update={"tolerance": tolerance})))
    deliver(shop, *REVISIONS[:2])
    shop.deliver("a.zip", REVISIONS[2], ends="failed")
    back(shop)
    assert current(shop).rows_enriched == 3
    assert (plan(shop.catalog), shop.counts()[2]) == ([], 0)


def test_quarantine_and_checks_are_those_of_what_is_delivered(stored):
    deliver(stored, REVISIONS[2], REVISIONS[0])
    assert count_quarantined(stored.catalog) == 0
    made = back(stored)
    assert count_quarantined(stored.catalog) == 1
    (found,) = find_quarantined(stored.catalog, stored.objects)
    assert (found.found.revision, found.keys) == (made.revision, made.quarantine_keys)
    assert (found.delivered, found.found.rows) == (True, 1)
    checks = {
        name: stored.instance.get_latest_asset_check_evaluation_record(
            dg.AssetCheckKey(stored.catalog.graph.delivery, name)
        ).event.dagster_event.asset_check_evaluation_data
        for name in ("reconciled", "contract_kept", "quarantine_within_tolerance")
    }
    assert {name: one.passed for name, one in checks.items()} == {
        "reconciled": True,
        "contract_kept": False,
        "quarantine_within_tolerance": True,
    }
    back(stored, now=NOW + timedelta(minutes=1))
    assert count_quarantined(stored.catalog) == 0
    assert list(find_quarantined(stored.catalog, stored.objects)) == []


def test_the_trace_says_what_is_delivered(stored):
    deliver(stored, *REVISIONS[:2])
    trace = trace_archive(stored.catalog, stored.objects, KEY)
    assert trace.delivered == trace.revision
    assert trace.stages[-1].stage == "delivered"
    made = back(stored)
    trace = trace_archive(stored.catalog, stored.objects, KEY)
    assert (trace.delivered, trace.delivered_generation) == (made.revision, made.generation)
    assert trace.delivered_because == ROLLED_BACK
    assert trace.delivered != trace.revision
    assert [one.parquet for one in trace.shards] == [""] * 4
    assert trace.stages[-1].stage == "rolled back"


def test_of_the_same_revision_the_trace_names_the_objects_that_are_delivered(stored):
    deliver(stored, REVISIONS[0])
    replay(stored)
    made = back(stored)
    trace = trace_archive(stored.catalog, stored.objects, KEY)
    named = {f"s3://results/{one.key}" for one in made.objects}
    assert {one.parquet for one in trace.shards} == named


def test_what_was_collected_is_refused(stored):
    deliver(stored, *REVISIONS[:2])
    list(collect(stored.catalog, stored.objects, now=IN_TWO_DAYS))
    before, known = results(stored), len(events(stored))
    for to in ("", current(stored).former[0].generation):
        with pytest.raises(DeliveryError, match="it was collected"):
            back(stored, to=to)
    with pytest.raises(DeliveryError, match="no former delivery of generation 'nope'"):
        back(stored, to="nope")
    assert (results(stored), len(events(stored))) == (before, known)


def test_without_a_former_one_there_is_nothing_to_go_back_to(stored):
    with pytest.raises(ArchiveMissingError, match="not in the catalog"):
        back(stored)
    deliver(stored, REVISIONS[0])
    with pytest.raises(DeliveryError, match="there is no former delivery"):
        back(stored)


def test_what_was_retired_is_refused(stored):
    deliver(stored, *REVISIONS[:2])
    old = find_old(stored.catalog, timedelta(0), now=IN_TWO_DAYS)
    list(retire(stored.catalog, stored.objects, old, keep_data=True))
    before = results(stored)
    with pytest.raises(ArchiveMissingError, match="not in the catalog"):
        back(stored)
    assert results(stored) == before


def test_while_a_run_is_at_work_it_is_refused(stored):
    deliver(stored, *REVISIONS[:2])
    stored.instance.create_run_for_job(
        stored.definitions.resolve_job_def("shop_split"),
        status=dg.DagsterRunStatus.STARTED,
        tags={"rwt/step": "split", "rwt/archive": KEY, "rwt/feed": "shop"},
    )
    before = results(stored)
    with pytest.raises(SupersededError, match="a run is splitting it"):
        back(stored)
    assert results(stored) == before


@pytest.mark.parametrize("lost", ["document", "object"])
def test_what_is_collected_during_the_switch_is_switched_back(stored, monkeypatch, lost):
    deliver(stored, *REVISIONS[:2])
    before, known = stored.objects.read("results", DELIVERY), len(events(stored))
    former = current(stored).former[0]
    gone = former.document
    if lost == "object":
        document = Delivery.model_validate_json(stored.objects.read("results", former.document))
        gone = document.objects[0].key
    switch = deliveries.switch_delivery

    def switching(*arguments):
        switched = switch(*arguments)
        stored.objects.delete("results", [gone])
        return switched

    monkeypatch.setattr(deliveries, "switch_delivery", switching)
    with pytest.raises(DeliveryError, match="it was collected"):
        back(stored)
    assert stored.objects.read("results", DELIVERY) == before
    assert len(events(stored)) == known
    assert read_result(stored.objects, stored.feed.target, KEY).reconciled


def test_a_switch_that_was_cut_short_and_collected_is_taken_back(stored, monkeypatch):
    deliver(stored, *REVISIONS[:2])
    newest = current(stored)

    def stop(*_arguments):
        raise RuntimeError("the power is gone")

    with monkeypatch.context() as patch:
        patch.setattr(rollback, "_report", stop)
        with pytest.raises(RuntimeError):
            back(stored)
    stored.objects.delete("results", [current(stored).objects[0].key])
    with pytest.raises(DeliveryError, match="it was collected"):
        back(stored)
    assert current(stored) == newest.model_copy(update={"former": ()})
    assert read_result(stored.objects, stored.feed.target, KEY).reconciled


def test_another_delivery_that_is_written_meanwhile_stands(stored, monkeypatch):
    deliver(stored, *REVISIONS[:2])
    newer = current(stored).model_copy(update={"reason": "written meanwhile"})
    refuse = deliveries.refuse_missing

    def write(store, target, delivery):
        refuse(store, target, delivery)
        store.put("results", DELIVERY, newer.model_dump_json().encode())

    monkeypatch.setattr(deliveries, "refuse_missing", write)
    with pytest.raises(SupersededError):
        back(stored)
    assert current(stored) == newer


def test_one_of_a_version_before_generations_is_named_by_its_revision(stored):
    deliver(stored, *REVISIONS[:2])
    newest = current(stored)
    former = newest.former[0]
    document = Delivery.model_validate_json(stored.objects.read("results", former.document))
    old = document.model_copy(update={"generation": "", "reason": "", "members": ()})
    stored.objects.put("results", former.document, old.model_dump_json().encode())
    renamed = newest.model_copy(update={"former": (former.model_copy(update={"generation": ""}),)})
    stored.objects.put("results", DELIVERY, renamed.model_dump_json().encode())
    made = back(stored, to=former.revision[:8])
    assert (made.revision, made.generation, made.rows_enriched) == (former.revision, "", 3)
    assert current_delivery(stored.objects, stored.feed.target, KEY).delivery == made
    assert plan(stored.catalog) == []
    fact = next(iter(stored.catalog.facts()))
    assert fact.delivery.rolled_back
    assert not replace(fact.delivery, rolled_back=False).delivers(fact.manifest)
    assert datetime.now(UTC) > NOW
