"""Bad input fails with a reason, is asked for no more, and takes nothing good with it."""

from io import BytesIO

import dagster as dg
import pyarrow.parquet as pq
import pytest

from rwt_assets.catalog.intake import sweep
from rwt_assets.catalog.standing import take_standing
from rwt_assets.component import build_feed_definitions
from rwt_assets.delivery.consumption import read_delivery, read_result
from rwt_assets.orchestration.sensors.dispatch import plan
from rwt_assets_tests.archives import make_zip
from rwt_assets_tests.stand_ins import run_request

GOOD = "item,day,price\npen,2026-01-01,1.50\n"


@pytest.fixture
def stored(shop):
    shop.definitions = build_feed_definitions(
        shop.feed, object_store=shop.store, queue_client=shop.client
    )
    return shop


def quarantine(shop, archive):
    delivery = read_delivery(shop.objects, shop.feed.target, archive)
    bodies = [shop.objects.read("results", key) for key in delivery.quarantine_keys]
    return [row for body in bodies for row in pq.read_table(BytesIO(body)).to_pylist()]


@pytest.mark.parametrize(
    ("body", "says"),
    [
        (b"not a zip", "no readable ZIP archive"),
        (make_zip({"readme.md": "hello"}), "no member that feed shop takes"),
        (make_zip({}), "no member that feed shop takes"),
    ],
)
def test_a_bad_archive_fails_once_with_its_reason_and_the_next_goes_through(stored, body, says):
    stored.drop("bad.zip", body)
    stored.drop("good.zip", make_zip({"sales.csv": GOOD}))
    sweep(stored.catalog, stored.objects)
    results = stored.dispatch(expect_failure=True)
    assert [result.success for result in results].count(False) == 1, "it was tried again"
    standing = take_standing(stored.catalog)
    (failed,) = standing.failed
    assert failed.partition_key == "shop/bad.zip"
    assert says in failed.reason
    assert "s3://incoming/shop/bad.zip" in failed.reason
    assert "shop/good.zip" in {entry.partition_key for entry in standing.done}
    assert not standing.forgotten


def test_a_new_revision_of_a_bad_archive_is_tried_again(stored):
    stored.deliver("a.zip", b"not a zip", ends="failed")
    archive = stored.deliver("a.zip", make_zip({"sales.csv": GOOD}))
    assert stored.counts() == (2, 0, 0, 0)
    assert read_result(stored.objects, stored.feed.target, archive).reconciled


def test_what_may_pass_by_itself_is_tried_as_often_as_the_feed_says(stored):
    archive = stored.drop("a.zip", make_zip({"sales.csv": GOOD}))
    sweep(stored.catalog, stored.objects)
    del stored.objects.contents["incoming", archive]
    results = stored.dispatch(expect_failure=True)
    assert [result.success for result in results] == [False] * stored.feed.attempts
    (failed,) = take_standing(stored.catalog).failed
    assert "no such object" in failed.reason
    assert plan(stored.catalog) == []


def test_a_member_without_its_split_column_is_set_aside_and_the_others_go_through(stored):
    body = make_zip({"sales1.csv": "item,price\npen,1\n", "sales2.csv": GOOD})
    archive = stored.deliver("a.zip", body)
    delivery = read_delivery(stored.objects, stored.feed.target, archive)
    assert delivery.rows_enriched == 1
    (entry,) = quarantine(stored, archive)
    assert (entry["member"], entry["row"], entry["rule"]) == (
        "sales1.csv",
        None,
        "MemberHeaderError",
    )
    assert "column 'day' is missing; it has 'item', 'price'" in entry["reason"]
    assert "line 1" in entry["reason"]


@pytest.mark.parametrize(
    ("header", "says"),
    [
        ("day,price", "the column 'item' is missing"),
        ("item,day,crc32", "the column 'crc32' is one that enrichment adds"),
    ],
)
def test_a_member_that_cannot_be_enriched_takes_no_other_with_it(stored, header, says):
    body = make_zip({"sales1.csv": f"{header}\n2026-01-01,1\n", "sales2.csv": GOOD})
    archive = stored.deliver("a.zip", body)
    assert read_delivery(stored.objects, stored.feed.target, archive).rows_enriched == 1
    (entry,) = quarantine(stored, archive)
    assert entry["member"] == "sales1.csv"
    assert says in entry["reason"]


def test_bad_rows_are_set_aside_with_line_and_reason_and_rows_reconcile(stored):
    sales = GOOD + "ink,2026-01-01\n,2026-01-01,3\npen,2026-01-01,-1\npen,soon,1\n"
    archive = stored.deliver("a.zip", make_zip({"sales.csv": sales}))
    delivery = read_delivery(stored.objects, stored.feed.target, archive)
    assert (delivery.rows_read, delivery.rows_enriched, delivery.rows_quarantined) == (5, 1, 4)
    told = {(e["row"], e["rule"], e["reason"], e["text"]) for e in quarantine(stored, archive)}
    assert told == {
        (2, "ragged_row", "3 fields expected, 2 found", "ink,2026-01-01"),
        (3, "item: not null", "item is empty", ",2026-01-01,3"),
        (4, "price: minimum", "-1 is less than 0", "pen,2026-01-01,-1"),
        (5, "day: date", "'soon' is no date", "pen,soon,1"),
    }
    ragged = next(e for e in quarantine(stored, archive) if e["rule"] == "ragged_row")
    assert (ragged["archive"], ragged["member"], ragged["line"]) == (archive, "sales.csv", 3)


def test_a_corrupt_member_is_set_aside_and_the_others_go_through(stored):
    body = bytearray(make_zip({"items.csv": "a,b\n1,2\n" * 20, "sales.csv": GOOD}))
    body[body.index(b"items.csv") + 9 + 12] ^= 0xFF
    archive = stored.deliver("a.zip", bytes(body))
    (entry,) = quarantine(stored, archive)
    assert (entry["member"], entry["rule"]) == ("items.csv", "MemberCorruptError")
    result = read_result(stored.objects, stored.feed.target, archive)
    assert result.reconciled
    assert {m.member: m.rows_enriched for m in result.members} == {"items.csv": 0, "sales.csv": 1}


def test_nothing_is_delivered_that_does_not_add_up(stored):
    archive = stored.deliver("a.zip", make_zip({"sales.csv": GOOD}))
    before = read_delivery(stored.objects, stored.feed.target, archive)
    manifest_key = next(key for key in stored.objects.contents if key[1].endswith("manifest.json"))
    body = stored.objects.contents[manifest_key]
    stored.objects.contents[manifest_key] = body.replace(b'"rows_read":1', b'"rows_read":2')
    request = dg.RunRequest(job_name="shop_deliver", partition_key=archive)
    result = run_request(stored.definitions, stored.instance, request, may_fail=True)
    assert not result.success
    assert read_delivery(stored.objects, stored.feed.target, archive) == before
