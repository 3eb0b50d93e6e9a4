"""The sample of an online shop: German amounts and days, a control file, and four mistakes."""

from decimal import Decimal
from io import BytesIO
from zipfile import ZipFile

import pyarrow.parquet as pq

from rwt_assets.authoring.preview import preview_archive
from rwt_assets.testing import InMemoryFeed
from rwt_assets_tests.assets.conftest import stored_shop
from rwt_assets_tests.web_shop import SAMPLE, shop_archive


def web_shop():
    with InMemoryFeed.declared("web_shop") as declared:
        return declared.feed


def test_the_sample_is_delivered_with_its_mistakes_told():
    with stored_shop(feed=web_shop()) as shop:
        key = shop.deliver(SAMPLE.name, SAMPLE.read_bytes())
        delivery = shop.delivery(key)
        broken = {(one.member, one.rule, one.text) for one in shop.quarantined(key)}
        tables = {
            one.member: pq.read_table(BytesIO(shop.objects.read("rwt-results", one.key)))
            for one in delivery.objects
        }
    assert (delivery.rows_read, delivery.rows_quarantined) == (894, 2)
    assert broken == {
        ("order_lines.csv", "price: decimal", "O-000017;1;CUP-2;3;12.34;N"),
        ("customers.csv", "since: date", "C023;Dörte Öztürk;31.11.2025;J"),
    }
    assert [one.partition(": ")[0] for one in delivery.warnings] == [
        "5 rows of 'orders.csv' have in customer_id what customers.csv.customer_id does not have",
        "1 rows of 'order_lines.csv' have in order_id what orders.csv.order_id does not have",
        "lines_add_up",
    ]
    assert str(tables["order_lines.csv"].schema.field("price").type) == "decimal128(12, 2)"
    assert str(tables["customers.csv"].schema.field("since").type) == "date32[day]"


def test_a_night_whose_sum_is_not_what_was_stated_is_not_delivered():
    with ZipFile(SAMPLE) as sample:
        members = {name: sample.read(name) for name in sample.namelist()}
    text = members["orders.csv"].decode()
    first = text.splitlines()[1]
    with stored_shop(feed=web_shop()) as shop:
        cheaper = text.replace(first, f"{first.rpartition(';')[0]};0,01")
        key = shop.deliver("night.zip", {**members, "orders.csv": cheaper}, ends="failed")
        assert "as the sum of total for 'orders.csv'" in shop.reason(key)
        shorter = text.replace(f"{first}\r\n", "")
        shop.deliver("night.zip", {**members, "orders.csv": shorter}, ends="failed")
        assert "states 240 rows for 'orders.csv', sent were 239" in shop.reason(key)


def test_the_sample_is_as_it_is_made_and_its_preview_says_the_same():
    with ZipFile(SAMPLE) as kept, ZipFile(BytesIO(shop_archive())) as made:
        assert kept.namelist() == made.namelist()
        assert all(kept.read(name) == made.read(name) for name in made.namelist())
    seen = preview_archive(SAMPLE, web_shop())
    assert (seen.failure, seen.rows_quarantined, len(seen.findings)) == ("", 2, 3)


def test_the_orders_come_to_the_sum_that_the_shop_states():
    with stored_shop(feed=web_shop()) as shop:
        key = shop.deliver(SAMPLE.name, SAMPLE.read_bytes())
        orders = shop.rows(key, "orders.csv")
    stated = ZipFile(SAMPLE).read("manifest.csv").decode().splitlines()[1].split(";")[2]
    assert sum(orders["total"]) == Decimal(stated.replace(".", "").replace(",", "."))
    assert len(orders) == 240
