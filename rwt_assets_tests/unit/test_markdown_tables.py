import pyarrow as pa
from hypothesis import given
from hypothesis import strategies as st

from rwt_assets.text.markdown_tables import (
    HEAD_COLUMNS,
    HEAD_ROWS,
    decoration,
    decorations,
    first_rows,
)


def test_the_first_rows_are_shown_as_they_are():
    table = pa.table({"day": ["mon", None], "price": [1.5, 7.0]})
    assert first_rows(table) == "| day | price |\n|---|---|\n| mon | 1.5 |\n|  | 7.0 |"


@given(st.lists(st.text(), min_size=1, max_size=9), st.integers(1, 2 * HEAD_COLUMNS))
def test_whatever_is_in_a_cell_the_table_keeps_its_shape(values, width):
    table = pa.table({f"c{number}": values for number in range(width)})
    lines = first_rows(table).split("\n")
    shown = min(width, HEAD_COLUMNS)
    rows = lines[2 : 2 + min(len(values), HEAD_ROWS)]
    assert len(rows) == min(len(values), HEAD_ROWS)
    for line in rows:
        assert line.replace("\\|", "").count("|") == shown + 1
        assert len(line) < shown * 90


def test_what_cannot_be_shown_is_said_and_fails_nothing():
    assert decoration(first_rows, None).startswith("(cannot be shown: AttributeError: ")
    assert decorations(lambda: {"a": 1 / 0}) == {
        "not_shown": "(cannot be shown: ZeroDivisionError: division by zero)"
    }
    assert decoration(str, 1) == "1"
    assert decorations(dict, {"a": 1}) == {"a": 1}


def test_days_and_times_that_python_does_not_know_are_shown():
    days = pa.array([-719_529, 2_932_897, None], pa.int32()).cast(pa.date32())
    stamps = pa.array([2**62, -(2**62), 0], pa.int64()).cast(pa.timestamp("us", tz="UTC"))
    lines = first_rows(pa.table({"day": days, "at": stamps})).split("\n")
    assert [line.count("|") for line in lines] == [3] * 5
    assert "-12-31" in lines[2]
