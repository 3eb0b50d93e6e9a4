"""Values as people write them: what each type takes, keeps and refuses."""

import re
from datetime import UTC, date, datetime, time
from decimal import Decimal
from pathlib import Path

import numpy as np
import pyarrow as pa
import pytest
import yaml
from hypothesis import example, given
from hypothesis import strategies as st
from pydantic import ValidationError

from rwt_assets.contract.contract import ShardContract
from rwt_assets.feed.feed import ColumnRule, MemberRule
from rwt_assets.values.calendar_texts import NAMED, NUMBERED
from rwt_assets.values.column_types import TYPES, WITH_DIGITS, typed_bound
from rwt_assets.values.notation import ValueSettings

GERMAN = {"decimal_mark": ",", "thousands_mark": "."}


def held(texts, column, **rule):
    """What a column's contract makes of texts: the values kept, and a reason for each other one."""
    table = pa.table({"x": pa.array(texts, pa.string())})
    declared = MemberRule(include=("*",), columns={"x": column}, **rule)
    result = ShardContract(declared).apply(table, np.arange(len(texts)))
    reasons = {texts[one.row]: one.reason for one in result.rejected}
    return result.valid.column("x").to_pylist(), reasons


@pytest.mark.parametrize(
    ("column", "texts", "kept", "refused"),
    [
        (
            {"type": "integer"},
            ["9223372036854775807", "-9223372036854775808", "000000000000000000000000007", "+5"],
            [2**63 - 1, -(2**63), 7, 5],
            {
                "9223372036854775808": "is beyond a 64-bit integer",
                "-9223372036854775809": "is beyond a 64-bit integer",
                "1" * 5000: "is beyond a 64-bit integer",
                "0x1F": "is no integer",
                "1_000": "is no integer",
                " 1": "is no integer",
            },
        ),
        (
            {"type": "integer", "minimum": 10**16, "maximum": 10**17 + 1},
            ["12345678901234567", "100000000000000001"],
            [12345678901234567, 10**17 + 1],
            {"100000000000000002": "is more than 100000000000000001", "5": "is less than"},
        ),
        (
            {"type": "integer", "minimum": 0.5, "maximum": 2.5},
            ["1", "2"],
            [1, 2],
            {"0": "is less than 0.5", "3": "is more than 2.5"},
        ),
        (
            {"type": "number"},
            ["0.1", "0.10000000000000001", "1.50000000000000000000000", "5e-324", "0e999", "+1e3"],
            [0.1, 0.1, 1.5, 5e-324, 0.0, 1000.0],
            {
                "1e999": "is beyond the range of a number",
                "-1e999": "is beyond the range of a number",
                "1e-999": "has more digits than a number keeps",
                "0.1000000000000000012": "has more digits than a number keeps",
                "9007199254740993": "declare the column as decimal(precision, scale)",
                "1" * 800: "is beyond the range of a number",
                "inf": "is no number",
                "nan": "is no number",
                "1,5": "is no number",
            },
        ),
        ({"type": "number", "lossy": True}, ["9007199254740993"], [9007199254740992.0], {}),
        (
            {"type": "number", **GERMAN},
            ["1.234,56", "-5,00", "12", "1.234", "1.234.567,5", ",5"],
            [1234.56, -5.0, 12.0, 1234.0, 1234567.5, 0.5],
            dict.fromkeys(["1.2.3", "12.34", "0.123", "1234.567", "1,5,5", "1.23,4"], "no number"),
        ),
        ({"type": "number", "thousands_mark": "."}, ["1.234", "1,5"], [1234.0, 1.5], {}),
        ({"type": "integer", "thousands_mark": "'"}, ["1'234", "5"], [1234, 5], {"1'23": "is no"}),
        ({"type": "integer", "thousands_mark": "\u00a0"}, ["1\u00a0234"], [1234], {"1 234": "no"}),
        (
            {"type": "decimal(6, 2)", "maximum": 9999.5},
            ["1.5", "-0.05", "1.500", "0001.50", "1e2", "9999.50", ".5", "5."],
            [*map(Decimal, ["1.50", "-0.05", "1.50", "1.50", "100", "9999.50", "0.50", "5.00"])],
            {
                "1.505": "has more than 2 digits after the decimal mark",
                "12345": "has more than 4 digits before the decimal mark",
                "1e99999999999999999999": "has more than 4 digits before the decimal mark",
                "1e-5": "has more than 2 digits after the decimal mark",
                "9999.51": "is more than 9999.5",
                "x": "is no decimal",
            },
        ),
        ({"type": "decimal(38, 0)"}, ["9" * 38], [Decimal("9" * 38)], {"9" * 39: "more than 38"}),
        ({"type": "decimal(2, 2)"}, ["0.25"], [Decimal("0.25")], {"1.25": "more than 0 digits"}),
        (
            {"type": "date", "minimum": date(1900, 1, 1), "maximum": "2099-12-31"},
            ["2024-02-29", "20240301"],
            [date(2024, 2, 29), date(2024, 3, 1)],
            {
                "0000-01-01": "is no date",
                "2023-02-29": "is no date",
                "1899-12-31": "is less than 1900-01-01",
                "21000101": "is more than 2099-12-31",
                "10000-01-01": "is no date",
            },
        ),
        (
            {"type": "date", "formats": ["%d.%m.%Y", "%m.%d.%Y"]},
            ["31.12.2025", "12.31.2025", "3.3.2025"],
            [date(2025, 12, 31), date(2025, 12, 31), date(2025, 3, 3)],
            {"3.12.2025": "is ambiguous: the formats", "2025-12-31": "is no date"},
        ),
        (
            {"type": "date", "formats": ["iso", "%d %b %y"]},
            ["2025-12-31", "3 Mar 68", "03 MAR 69"],
            [date(2025, 12, 31), date(2068, 3, 3), date(1969, 3, 3)],
            {"3 M\u00e4r 68": "is no date"},
        ),
        (
            {"type": "date", "formats": ["%d%m%Y"]},
            ["01112025"],
            [date(2025, 11, 1)],
            {"1112025": "is no date"},
        ),
        (
            {"type": "time", "minimum": "06:00"},
            ["10:30", "23:59:59.000001"],
            [time(10, 30), time(23, 59, 59, 1)],
            {"24:00": "no time", "25:10:00": "no time", "23:59:60": "no time", "05:59": "06:00"},
        ),
        (
            {"type": "time", "formats": ["%I:%M %p"]},
            ["12:05 am", "1:05 PM"],
            [time(0, 5), time(13, 5)],
            {"13:05 pm": "is no time", "0:05 am": "is no time"},
        ),
        (
            {"type": "timestamp", "minimum": "1900-01-01"},
            ["2026-01-01T10:00Z", "2026-01-01 10:00:01.5+02:00"],
            [datetime(2026, 1, 1, 10, tzinfo=UTC), datetime(2026, 1, 1, 8, 0, 1, 500_000, UTC)],
            {
                "0000-01-01T00:00": "is no timestamp",
                "0001-01-01T00:00+14:00": "is not within the years 1 to 9999 in UTC",
                "9999-12-31T23:59-01:00": "is not within the years 1 to 9999 in UTC",
                "2016-12-31T23:59:60Z": "is no timestamp",
                "1899-12-31T00:00": "is less than 1900-01-01",
            },
        ),
        (
            {"type": "timestamp", "timezone": "Europe/Berlin"},
            ["2026-07-01 10:00", "2026-01-01 10:00", "2026-10-25 02:30+01:00"],
            [
                datetime(2026, 7, 1, 8, tzinfo=UTC),
                datetime(2026, 1, 1, 9, tzinfo=UTC),
                datetime(2026, 10, 25, 1, 30, tzinfo=UTC),
            ],
            {
                "2026-03-29 02:30": "is a time that the zone Europe/Berlin skips or has twice",
                "2026-10-25 02:30": "is a time that the zone Europe/Berlin skips or has twice",
            },
        ),
        (
            {"type": "timestamp", "formats": ["%d.%m.%Y %H:%M", "%d.%m.%Y", "%Y-%m-%d %H%z"]},
            ["1.2.2026 5:06", "01.02.2026", "2026-01-01 10+0530"],
            [
                datetime(2026, 2, 1, 5, 6, tzinfo=UTC),
                datetime(2026, 2, 1, tzinfo=UTC),
                datetime(2026, 1, 1, 4, 30, tzinfo=UTC),
            ],
            {"1.2.2026 5": "is no timestamp"},
        ),
        (
            {"type": "boolean", "true_values": ["J", "Ja"], "false_values": ["N"]},
            ["j", "JA", "n"],
            [True, True, False],
            {"1": "is no boolean", "true": "is no boolean"},
        ),
        ({"type": "integer", "trim": True}, [" 5\t", "\u00a06", "  "], [5, 6, None], {"5 5": "no"}),
        ({"null_values": ["NULL", "\\N"]}, ["NULL", "\\N", "null"], [None, None, "null"], {}),
        (
            {"type": "integer", "nullable": False, "null_values": ["-"], "trim": True},
            ["-1"],
            [-1],
            {" - ": "x is null"},
        ),
    ],
)
def test_values_are_what_people_wrote_or_set_aside_with_the_reason(column, texts, kept, refused):
    found, reasons = held([*texts, *refused], column)
    assert found == kept
    assert [*reasons] == [*refused]
    for text, words in refused.items():
        assert words in reasons[text]
    for number, text in enumerate(texts):  # each by itself
        assert held([text], column) == ([kept[number]], {})


def test_a_column_has_the_settings_of_its_rule_unless_it_has_its_own():
    rule = MemberRule(
        include=("*",),
        columns={
            "price": {"type": "decimal(8, 2)"},
            "plain": {"type": "number", "decimal_mark": ".", "thousands_mark": ","},
            "day": {"type": "date"},
            "at": {"type": "timestamp"},
            "iso": {"type": "date", "formats": ["iso"]},
            "name": {"null_values": []},
            "paid": {"type": "boolean"},
        },
        null_values=["NULL"],
        formats=["%d.%m.%Y", "%d.%m.%Y %H:%M"],
        timezone="Europe/Berlin",
        true_values=["J"],
        false_values=["N"],
        **GERMAN,
    )
    row = ["1.234,50", "1,234.5", "31.12.2025", "31.12.2025 10:00", "2025-12-31", "NULL", "N"]
    table = pa.table({name: [text] for name, text in zip(rule.columns, row, strict=True)})
    result = ShardContract(rule).apply(table, np.array([1]))
    assert not result.rejected
    (found,) = result.valid.to_pylist()
    assert [*found.values()] == [
        *(Decimal("1234.50"), 1234.5, date(2025, 12, 31), datetime(2025, 12, 31, 9, tzinfo=UTC)),
        *(date(2025, 12, 31), "NULL", False),
    ]


@pytest.mark.parametrize(
    ("column", "says"),
    [
        ({"pattern": "(?!x)"}, "no regular expression of RE2"),
        ({"pattern": "(a)\\1"}, "no regular expression of RE2"),
        ({"pattern": "a)(?:b"}, "no regular expression of RE2"),
        ({"type": "money"}, "'money' is no type of columns; there are: string, integer"),
        ({"type": "decimal(39, 2)"}, "1 to 38 digits"),
        ({"type": "decimal(2, 3)"}, "1 to 38 digits"),
        ({"type": "date", "formats": ["%d.%m"]}, "needs one year, one month and one day"),
        ({"type": "date", "formats": ["%d.%m.%Y.%y"]}, "needs one year"),
        ({"type": "date", "formats": ["%d.%d.%m.%Y"]}, "says something twice"),
        ({"type": "date", "formats": ["%d.%m.%Y %U"]}, "has %U; known are %Y"),
        ({"type": "date", "formats": ["%d.%m.%Y%"]}, "ends in a single %"),
        ({"type": "date", "formats": ["day"]}, "neither a day nor a time"),
        ({"type": "date", "formats": ["%H:%M"]}, "gives a time, and the column is a date"),
        ({"type": "date", "formats": ["%d.%m.%Y %H"]}, "gives a timestamp"),
        ({"type": "time", "formats": ["%I:%M"]}, "needs %H, or %I and %p"),
        ({"type": "time", "formats": ["%H:%S"]}, "before each part of a time the larger"),
        ({"type": "time", "formats": ["%H:%M%z"]}, "has a zone and no day"),
        ({"type": "timestamp", "timezone": "Mars/Olympus"}, "is no time zone"),
        ({"type": "date", "timezone": "Europe/Berlin"}, "timezone needs a column of type timest"),
        ({"decimal_mark": ","}, "decimal_mark needs a column of type "),
        ({"type": "number", "decimal_mark": "5"}, "is no mark between digits"),
        ({"type": "number", "decimal_mark": ".", "thousands_mark": "."}, "are both '.'"),
        ({"type": "integer", "minimum": "x"}, "'x' is no number"),
        ({"type": "integer", "maximum": 2**63}, "beyond a 64-bit integer"),
        ({"type": "integer", "minimum": 5, "maximum": 4}, "minimum 5 is above maximum 4"),
        ({"type": "number", "minimum": float("nan")}, "is no number"),
        ({"type": "decimal(4, 2)", "minimum": 0.005}, "more than 2 digits after"),
        ({"type": "date", "minimum": "1.1.2024"}, "is no date as ISO 8601 has it"),
        ({"type": "boolean", "minimum": 0}, "minimum needs a column of type integer, number"),
        ({"type": "boolean", "true_values": ["n"], "false_values": ["N"]}, "among true_values"),
        ({"type": "integer", "lossy": True}, "lossy needs a column of type "),
        ({"null_values": [""]}, "an empty field is null in any case"),
    ],
)
def test_what_cannot_be_is_refused_when_it_is_declared(column, says):
    with pytest.raises(ValidationError) as raised:
        ColumnRule.model_validate(column)
    assert says in str(raised.value)


def test_the_error_of_a_bound_names_every_type_that_has_bounds():
    made = (*TYPES.values(), *(one(1, 0) for one in WITH_DIGITS.values()))
    known = ", ".join(one.kind for one in made if one.bound is not None)
    with pytest.raises(ValueError, match=f"minimum needs a column of type {known}, not string"):
        typed_bound("string", 1, "minimum")


def test_settings_of_a_rule_that_contradict_a_column_are_refused_naming_it():
    columns = {"a": {"type": "integer"}, "b": {"type": "number", "decimal_mark": "."}}
    with pytest.raises(ValidationError, match=r"'b', with the settings of its rule: .* both '\.'"):
        MemberRule(include=("*",), columns=columns, thousands_mark=".")


@given(st.floats(allow_nan=False, allow_infinity=False), st.integers(0, 20))
@example(5e-324, 16)
@example(1.7976931348623157e308, 16)
@example(-0.0, 3)
def test_a_number_keeps_all_digits_or_is_set_aside(number, digits):
    """Judged by exact decimals: the text's digits are those of the double, rounded to as many."""
    for text in (repr(number), f"{number:.17g}", f"{number:.{digits}e}", f"{number:.{digits}f}"):
        (*found,), _ = held([text], {"type": "number"})
        mantissa = text.lstrip("-").partition("e")[0].replace(".", "").strip("0")
        nearest = abs(float(text))
        written = f"{nearest:.{max(len(mantissa) - 1, 0)}e}".partition("e")[0].replace(".", "")
        assert found == ([float(text)] if not mantissa or written == mantissa else [])


@given(
    st.decimals(allow_nan=False, allow_infinity=False, places=4), st.sampled_from(["", ".", " "])
)
def test_a_decimal_is_exact_or_set_aside(number, thousands):
    text = f"{number:,.4f}".replace(",", "_").replace(".", ",").replace("_", thousands)
    column = {"type": "decimal(20, 3)", "decimal_mark": ","}
    column |= {"thousands_mark": thousands} if thousands else {}
    (*found,), _ = held([text], column)
    fits = abs(number) < 10**17 and number == round(number, 3)
    assert found == ([number] if fits else [])


@given(st.dates(), st.sampled_from(["%d.%m.%Y", "%Y/%m/%d", "%d %B %Y", "%b %d, %Y", "%Y%m%d"]))
def test_a_day_in_any_format_is_that_day(day, pattern):
    text = day.strftime(pattern.replace("%Y", f"{day.year:04d}"))
    assert held([text], {"type": "date", "formats": [pattern]}) == ([day], {})


@given(st.datetimes(), st.sampled_from(["%d.%m.%Y %H:%M:%S.%f", "%Y-%m-%d %I:%M:%S.%f %p"]))
def test_a_timestamp_in_any_format_is_that_instant(moment, pattern):
    text = moment.strftime(pattern.replace("%Y", f"{moment.year:04d}"))
    column = {"type": "timestamp", "formats": [pattern]}
    assert held([text], column) == ([moment.replace(tzinfo=UTC)], {})


@pytest.mark.parametrize(
    ("kind", "same"),
    [
        ("integer", ["1", "01", "+1"]),
        ("number", ["0", "-0", "0.0", "-0.0"]),
        ("number", ["1", "01.0", "1e0"]),
        ("decimal(5, 2)", ["1", "01.0", "1.00"]),
        ("date", ["2024-02-29", "20240229"]),
        ("timestamp", ["2024-02-29T10:00Z", "2024-02-29 11:00+01:00", "2024-02-29 10:00:00.000"]),
        ("boolean", ["true", "1"]),
        ("time", ["10:30", "10:30:00", "10:30:00.0"]),
    ],
)
@pytest.mark.parametrize("columns", [("x",), ("x", "y")])
def test_rows_repeat_if_their_typed_values_are_equal(kind, same, columns):
    rule = MemberRule(include=("*",), columns={"x": {"type": kind}, "y": {}}, unique=columns)
    contract, found = ShardContract(rule), []
    for number, text in enumerate(same):  # each in a part of its own
        result = contract.apply(pa.table({"x": [text], "y": ["a"]}), np.array([number]))
        found += [one.reason for one in result.rejected]
    assert found == [f"{', '.join(columns)}: the same as in row 0"] * (len(same) - 1)


INPUT = Path(__file__).parents[2] / "docs" / "input.md"


def test_the_example_of_the_documentation_reads_what_it_says():
    text = INPUT.read_text(encoding="utf-8")
    blocks = re.findall(r"```yaml\n(.*?)```", text, re.DOTALL)
    (block,) = (one for one in blocks if "decimal_mark" in one)
    (rule,) = [MemberRule.model_validate(one) for one in yaml.safe_load(block)["members"]]
    names = ["order", "placed", "due", "total", "paid"]
    row = ["7", "31.12.2025 10:30", "31.12.2025", "1.234,56", "J"]
    nulls = ["8", "NULL", "-", "", "NULL"]
    table = pa.table({n: [*texts] for n, *texts in zip(names, row, nulls, strict=True)})
    result = ShardContract(rule).apply(table, np.array([1, 2]))
    assert [[*one.values()] for one in result.valid.to_pylist()] == [
        [
            *(7, datetime(2025, 12, 31, 9, 30, tzinfo=UTC), date(2025, 12, 31)),
            *(Decimal("1234.56"), True),
        ],
        [8, None, None, None, None],
    ]


def test_the_documentation_knows_every_type_and_every_directive():
    text = INPUT.read_text(encoding="utf-8")
    for name in (*TYPES, *WITH_DIGITS):
        assert re.search(rf"^\| `{name}[`(]", text, re.MULTILINE)
    known = [*NUMBERED, *NAMED]
    (told,) = re.findall(r"^Known are `([^`]*)`", text, re.MULTILINE)
    assert sorted(told.split()) == sorted(f"%{one}" for one in known)
    for name in ValueSettings.model_fields:
        assert f"`{name}`" in text
