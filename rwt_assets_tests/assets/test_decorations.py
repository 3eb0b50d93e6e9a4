"""What is only shown cannot fail what is delivered."""

from contextlib import ExitStack
from io import BytesIO

import pyarrow.parquet as pq
import pytest

from rwt_assets.delivery.consumption import read_delivery
from rwt_assets.feed.feed import Feed
from rwt_assets.orchestration.assets import archive_manifest, delivery
from rwt_assets.orchestration.checks import checks, schema_check
from rwt_assets.orchestration.steps import parquet_io_manager
from rwt_assets.orchestration.steps.parquet_io_manager import ShardMetadata
from rwt_assets_tests.archives import make_zip
from rwt_assets_tests.assets.conftest import FEED, stored_shop

pytestmark = pytest.mark.mostly_long(one_in=1)

SALES = "item,day,price\npen,2026-01-01,1.50\nink,2026-01-02,dear\n"
WIDER = "item,day,price,note\npen,2026-01-01,1.50,x\nink,2026-01-02,dear,y\n"


@pytest.fixture
def stored_with():
    """A shop with the real Parquet in which prices have another type."""
    with ExitStack() as stack:

        def make(settings):
            declared = FEED.model_dump(mode="json")
            declared["members"][0]["columns"]["price"] = settings
            return stack.enter_context(stored_shop(feed=Feed.model_validate(declared)))

        yield make


@pytest.mark.parametrize(
    ("where", "name"),
    [
        (parquet_io_manager, "first_rows"),
        (ShardMetadata, "_columns"),
        (archive_manifest, "_member_table"),
        (checks, "_rule_table"),
        (delivery, "_quarantine"),
        (delivery, "delivery_report"),
        (schema_check, "_differences"),
    ],
)
def test_an_archive_is_delivered_though_something_cannot_be_shown(stored, monkeypatch, where, name):
    called = []

    def fails(*given):
        called.append(given)
        raise OverflowError("year 0 is out of range")

    monkeypatch.setattr(where, name, fails)
    stored.deliver("before.zip", make_zip({"sales1.csv": SALES}))
    archive = stored.deliver("a.zip", make_zip({"sales1.csv": WIDER}))
    assert called
    found = read_delivery(stored.objects, stored.feed.target, archive)
    bodies = [stored.objects.read("results", one.key) for one in found.objects]
    rows = [row for body in bodies for row in pq.read_table(BytesIO(body)).to_pylist()]
    assert [(row["item"], row["price"]) for row in rows] == [("pen", 1.5)]
    assert found.rows_quarantined == 1


@pytest.mark.parametrize(
    ("settings", "texts"),
    [
        ({"type": "date"}, ["0000-01-01", "2026-01-01"]),
        ({"type": "timestamp"}, ["0001-01-01T00:00+14:00", "2026-01-01T00:00Z"]),
        ({"type": "timestamp"}, ["9999-12-31T23:59-01:00", "2026-01-01T00:00Z"]),
        ({"type": "number"}, ["1e999", "1"]),
        ({"type": "integer", "minimum": 0}, ["9223372036854775808", "12345678901234567"]),
        ({"type": "decimal(6, 2)", "decimal_mark": ","}, ["1,234", "1,23"]),
        ({"type": "time"}, ["24:00", "10:30"]),
    ],
)
def test_one_value_that_cannot_be_takes_its_own_row_alone(stored_with, settings, texts):
    shop = stored_with(settings)
    lines = "".join(f'pen,2026-01-01,"{text}"\n' for text in texts)
    archive = shop.deliver("a.zip", make_zip({"sales1.csv": f"item,day,price\n{lines}"}))
    found = read_delivery(shop.objects, shop.feed.target, archive)
    assert (found.rows_enriched, found.rows_quarantined) == (1, 1)
    (one,) = found.objects
    (row,) = pq.read_table(BytesIO(shop.objects.read("results", one.key))).to_pylist()
    assert row["price"] is not None
