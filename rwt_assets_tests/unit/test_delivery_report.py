"""What a delivery says of itself in the catalog."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from rwt_assets.delivery.reconciliation import Account
from rwt_assets.delivery.report import SHARDS_SHOWN, delivery_report
from rwt_assets.documents.layout import Generation
from rwt_assets.documents.manifest import ArchiveManifest, EnrichedObject, MemberReport
from rwt_assets.text.links import object_page, partition_page


def account(rows_by_value, quarantined=None, read=None):
    quarantined = quarantined or {}
    objects = [
        EnrichedObject(
            partition_key=f"a.zip|m.csv|day={value}",
            member="m.csv",
            split_by="day",
            value=value,
            key=value,
            rows=rows,
            bytes=10,
            rows_quarantined=quarantined.get(value, 0),
            quarantine_key="q" if value in quarantined else None,
            rows_by_rule={"price: minimum": quarantined[value]} if value in quarantined else {},
        )
        for value, rows in rows_by_value.items()
    ]
    total = sum(rows_by_value.values()) + sum(quarantined.values())
    members = (
        MemberReport(name="m.csv", outcome="split", rows_read=total if read is None else read),
    )
    manifest = ArchiveManifest(
        feed="shop", bucket="incoming", key="a.zip", revision="r1", version_id=None,
        members=members, shards=(), quarantine_keys=(),
    )  # fmt: skip
    return Account(manifest, Generation("r1", "s"), objects, ())


def test_one_line_says_that_everything_went_through():
    assert delivery_report(account({"mon": 3, "tue": 1})).startswith(
        "**Fine.** All 4 rows are enriched."
    )


def test_or_how_much_did_not():
    first = delivery_report(account({"mon": 3}, {"mon": 1})).splitlines()[0]
    assert (
        first == "**Adds up, with quarantine.** 3 of 4 rows are enriched, 1 (25.00%) quarantined."
    )


def test_or_that_it_does_not_add_up():
    assert delivery_report(account({"mon": 3}, read=5)).startswith("**Does not add up.**")


def test_each_value_has_its_rows_and_a_bar_in_proportion():
    lines = delivery_report(account({"mon": 8, "tue": 4})).splitlines()
    (monday,) = (line for line in lines if "| mon |" in line)
    (tuesday,) = (line for line in lines if "| tue |" in line)
    assert monday.count("█") == 2 * tuesday.count("█")


def test_what_was_set_aside_comes_first_and_links_to_its_shard():
    report = delivery_report(account({"mon": 8, "tue": 4}, {"tue": 2}), ("shop", "csv_shard"))
    page = partition_page(("shop", "csv_shard"), "a.zip|m.csv|day=tue")
    assert f"[tue]({page})" in report
    assert report.index("[tue]") < report.index("[mon]")


def test_many_shards_are_summed_up():
    report = delivery_report(account({f"d{n:03}": 1 for n in range(SHARDS_SHOWN + 7)}))
    assert "| 7 more shards |  |  | 7 | 0 |  |" in report


@pytest.mark.parametrize(
    ("endpoint", "page"),
    [
        ("", "https://console.aws.amazon.com/s3/object/lake?prefix=a+b%2F%25c.parquet"),
        ("http://127.0.0.1:4566/", "http://127.0.0.1:4566/lake/a%20b/%25c.parquet"),
    ],
)
def test_an_object_has_a_page_in_the_console_or_an_address_of_its_own(endpoint, page):
    assert object_page("lake", "a b/%c.parquet", endpoint=endpoint) == page


@given(st.text())
def test_any_partition_has_a_page(key):
    page = partition_page(("shop", "csv_shard"), key)
    assert page.startswith("/assets/shop/csv_shard?view=partitions&partition=")
    assert page.isascii()
    assert " " not in page
