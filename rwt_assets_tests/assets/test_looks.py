"""What dispatch reads at each look."""

import dagster as dg
import pytest

from rwt_assets.catalog.catalog import FeedCatalog
from rwt_assets.catalog.intake import sweep
from rwt_assets.component import build_feed_definitions
from rwt_assets.orchestration.sensors.dispatch import plan
from rwt_assets.runtime.run_tags import ARCHIVE_TAG, FEED_TAG, STEP_TAG
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


def test_events_that_become_visible_late_are_seen(shop, monkeypatch):
    """The number of an event is given before its transaction ends."""
    shop.definitions = build_feed_definitions(
        shop.feed, object_store=shop.store, queue_client=shop.client
    )
    archive = shop.deliver("a.zip", make_zip({"sales.csv": SALES}))
    assert shop.catalog.open_facts() == []
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
