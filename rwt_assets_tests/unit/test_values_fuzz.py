"""Every text of every column is typed or quarantined, by itself, whatever stands around it."""

import csv
import io
import os
import re
from fractions import Fraction
from itertools import pairwise
from string import printable

import numpy as np
import pyarrow as pa
from hypothesis import HealthCheck, assume, example, given, settings
from hypothesis import strategies as st
from pydantic import ValidationError

from rwt_assets.contract.contract import ShardContract
from rwt_assets.contract.enrichment import enrich
from rwt_assets.feed.feed import Dialect, Evolution, Limits, MemberRule
from rwt_assets.member.fields import parse_shard
from rwt_assets.orchestration.steps.frames import check_frame, member_frame_type, to_frame
from rwt_assets.shard.one_pass import OnePass
from rwt_assets.shard.splitting import MemberSplitter
from rwt_assets.text.markdown_tables import first_rows
from rwt_assets.values.column_types import TYPES, column_type, notation_of, read_texts

EXAMPLES = 100_000 if os.environ.get("HYPOTHESIS_PROFILE") == "fuzz" else 80
SOME = settings(
    max_examples=EXAMPLES, suppress_health_check=[HealthCheck.filter_too_much, HealthCheck.too_slow]
)
DIGITS = st.text("0123456789", min_size=1, max_size=24)
MARK = st.sampled_from(["", ".", ",", " ", "'", "-", "+", "e", "E", ":", "T", "Z", "\u00a0", "/"])
BUILT = st.lists(st.one_of(DIGITS, MARK), min_size=1, max_size=9).map("".join)
# Numbers of every length, sign and mark, since what goes wrong with them needs several at once.
MARKS = ["", ".", ",", "'", " ", "\u00a0"]
LENGTHS = st.sampled_from([0, 1, 2, 3, 5, 14, 15, 16, 17, 18, 19, 20, 22, 37, 38, 39, 77])
LONG_DIGITS = st.builds(
    lambda seed, length, lead: (lead + str(seed) * length)[:length],
    *(st.integers(0, 10**20), LENGTHS, st.sampled_from(["", "", "0", "9" * 15, "1" + "0" * 30])),
)


def grouped(digits, mark):
    first = len(digits) % 3
    pieces = [digits[:first], *(digits[n : n + 3] for n in range(first, len(digits), 3))]
    return mark.join(one for one in pieces if one)


NUMERIC = st.builds(
    lambda sign, whole, thousands, mark, fraction, power, end: (
        f"{sign}{grouped(whole, thousands)}{mark}{fraction}{power}{end}"
    ),
    st.sampled_from(["", "", "-", "+", "+-", "\u2212", " +"]),
    LONG_DIGITS,
    st.sampled_from(MARKS),
    st.sampled_from(MARKS),
    LONG_DIGITS,
    st.sampled_from(
        ["", "", "", "e5", "E+05", "e-7", "e309", "e-324", "e-1" + "0" * 20, "e", "e+"]
    ),
    st.sampled_from(["", "", "", "", " ", "-", "+", "%", "/", "\t"]),
)
PARTS = st.integers(-1, 61).map(lambda number: f"{number:02d}")
YEARS = st.sampled_from(["0000", "0001", "1883", "1970", "2024", "2026", "9999", "10000", "24"])
TIMES = st.builds("{}:{}:{}".format, PARTS, PARTS, PARTS) | st.builds("{}:{}".format, PARTS, PARTS)
ZONES = st.sampled_from(["", "Z", "+14:00", "-1200", "+0530", "-23:59", " +02:00", " MET"])
DAYS = st.one_of(
    st.builds("{}-{}-{}".format, YEARS, PARTS, PARTS),
    st.builds("{}{}{}".format, YEARS, PARTS, PARTS),
    st.builds("{}.{}.{}".format, PARTS, PARTS, YEARS),
    st.builds("{}/{}/{}".format, st.integers(0, 13), st.integers(0, 32), YEARS),
    st.sampled_from(["29.02.2023", "2024-02-29", "3.12.2025", "Mar 3 2024", "\u017fep 3 2024"]),
)
STAMPS = st.builds(
    "{}{}{}{}".format,
    DAYS | st.sampled_from(["2026-03-29", "2026-10-25", "0001-01-01", "9999-12-31"]),
    st.sampled_from(["T", " ", "  ", ""]),
    TIMES | st.sampled_from(["02:30", "00:00:00.1234567", "23:59:60", "24:00", "12:00 AM"]),
    ZONES,
)
KNOWN = st.sampled_from(
    [
        *("", " ", "NULL", "NA", "\\N", "-", "J", "n", "true", "0", "1", "TRUE", "nan", "inf"),
        *("1e999", "-1e999", "1e-999", "5e-324", "1e99999999999999999999", "0e999", "-0", "0.0"),
        *("9223372036854775807", "-9223372036854775808", "9223372036854775808", "0x1F", "1_000"),
        *("12345678901234567", "9007199254740993", "0.1000000000000000055511151231257827"),
        *("+1234567890123.45", "-0e-100000000000000000000", "+.1234567890123456", "+1e5"),
        *("1.234,56", "1.2.3", "12.34", "1.234", "0.123", "1,234.5", "\u0661\u0662", "\u00b2", ","),
        *("1" * 400, "0" * 400 + "1", "0." + "0" * 330 + "1", "1" * 5000, "\ud7ff", "\0", "\n"),
    ]
)
TEXTS = st.one_of(
    *(
        NUMERIC,
        NUMERIC,
        KNOWN,
        BUILT,
        DAYS,
        TIMES,
        STAMPS,
        st.text(printable, max_size=8),
        st.text(max_size=6),
    ),
    st.integers().map(str),
    st.floats().map(repr),
    st.floats(allow_nan=False).map(lambda number: f"{number:.17g}"),
    st.decimals(allow_nan=False, allow_infinity=False).map(str),
    st.dates().map(str),
    st.datetimes().map(str),
)
NAMES = st.one_of(
    st.sampled_from([*TYPES]),
    st.builds(
        lambda digits, scale: f"decimal({digits}, {min(digits, scale)})",
        st.integers(1, 38),
        st.integers(0, 38),
    ),
)
PATTERNS = ["[0-9]*", "a|b", "(?i)x.*", "\\S+", ".{3,}", "(?!x)", "(", "a)(?:b", "(\\w)\\1", "^1$"]
FORMATS = [
    *("iso", "%d.%m.%Y", "%m.%d.%Y", "%Y%m%d", "%d/%m/%y", "%b %d %Y", "%H:%M", "%H%M%S"),
    *("%d.%m.%Y %H:%M", "%d.%m.%Y %H:%M:%S.%f", "%Y-%m-%d %I:%M %p", "%Y-%m-%dT%H:%M:%S%z"),
]
WORDS = ["NULL", "NA", "\\N", "-", "0", "J", "ja", "N", "1", "x"]
BOUNDS = st.one_of(
    *(st.none(), st.integers(), st.integers(-(2**63), 2**63 - 1), st.floats(), TEXTS),
    *(st.dates(), st.times(), st.datetimes(timezones=st.none() | st.timezones())),
)
SETTINGS = st.fixed_dictionaries(
    {},
    optional={
        "null_values": st.lists(st.sampled_from(WORDS), max_size=3),
        "trim": st.booleans(),
        "decimal_mark": st.sampled_from([".", ","]),
        "thousands_mark": st.sampled_from([".", ",", " ", "'", "\u00a0"]),
        "formats": st.lists(st.sampled_from(FORMATS), max_size=3),
        "timezone": st.sampled_from(["UTC", "Europe/Berlin", "America/New_York", "Asia/Kathmandu"]),
        "true_values": st.lists(st.sampled_from(WORDS), min_size=1, max_size=2),
        "false_values": st.lists(st.sampled_from(WORDS), min_size=1, max_size=2),
    },
)
COLUMNS = st.builds(
    lambda written, own: {**written, **own},
    SETTINGS,
    st.fixed_dictionaries(
        {"type": NAMES},
        optional={
            "nullable": st.booleans(),
            "minimum": BOUNDS,
            "maximum": BOUNDS,
            "allowed": st.lists(TEXTS, max_size=3),
            "pattern": st.sampled_from(PATTERNS),
            "lossy": st.booleans(),
        },
    ),
)
DIALECT = Dialect(quote='"', delimiter=",", encoding="utf-8")
SHORT = 15  # digits that a double keeps, whichever they are
EVOLUTIONS = st.sampled_from(["quarantine", "rescue"])


PLAIN_MARKS = st.just((".", ""))  # which most columns have
MARKED = PLAIN_MARKS | st.tuples(st.sampled_from([".", ","]), st.sampled_from(MARKS)).filter(
    lambda marks: marks[0] != marks[1]
)
# Where a double, a 64-bit integer and a decimal end.
SIZES = st.sampled_from([1, 5, 14, 15, 16, 17, 18, 19, 20, 28, 29, 37, 38, 39, 60])


@st.composite
def numerals(draw, decimal, thousands):
    """A number as these marks have it, well-formed as most are."""
    size = draw(SIZES)
    digits = str(draw(st.integers(0, 10**size - 1))).rjust(size, draw(st.sampled_from("01")))
    point = draw(st.sampled_from([size, 0, 1, size - 2, size // 2]))
    whole = digits[:point]
    if draw(st.booleans()):
        whole = grouped(whole, thousands)
    sign = draw(st.sampled_from(["+", "-", ""]))
    power = draw(st.sampled_from(["", "", "", "e5", "E-7", "e+20", "e309", "e-324"]))
    return f"{sign}{whole}{decimal if point < size else ''}{digits[point:]}{power}"


def as_sent(text, decimal, thousands):
    """A number by itself, by the words of docs/input.md; None if it is none."""
    whole = "[0-9]+"
    if thousands:
        whole = f"(?:{whole}|[1-9][0-9]{{0,2}}(?:{re.escape(thousands)}[0-9]{{3}})+)"
    point = re.escape(decimal)
    shape = f"[+-]?(?:{whole}(?:{point}[0-9]*)?|{point}[0-9]+)(?:[eE][+-]?[0-9]+)?"
    if re.fullmatch(shape, text) is None:
        return None
    plain = text.replace(thousands, "") if thousands else text
    return Fraction(plain.replace(decimal, "."))


@settings(max_examples=max(EXAMPLES, 120))
@given(
    MARKED.flatmap(lambda marks: st.tuples(st.just(marks), st.lists(numerals(*marks), max_size=3)))
)
@example(((".", ""), ["+1234567890123.45"]))
def test_a_number_is_what_was_sent_or_is_set_aside(given_texts):
    (decimal, thousands), texts = given_texts
    for kind in ("integer", "number", "decimal(38, 9)"):
        written = {"thousands_mark": thousands} if thousands else {}
        if kind != "integer":
            written["decimal_mark"] = decimal
        notation = notation_of(kind.partition("(")[0], written)
        values, _ = read_texts(pa.array(texts, pa.string()), kind, notation)
        for text, value in zip(texts, values.to_pylist(), strict=True):
            sent = as_sent(text, decimal, thousands)
            if value is None:
                short = sent is not None and len(re.findall("[0-9]", text)) <= SHORT
                assert not (short and kind == "number" and "e" not in text.lower())
            elif kind == "number":  # as it is read, and with as many digits as were sent
                assert value == float(sent)
            else:
                assert Fraction(value) == sent
            alone, _ = read_texts(pa.array([text], pa.string()), kind, notation)
            assert repr(alone.to_pylist()) == repr([value])


def declared(column, written, conflicts, unique):
    """A rule as a person might write it; what is refused at load is no matter here."""
    kind = column_type(column["type"])
    own = dict(column)
    for name in ("minimum", "maximum"):
        if kind.bound is None:
            own.pop(name, None)
    for one in (own, written):
        for name in [*one]:
            try:
                MemberRule(include=("*",), columns={"x": {"type": own["type"], name: one[name]}})
            except ValidationError:
                del one[name]
    try:
        return MemberRule(
            include=("*",),
            columns={"x": own},
            evolution=Evolution(type_conflicts=conflicts),
            unique=("x",) if unique else (),
            **written,
        )
    except ValidationError:
        return None


def outcomes(rule, texts, cuts=()):
    """What becomes of each text: its value, or the rule that it breaks with the reason."""
    contract, found = ShardContract(rule), {}
    for start, end in pairwise([0, *cuts, len(texts)]):
        table = pa.table({"x": pa.array(texts[start:end], pa.string())})
        result = contract.apply(table, np.arange(start, end))
        assert result.valid.num_rows + len(result.rejected) == end - start
        held_to_its_type(rule, result)
        rows = result.valid.to_pylist()
        found |= dict(zip(result.row_numbers.tolist(), map(repr, rows), strict=True))
        found |= {one.row: (one.rule, one.reason) for one in result.rejected}
    assert sorted(found) == [*range(len(texts))]
    return [found[row] for row in range(len(texts))]


def held_to_its_type(rule, result):
    """What is typed passes what comes after it: the frame's type, and what is shown of it."""
    table = enrich(
        result.valid, key_column=None, archive="a.zip", member="m", row_numbers=result.row_numbers
    )
    check_frame(member_frame_type("m", rule), to_frame(table))
    first_rows(table)


@SOME
@example(["1.5", "10000000000"], {"type": "number"}, {}, "quarantine", [1])
@example(["+1234567890123.45"], {"type": "number"}, {}, "quarantine", [])
@example(["0000-01-01"], {"type": "date"}, {}, "quarantine", [])
@example(["0001-01-01T00:00+14:00", "x"], {"type": "timestamp"}, {}, "quarantine", [1])
@example(["12345678901234567"], {"type": "integer", "minimum": 0}, {}, "quarantine", [])
@given(
    st.lists(TEXTS, min_size=1, max_size=6),
    COLUMNS,
    SETTINGS,
    EVOLUTIONS,
    st.lists(st.integers(0, 6), max_size=2),
)
def test_no_value_is_a_surprise_and_none_depends_on_another(
    texts, column, written, conflicts, cuts
):
    rule = declared(column, written, conflicts, unique=False)
    assume(rule is not None)
    together = outcomes(rule, texts)
    cuts = sorted(min(cut, len(texts)) for cut in cuts)
    assert outcomes(rule, texts, cuts) == together
    alone = [outcomes(rule, [text])[0] for text in texts]
    assert alone == together
    assert outcomes(rule, [*reversed(texts)]) == [*reversed(together)]


@SOME
@given(
    st.lists(TEXTS, max_size=6), COLUMNS, SETTINGS, EVOLUTIONS, st.booleans(), st.integers(1, 40)
)
def test_no_value_is_a_surprise_in_any_way_of_processing(
    texts, column, written, conflicts, unique, size
):
    rule = declared(column, written, conflicts, unique)
    assume(rule is not None)
    rule = rule.model_copy(update={"dialect": DIALECT})
    out = io.StringIO(newline="")
    writer = csv.writer(out, quoting=csv.QUOTE_ALL, lineterminator="\n")
    texts = [one for one in texts if one.isprintable()]
    writer.writerows([["n", "x"], *([str(n), one] for n, one in enumerate(texts))])
    data = out.getvalue().encode()
    chunks = [data[start : start + size] for start in range(0, len(data), size)]
    found = [in_one_pass(rule, chunks, keep_shards=keep) for keep in (True, False)]
    found.append(by_shards(rule, chunks))
    assert found[0] == found[1] == found[2]
    typed, rejected = found[0]
    assert sorted([*typed, *rejected]) == [*range(1, len(texts) + 1)]


def in_one_pass(rule, chunks, *, keep_shards):
    typed, rejected = {}, {}
    one = OnePass(
        *(rule, Limits()),
        archive="a.zip",
        member="m",
        where="m",
        check=lambda _: None,
        keep_shards=keep_shards,
    )
    for shard in one.shards(chunks):
        for part in shard.parts or ():
            assert part is not None
        for table in shard.tables:
            typed |= {row["_row"]: repr(row.get("x")) for row in table.to_pylist()}
        for table in shard.rejected:
            rejected |= {row["row"]: (row["rule"], row["reason"]) for row in table.to_pylist()}
    return typed, rejected


def by_shards(rule, chunks):
    typed, rejected = {}, {}
    splitter = MemberSplitter(rule, Limits(), where="m")
    for shard in splitter.shards(chunks):
        contract = ShardContract(rule)
        for part in shard.parts:
            table = parse_shard(bytes(part.data), splitter.rows.dialect, splitter.rows.columns)
            result = contract.apply(table, part.row_numbers)
            values = map(repr, result.valid.column("x").to_pylist())
            typed |= dict(zip(result.row_numbers.tolist(), values, strict=True))
            rejected |= {one.row: (one.rule, one.reason) for one in result.rejected}
    return typed, rejected
