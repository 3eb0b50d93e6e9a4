"""A look at a catalog full of delivered archives reads what has changed, and misses nothing."""

from collections import Counter

import pytest

from rwt_assets.catalog import archive_facts
from rwt_assets.catalog.catalog import FeedCatalog
from rwt_assets.catalog.intake import sweep
from rwt_assets.component import build_feed_definitions
from rwt_assets.documents.partitions import ShardKey
from rwt_assets.orchestration.sensors.dispatch import plan
from rwt_assets.shard.processing import read_manifest
from rwt_assets.status.progress import Step, locate
from rwt_assets_tests.archives import make_zip
from rwt_assets_tests.assets.conftest import SALES

ARCHIVE = make_zip({"sales.csv": SALES})
NEWER = make_zip({"sales.csv": SALES + "cap,2026-01-03,2\n"})
ARCHIVES = [f"{name}.zip" for name in "abcdef"]


@pytest.fixture
def full(shop, monkeypatch):
    """Six delivered settled archives, which this process knows; events are looked at once."""
    monkeypatch.setattr(archive_facts, "OVERLAP", 0)
    monkeypatch.setattr(archive_facts, "SETTLES_SECONDS", 0.0)
    for name in ARCHIVES:
        shop.drop(name, ARCHIVE)
    sweep(shop.catalog, shop.objects)
    shop.definitions = build_feed_definitions(
        shop.feed, object_store=shop.store, queue_client=shop.client
    )
    shop.dispatch()
    assert shop.counts() == (18, 0, 0, 0)
    return shop


def asked(monkeypatch, shop):
    """What a look asks the event log for, by number of partitions."""
    found = Counter()
    latest_ids, since = FeedCatalog.latest_ids, FeedCatalog.partitions_since

    def count_ids(catalog, key, partitions=None, *more):
        found["partitions"] += 10**6 if partitions is None else len(partitions)
        return latest_ids(catalog, key, partitions, *more)

    def count_events(catalog, *arguments, **settings):
        partitions = since(catalog, *arguments, **settings)
        found["events"] += len(partitions)
        return partitions

    with monkeypatch.context() as patch:
        patch.setattr(FeedCatalog, "latest_ids", count_ids)
        patch.setattr(FeedCatalog, "partitions_since", count_events)
        opened = shop.catalog.open_facts()
    return found, [one.partition_key for one in opened]


def test_where_nothing_has_changed_nothing_is_read(full, monkeypatch):
    assert asked(monkeypatch, full) == (Counter(), [])
    assert len(full.catalog.facts()) == len(ARCHIVES)
    assert sum(len(one.shards) for one in full.catalog.facts()) == 12


def test_a_new_revision_is_seen_and_the_other_archives_are_not_read(full, monkeypatch):
    key = full.drop("c.zip", NEWER)
    sweep(full.catalog, full.objects)
    found, opened = asked(monkeypatch, full)
    assert opened == [key]
    assert found["events"] == 1
    # Its own events, also whether it is being retired, and those of its two shards.
    assert found["partitions"] <= 5 * 1 + 2 * 2
    full.dispatch()
    assert full.counts() == (19, 0, 0, 0)


def test_a_shard_that_is_reported_again_is_seen(full, monkeypatch):
    manifest = read_manifest(full.objects, full.feed.target, "shop/b.zip")
    full.catalog.report_shards(manifest, only=[manifest.shards[1].partition_key])
    _, opened = asked(monkeypatch, full)
    assert opened == ["shop/b.zip"]
    (facts,) = full.catalog.open_facts()
    assert locate(facts).left_to_automation.step is Step.ENRICH


def test_a_replay_is_seen(full):
    full.catalog.ask_replay("shop/d.zip", full.catalog.latest_revision("shop/d.zip").revision)
    (request,) = plan(full.catalog)
    assert request.partition_key == "shop/d.zip"
    full.dispatch()
    assert plan(full.catalog) == []


def test_an_archive_that_leaves_the_catalog_is_forgotten(full):
    facts = {one.partition_key: one for one in full.catalog.facts()}
    assert full.catalog.retire_archive(facts["shop/e.zip"])
    assert "shop/e.zip" not in {one.partition_key for one in full.catalog.facts()}
    assert full.counts() == (15, 0, 0, 0)


def test_a_shard_that_is_removed_by_hand_is_seen_after_some_minutes(full, monkeypatch):
    (key, *_) = full.catalog.shards_of("shop/a.zip")
    full.instance.delete_dynamic_partition(full.catalog.graph.csv_shards_name, key)
    monkeypatch.setattr(archive_facts, "REMEMBERED_SECONDS", -1.0)
    by_archive = {one.partition_key: one for one in full.catalog.facts()}
    left = [ShardKey.parse(one.partition_key).value for one in by_archive["shop/a.zip"].shards]
    assert left == ["2026-01-02"]


@pytest.mark.extended
def test_many_archives_that_change_at_once_are_all_seen(full):
    for name in ARCHIVES[:4]:
        full.drop(name, NEWER)
    sweep(full.catalog, full.objects)
    assert len(full.catalog.open_facts()) == 4
    full.dispatch()
    assert full.counts() == (22, 0, 0, 0)
