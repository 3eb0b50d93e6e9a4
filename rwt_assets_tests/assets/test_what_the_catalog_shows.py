"""What a person finds in the catalog: who owns an asset, what its columns are, how fast it was."""

import dagster as dg
import pytest

from rwt_assets.component import build_feed_definitions
from rwt_assets.feed.feed import Feed
from rwt_assets.orchestration.steps.columns import csv_schema, enriched_schema
from rwt_assets_tests.archives import make_zip
from rwt_assets_tests.assets.conftest import FEED, SALES, Shop

OWNED = Feed.model_validate(
    FEED.model_dump(exclude_unset=True)
    | {"owners": ["team:sales", "ann@example.com"], "tags": {"domain": "retail"}}
)
BROKEN_PRICE = SALES + "cap,2026-01-02,-3\n"


@pytest.fixture
def owned():
    with Shop(feed=OWNED) as shop:
        shop.definitions = build_feed_definitions(
            OWNED, object_store=shop.store, queue_client=shop.client
        )
        yield shop


def event_of(shop, asset, partition):
    records = shop.instance.fetch_materializations(
        dg.AssetRecordsFilter(asset_key=asset, asset_partitions=[partition]), limit=1
    ).records
    return {name: one.value for name, one in records[0].asset_materialization.metadata.items()}


def test_every_asset_says_whose_it_is_and_what_it_is(owned):
    specs = owned.definitions.resolve_asset_graph().asset_nodes
    found = {node.key.path[-1]: node for node in specs}
    assert len(found) == 5
    for node in found.values():
        assert set(node.owners) == {"team:sales", "ann@example.com"}
        assert node.tags["domain"] == "retail"
        assert node.group_name == "shop"
        assert node.kinds
        assert node.description


def test_declared_columns_are_shown_with_their_types_before_anything_arrived(owned):
    nodes = {
        node.key.path[-1]: node for node in owned.definitions.resolve_asset_graph().asset_nodes
    }
    enriched = nodes["enriched_shard"].metadata["dagster/column_schema"].columns
    kinds = {column.name: column.type for column in enriched}
    assert kinds["day"] == "date"
    assert kinds["price"] == "number"
    assert kinds["crc32"] == "uint32"
    assert [column.name for column in enriched if not column.constraints.nullable] == [
        "item",
        "day",
    ]
    as_csv = nodes["csv_shard"].metadata["dagster/column_schema"].columns
    assert {column.type for column in as_csv} == {"string"}
    assert "crc32" not in {column.name for column in as_csv}


def test_named_enrichments_show_in_the_declared_columns():
    enrichments = [
        {"use": "rename", "column": "price", "to": "euro"},
        {"use": "crc32", "column": "item", "to": "item_crc32"},
        {"use": "constant", "to": "source", "value": 3},
        {"use": "parse_date", "column": "item", "format": "%d.%m.%Y", "to": "on"},
        {"use": "cast", "column": "euro", "type": "string"},
    ]
    declared = FEED.model_dump(exclude_unset=True)
    first, *others = declared["members"]
    feed = Feed.model_validate(
        declared | {"members": [first | {"enrichments": enrichments}, *others]}
    )
    kinds = {column.name: column.type for column in enriched_schema(feed).columns}
    assert "price" not in kinds
    made = {name: kinds[name] for name in ("euro", "item_crc32", "source", "on")}
    assert made == {"euro": "string", "item_crc32": "uint32", "source": "integer", "on": "date"}
    assert "price" in {column.name for column in csv_schema(feed).columns}


def test_an_enriched_shard_tells_where_its_columns_came_from_and_links_to_its_archive(owned):
    owned.deliver("a.zip", make_zip({"sales.csv": SALES}))
    graph = owned.catalog.graph
    shard = "shop/a.zip|sales.csv|day=2026-01-02"
    said = event_of(owned, graph.enriched_shard, shard)
    newest = owned.instance.fetch_materializations(graph.enriched_shard, limit=1).records[0]
    shown = event_of(owned, graph.enriched_shard, newest.partition_key)  # by the asset's page
    sources = {
        column: [(dep.asset_key, dep.column_name) for dep in deps]
        for column, deps in shown["dagster/column_lineage"].deps_by_column.items()
    }
    assert sources["price"] == [(graph.csv_shard, "price")]
    assert sources["crc32"] == [(graph.csv_shard, "item")]
    assert "_row" not in sources
    manifest = event_of(owned, graph.archive_manifest, "shop/a.zip")
    assert said["revision"] == manifest["revision"]
    page = "/assets/shop/archive_manifest?view=partitions&partition=shop%2Fa.zip"
    assert said["archive_page"] == page
    assert event_of(owned, graph.csv_shard, shard)["archive_page"] == page


def test_a_delivery_reports_how_it_went(owned):
    owned.deliver("a.zip", make_zip({"sales.csv": BROKEN_PRICE}))
    said = event_of(owned, owned.catalog.graph.delivery, "shop/a.zip")
    assert said["quarantine_ratio"] == pytest.approx(1 / 4)
    assert said["rows_per_second"] > 0
    assert said["report"].startswith("**Adds up, with quarantine.** 3 of 4 rows are enriched")
    assert "/assets/shop/csv_shard?view=partitions&partition=" in said["report"]


@pytest.mark.parametrize("owner", ["ann", "team:", "ann@example", "team:a b"])
def test_an_owner_that_the_catalog_would_refuse_is_refused_with_the_feed(owner):
    with pytest.raises(ValueError, match="neither an address of e-mail nor"):
        Feed.model_validate(FEED.model_dump(exclude_unset=True) | {"owners": [owner]})
