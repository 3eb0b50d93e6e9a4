"""Any table, in any dialect and encoding, comes back as the same rows."""

import csv
import io

import pandas as pd
import pyarrow.parquet as pq
import pytest
from hypothesis import HealthCheck, assume, given, settings
from hypothesis import strategies as st

from rwt_assets.feed.feed import ColumnRule, Dialect, MemberRule
from rwt_assets_tests.archives import make_zip
from rwt_assets_tests.pure_way import take, take_member

NAMES = ["key", "group", "text"]
ANY_TEXT = st.text(st.characters(exclude_characters="\0\ufeff", exclude_categories=("Cs",)))
LATIN = st.text(st.characters(min_codepoint=0x20, max_codepoint=0xFF, exclude_categories=("Cc",)))
EVIL = st.text(st.sampled_from(list("\"'\\,;\t| \r\nab#é")))


def texts(rows, names=NAMES):
    return [tuple(row[name] or "" for name in names) for row in rows]


def encodable(text, encoding):
    try:
        text.encode(encoding)
    except UnicodeEncodeError:
        return False
    return True


@st.composite
def written_tables(draw, delimiters, quotes, encodings):
    """Rows, the bytes that the csv module or pandas makes of them, and the dialect used."""
    encoding = draw(st.sampled_from(encodings))
    cells = LATIN if encoding in {"cp1252", "latin-1"} else ANY_TEXT
    group = st.sampled_from(["x", "y", "", "x,y", "é;"])
    rows = draw(st.lists(st.tuples(cells | EVIL, group, cells | EVIL), max_size=12))
    assume(all(encodable(cell, encoding) for row in rows for cell in row))
    escape = draw(st.sampled_from([None, "\\"]))
    dialect = {
        "sep": draw(st.sampled_from(delimiters)),
        "quotechar": draw(st.sampled_from(quotes)),
        "escapechar": escape,
        "doublequote": escape is None,
        # Before Python 3.13 the module does not quote a lone CR.
        "quoting": csv.QUOTE_ALL
        if "\\r" in repr(rows) or escape is not None
        else draw(st.sampled_from([csv.QUOTE_MINIMAL, csv.QUOTE_ALL])),
        "lineterminator": draw(st.sampled_from(["\n", "\r\n"])),
    }
    out = io.StringIO(newline="")
    if draw(st.booleans()):
        pd.DataFrame(rows, columns=NAMES).to_csv(out, index=False, **dialect)
    else:
        delimiter = dialect.pop("sep")
        csv.writer(out, delimiter=delimiter, **dialect).writerows([NAMES, *rows])
        dialect["sep"] = delimiter
    return rows, out.getvalue().encode(encoding), dialect, encoding


@settings(max_examples=80, suppress_health_check=[HealthCheck.too_slow])
@given(
    written_tables(
        [",", ";", "\t", "|", ":", "^", " "],
        ['"', "'", "~"],
        ["utf-8", "utf-8-sig", "utf-16", "utf-16-le", "utf-32", "cp1252", "latin-1"],
    )
)
def test_a_table_in_a_declared_dialect_comes_back_as_it_was(written):
    rows, data, dialect, encoding = written
    declared = Dialect(
        encoding=encoding,
        delimiter=dialect["sep"],
        quote=dialect["quotechar"],
        escape=dialect["escapechar"] or "none",
        trailing_delimiter=False,
    )
    rule = MemberRule(include=("*",), split_by="group", dialect=declared)
    assert texts(take_member(data, rule).rows) == rows


@settings(max_examples=80, suppress_health_check=[HealthCheck.too_slow])
@given(
    # UTF-16 without a mark is recognized where most of it is Latin, see below.
    written_tables([",", ";", "\t", "|"], ['"'], ["utf-8", "utf-8-sig", "utf-16", "utf-32"])
)
def test_a_table_in_an_unknown_dialect_comes_back_as_it_was(written):
    rows, data, dialect, _ = written
    # A backslash before a quote may also just be a backslash, so the escape is declared.
    rule = MemberRule(
        include=("*",),
        split_by="group",
        columns={"key": {}, "group": {}, "text": {}},
        dialect=Dialect(escape=dialect["escapechar"] or "none"),
    )
    assert texts(take_member(data, rule).rows) == rows


ROWS = 'key,group,text\n007,x,"é, ""q"""\n1e5,y,\n'
APOSTROPHES = "'key','group','text'\n'007','x','é, ''q'\n'1e5','y',''\n"


@pytest.mark.parametrize(
    ("data", "dialect"),
    [
        (ROWS.encode(), {}),
        (ROWS.encode("utf-8-sig"), {}),
        (ROWS.encode("utf-16"), {"encoding": "utf-16"}),
        (ROWS.encode("utf-16-be"), {"encoding": "utf-16-be", "encoding_guessed": True}),
        (ROWS.encode("cp1252"), {"encoding": "cp1252", "encoding_guessed": True}),
        (
            ROWS.replace("é, ", "é, \x8d").encode("latin-1"),
            {"encoding": "iso8859-1", "encoding_guessed": True},
        ),
        (ROWS.replace("\n", "\r\n").encode(), {}),
        (ROWS.replace("\n", "\r").encode(), {}),
        (ROWS.replace("\n1", "\r1").encode(), {}),
        (ROWS.replace(",", ";").replace("é; ", "é, ").encode(), {"delimiter": ";"}),
        (ROWS.replace(",", "\t").replace("é\t ", "é, ").encode(), {"delimiter": "\t"}),
        (ROWS.replace("\n", ",\n").encode(), {"trailing_delimiter": True}),
        (ROWS.replace("\n", ",\n").replace("text,", "text").encode(), {"trailing_delimiter": True}),
        (ROWS.replace('""', '\\"').encode(), {"escape": "\\"}),
        (APOSTROPHES.encode(), {"quote": "'"}),
        (b"\n\n" + ROWS.replace("\n1", "\n\n1").encode(), {}),
    ],
    ids=lambda value: "" if isinstance(value, bytes) else str(value),
)
def test_the_dialect_is_found_and_values_keep_their_text(data, dialect):
    rule = MemberRule(include=("*",), split_by="group")
    taken = take_member(data, rule)
    (member,) = taken.manifest.members
    assert member.dialect.model_dump(exclude_defaults=True) == dialect
    assert [row["key"] for row in taken.rows] == ["007", "1e5"]
    assert taken.rows[0]["text"].startswith("é, ")
    assert member.rows_quarantined == 0


def set_aside(taken):
    (key,) = taken.manifest.quarantine_keys
    table = pq.read_table(io.BytesIO(taken.store.read("results", key)))
    return [(row["line"], row["rule"], row["text"]) for row in table.to_pylist()]


PRICED = MemberRule(
    include=("*",), split_by="b", columns={"a": {"type": "number"}, "b": {}}, unique=("a", "b")
)


def set_aside_by_contract(taken):
    bodies = [body for (_, key), body in taken.store.contents.items() if "/contract-" in key]
    rows = [row for body in bodies for row in pq.read_table(io.BytesIO(body)).to_pylist()]
    return sorted((row["row"], row["line"], row["rule"], row["text"]) for row in rows)


def test_a_row_that_breaks_the_contract_is_kept_as_it_was_sent_with_its_line():
    data = b"a;b;'c'\r\n1;x;'d'\r\none;x;'d;e'\r\n2;y;\r\n1;x;f\r\n"
    rule = PRICED.model_copy(update={"dialect": Dialect(quote="'")})
    assert set_aside_by_contract(take_member(data, rule)) == [
        (2, 3, "a: number", "one;x;'d;e'"),
        (4, 5, "unique", "1;x;f"),
    ]


def test_the_line_is_left_out_where_rows_and_lines_differ():
    data = b'a,b,c\n1,x,"two\nlines"\none,x,d\n'
    assert set_aside_by_contract(take_member(data, PRICED)) == [(2, None, "a: number", "one,x,d")]


def test_a_row_that_is_no_text_in_the_encoding_is_set_aside_and_the_others_are_read():
    data = "a,b\n1,é\n2,ü\n".encode() + b"3,\xff\n" + "4,ö\n".encode()
    taken = take_member(data, MemberRule(include=("*",)))
    assert [row["a"] for row in taken.rows] == ["1", "2", "4"]
    assert set_aside(taken) == [(4, "encoding", "3,\\xff")]


def test_half_a_character_at_the_end_of_utf16_sets_only_its_row_aside():
    data = "a,b\n1,x\n2,y".encode("utf-16") + b"\x00"
    taken = take_member(data, MemberRule(include=("*",)))
    assert [row["a"] for row in taken.rows] == ["1"]
    assert [rule for _, rule, _ in set_aside(taken)] == ["encoding"]


def test_something_after_the_trailing_delimiter_is_set_aside():
    rule = MemberRule(include=("*",), dialect=Dialect(trailing_delimiter=True))
    taken = take_member(b"a,b,\n1,2,\n3,4,5\n6,7\n", rule)
    assert [row["a"] for row in taken.rows] == ["1"]
    assert [line for line, _, _ in set_aside(taken)] == [3, 4]


def test_comments_and_skipped_lines_count_as_lines_and_not_as_rows():
    rule = MemberRule(include=("*",), dialect=Dialect(comment="#", skip_lines=2, escape="\\"))
    data = b'made "by\nus\n# it\'s "a\na,b\n1,2\n# \\\n"# no\ncomment",3\n4\n'
    taken = take_member(data, rule)
    assert [(row["a"], row["_row"]) for row in taken.rows] == [("1", 1), ("# no\ncomment", 2)]
    assert set_aside(taken) == [(9, "ragged_row", "4")]


def test_without_a_header_the_columns_are_named_by_the_rule_in_order():
    rule = MemberRule(
        include=("*",),
        split_by="b",
        columns={"a": ColumnRule(type="integer"), "b": ColumnRule()},
        dialect=Dialect(header=False),
    )
    taken = take_member(b"1,x,u\n2,y,v\n", rule)
    assert [(row["a"], row["b"], row["column_3"]) for row in taken.rows] == [
        (1, "x", "u"),
        (2, "y", "v"),
    ]


def test_a_header_is_recognized_by_the_columns_that_are_needed():
    rule = MemberRule(
        include=("*",), split_by="b", dialect=Dialect(header="auto", skip_lines="auto")
    )
    taken = take_member(b"report of today\n\nthis,that\na,b,c\n1,x,u\n", rule)
    assert [(row["a"], row["b"], row["c"]) for row in taken.rows] == [("1", "x", "u")]
    assert taken.manifest.members[0].dialect.skip_lines == 3


def test_very_wide_and_very_long_rows_are_read_up_to_the_limits():
    names = ",".join(f"c{number}" for number in range(2_000))
    data = f"{names}\n{',' * 1_999}\n{'x' * 1_000_000}{',' * 1_999}\n".encode()
    taken = take_member(data, MemberRule(include=("*",)), limits={"field_bytes": 1_000_000})
    assert [len(row["c0"]) for row in taken.rows] == [0, 1_000_000]
    taken = take_member(data, MemberRule(include=("*",)), limits={"field_bytes": 999_999})
    assert [len(row["c0"]) for row in taken.rows] == [0]
    assert [(line, rule) for line, rule, _ in set_aside(taken)] == [(3, "field_bytes")]
    members = {"m.csv": data, "n.csv": b"a\n1\n"}
    taken = take(make_zip(members), MemberRule(include=("*",)), limits={"columns": 1_999})
    assert "limits.columns" in taken.manifest.members[0].reason
    assert len(taken.rows) == 1


def test_a_header_alone_is_a_member_without_rows_and_an_empty_file_is_set_aside():
    assert take_member(b"a,b", MemberRule(include=("*",))).manifest.members[0].outcome == "split"
    members = {"m.csv": b"", "n.csv": b"a,b"}
    member, _ = take(make_zip(members), MemberRule(include=("*",))).manifest.members
    assert (member.outcome, "is empty" in member.reason) == ("quarantined", True)
