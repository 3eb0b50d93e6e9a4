"""The tables of docs/scaling.md add up: a month is what was measured, times what is said."""

import re
from pathlib import Path

import pytest

from rwt_assets_tests.benchmarks.storage_growth import (
    MONTH_ARCHIVES,
    MONTH_SHARDS,
    Size,
    in_a_month,
    separate,
)

PAGE = Path(__file__).parents[2] / "docs" / "scaling.md"
TEXT = PAGE.read_text(encoding="utf-8")
DAYS = 30
LIMIT = 100_000


def rows_of(head):
    """The cells of the table with this head, a list for each row below it."""
    lines = TEXT.splitlines()
    (at,) = [number for number, line in enumerate(lines) if line.startswith(head)]
    rows = []
    for line in lines[at + 2 :]:
        if not line.startswith("|"):
            return rows
        rows.append([cell.strip() for cell in line.strip("|").split("|")])
    return rows


def number(text):
    return float(text.replace(",", "").replace("*", ""))


GROWTH = rows_of("| PostgreSQL, table |")
COSTS = rows_of("| a month |")
LIMITS = rows_of("| shards an archive |")


@pytest.mark.parametrize("row", GROWTH, ids=lambda row: row[0])
def test_what_a_month_adds_is_what_an_archive_and_its_shards_add(row):
    archive, shard = Size(number(row[1]), number(row[2])), Size(number(row[3]), number(row[4]))
    month = in_a_month(archive, shard, MONTH_ARCHIVES, MONTH_SHARDS)
    assert number(row[5]) == pytest.approx(month.rows / 1e6, rel=0.01, abs=0.06)
    assert number(row[6]) == pytest.approx(month.bytes / 1e9, rel=0.01, abs=0.6)


def test_the_sums_are_sums():
    *parts, (_, *told) = GROWTH
    for column, total in enumerate(told, 1):
        assert number(total) == pytest.approx(sum(number(row[column]) for row in parts), rel=0.01)


@pytest.mark.parametrize("row", COSTS, ids=lambda row: row[0])
def test_a_cost_is_what_its_formula_gives(row):
    formula = row[1].replace(",", "").replace("x", "*")
    assert re.fullmatch(r"[0-9.*/ +()]+", formula), "numbers and signs alone are computed"
    assert number(row[2]) == pytest.approx(eval(formula), rel=0.005)  # noqa: S307 - see above


@pytest.mark.parametrize("row", LIMITS, ids=lambda row: row[0])
def test_how_long_partitions_may_stay_follows_from_the_recommended_number(row):
    shards, a_day, hours, feeds = map(number, row)
    assert a_day == pytest.approx(MONTH_ARCHIVES / DAYS * shards, abs=1)
    assert hours == pytest.approx(LIMIT / a_day * 24, rel=0.02)
    assert feeds == -(-a_day // LIMIT), "a day is kept"


def test_two_sizes_tell_an_archive_from_a_shard():
    archive, shard = Size(30, 5_000), Size(2.5, 700)
    small, large = (
        Size(archive.rows + n * shard.rows, archive.bytes + n * shard.bytes) for n in (20, 200)
    )
    assert separate(small, large) == (archive, shard)


def test_a_table_that_only_got_its_first_pages_grows_with_archives_alone():
    assert separate(Size(3, 40_000), Size(3, 0)) == (Size(3, 20_000), Size())
