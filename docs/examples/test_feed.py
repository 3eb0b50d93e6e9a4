"""Tests of a feed without a server; `docs/how-to/tests.md` explains them."""

import pytest

from rwt_assets import Feed
from rwt_assets.testing import InMemoryFeed

SALES = """id,day,price
pen,2026-01-01,1.50
ink,2026-01-02,7
pen,2026-01-02,1.60
"""


# The feed that src/shopping/defs/sales/defs.yaml declares.
@pytest.fixture
def sales():
    with InMemoryFeed.declared("sales") as feed:
        yield feed


def test_an_archive_is_delivered(sales):
    archive = sales.deliver("monday.zip", {"sales.csv": SALES})

    delivery = sales.delivery(archive)
    assert (delivery.rows_read, delivery.rows_quarantined) == (3, 0)
    rows = sales.rows(archive, "sales.csv")
    assert rows["id"].tolist() == ["pen", "ink", "pen"]


def test_what_is_no_archive_fails_with_its_reason(sales):
    archive = sales.deliver("broken.zip", b"no ZIP", ends="failed")

    assert "no readable ZIP archive" in sales.reason(archive)


# A feed that is declared in Python.
PRICES = Feed.model_validate(
    {
        "name": "prices",
        "source": {"bucket": "incoming", "queue": "prices", "prefix": "prices/"},
        "target": {"bucket": "results", "prefix": "prices"},
        "members": [
            {
                "include": ["*.csv"],
                "split_by": "day",
                "columns": {"day": {"type": "date"}, "price": {"type": "number", "minimum": 0}},
            }
        ],
    }
)


def test_a_negative_price_is_quarantined():
    with InMemoryFeed(PRICES) as prices:
        archive = prices.deliver("monday.zip", {"prices.csv": SALES + "cap,2026-01-02,-3\n"})

        assert prices.rows(archive)["price"].tolist() == [1.5, 7.0, 1.6]
        (entry,) = prices.quarantined(archive)
        assert (entry.row, entry.rule) == (4, "price: minimum")
