"""A delivery with far fewer or more rows, or far more nulls, than those before is told."""

import dagster as dg
import pytest

from rwt_assets.delivery.volume import KindFigures, as_json, from_json, unusual
from rwt_assets.feed.expectations import Volume
from rwt_assets.feed.feed import Feed
from rwt_assets_tests.assets.conftest import FEED, stored_shop


def sales(rows, empty=0):
    lines = [f"i{number},2026-01-0{number % 3 + 1},{'' if number < empty else number}"
             for number in range(rows)]  # fmt: skip
    return {"sales_1.csv": "\n".join(["item,day,price", *lines, ""])}


def told(shop):
    """The newest result of the check: whether it passed, and what it found."""
    key = dg.AssetCheckKey(shop.catalog.graph.delivery, "rows_as_usual")
    found = shop.instance.event_log_storage.get_asset_check_execution_history(key, limit=1)
    result = found[0].event.dagster_event.event_specific_data
    return result.passed, result.metadata["found"].value if "found" in result.metadata else []


def test_unusual_archives_are_delivered_and_told():
    with stored_shop() as shop:
        for number in range(3):
            shop.deliver(f"{number}.zip", sales(20 + number))
            assert told(shop) == (True, [])
        shop.deliver("few.zip", sales(4))
        assert told(shop) == (False, ["sales_#.csv: 4 rows; the median of the last 3 is 21"])
        shop.deliver("many.zip", sales(60))
        assert told(shop) == (False, ["sales_#.csv: 60 rows; the median of the last 4 is 20.5"])
        shop.deliver("empty.zip", sales(20, empty=12))
        passed, found = told(shop)
        assert not passed
        assert found == ["sales_#.csv: 60.0% of price is null; the median of the last 5 is 0.0%"]
        shop.deliver("none.zip", {"other.csv": "a\n1\n"})
        assert told(shop) == (
            False,
            ["sales_#.csv: there is none; the median of the last 6 is 20.5 rows"],
        )


def test_an_archive_is_not_compared_with_itself_and_rows_are_plotted():
    with stored_shop() as shop:
        for number in range(3):
            shop.deliver(f"{number}.zip", sales(20))
        for rows in (5, 5, 5):
            shop.deliver("again.zip", sales(rows))
            assert not told(shop)[0]
        event = shop.instance.fetch_materializations(shop.catalog.graph.delivery, limit=1).records[
            0
        ]
        assert event.asset_materialization.metadata["rows of sales_#.csv"].value == 5


def test_the_check_can_be_turned_off():
    feed = Feed.model_validate({**FEED.model_dump(), "volume": {"deliveries": 0}})
    with stored_shop(feed=feed) as shop:
        for number in range(4):
            shop.deliver(f"{number}.zip", sales(40 if number < 3 else 1))
            assert told(shop) == (True, [])


@pytest.mark.parametrize("kept", [None, [], {"a": 1}, {"a": {"rows": "x", "nulls": {}}}, {"a": {}}])
def test_figures_that_are_not_understood_are_left_out(kept):
    assert from_json(kept) == {}


def test_figures_come_back_as_they_were_kept():
    figures = {"a": KindFigures(3, {"b": 0.5})}
    assert from_json(as_json(figures)) == figures
    assert unusual(figures, [figures] * 3, Volume()) == []
    assert unusual(figures, [figures] * 2, Volume(nulls_more=0)) == []
