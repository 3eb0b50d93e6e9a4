"""What an earlier version left is read by this one; what a changed declaration makes old.

What belongs here: the state that `make upgrade ARGS="--fixture FILE"` keeps, opened by this
version, and the statuses that the UI asks Dagster for. What does not: two versions at work on one
deployment (`end_to_end/upgrade.py`). Dagster documentation: "Asset versioning and caching",
"Upgrading Dagster".
"""

import json
import zipfile
from contextlib import contextmanager
from io import BytesIO
from pathlib import Path

import dagster as dg
import pyarrow.parquet as pq
import pytest
from dagster._core.definitions.data_version import CachingStaleStatusResolver
from dagster._core.loader import LoadingContextForTest

from rwt_assets.component import build_feed_definitions
from rwt_assets.definitions import declared_feeds
from rwt_assets.delivery.consumption import read_delivery
from rwt_assets.documents.manifest import ArchiveManifest
from rwt_assets.embedded.storage import storage_settings
from rwt_assets.feed.feed import MemberRule
from rwt_assets.operations.replay import count_quarantined
from rwt_assets.orchestration.sensors.dispatch import plan
from rwt_assets.shard.processing import read_manifest
from rwt_assets_tests.archives import make_zip, timetable
from rwt_assets_tests.assets.conftest import SALES, Shop

STATE = Path(__file__).with_name("states") / "2026-11-24-dagster-1.12.0.zip"


@pytest.fixture
def left(tmp_path):
    """Dagster's home, the objects and what the earlier version saw."""
    with zipfile.ZipFile(STATE) as packed:
        packed.extractall(tmp_path)
    home = tmp_path / "dagster"
    settings = storage_settings("", home) + "telemetry: { enabled: false }\n"
    (home / "dagster.yaml").write_text(settings)
    return tmp_path


@pytest.fixture
def shop_of(left):
    """The feed as it is declared now, over what was left."""

    @contextmanager
    def make(instance):
        with Shop(instance, declared_feeds()[0]) as shop:
            shop.definitions = build_feed_definitions(
                shop.feed, object_store=shop.store, queue_client=shop.client
            )
            for bucket in (left / "objects").iterdir():
                for path in bucket.rglob("*"):
                    if path.is_file():
                        key = str(path.relative_to(bucket))
                        shop.objects.put(bucket.name, key, path.read_bytes())
            yield shop

    return make


def events(catalog):
    kind = dg.DagsterEventType.ASSET_MATERIALIZATION
    names = ("zip_archive", "archive_manifest", "csv_shard", "enriched_shard", "delivery")
    return {
        name: dict(
            catalog.instance.get_latest_storage_id_by_partition(getattr(catalog.graph, name), kind)
        )
        for name in names
    }


def test_what_an_earlier_version_left_goes_on_and_nothing_is_done_again(left, shop_of):
    seen = json.loads((left / "seen.json").read_text())
    assert seen["dagster"] == "1.12.0"
    with (
        dg.DagsterInstance.from_config(str(left / "dagster")) as instance,
        shop_of(instance) as shop,
    ):
        for migrated in (False, True):
            if migrated:
                instance.upgrade()
            assert list(shop.catalog.archives()) == seen["archives"]
            assert list(shop.catalog.shards()) == seen["shards"]
            assert events(shop.catalog) == seen["events"]
            assert count_quarantined(shop.catalog) == 1
            asked = [[one.job_name, one.tags["rwt/archive"]] for one in plan(shop.catalog)]
            assert asked == seen["asked"] == [["gtfs_enrich", "gtfs/c.zip"]]
        shop.deliver("d.zip", timetable(trips=2, stops=3, name="D"))
        after = events(shop.catalog)
        for name, before in seen["events"].items():
            assert {key: after[name][key] for key in before} == before
        delivered = read_delivery(shop.objects, shop.feed.target, "gtfs/c.zip")
        assert delivered.rows_read == delivered.rows_enriched == 9
        assert read_delivery(shop.objects, shop.feed.target, "gtfs/b.zip").rows_quarantined == 1
        assert shop.counts() == (19, 0, 0, 0)


def test_a_document_with_fields_of_a_later_version_is_read(shop):
    archive = shop.deliver("a.zip", make_zip({"sales.csv": SALES}))
    manifest = read_manifest(shop.objects, shop.feed.target, archive)
    later = json.loads(manifest.model_dump_json())
    for part in (
        later,
        later["members"][0],
        later["members"][0]["dialect"],
        later["shards"][0],
        later["shards"][0]["parts"][0],
    ):
        part["of_a_later_version"] = 1
    assert ArchiveManifest.model_validate_json(json.dumps(later)) == manifest


class Looker:
    """What the UI shows: `staleStatus` of its GraphQL is this resolver's answer."""

    def __init__(self, shop, definitions) -> None:
        self._shop = shop
        self._definitions = definitions

    def look(self, name):
        """Status and causes of each partition of an asset."""
        key = getattr(self._shop.catalog.graph, name)
        graph = self._definitions.resolve_asset_graph()
        resolver = CachingStaleStatusResolver(
            self._shop.instance, graph, LoadingContextForTest(self._shop.instance)
        )
        keys = self._shop.catalog.shards()
        if graph.get(key).partitions_def.name == self._shop.catalog.graph.zip_archives_name:
            keys = self._shop.catalog.archives()
        return {
            one: (
                resolver.get_status(key, one).name,
                [cause.reason for cause in resolver.get_stale_causes(key, one)],
            )
            for one in keys
        }


def stored(shop, feed):
    return build_feed_definitions(feed, object_store=shop.store, queue_client=shop.client)


def enrich(shop, keys):
    """The one run that a backfill over a range of shards is (`BackfillPolicy.single_run`)."""
    tags = {
        "dagster/asset_partition_range_start": keys[0],
        "dagster/asset_partition_range_end": keys[-1],
    }
    job = shop.definitions.resolve_job_def("shop_enrich")
    return job.execute_in_process(instance=shop.instance, tags=tags)


def columns(shop, archive):
    delivery = read_delivery(shop.objects, shop.feed.target, archive)
    return {
        tuple(pq.read_schema(BytesIO(shop.objects.read("results", one.key))).names)
        for one in delivery.objects
    }


FRESH, STALE = ("FRESH", []), ("STALE", ["has a new code version"])


@pytest.mark.parametrize("one_pass", [False, True])
def test_a_changed_declaration_is_shown_made_again_a_range_at_a_time_and_taken_back(shop, one_pass):
    shop.feed = before = shop.feed.model_copy(update={"one_pass": one_pass})
    rule = before.members[0]
    wider = rule.model_dump(mode="json") | {
        "columns": {**rule.model_dump(mode="json")["columns"], "note": {}},
        "enrichments": [{"use": "constant", "to": "currency", "value": "EUR"}],
    }
    after = before.model_copy(
        update={"members": (MemberRule.model_validate(wider), *before.members[1:])}
    )
    shop.definitions = old = stored(shop, before)
    sales = "item,day,price,note\npen,2026-01-01,1,a\nink,2026-01-02,7,b\n"
    first, second = (
        shop.deliver(name, make_zip({"sales.csv": sales})) for name in ("a.zip", "b.zip")
    )
    shown = Looker(shop, old)
    for asset in ("archive_manifest", "enriched_shard", "delivery"):
        assert set(map(str, shown.look(asset).values())) == {str(FRESH)}, asset
    bytes_before = dict(shop.objects.contents)
    narrow = columns(shop, first)

    new = Looker(shop, stored(shop, after))
    shards = shop.catalog.shards_of(first)
    assert new.look("enriched_shard") == dict.fromkeys(shop.catalog.shards(), STALE)
    assert set(map(str, new.look("archive_manifest").values())) == {str(FRESH)}
    assert plan(shop.catalog) == [], "dispatch asks for what is old only if somebody else has"

    shop.feed, shop.definitions = after, stored(shop, after)
    since = events(shop.catalog)["enriched_shard"]
    assert enrich(shop, shards).success
    made = {k for k, n in events(shop.catalog)["enriched_shard"].items() if n != since[k]}
    assert made == set(shards)
    look = new.look("enriched_shard")
    assert {key for key, status in look.items() if status == FRESH} == set(shards)
    assert [(run.job_def.name, run.success) for run in shop.dispatch()] == [("shop_deliver", True)]
    assert all("currency" in names for names in columns(shop, first))
    assert columns(shop, second) == narrow

    assert Looker(shop, old).look("enriched_shard") == {
        key: STALE if key in shards else FRESH for key in shop.catalog.shards()
    }
    shop.feed, shop.definitions = before, old
    assert enrich(shop, shards).success
    shop.dispatch()
    assert set(map(str, Looker(shop, old).look("enriched_shard").values())) == {str(FRESH)}
    parquet = [one for one in bytes_before if one[1].endswith(".parquet")]
    assert {one: shop.objects.contents[one] for one in parquet} == {
        one: bytes_before[one] for one in parquet
    }
    assert shop.counts() == (6, 0, 0, 0)
