"""A run that was taken for lost ends late: what is newer stays, and the catalog is of it.

The run is held at one point of its work. Meanwhile dispatch takes it for lost, another revision is
uploaded and taken all the way; then the run goes on as if nothing had been. What a run of the real
daemon does that is stopped and goes on: `end_to_end/test_stack.py`.
"""

from collections import Counter

import pytest
from dagster._core.storage.event_log import SqlEventLogStorage

from rwt_assets.catalog.catalog import FeedCatalog
from rwt_assets.catalog.standing import take_standing
from rwt_assets.delivery.consumption import read_delivery
from rwt_assets.delivery.deliveries import named_keys
from rwt_assets.orchestration.sensors.dispatch import plan
from rwt_assets.shard.processing import read_manifest
from rwt_assets_tests.assets.conftest import FEED, stored_shop
from rwt_assets_tests.faulty_round import Point, announce, assert_whole, go_on, restart
from rwt_assets_tests.stand_ins import InMemoryObjects, run_request

pytestmark = pytest.mark.mostly_long(one_in=3)

ARCHIVE = "shop/a.zip"
# One shard of both, one of the first alone, one of the second alone.
FIRST = {"sales.csv": "item,day,price\npen,2026-01-01,1\nink,2026-01-02,2\nink,2026-01-04,3\n"}
SECOND = {"sales.csv": "item,day,price\npen,2026-01-01,4\nink,2026-01-03,5\n"}
POINTS = {
    "before it reads": ("split", Point(InMemoryObjects, "stream")),
    "before a shard is written": ("split", Point(InMemoryObjects, "put", only="/shards/")),
    "before the manifest is written": (
        "split",
        Point(InMemoryObjects, "put_if", only="manifest.json"),
    ),
    "after the manifest was written": (
        "split",
        Point(InMemoryObjects, "put_if", only="manifest.json", after=True),
    ),
    "between registering and reporting": ("split", Point(FeedCatalog, "report_shards")),
    "between two reports": (
        "split",
        Point(SqlEventLogStorage, "store_event", call=2, only="csv_shard"),
    ),
    "between reporting and retiring": ("split", Point(FeedCatalog, "report_shards", after=True)),
    "after retiring": ("split", Point(FeedCatalog, "retire_shards", after=True)),
    "before the event of the manifest": (
        "split",
        Point(InMemoryObjects, "put_if", only="schemas.json", after=True),
    ),
    "before a Parquet object is written": (
        "enrich",
        Point(InMemoryObjects, "put_if", only="/enriched/"),
    ),
    "before the events of the enriched shards": (
        "enrich",
        Point(InMemoryObjects, "put_if", call=3, only="/enriched/", after=True),
    ),
    "before the account is taken": ("deliver", Point(InMemoryObjects, "tail")),
    "before the delivery is written": (
        "deliver",
        Point(InMemoryObjects, "put_if", only="delivery.json"),
    ),
    "after the delivery was written, before its event": (
        "deliver",
        Point(InMemoryObjects, "put_if", only="delivery.json", after=True),
    ),
}


class Held:
    """Holds the first call that is meant, while the rest of the world goes on."""

    def __init__(self, monkeypatch, point, meanwhile):
        self.reached = 0
        original = getattr(point.owner, point.method)
        calls = 0

        def patched(*args, **kwargs):
            nonlocal calls
            meant = point.only in str((args[1:], kwargs)) and not self.reached
            calls += meant
            if not meant or calls != point.call:
                return original(*args, **kwargs)
            self.reached += 1
            if not point.after:
                meanwhile()
                return original(*args, **kwargs)
            answer = original(*args, **kwargs)
            meanwhile()
            return answer

        monkeypatch.setattr(point.owner, point.method, patched)


@pytest.fixture
def stored(monkeypatch):
    """With one attempt for each step, so that none is used up by what was not the archive's fault.

    Threads of a run would go on while it is held, so there is one.
    """
    monkeypatch.setattr("rwt_assets.orchestration.steps.parquet_io_manager.WORKERS", 1)
    monkeypatch.setattr("rwt_assets.delivery.reconciliation.WORKERS", 1)
    with stored_shop(feed=FEED.model_copy(update={"attempts": 1})) as shop:
        yield shop


def hold(shop, monkeypatch, step, point, meanwhile):
    """Carry out steps until this one, which is held at a point while the world goes on."""
    shop.take_in()
    while True:
        (request,) = plan(shop.catalog)
        if request.tags["rwt/step"] != step:
            assert run_request(shop.definitions, shop.instance, request).success
            continue
        with monkeypatch.context() as patch:
            held = Held(patch, point, meanwhile)
            late = run_request(shop.definitions, shop.instance, request, may_fail=True)
        assert held.reached, "the point was never reached"
        return late


def delivered_bytes(shop):
    named = named_keys(read_delivery(shop.objects, shop.feed.target, ARCHIVE))
    return {key: shop.objects.contents["results", key] for key in named}


def assert_of(shop, members):
    """Delivery, manifest and catalog are of these members and nothing is left to do."""
    assert_whole(shop, {ARCHIVE: members})
    revision = shop.objects.etag("incoming", ARCHIVE)
    delivery = read_delivery(shop.objects, shop.feed.target, ARCHIVE)
    manifest = read_manifest(shop.objects, shop.feed.target, ARCHIVE)
    assert (delivery.revision, manifest.revision) == (revision, revision)
    assert delivery.generation.startswith(manifest.split_id)
    assert {s.partition_key for s in manifest.shards} == set(shop.catalog.shards())
    reasons = [entry.reason for entry in take_standing(shop.catalog).done]
    assert not [reason for reason in reasons if "ended as" in reason]


@pytest.mark.parametrize(("step", "point"), POINTS.values(), ids=POINTS)
def test_a_run_that_was_taken_for_lost_and_ends_late_changes_nothing_newer(
    stored, monkeypatch, step, point
):
    taken = {}

    def meanwhile():
        restart(stored)
        announce(stored, "a.zip", SECOND, "02")
        go_on(stored, expect_failure=None)
        assert_of(stored, SECOND)
        taken.update(delivered_bytes(stored))

    announce(stored, "a.zip", FIRST, "01")
    hold(stored, monkeypatch, step, point, meanwhile)
    go_on(stored, expect_failure=None)
    assert_of(stored, SECOND)
    assert {key: stored.objects.contents["results", key] for key in taken} == taken


@pytest.mark.parametrize("name", [one for one in POINTS if "manifest" in one or "event" in one])
def test_the_same_where_the_archive_was_processed_again(stored, monkeypatch, name):
    """The late run is of the same revision, and of an older split of it."""
    step, point = POINTS[name]

    def meanwhile():
        restart(stored)
        revision = stored.catalog.latest_revision(ARCHIVE).revision
        stored.catalog.ask_replay(ARCHIVE, revision)
        go_on(stored, expect_failure=None)
        assert_of(stored, FIRST)

    announce(stored, "a.zip", FIRST, "01")
    hold(stored, monkeypatch, step, point, meanwhile)
    go_on(stored, expect_failure=None)
    assert_of(stored, FIRST)


@pytest.mark.parametrize(
    "until", ["split", "enrich"], ids=["a newer split", "newer enriched shards"]
)
def test_a_late_delivery_does_not_stand_for_what_it_did_not_know_of(stored, monkeypatch, until):
    """It is held after its last look; the replay that came meanwhile is not delivered yet."""

    def meanwhile():
        restart(stored)
        revision = stored.catalog.latest_revision(ARCHIVE).revision
        stored.catalog.ask_replay(ARCHIVE, revision)
        done = Counter()
        while not done[until]:
            for request in plan(stored.catalog):
                assert run_request(stored.definitions, stored.instance, request).success
                done[request.tags["rwt/step"]] += 1

    announce(stored, "a.zip", FIRST, "01")
    point = Point(InMemoryObjects, "put_if", only="delivery.json")
    late = hold(stored, monkeypatch, "deliver", point, meanwhile)
    assert late.success
    go_on(stored, expect_failure=None)
    assert_of(stored, FIRST)
