"""What becomes of columns and values that the feed does not declare, from archive to Parquet."""

import json
from functools import partial
from io import BytesIO

import dagster as dg
import pyarrow.parquet as pq
import pytest

from rwt_assets.catalog.standing import take_standing
from rwt_assets.component import build_feed_definitions
from rwt_assets.delivery.consumption import read_delivery, read_result
from rwt_assets.delivery.reconciliation import stored_parquet, take_account
from rwt_assets.documents.generations import enrichment_version, generation_of, splitting_version
from rwt_assets.feed.feed import Feed
from rwt_assets.orchestration.sensors.dispatch import plan
from rwt_assets.shard import splitting
from rwt_assets.shard.processing import read_manifest
from rwt_assets_tests.archives import make_zip

pytestmark = pytest.mark.mostly_long(one_in=1)

GOOD = "item,day,price\npen,2026-01-01,1.50\n"
NEW = 'item,day,note,price,"a ""b"""\npen,2026-01-01,"x, ""y""",1,\nink,2026-01-01,,2,z\n'
MISSING = "item,day\npen,2026-01-01\n"
CONFLICT = "item,day,price\npen,2026-01-01,dear\n,2026-01-01,1\npen,2026-01-01,-1\n"
NEEDED = ("item", "day", "price")
ADDED = ("crc32", "_archive", "_member", "_row")


@pytest.fixture
def with_rule(shop):
    """The shop with other settings of the rule for its sales, and the real Parquet."""

    def make(**settings):
        declared = shop.feed.model_dump(mode="json")
        declared["members"][0] |= settings
        declared["members"][0]["columns"]["price"] = {"type": "number", "minimum": 0}
        declared["limits"]["buffer_bytes"] = 1 << 20
        shop.feed = Feed.model_validate(declared)
        shop.__dict__.pop("definitions", None)
        shop.definitions = build_feed_definitions(
            shop.feed, object_store=shop.store, queue_client=shop.client
        )
        return shop

    return make


def rows(shop, archive):
    delivery = read_delivery(shop.objects, shop.feed.target, archive)
    bodies = [shop.objects.read("results", one.key) for one in delivery.objects]
    return [row for body in bodies for row in pq.read_table(BytesIO(body)).to_pylist()]


def quarantine(shop, archive):
    delivery = read_delivery(shop.objects, shop.feed.target, archive)
    bodies = [shop.objects.read("results", key) for key in delivery.quarantine_keys]
    return [row for body in bodies for row in pq.read_table(BytesIO(body)).to_pylist()]


def columns(found):
    (names,) = {tuple(row) for row in found}
    return names


@pytest.mark.parametrize(
    ("mode", "kept"),
    [
        ("add", ("item", "day", "note", "price", 'a "b"', *ADDED)),
        ("ignore", (*NEEDED, *ADDED)),
        ("rescue", (*NEEDED, "_rescued", *ADDED)),
    ],
)
def test_new_columns_are_added_ignored_or_rescued(with_rule, mode, kept):
    shop = with_rule(evolution={"new_columns": mode})
    archive = shop.deliver("a.zip", make_zip({"sales1.csv": NEW}))
    found = rows(shop, archive)
    assert columns(found) == kept
    if mode == "rescue":
        rescued = [json.loads(row["_rescued"]) for row in found]
        assert rescued == [{"note": 'x, "y"'}, {'a "b"': "z"}]
    assert read_result(shop.objects, shop.feed.target, archive).reconciled


def test_rescued_is_there_and_null_where_nothing_was_rescued(with_rule):
    shop = with_rule(evolution={"new_columns": "rescue"})
    found = rows(shop, shop.deliver("a.zip", make_zip({"sales1.csv": GOOD})))
    assert columns(found) == (*NEEDED, "_rescued", *ADDED)
    assert [row["_rescued"] for row in found] == [None]


@pytest.mark.parametrize(
    ("evolution", "bad", "says"),
    [
        ({"new_columns": "quarantine"}, NEW, "are not declared by the feed"),
        ({"missing_columns": "quarantine"}, MISSING, "the column 'price' is missing"),
    ],
)
def test_a_member_is_set_aside_whole_without_a_shard(with_rule, evolution, bad, says):
    shop = with_rule(evolution=evolution)
    archive = shop.deliver("a.zip", make_zip({"sales1.csv": bad, "sales2.csv": GOOD}))
    (entry,) = quarantine(shop, archive)
    assert (entry["member"], entry["rule"]) == ("sales1.csv", "MemberSchemaError")
    assert says in entry["reason"]
    assert [row["_member"] for row in rows(shop, archive)] == ["sales2.csv"]
    assert not [key for _, key in shop.objects.contents if "shards/" in key and "sales1" in key]


@pytest.mark.parametrize(
    ("evolution", "bad", "step", "says"),
    [
        ({"new_columns": "fail"}, NEW, "split", "are not declared by the feed"),
        ({"missing_columns": "fail"}, MISSING, "split", "the column 'price' is missing"),
        ({"missing_columns": "fail"}, "day,price\n", "split", "the column 'item' is missing"),
        ({"type_conflicts": "fail"}, CONFLICT, "enrich", "member 'sales1.csv', row 1"),
    ],
)
def test_an_archive_fails_once_with_its_reason(with_rule, evolution, bad, step, says):
    shop = with_rule(evolution=evolution)
    body = make_zip({"sales1.csv": bad, "sales2.csv": GOOD})
    archive = shop.deliver("a.zip", body, ends="failed")
    shop.deliver("good.zip", make_zip({"sales1.csv": GOOD}))
    failed = {entry.partition_key: entry.reason for entry in take_standing(shop.catalog).failed}
    assert says in failed[archive]
    assert archive in failed[archive]
    runs = shop.instance.get_runs(dg.RunsFilter(statuses=[dg.DagsterRunStatus.FAILURE]))
    assert [run.job_name for run in runs] == [f"shop_{step}"], "it was tried again"
    assert plan(shop.catalog) == []
    assert not take_standing(shop.catalog).forgotten
    keys = [key for _, key in shop.objects.contents if key.endswith("delivery.json")]
    assert len(keys) == 1, "only the good archive is delivered"


def test_an_absent_column_is_null_by_default(with_rule):
    shop = with_rule()
    (row,) = rows(shop, shop.deliver("a.zip", make_zip({"sales1.csv": MISSING})))
    assert row["price"] is None


def test_a_value_that_does_not_fit_is_rescued(with_rule):
    shop = with_rule(evolution={"type_conflicts": "rescue"})
    archive = shop.deliver("a.zip", make_zip({"sales1.csv": CONFLICT}))
    found = [(row["_row"], row["price"], row["_rescued"]) for row in rows(shop, archive)]
    assert found == [(1, None, '{"price":"dear"}'), (3, None, '{"price":"-1"}')]
    assert [entry["rule"] for entry in quarantine(shop, archive)] == ["item: not null"]
    assert read_result(shop.objects, shop.feed.target, archive).reconciled


def test_a_member_with_a_column_of_our_name_is_set_aside(with_rule):
    shop = with_rule(evolution={"type_conflicts": "rescue"})
    own = GOOD.replace("price", "_rescued")
    archive = shop.deliver("a.zip", make_zip({"sales1.csv": own, "sales2.csv": GOOD}))
    (entry,) = quarantine(shop, archive)
    assert "'_rescued' is one that enrichment adds" in entry["reason"]


def test_rows_are_unique_over_all_parts_of_a_shard(with_rule, monkeypatch):
    monkeypatch.setattr(splitting, "PART_BYTES", 1 << 20)
    shop = with_rule(split_by=None, unique=["item", "price"])
    filler = "x" * 200
    lines = [f"{filler}{n % 9_000},2026-01-01,{n % 3}" for n in range(18_000)]
    archive = shop.deliver("a.zip", make_zip({"sales1.csv": "\n".join(["item,day,price", *lines])}))
    manifest = read_manifest(shop.objects, shop.feed.target, archive)
    assert len(manifest.shards[0].parts) > 2
    assert [row["_row"] for row in rows(shop, archive)] == list(range(1, 9_001))
    entries = quarantine(shop, archive)
    assert [entry["row"] for entry in entries] == list(range(9_001, 18_001))
    assert {entry["rule"] for entry in entries} == {"unique"}
    assert entries[0]["reason"] == "item, price: the same as in row 1"


def test_rows_set_aside_are_counted_by_rule_in_manifest_and_footer(with_rule):
    shop = with_rule()
    bad = CONFLICT + "pen\n"
    archive = shop.deliver("a.zip", make_zip({"sales1.csv": bad, "sales2.csv": GOOD}))
    manifest = read_manifest(shop.objects, shop.feed.target, archive)
    assert [member.rows_by_rule for member in manifest.members] == [{"ragged_row": 1}, {}]
    generation = generation_of(manifest, enrichment_version(shop.feed))
    stored = partial(stored_parquet, shop.objects, shop.feed.target)
    account = take_account(manifest, generation, stored)
    assert [one.rows_by_rule for one in account.objects] == [
        {"item: not null": 1, "price: minimum": 1, "price: number": 1},
        {},
    ]
    delivered = read_delivery(shop.objects, shop.feed.target, archive)
    assert [one.rows_by_rule for one in delivered.objects] == [
        one.rows_by_rule for one in account.objects
    ]


def schema_check(shop):
    (record,) = shop.instance.event_log_storage.get_asset_check_execution_history(
        dg.AssetCheckKey(shop.catalog.graph.archive_manifest, "schema_unchanged"), limit=1
    )
    found = record.event.dagster_event.asset_check_evaluation_data
    return found.passed, found.description, {k: v.value for k, v in found.metadata.items()}


def test_the_schema_check_tells_a_change_again_each_time(with_rule):
    shop = with_rule()
    shop.deliver("a.zip", make_zip({"sales_2026-01-01.csv": GOOD}))
    passed, says, metadata = schema_check(shop)
    assert passed
    assert says == "1 kinds of member seen for the first time; the others are as before"
    assert metadata["seen_for_the_first_time"] == "sales_#-#-#.csv"

    archive = shop.deliver("b.zip", make_zip({"sales_2026-01-02.csv": NEW}))
    told = schema_check(shop)
    passed, says, metadata = told
    assert not passed
    assert says == "sales_2026-01-02.csv: added: 'note', 'a \"b\"'"
    assert "sales_2026-01-01.csv of shop/a.zip" in metadata["differences"]
    assert "| added | note |  | column 3 |" in metadata["differences"]

    documents = ("delivery.json", "manifest.json")
    before = {k: v for k, v in shop.objects.contents.items() if not k[1].endswith(documents)}
    job = shop.definitions.resolve_job_def("shop_split")
    assert job.execute_in_process(instance=shop.instance, partition_key=archive).success
    assert schema_check(shop) == told
    shop.dispatch()
    assert {key: shop.objects.contents[key] for key in before} == before

    shop.deliver("c.zip", make_zip({"sales_2026-01-03.csv": NEW}))
    passed, says, _ = schema_check(shop)
    assert (passed, says) == (True, "all 1 kinds of member are as before")


@pytest.mark.parametrize(
    ("settings", "splits", "enriches"),
    [
        ({"evolution": {}, "unique": [], "dialect": {"delimiter": "auto"}}, False, False),
        ({"evolution": {"new_columns": "add"}}, False, False),
        ({"evolution": {"new_columns": "rescue"}}, True, True),
        ({"evolution": {"new_columns": "ignore"}}, False, True),
        ({"evolution": {"new_columns": "quarantine"}}, True, False),
        ({"evolution": {"missing_columns": "fail"}}, True, False),
        # Values of the split column decide on shards.
        ({"evolution": {"type_conflicts": "fail"}}, True, True),
        ({"evolution": {"type_conflicts": "rescue"}}, True, True),
        ({"unique": ["item", "day"]}, False, True),
        ({"unique": ["item", "day", "price"]}, True, True),
        ({"dialect": {"delimiter": ";"}}, True, False),
        ({"exclude": ["sales_old*"]}, True, False),
        ({"match": "name"}, True, False),
        ({"split_by": None}, True, False),
        ({"key_column": "day"}, False, True),
    ],
)
def test_what_is_made_anew_when_a_setting_changes(shop, settings, splits, enriches):
    declared = shop.feed.model_dump(mode="json")
    declared["members"][0] |= settings
    changed = Feed.model_validate(declared)
    assert (splitting_version(shop.feed) != splitting_version(changed)) == splits
    assert (enrichment_version(shop.feed) != enrichment_version(changed)) == enriches


def test_a_strict_feed_splits_anew(shop):
    exact = shop.feed.model_copy(update={"case": "exact"})
    assert splitting_version(exact) != splitting_version(shop.feed)


def test_versions_do_not_depend_on_what_is_written_out(shop):
    """A new setting at its default makes nothing again: these hashes must not change by it."""
    short = shop.feed.model_dump(mode="json", exclude_defaults=True)
    assert splitting_version(Feed.model_validate(short)) == splitting_version(shop.feed)
    assert enrichment_version(Feed.model_validate(short)) == enrichment_version(shop.feed)
