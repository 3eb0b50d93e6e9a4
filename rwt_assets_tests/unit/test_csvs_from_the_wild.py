"""CSVs as other projects keep them to try their readers: what becomes of each.

The files lie beside the repository (`../shared/data/csv`, see its MANIFEST.md); without them
these tests are skipped. `test_dialects.py` makes the same kinds of CSV itself.
"""

import csv
import io
from dataclasses import dataclass, field
from itertools import islice
from pathlib import Path

import pytest

from rwt_assets.feed.feed import Dialect, MemberRule
from rwt_assets_tests.pure_way import take_member

FOLDER = Path(__file__).parents[3] / "shared" / "data" / "csv"
pytestmark = pytest.mark.skipif(
    not FOLDER.exists(), reason="the CSVs of other projects (../shared/data/csv) are not here"
)
CARS = ("Year", "Make", "Model", "Description", "Price")


@dataclass(frozen=True)
class Outcome:
    """What a file comes to: its columns, rows that are read and rows that are quarantined."""

    columns: tuple[str, ...]
    rows: int
    set_aside: int = 0
    dialect: Dialect = field(default_factory=Dialect)


OUTCOMES = {
    "arrow-testing/aggregate_test_100_with_dates.csv": Outcome(
        tuple(f"c{number}" for number in range(1, 16)), 100
    ),
    "csv-spectrum/comma_in_quotes.csv": Outcome(("first", "last", "address", "city", "zip"), 1),
    "csv-spectrum/empty.csv": Outcome(("a", "b", "c"), 2),
    "csv-spectrum/empty_crlf.csv": Outcome(("a", "b", "c"), 2),
    "csv-spectrum/escaped_quotes.csv": Outcome(("a", "b"), 2),
    "csv-spectrum/newlines_crlf.csv": Outcome(("a", "b", "c"), 3),
    "csv-spectrum/simple.csv": Outcome(("a", "b", "c"), 1),
    "csv-spectrum/simple_crlf.csv": Outcome(("a", "b", "c"), 1),
    "csv-spectrum/utf8.csv": Outcome(("a", "b", "c"), 2),
    "univocity-parsers/escape.csv": Outcome(('You are "beautiful"',), 1),
    # A preamble and comments; rows of one field and a line of spaces are no cars.
    "univocity-parsers/essential-dos.csv": Outcome(
        CARS, 15, 2, Dialect(skip_lines="auto", comment="#", quotes="lenient")
    ),
    "univocity-parsers/european.csv": Outcome(CARS, 5),
    "univocity-parsers/example.csv": Outcome(CARS, 5, 2, Dialect(comment="#")),
    "univocity-parsers/iterating_test.csv": Outcome(("a", " b", " c"), 2, 3),
    # Rows of two kinds: those as wide as the first are read.
    "univocity-parsers/multi_schema.csv": Outcome(
        ("column_1", "column_2", "column_3"), 2, 3, Dialect(header=False)
    ),
    "univocity-parsers/test.csv": Outcome(
        ("column_1", "column_2"), 1, 0, Dialect(header=False, quotes="lenient")
    ),
}


def judged(data, dialect):
    """All rows that Python's csv module reads in a dialect, the header among them."""
    text = data.decode(dialect.encoding).removeprefix("\ufeff")
    lines = islice(io.StringIO(text, newline=""), dialect.skip_lines, None)
    mark = dialect.comment
    lines = (line for line in lines if mark is None or not line.startswith(mark))
    reader = csv.reader(
        lines, delimiter=dialect.delimiter, quotechar=dialect.quote, escapechar=dialect.escape
    )
    return [row for row in reader if row]


def test_every_file_has_its_outcome_written_down():
    there = {str(path.relative_to(FOLDER)) for path in FOLDER.rglob("*.csv")}
    assert there == set(OUTCOMES)


@pytest.mark.parametrize("name", OUTCOMES)
def test_the_rows_are_those_of_the_csv_module(name):
    expected = OUTCOMES[name]
    data = (FOLDER / name).read_bytes()
    taken = take_member(data, MemberRule(include=("*",), dialect=expected.dialect))
    (member,) = taken.manifest.members
    assert (member.outcome, member.columns) == ("split", expected.columns)
    assert (len(taken.rows), member.rows_quarantined) == (expected.rows, expected.set_aside)
    rows = judged(data, member.dialect)[1 if member.dialect.header else 0 :]
    fitting = [row for row in rows if len(row) == len(expected.columns)]
    assert [[row[name] for name in expected.columns] for row in taken.rows] == fitting
