import pyarrow as pa
from hypothesis import given
from hypothesis import strategies as st

from rwt_assets.markdown_tables import HEAD_COLUMNS, HEAD_ROWS, first_rows


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
