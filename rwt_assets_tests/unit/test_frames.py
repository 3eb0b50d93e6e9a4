import dagster as dg
import numpy as np
import pyarrow as pa
import pytest

from rwt_assets.contract.contract import ShardContract
from rwt_assets.contract.enrichment import enrich
from rwt_assets.feed.feed import Evolution, MemberRule
from rwt_assets.orchestration.steps.frames import check_frame, member_frame_type, to_frame, to_table

RULE = MemberRule(
    include=("*",),
    columns={
        "k": {"nullable": False, "pattern": "[a-z]+"},
        "size": {"allowed": ("s", "m")},
        "n": {"type": "integer", "minimum": 0, "maximum": 9, "pattern": "[0-9]"},
        "day": {"type": "date"},
    },
    unique=("k", "size"),
    evolution=Evolution(type_conflicts="rescue"),
)
KIND = member_frame_type("Rows", RULE)
TEXT = {
    "k": ["a", "b", "b"],
    "size": ["s", "", "m"],
    "n": ["0", "9", "x"],
    "day": ["2026-01-01", "", "soon"],
}


def enriched():
    numbers = np.array([1, 2, 3])
    result = ShardContract(RULE).apply(pa.table(TEXT), numbers)
    return enrich(
        result.valid, key_column="k", archive="a", member="m", row_numbers=result.row_numbers
    )


def changed(name, values):
    table = enriched()
    index = table.schema.get_field_index(name)
    return table.set_column(index, name, values)


def test_what_the_contract_lets_through_is_of_the_type_of_its_frame():
    table = enriched()
    check_frame(KIND, to_frame(table))
    assert to_table(to_frame(table)).equals(table)
    assert table.column("_rescued").to_pylist() == [None, None, '{"n":"x","day":"soon"}']
    empty = table.slice(0, 0)
    check_frame(KIND, to_frame(empty))


@pytest.mark.parametrize(
    ("column", "values", "says"),
    [
        ("k", pa.array(["a", None, "b"]), "No Null values allowed"),
        ("k", pa.array(["a", "B", "c"]), r"must match `\[a-z\]\+`.*1 rows, at \[1\]"),
        ("size", pa.array(["s", "x", "m"]), "Expected Categories"),
        ("n", pa.array([0, -1, 3]), "n"),
        ("n", pa.array([0, 10, 3]), "n"),
        ("n", pa.array(["0", "1", "2"]), "is_int64"),
        ("_rescued", pa.array([1, 2, 3]), "is_string"),
        ("_row", pa.array([1, 3, 3]), r"must rise.*1 rows, at \[2\]"),
        ("_row", pa.array([1, None, 3], pa.int64()), "No Null values allowed"),
    ],
)
def test_a_frame_that_breaks_what_is_declared_is_refused(column, values, says):
    with pytest.raises(dg.DagsterTypeCheckDidNotPass, match=says):
        check_frame(KIND, to_frame(changed(column, values)))


def test_rows_that_are_not_unique_are_refused():
    table = changed("size", pa.array(["s", "m", "m"]))
    with pytest.raises(dg.DagsterTypeCheckDidNotPass, match="differ in k, size; 1 are there again"):
        check_frame(KIND, to_frame(table))


def test_a_frame_without_a_declared_column_is_refused():
    with pytest.raises(dg.DagsterTypeCheckDidNotPass, match="Required column day"):
        check_frame(KIND, to_frame(enriched().drop_columns(["day"])))


def test_the_type_tells_its_constraints():
    for text in ("`[a-z]+`", "**_rescued**", "Values must rise"):
        assert text in KIND.description
