import numpy as np
import pyarrow as pa
import pytest

from rwt_assets.authoring.table_profile import ColumnProfile, TableProfile, settle_together

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
        ([NUMBERS, ["old"] * 2, ["new"]], ("integer", {"old": 2, "new": 1})),
        ([["old"], NUMBERS], ("integer", {"old": 1})),
        ([DATES, ["x"]], ("date", {"x": 1})),
        ([NUMBERS], None),
        ([NUMBERS, ["old"] * 20], None),
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


GERMAN = {"decimal_mark": ",", "thousands_mark": "."}


@pytest.mark.parametrize(
    ("texts", "kind", "settings", "null_values"),
    [
        (["1.234,56", "-5,00", "12"], "decimal(18, 2)", GERMAN, []),
        (["5,00", "12,10"], "decimal(18, 2)", {"decimal_mark": ","}, []),
        (["5,0", "12,125"], "number", {"decimal_mark": ","}, []),
        (["1,234.50", "2.00"], "decimal(18, 2)", {"thousands_mark": ","}, []),
        (["1'234", "12'345'678"], "integer", {"thousands_mark": "'"}, []),
        (["1.234.567", "5"], "integer", {"thousands_mark": "."}, []),
        (["1\u00a0234,5", "7,5"], "decimal(18, 1)", GERMAN | {"thousands_mark": "\u00a0"}, []),
        (["1.234", "2.345"], "number", {}, []),  # as programs write it
        (["1,234", "2,345"], "string", {}, []),  # may be either
        (["1.2.3", "4.5.6"], "string", {}, []),
        (["31.12.2025", "1.1.2026"], "date", {"formats": ("%d.%m.%Y",)}, []),
        (["12/31/2025", "1/2/2026"], "date", {"formats": ("%m/%d/%Y",)}, []),
        (["31/12/2025", "1/2/2026"], "date", {"formats": ("%d/%m/%Y",)}, []),
        (["1/2/2025", "3/4/2026"], "string", {}, []),  # may be either
        (["31.12.2025 23:59"], "timestamp", {"formats": ("%d.%m.%Y %H:%M",)}, []),
        (["1/2/2025 10:00", "3/4/2026 11:00"], "string", {}, []),
        (["J", "N", "J"], "boolean", {"true_values": ("J",), "false_values": ("N",)}, []),
        (["yes", "No"], "boolean", {"true_values": ("Yes",), "false_values": ("No",)}, []),
        (["N", "N"], "string", {}, []),  # may be anything
        (["1", "NA", "NULL", "n/a"], "integer", {}, ["NULL", "NA", "n/a"]),
        (["31.12.2025", "-"], "date", {"formats": ("%d.%m.%Y",)}, ["-"]),
        (["1", "(null)", "2"], "integer", {}, ["(null)"]),
        (["1.5", ".", "2.5"], "number", {}, ["."]),
        (["31DEC2025", "01jan2026", "."], "date", {"formats": ("%d%b%Y",)}, ["."]),
        (["a", ".", "(null)"], "string", {}, []),
        (["a", "NULL", "NA", "-"], "string", {}, ["NULL"]),
        (["\\N", "x"], "string", {}, ["\\N"]),
        (["NULL", "NULL"], "string", {}, ["NULL"]),
        (["08:00", "09:30"], "string", {}, []),  # a time or a duration
        (["9007199254740993", "1.5"], "string", {}, []),
        (["0.1000000000000000012", "1.5"], "string", {}, []),
        (["1234567890123456789", "5"], "integer", {}, []),
        (["01234", "1.234"], "string", {}, []),
        (["01,50", "1,50"], "string", {}, []),
    ],
)
def test_values_as_people_write_them_are_found_with_their_settings(
    texts, kind, settings, null_values
):
    for batches in ([texts], [[text] for text in texts]):
        found = profile(*batches)
        assert (found.type, dict(found.reading.settings)) == (kind, settings)
        assert found.null_values == null_values
        assert found.nullable == bool(null_values)


def test_other_columns_decide_on_numbers_that_may_be_read_in_two_ways():
    texts = {"b": ["1.234", "2.345"], "c": ["1,234", "2,345"]}
    for sure, kinds in (
        (["1,5", "2,5"], ["string", "decimal(18, 3)"]),
        (["1.5", "2.5"], ["number", "integer"]),
    ):
        found = table(a=sure, **texts)
        found.settle()
        assert [found.columns[name].type for name in "bc"] == kinds


def test_points_beside_decimal_commas_are_of_thousands_if_some_numbers_have_none():
    found = table(a=["1,5", "2,5"], b=["1.234", "345"], c=["52.123", "13.456"])
    found.settle()
    # Coordinates look like thousands.
    assert [found.columns[name].type for name in "bc"] == ["integer", "string"]


def test_columns_that_are_settled_together_have_the_type_that_all_keep():
    for first, second, kind in (
        (["1", "2"], ["3", "A4"], "string"),
        (["1", "2"], ["1.5"], "number"),
        (["1", "2"], [""], "integer"),
        (["1", "2"], ["01"], "string"),
        (["J", "N"], ["x"], "string"),
    ):
        columns = [profile(first), profile(second)]
        settle_together(columns)
        assert [one.type for one in columns] == [kind, kind]
