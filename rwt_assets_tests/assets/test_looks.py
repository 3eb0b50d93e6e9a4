"""What dispatch reads at each look."""

import dagster as dg
import pytest

from rwt_assets import archive_facts
from rwt_assets.catalog import FeedCatalog
from rwt_assets.feed_graph import ARCHIVE_TAG, FEED_TAG, STEP_TAG
from rwt_assets.intake import sweep
from rwt_assets.sensors.dispatch import plan
from rwt_assets_tests.archives import make_zip
from rwt_assets_tests.assets.conftest import SALES
from rwt_assets_tests.stand_ins import run_request


def test_the_shards_of_an_archive_are_not_read_while_a_run_works_on_it(shop, monkeypatch):
    key = shop.drop(
        "a.zip", make_zip({"sales.csv": "item,day,price\npen,2026-01-01,1\nink,2026-01-02,7\n"})
    )
    sweep(shop.catalog, shop.objects)
    (split,) = plan(shop.catalog)
    run_request(shop.definitions, shop.instance, split)
    (enrich,) = plan(shop.catalog)
    tags = {FEED_TAG: shop.feed.name, ARCHIVE_TAG: key, STEP_TAG: "enrich"}
    job = dg.JobDefinition(graph_def=dg.GraphDefinition("nothing"), name="job")
    run = shop.instance.create_run_for_job(job, tags=tags, status=dg.DagsterRunStatus.STARTED)
    with monkeypatch.context() as reading:
        reading.setattr(FeedCatalog, "shards", lambda catalog: pytest.fail("they were read"))
        assert plan(shop.catalog) == []
    assert shop.counts()[1] == 3, "the account of everything has them all the same"
    shop.instance.report_run_canceled(run)
    assert [request.tags for request in plan(shop.catalog)] == [enrich.tags]


def test_a_look_reads_the_shards_of_no_archive_at_rest_again(shop, monkeypatch):
    """Counted in partitions that were named to the event log, however many events came."""
    for name in "abc":
        shop.deliver(f"{name}.zip", make_zip({"sales.csv": SALES}))
    shop.catalog.open_facts()
    memory = archive_facts._memory(shop.catalog)
    memory.marks = memory.marks[-1:]  # as if all that was seen had settled
    asked = []
    ask = dg.DagsterInstance.get_latest_storage_id_by_partition

    def counted(instance, key, event_type, partitions=None, after_cursor=None):
        asked.append((key.path[-1], partitions, after_cursor))
        return ask(instance, key, event_type, partitions, after_cursor)

    monkeypatch.setattr(dg.DagsterInstance, "get_latest_storage_id_by_partition", counted)
    assert shop.catalog.open_facts() == []
    assert asked == [], "nothing has happened"

    shop.drop("a.zip", make_zip({"sales.csv": SALES + "cap,2026-01-03,2\n"}))
    sweep(shop.catalog, shop.objects)
    asked.clear()
    assert [one.partition_key for one in shop.catalog.open_facts()] == ["shop/a.zip"]
    assert all(after for _, named, after in asked if named is None), "an asset was read whole"
    named = {one.partition("|")[0] for _, keys, _ in asked for one in keys or ()}
    assert named == {"shop/a.zip"}


def test_events_that_become_visible_late_are_seen(shop, monkeypatch):
    """The number of an event is given before its transaction ends."""
    archive = shop.deliver("a.zip", make_zip({"sales.csv": SALES}))
    shop.catalog.open_facts()
    revision = shop.catalog.latest_revision(archive).revision
    shop.catalog.ask_replay(archive, revision)
    hidden = dg.DagsterInstance.get_latest_storage_id_by_partition

    def without_it(instance, key, event_type, partitions=None, after_cursor=None):
        late = event_type is dg.DagsterEventType.ASSET_OBSERVATION
        return {} if late else hidden(instance, key, event_type, partitions, after_cursor)

    with monkeypatch.context() as patch:
        patch.setattr(dg.DagsterInstance, "get_latest_storage_id_by_partition", without_it)
        assert shop.catalog.open_facts() == []
    (one,) = shop.catalog.open_facts()
    assert one.replay_asked
