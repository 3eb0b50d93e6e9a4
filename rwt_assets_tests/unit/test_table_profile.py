import numpy as np
import pyarrow as pa
import pytest

from rwt_assets.table_profile import ColumnProfile, TableProfile

NUMBERS = [str(n) for n in range(100)]
DATES = [f"2024-01-{n + 1:02d}" for n in range(31)]


def profile(*batches):
    column = ColumnProfile("c")
    row = 1
    for texts in batches:
        column.add(pa.array(texts, pa.string()), np.arange(row, row + len(texts)))
        row += len(texts)
    return column


@pytest.mark.parametrize(
    ("texts", "kind"),
    [
        (["1", "-2", "30"], "integer"),
        (["1", "2.5", "1e3"], "number"),
        (["true", "FALSE", "true"], "boolean"),
        (["1", "0", "1"], "integer"),
        (["2024-02-29", "2023-01-01"], "date"),
        (["20240229", "20230101"], "date"),
        (["20240230", "20230101"], "integer"),
        (["15000229", "20230101"], "integer"),
        (["2024-02-29T10:00:00Z", "2023-01-01 11:30"], "timestamp"),
        (["01234", "99999"], "string"),
        (["+491234", "5"], "string"),
        (["12345678901234567890", "1"], "string"),
        (["0", "0.5"], "number"),
        (["a", "1"], "string"),
        (["", ""], "string"),
        (["", "7"], "integer"),
        ([], "string"),
    ],
)
def test_a_type_is_proposed_only_if_nothing_is_lost_by_it(texts, kind):
    assert profile(texts).type == kind


def test_a_later_value_takes_a_type_back():
    assert profile(["1", "2"], ["3"]).type == "integer"
    assert profile(["1", "2"], ["x"]).type == "string"


@pytest.mark.parametrize(
    ("batches", "nearly"),
    [
        ([NUMBERS, ["NA"] * 2, ["n/a"]], ("integer", {"NA": 2, "n/a": 1})),
        ([["NA"], NUMBERS], ("integer", {"NA": 1})),
        ([DATES, ["-"]], ("date", {"-": 1})),
        ([NUMBERS], None),
        ([NUMBERS, ["NA"] * 20], None),
        ([NUMBERS, ["a", "b", "c", "d"]], None),
        ([NUMBERS, ["a", "b"], ["c", "d"]], None),
    ],
)
def test_a_type_that_few_texts_stand_against_is_told_with_them(batches, nearly):
    column = profile(*batches)
    assert column.nearly == nearly
    assert (column.type == "string") == (nearly is not None or len(batches) > 1)


def test_what_was_empty_once_may_be_null():
    assert not profile(["1"], ["2"]).nullable
    assert profile(["1"], [""]).nullable
    assert profile([]).nullable


def test_a_key_is_there_once_in_all_batches_and_never_empty():
    assert profile(["a", "b"], ["c"]).is_key
    assert not profile(["a", "b"], ["a"]).is_key
    assert not profile(["a", "a"]).is_key
    assert not profile(["a", ""]).is_key
    assert not profile(["a"]).is_key


def table(**columns):
    own = TableProfile.of([*columns])
    rows = len(next(iter(columns.values())))
    own.add(pa.table(columns), np.arange(1, rows + 1))
    return own


EVEN = [f"v{n % 10}" for n in range(100)]
UNEVEN = [f"v{n % 10 if n < 20 else 0}" for n in range(100)]
DAYS = [f"2024-01-0{1 if n < 80 else 2}" for n in range(100)]


@pytest.mark.parametrize(
    ("columns", "chosen"),
    [
        ({"n": NUMBERS, "uneven": UNEVEN, "even": EVEN}, "even"),
        ({"even": EVEN, "day": DAYS}, "day"),
        ({"n": NUMBERS}, None),
        ({"same": ["x"] * 100}, None),
        ({"empty": ["a", "b"] * 45 + [""] * 10}, None),
        ({"price": ["1.5", "2.5"] * 50}, None),
    ],
)
def test_the_split_column_has_few_values_that_repeat_evenly(columns, chosen):
    found = table(**columns).split_column()
    assert (found and found.name) == chosen


def test_tables_that_are_joined_keep_what_is_true_of_both():
    first, second = table(a=["1", "2"], b=["x", "y"]), table(a=["3", "z"], b=["", "y"])
    first.join(second)
    a, b = first.columns["a"], first.columns["b"]
    assert (a.type, a.nullable, a.is_key, a.rows) == ("string", False, True, 4)
    assert (b.nullable, b.is_key, b.counts) == (True, False, {"x": 1, "y": 2, "": 1})
