import csv
import io
import json
from datetime import UTC, datetime, timedelta
from itertools import pairwise

import numpy as np
import pyarrow as pa
import pytest
from hypothesis import example, given
from hypothesis import strategies as st

from rwt_assets.contract.contract import (
    QuarantineEntry,
    ShardContract,
    check_columns,
    count_by_rule,
    json_objects,
)
from rwt_assets.feed.feed import ColumnRule, Evolution, MemberRule
from rwt_assets.member.dialect import CsvDialect
from rwt_assets.member.fields import parse_shard
from rwt_assets.runtime.errors import ArchiveSchemaError, MemberHeaderError, MemberSchemaError

TEXTS = st.text(st.characters(exclude_categories=("Cs",)), max_size=6)
NUMBERS = MemberRule(
    include=("*",),
    columns={
        "n": ColumnRule(type="integer", minimum=0, maximum=50),
        "s": ColumnRule(nullable=False, pattern="[^x]*"),
    },
)


def held(values, **rule):
    """What one column's contract says to some texts: (kept values, rejections)."""
    table = pa.table({"x": pa.array(values, pa.string())})
    rules = MemberRule(include=("*",), columns={"x": ColumnRule(**rule)})
    result = ShardContract(rules).apply(table, np.arange(1, len(values) + 1))
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


@given(st.lists(st.datetimes(timezones=st.none() | st.timezones()), max_size=5))
@example([datetime(1, 1, 1, tzinfo=UTC), datetime(9999, 12, 31, 23, 59, 59, 999_999, tzinfo=UTC)])
def test_timestamps_are_those_of_iso_8601_and_without_a_zone_in_utc(times):
    times = [t for t in times if t.utcoffset() is None or not t.utcoffset().total_seconds() % 60]
    texts = [time.isoformat(" " if number % 2 else "T") for number, time in enumerate(times)]
    table = pa.table({"x": pa.array(texts, pa.string())})
    rule = MemberRule(include=("*",), columns={"x": {"type": "timestamp"}})
    result = ShardContract(rule).apply(table, np.arange(len(texts)))
    assert not result.rejected
    found = result.valid.column("x").cast(pa.int64()).to_pylist()
    in_utc = [time.replace(tzinfo=time.tzinfo or UTC) for time in times]
    assert found == [
        (t - datetime(1970, 1, 1, tzinfo=UTC)) // timedelta(microseconds=1) for t in in_utc
    ]


def test_what_is_no_timestamp_is_set_aside():
    good = ["2026-01-01T10:00Z", "2026-01-01 10:00:01.5+0200", "2024-02-29 23:59-03", ""]
    bad = ["2026-01-01", "2026-02-30T10:00Z", "2026-01-01T24:00", "2026-01-01T10:00:00+2400", "x"]
    kept, refused = held([*good, *bad], type="timestamp")
    assert [str(time) for time in kept] == [
        "2026-01-01 10:00:00+00:00",
        "2026-01-01 08:00:01.500000+00:00",
        "2024-03-01 02:59:00+00:00",
        "None",
    ]
    assert [row for row, _ in refused] == [5, 6, 7, 8, 9]


def test_a_rejection_tells_row_rule_and_reason():
    table = pa.table({"x": ["1", "x,y"], "other": ["a", "b"]})
    rule = MemberRule(include=("*",), columns={"x": ColumnRule(type="integer")})
    (rejected,) = ShardContract(rule).apply(table, np.array([7, 9])).rejected
    assert (rejected.row, rejected.rule) == (9, "x: integer")
    assert rejected.reason == "'x,y' is no integer"


@given(st.lists(st.text(max_size=5) | st.integers().map(str) | st.floats().map(repr)))
def test_no_text_is_a_surprise_and_rows_reconcile(values):
    for kind in ("integer", "number", "boolean", "date", "timestamp", "string"):
        kept, refused = held(values, type=kind)
        assert len(kept) + len(refused) == len(values)


def test_an_optional_column_that_is_not_there_is_null():
    rule = MemberRule(include=("*",), columns={"y": ColumnRule(type="integer")})
    result = ShardContract(rule).apply(pa.table({"x": ["a"]}), np.array([1]))
    assert result.valid.to_pylist() == [{"x": "a", "y": None}]


def test_a_needed_column_that_is_not_there_is_an_error():
    rule = MemberRule(include=("*",), columns={"y": ColumnRule(nullable=False)})
    with pytest.raises(MemberHeaderError, match="lacks the column 'y'; it has x"):
        ShardContract(rule).apply(pa.table({"x": ["a"]}), np.array([1]))


@given(
    st.lists(st.tuples(st.text('"a,\n é', min_size=1, max_size=5), st.text(max_size=5)), max_size=9)
)
def test_shards_are_read_as_text_field_for_field(rows):
    rows = [[a, "".join(c for c in b if c not in "\0\r")] for a, b in rows]
    rows = [row for row in rows if all(c.encode(errors="replace").decode() == c for c in row)]
    out = io.StringIO(newline="")
    csv.writer(out, lineterminator="\n", quoting=csv.QUOTE_ALL).writerows([["a", "b"], *rows])
    table = parse_shard(out.getvalue().encode(), CsvDialect(), ("a", "b"))
    assert [list(row.values()) for row in table.to_pylist()] == rows


def with_evolution(rule, **settings):
    return rule.model_copy(update={"evolution": Evolution(**settings)})


def text_table(rows, names):
    columns = zip(*rows, strict=True) if rows else [[]] * len(names)
    arrays = [pa.array(column, pa.string()) for column in columns]
    return pa.table(dict(zip(names, arrays, strict=True)))


def test_leading_zeros_survive_unless_the_contract_says_number():
    table = pa.table({"plz": ["01067"], "n": ["007"], "free": ["00"]})
    rule = MemberRule(include=("*",), columns={"plz": {}, "n": {"type": "integer"}})
    valid = ShardContract(rule).apply(table, np.array([1])).valid
    assert valid.to_pylist() == [{"plz": "01067", "n": 7, "free": "00"}]


@given(
    st.lists(st.tuples(TEXTS | st.integers(-9, 99).map(str), TEXTS, TEXTS), max_size=20),
    st.sampled_from(["add", "rescue", "ignore", "quarantine"]),
    st.sampled_from(["quarantine", "rescue"]),
)
def test_every_row_is_kept_or_set_aside_once(rows, new, conflicts):
    rule = with_evolution(NUMBERS, new_columns=new, type_conflicts=conflicts)
    table = text_table(rows, ["n", "s", "more"])
    result = ShardContract(rule).apply(table, np.arange(1, len(rows) + 1))
    refused = [one.row for one in result.rejected]
    assert sorted([*result.row_numbers.tolist(), *refused]) == list(range(1, len(rows) + 1))
    assert result.valid.num_rows == len(result.row_numbers)
    expected = ["n", "s"] + (["more"] if new in ("add", "quarantine") else [])
    expected += ["_rescued"] if rule.evolution.rescues else []
    assert result.valid.column_names == expected


@given(st.lists(st.tuples(TEXTS | st.integers(-9, 99).map(str), TEXTS, TEXTS), max_size=20))
def test_what_is_rescued_is_the_text_as_it_stood(rows):
    rule = with_evolution(NUMBERS, new_columns="rescue", type_conflicts="rescue")
    table = text_table(rows, ["n", "s", "more"])
    result = ShardContract(rule).apply(table, np.arange(len(rows)))
    assert result.valid.schema.field("_rescued").type == pa.string()
    for row, kept in zip(result.row_numbers.tolist(), result.valid.to_pylist(), strict=True):
        number, _, more = rows[row]
        rescued = json.loads(kept["_rescued"] or "{}")
        assert rescued.get("more", "") == more
        fits = kept["n"] is not None or number == ""
        assert rescued.get("n") == (None if fits else number)
        assert kept["_rescued"] is None or rescued


@given(st.lists(st.tuples(st.none() | TEXTS, st.none() | TEXTS), max_size=8), TEXTS)
def test_rescued_text_of_any_kind_is_json(rows, name):
    columns = text_table(rows, [f"1{name}", "2"])
    found = json_objects({n: columns.column(n) for n in columns.column_names}, len(rows))
    expected = [
        {n: text for n, text in zip((f"1{name}", "2"), row, strict=True) if text is not None}
        for row in rows
    ]
    assert [json.loads(one) if one is not None else {} for one in found.to_pylist()] == expected


def test_a_value_that_does_not_fit_is_rescued_only_where_null_is_allowed():
    rule = MemberRule(
        include=("*",),
        columns={"a": {"type": "date"}, "b": {"type": "integer", "nullable": False}},
        evolution=Evolution(type_conflicts="rescue"),
    )
    table = pa.table({"a": ["soon", "", "2024-02-29"], "b": ["1", "x", ""]})
    result = ShardContract(rule).apply(table, np.array([1, 2, 3]))
    assert result.valid.to_pylist() == [{"a": None, "b": 1, "_rescued": '{"a":"soon"}'}]
    assert [(one.row, one.rule) for one in result.rejected] == [
        (2, "b: integer"),
        (3, "b: not null"),
    ]


def test_a_value_that_does_not_fit_fails_the_archive_where_the_feed_says_so():
    rule = with_evolution(NUMBERS, type_conflicts="fail")
    contract = ShardContract(rule, where="a.zip, member 'm'")
    empty = pa.table({"n": ["1", ""], "s": ["a", ""]})
    (rejected,) = contract.apply(empty, np.array([1, 2])).rejected
    assert rejected.rule == "s: not null", "an empty value is missing, it is not of another type"
    with pytest.raises(ArchiveSchemaError) as raised:
        contract.apply(pa.table({"n": ["1", "99"], "s": ["a", "b"]}), np.array([4, 7]))
    says = "the column 'n' has a value that breaks the contract: 99 is more than 50 "
    assert str(raised.value).startswith(f"{says}(a.zip, member 'm', row 7).")
    assert raised.value.terminal


@given(
    st.lists(st.tuples(*[st.sampled_from(["", "1", "01", "1:1", "a"])] * 2), max_size=25),
    st.sampled_from([("k",), ("k", "l")]),
    st.booleans(),
    st.lists(st.integers(0, 25), max_size=4),
)
def test_the_first_of_equal_rows_is_kept_whatever_part_it_is_in(rows, unique, typed, cuts):
    columns = {"k": {"type": "integer"} if typed else {}, "l": {}}
    rule = MemberRule(include=("*",), columns=columns, unique=unique)
    contract, table = ShardContract(rule), text_table(rows, ["k", "l"])
    bounds = [0, *sorted(min(cut, len(rows)) for cut in cuts), len(rows)]
    kept, refused = [], {}
    for start, end in pairwise(bounds):
        result = contract.apply(table.slice(start, end - start), np.arange(start + 1, end + 1))
        kept += result.row_numbers.tolist()
        refused |= {one.row: one for one in result.rejected if one.rule == "unique"}
        assert [one.row for one in result.rejected] == sorted(one.row for one in result.rejected)
    first = {}
    for number, (k, other) in enumerate(rows, 1):
        if typed and k not in ("", "1", "01"):
            continue
        key = (int(k) if typed and k else k, other)[: len(unique)]
        if key in first:
            assert refused.pop(number).reason == (
                f"{', '.join(unique)}: the same as in row {first[key]}"
            )
        else:
            assert number in kept
            first[key] = number
    assert not refused


COLUMNS = MemberRule(
    include=("*",), columns={"a": {"nullable": False}, "b": {}, "c": {}}, key_column="a"
)


@pytest.mark.parametrize(
    ("settings", "columns", "error", "says"),
    [
        ({}, "a,b,c,d", None, ""),
        ({}, "a", None, ""),
        ({"new_columns": "rescue"}, "a,b,c,d", None, ""),
        ({"new_columns": "quarantine"}, "a,b,c", None, ""),
        ({"new_columns": "quarantine"}, "a,d,b,c", MemberSchemaError, "'d' is not declared"),
        ({"new_columns": "fail"}, "a,d,e", ArchiveSchemaError, "'d', 'e' are not declared"),
        ({"missing_columns": "quarantine"}, "a,x", MemberSchemaError, "'b', 'c' are missing"),
        ({"missing_columns": "fail"}, "a,b", ArchiveSchemaError, "'c' is missing; it has 'a', 'b'"),
        ({}, "b,c", MemberHeaderError, "'a' is missing"),
        ({"missing_columns": "quarantine"}, "b,c", MemberHeaderError, "'a' is missing"),
        ({"missing_columns": "fail"}, "b,c", ArchiveSchemaError, "'a' is missing"),
        ({}, "a,crc32", MemberHeaderError, "'crc32' is one that enrichment adds"),
        ({}, "a,_rescued", None, ""),
        ({"type_conflicts": "rescue"}, "a,_rescued", MemberHeaderError, "'_rescued' is one that"),
        ({"new_columns": "fail"}, "b,d", ArchiveSchemaError, "'d' is not declared"),
    ],
)
def test_columns_are_what_the_evolution_allows(settings, columns, error, says):
    rule, names = with_evolution(COLUMNS, **settings), columns.split(",")
    if error is None:
        check_columns(names, rule, where="here")
        return
    with pytest.raises(error, match=says) as raised:
        check_columns(names, rule, where="here")
    assert "(here)" in str(raised.value)
    assert raised.value.effect
    assert raised.value.fix


def test_a_rule_that_declares_no_columns_knows_no_new_ones():
    rule = with_evolution(MemberRule(include=("*",)), new_columns="fail")
    check_columns(["a", "b"], rule, where="here")


def test_quarantined_rows_are_counted_by_rule():
    entries = [
        QuarantineEntry("m", None, None, n, rule, "", "") for n, rule in ((2, "a"), (1, "b"))
    ]
    whole = QuarantineEntry("m", None, None, 0, "MemberHeaderError", "", "")
    assert count_by_rule([*entries, *entries, whole]) == {"a": 4, "b": 2}
