import csv
import io

import numpy as np
import pyarrow as pa
import pytest
from hypothesis import given
from hypothesis import strategies as st

from rwt_assets.contract import apply_contract, parse_shard
from rwt_assets.errors import MemberHeaderError
from rwt_assets.feed import ColumnRule, MemberRule


def held(values, **rule):
    """What one column's contract says to some texts: (kept values, rejections)."""
    table = pa.table({"x": pa.array(values, pa.string())})
    rules = MemberRule(include=("*",), columns={"x": ColumnRule(**rule)})
    result = apply_contract(table, np.arange(1, len(values) + 1), rules)
    return result.valid.column("x").to_pylist(), [(r.row, r.rule) for r in result.rejected]


@pytest.mark.parametrize(
    ("rule", "values", "kept", "rejected"),
    [
        ({"type": "integer"}, ["1", "-2", "+3", "", "1.5", "x"], [1, -2, 3, None], [5, 6]),
        ({"type": "number"}, ["1", ".5", "2.", "1e3", "nan", "1,5"], [1, 0.5, 2, 1000], [5, 6]),
        ({"type": "boolean"}, ["true", "0", "TRUE", "", "yes"], [True, False, True, None], [5]),
        ({"type": "string", "nullable": False}, ["a", "", "b"], ["a", "b"], [2]),
        ({"type": "integer", "minimum": 0, "maximum": 9}, ["-1", "0", "9", "10"], [0, 9], [1, 4]),
        ({"allowed": ("a", "b")}, ["a", "c", ""], ["a", None], [2]),
        ({"pattern": "[0-9]+|z"}, ["12", "z", "12z", ""], ["12", "z", None], [3]),
    ],
)
def test_values_are_kept_typed_or_set_aside(rule, values, kept, rejected):
    found, refused = held(values, **rule)
    assert found == kept
    assert [row for row, _ in refused] == rejected


def test_dates_are_real_days():
    kept, refused = held(["2024-02-29", "20240301", "2023-02-29", "2024-13-01", ""], type="date")
    assert [str(day) for day in kept] == ["2024-02-29", "2024-03-01", "None"]
    assert [row for row, _ in refused] == [3, 4]


def test_a_rejection_tells_row_rule_reason_and_text():
    table = pa.table({"x": ["1", "x,y"], "other": ["a", "b"]})
    rule = MemberRule(include=("*",), columns={"x": ColumnRule(type="integer")})
    (rejected,) = apply_contract(table, np.array([7, 9]), rule).rejected
    assert (rejected.row, rejected.rule) == (9, "x: integer")
    assert rejected.reason == "'x,y' is no integer"
    assert rejected.text == '"x,y",b'


@given(st.lists(st.text(max_size=5) | st.integers().map(str) | st.floats().map(repr)))
def test_no_text_is_a_surprise_and_rows_reconcile(values):
    for kind in ("integer", "number", "boolean", "date", "string"):
        kept, refused = held(values, type=kind)
        assert len(kept) + len(refused) == len(values)


def test_an_optional_column_that_is_not_there_is_null():
    rule = MemberRule(include=("*",), columns={"y": ColumnRule(type="integer")})
    result = apply_contract(pa.table({"x": ["a"]}), np.array([1]), rule)
    assert result.valid.to_pylist() == [{"x": "a", "y": None}]


def test_a_needed_column_that_is_not_there_is_an_error():
    rule = MemberRule(include=("*",), columns={"y": ColumnRule(nullable=False)})
    with pytest.raises(MemberHeaderError, match="lacks the column 'y'; it has x"):
        apply_contract(pa.table({"x": ["a"]}), np.array([1]), rule)


@given(
    st.lists(st.tuples(st.text('"a,\n é', min_size=1, max_size=5), st.text(max_size=5)), max_size=9)
)
def test_shards_are_read_as_text_field_for_field(rows):
    rows = [[a, "".join(c for c in b if c not in "\0\r")] for a, b in rows]
    rows = [row for row in rows if all(c.encode(errors="replace").decode() == c for c in row)]
    out = io.StringIO(newline="")
    csv.writer(out, lineterminator="\n", quoting=csv.QUOTE_ALL).writerows([["a", "b"], *rows])
    table = parse_shard(out.getvalue().encode())
    assert [list(row.values()) for row in table.to_pylist()] == rows
