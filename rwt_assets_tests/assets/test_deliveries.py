"""Former deliveries: kept for a while, then collected; what is needed is never touched."""

from dataclasses import asdict
from datetime import UTC, datetime, timedelta

import dagster as dg
import pytest

from rwt_assets.catalog.catalog import FeedCatalog
from rwt_assets.catalog.intake import sweep
from rwt_assets.component import build_feed_definitions
from rwt_assets.delivery.consumption import read_delivery, read_result
from rwt_assets.delivery.deliveries import (
    ENRICHED_AGAIN,
    FIRST,
    SPLIT_AGAIN,
    current_delivery,
    named_keys,
    roll_back,
)
from rwt_assets.documents.layout import Layout
from rwt_assets.documents.partitions import ShardKey
from rwt_assets.retention import collection
from rwt_assets.retention.collection import IN_WORK, MEANWHILE, collect
from rwt_assets.retention.retirement import find_old, retire
from rwt_assets.runtime.errors import ArchiveMissingError, DeliveryError
from rwt_assets_tests.archives import make_zip
from rwt_assets_tests.assets.conftest import FEED, SALES, stored_shop

pytestmark = pytest.mark.mostly_long(one_in=1)

KEY = "shop/a.zip"
NOW = datetime.now(UTC)
LATER = NOW + timedelta(hours=20)
IN_TWO_DAYS = NOW + timedelta(days=2)
IN_A_YEAR = NOW + timedelta(days=365)
REVISIONS = [
    make_zip({"sales.csv": SALES}),
    make_zip({"sales.csv": SALES + "cap,2026-01-03,2\n", "items.csv": "a,b\n1,2\n"}),
    make_zip({"sales.csv": SALES + "cap,2026-01-03,2\nhat,2026-01-03,oops\n"}),
]


def deliver(shop, *bodies, name="a.zip"):
    for number, body in enumerate(bodies, 1):
        key = shop.deliver(name, body)
        document = read_delivery(shop.objects, shop.feed.target, key)
        assert document.revision == shop.objects.etag("incoming", key), f"revision {number}"
    return key


def replay(shop, archive=KEY):
    newest = shop.catalog.latest_revision(archive)
    shop.catalog.ask_replay(archive, newest.revision)
    shop.dispatch()


def collected(shop, *archives, now=IN_TWO_DAYS, dry_run=False):
    return list(collect(shop.catalog, shop.objects, archives, now=now, dry_run=dry_run))


def results(shop):
    return {
        key: body for (bucket, key), body in shop.objects.contents.items() if bucket == "results"
    }


def objects(shop):
    """Everything but the documents and the schemas."""
    kinds = ("enriched", "quarantine", "shards", "former")
    return {key for key in results(shop) if key.split("/")[2] in kinds}


def needed(shop, archive=KEY):
    """What the current delivery and the newest split name."""
    layout, target = Layout(shop.feed.target.prefix), shop.feed.target
    manifest = collection.ArchiveManifest.model_validate_json(
        shop.objects.read(target.bucket, layout.manifest(archive))
    )
    delivery = read_delivery(shop.objects, target, archive)
    return named_keys(delivery) | collection._keys_of(manifest)


def test_what_former_deliveries_name_is_kept_for_a_while(stored):
    deliver(stored, *REVISIONS)
    before = results(stored)
    assert collected(stored, now=LATER) == []
    assert results(stored) == before


def test_after_a_while_only_what_is_needed_is_left(stored):
    deliver(stored, *REVISIONS)
    before = results(stored)
    assert objects(stored) > needed(stored)
    gone = objects(stored) - needed(stored)
    (would,) = collected(stored, dry_run=True)
    assert results(stored) == before
    (did,) = collected(stored)
    assert did == would
    assert (did.archive, did.objects, did.left) == (KEY, len(gone), "")
    assert did.bytes == sum(len(before[key]) for key in gone)
    assert results(stored) == {key: body for key, body in before.items() if key not in gone}
    assert objects(stored) == needed(stored)
    assert read_result(stored.objects, stored.feed.target, KEY).reconciled
    assert stored.counts() == (4, 0, 0, 0)
    assert collected(stored) == []


def test_an_archive_with_one_generation_costs_no_request_of_its_own(stored, monkeypatch):
    deliver(stored, REVISIONS[1])

    def refuse(*_arguments):
        raise AssertionError("a document was read")

    for name in ("read_tagged", "read"):
        monkeypatch.setattr(type(stored.objects), name, refuse)
    assert collected(stored) == []


def test_a_replay_and_a_changed_declaration_leave_generations_that_are_collected(stored):
    deliver(stored, REVISIONS[2])
    replay(stored)
    feed = FEED.model_copy(
        update={"members": (FEED.members[0].model_copy(update={"key_column": "day"}),)}
    )
    other = stored.redeclared(feed)
    other.definitions = build_feed_definitions(
        feed, object_store=stored.store, queue_client=stored.client
    )
    enrich = other.definitions.resolve_job_def("shop_enrich")
    for key in other.catalog.shards():
        assert enrich.execute_in_process(instance=stored.instance, partition_key=key).success
    other.dispatch()
    document = read_delivery(other.objects, other.feed.target, KEY)
    assert [one.reason.partition(":")[0] for one in (document, *document.former)] == [
        ENRICHED_AGAIN,
        SPLIT_AGAIN,
        FIRST,
    ]
    assert len({key.split("/")[5] for key in objects(other) if "/enriched/" in key}) == 3
    (one,) = collected(other)
    assert one.objects
    assert objects(other) == needed(other)


@pytest.mark.parametrize("hours", [0, 0.5])
def test_what_was_just_written_stays_whatever_the_feed_says(hours):
    feed = FEED.model_copy(update={"keep_former_hours": hours})
    with stored_shop(feed=feed) as shop:
        deliver(shop, *REVISIONS)
        before, written = results(shop), datetime.now(UTC)
        assert collected(shop, now=written + timedelta(minutes=55)) == []
        assert results(shop) == before
        assert [one.left for one in collected(shop, now=written + timedelta(minutes=65))] == [""]
        assert objects(shop) == needed(shop)


def test_what_a_refused_delivery_left_is_kept_while_it_is_the_newest_split():
    feed = FEED.model_copy(update={"tolerance": FEED.tolerance.model_copy(update={"rows": 0})})
    with stored_shop(feed=feed) as shop:
        deliver(shop, REVISIONS[0])
        shop.deliver("a.zip", REVISIONS[2], ends="failed")
        before = results(shop)
        names = needed(shop)
        assert [one.left for one in collected(shop)] in ([], [""])
        assert results(shop).keys() >= names
        kept = {key for key in before if "rwt_generation" in key and "/enriched/" in key}
        assert kept <= results(shop).keys()
        assert read_result(shop.objects, shop.feed.target, KEY).delivery.rows_enriched == 3


def test_an_archive_in_work_is_left(stored):
    deliver(stored, *REVISIONS[:2])
    newest = stored.catalog.latest_revision(KEY)
    stored.catalog.ask_replay(KEY, newest.revision)
    before = results(stored)
    assert collected(stored) == []
    assert collected(stored, KEY) == [collection.Collected(KEY, left=IN_WORK)]
    assert results(stored) == before
    stored.dispatch()
    assert [one.left for one in collected(stored)] == [""]


def test_what_was_retired_with_its_data_is_not_touched(stored):
    deliver(stored, *REVISIONS)
    deliver(stored, REVISIONS[0], name="b.zip")
    old = [
        one
        for one in find_old(stored.catalog, timedelta(0), now=IN_A_YEAR)
        if one.partition_key == KEY
    ]
    assert [one.left for one in retire(stored.catalog, stored.objects, old, keep_data=True)] == [""]
    before = results(stored)
    assert collected(stored, now=IN_A_YEAR) == []
    with pytest.raises(ArchiveMissingError, match="not in the catalog"):
        collected(stored, KEY)
    assert results(stored) == before


@pytest.mark.parametrize("lost", ["delivery", "manifest", "both", "unreadable"])
def test_without_its_documents_nothing_of_an_archive_goes(stored, lost):
    deliver(stored, *REVISIONS)
    layout = Layout("rwt/shop")
    if lost in ("delivery", "both"):
        stored.objects.delete("results", [layout.delivery(KEY)])
    if lost in ("manifest", "both"):
        stored.objects.delete("results", [layout.manifest(KEY)])
    if lost == "unreadable":
        stored.objects.put("results", layout.delivery(KEY), b"{")
    before = results(stored)
    found = collected(stored)
    if lost == "manifest":  # the delivery says what is needed
        assert [one.left for one in found] == [""]
        assert read_result(stored.objects, stored.feed.target, KEY).reconciled
    else:
        assert [bool(one.left) for one in found] == [True]
        assert results(stored) == before


@pytest.mark.parametrize("stops_at", [1, 2])
def test_cut_short_it_is_finished_the_next_time(stored, monkeypatch, stops_at):
    deliver(stored, *REVISIONS)
    monkeypatch.setattr(collection, "AT_ONCE", 3)
    delete, left = type(stored.objects).delete, iter(range(stops_at))

    def stop(store, bucket, keys):
        if next(left, None) is None:
            raise RuntimeError("the power is gone")
        delete(store, bucket, keys)

    with monkeypatch.context() as patch:
        patch.setattr(type(stored.objects), "delete", stop)
        with pytest.raises(RuntimeError):
            collected(stored)
    assert read_result(stored.objects, stored.feed.target, KEY).reconciled
    assert [one.left for one in collected(stored)] == [""]
    assert objects(stored) == needed(stored)


@pytest.mark.parametrize("moment", ["before the documents go", "before the objects go"])
def test_what_becomes_current_meanwhile_is_not_removed(stored, monkeypatch, moment):
    """A rollback at the worst moment: it stands whole, or it is refused."""
    deliver(stored, *REVISIONS)
    delete, is_untouched = type(stored.objects).delete, FeedCatalog.is_untouched
    ends = []

    def go_back():
        try:
            roll_back(stored.objects, stored.feed.target, KEY, now=NOW)
            ends.append("switched")
        except DeliveryError:
            ends.append("refused")

    def deleting(store, bucket, keys):
        delete(store, bucket, keys)
        if not ends:
            go_back()

    def looking(catalog, facts):
        found = is_untouched(catalog, facts)
        go_back()
        return found

    with monkeypatch.context() as patch:
        if moment == "before the objects go":
            patch.setattr(type(stored.objects), "delete", deleting)
        else:
            patch.setattr(FeedCatalog, "is_untouched", looking)
        (one,) = collected(stored)
    assert (ends, one.left) in ((["switched"], MEANWHILE), (["refused"], ""))
    assert ends == (["refused"] if moment == "before the objects go" else ["switched"])
    assert read_result(stored.objects, stored.feed.target, KEY).reconciled


def test_a_revision_that_arrives_meanwhile_keeps_everything(stored, monkeypatch):
    deliver(stored, *REVISIONS[:2])
    documents = collection._Collector._read_documents

    def arrive(self):
        stored.drop("a.zip", REVISIONS[2])
        sweep(stored.catalog, stored.objects)
        return documents(self)

    with monkeypatch.context() as patch:
        patch.setattr(collection._Collector, "_read_documents", arrive)
        assert [one.left for one in collected(stored)] == [MEANWHILE]
    stored.dispatch()
    assert read_result(stored.objects, stored.feed.target, KEY).reconciled
    assert stored.counts() == (4, 0, 0, 0)


def test_what_versions_before_generations_left_goes_too(stored):
    deliver(stored, REVISIONS[0])
    layout, shard = Layout("rwt/shop"), ShardKey(KEY, "gone.csv", "day", "2026-01-01")
    old = {
        layout.old_enriched("former", shard),
        layout.old_shard_quarantine("former", shard),
        "rwt/shop/shards/archive=shop%2Fa.zip/revision=former/member=gone.csv/part-00000.csv",
        "rwt/shop/quarantine/archive=shop%2Fa.zip/revision=former/split.parquet",
    }
    others = {layout.old_enriched("former", ShardKey("shop/other.zip", "gone.csv"))}
    for key in old | others:
        stored.objects.put("results", key, b"x")
    assert collected(stored, now=LATER) == []
    (one,) = collected(stored)
    assert asdict(one) == {"archive": KEY, "objects": 4, "bytes": 4, "left": ""}
    assert objects(stored) == needed(stored) | others


def test_only_the_archives_that_are_named(stored):
    deliver(stored, *REVISIONS)
    other = deliver(stored, *REVISIONS, name="b.zip")
    assert [one.archive for one in collected(stored, other)] == [other]
    assert [one.archive for one in collected(stored)] == [KEY]


def test_it_happens_every_night(stored):
    deliver(stored, *REVISIONS)
    schedules = {one.name: one for one in stored.definitions.get_repository_def().schedule_defs}
    schedule = schedules["shop_collect_nightly"]
    assert schedule.cron_schedule == "45 3 * * *"
    assert schedule.default_status is dg.DefaultScheduleStatus.RUNNING
    for place in stored.objects.modified:
        if "/former/" not in place[1]:  # these were written when a delivery was replaced
            stored.objects.modified[place] = NOW - timedelta(days=3)
    job = stored.definitions.resolve_job_def("shop_collect")
    before = objects(stored)
    assert job.execute_in_process(instance=stored.instance).success
    assert needed(stored) < objects(stored) <= before  # former ones are kept for a day
    assert current_delivery(stored.objects, stored.feed.target, KEY).delivery.former
