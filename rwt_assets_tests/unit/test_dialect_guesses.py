"""A table is read as a person would, and what is doubtful is quarantined, never left out."""

import pytest
from hypothesis import assume, given
from hypothesis import strategies as st

from rwt_assets.feed.feed import Limits, MemberRule
from rwt_assets.runtime.errors import MemberHeaderError
from rwt_assets.shard.member_rows import MemberRows


def read(data, dialect=None, columns=None, **settings):
    """The member's rows as texts, and its reader."""
    body = data.encode() if isinstance(data, str) else data
    rule = MemberRule.model_validate(
        {"include": ["*"], "dialect": dialect or {}, "columns": columns or {}, **settings}
    )
    reader = MemberRows(rule, Limits(), where="here", all_fields=True)
    rows = [tuple(row.values()) for one in reader.batches([body]) for row in one.fields.to_pylist()]
    return rows, reader


WORDS = st.sampled_from(["Bonn", "Kiel", "x", "12", "2024-01-01", "1.5"])
# What holds a comma, unquoted, and is one cell to everybody.
WITH_COMMAS = st.sampled_from(["Meier, Anna", "1,50", "1.234,50", "-0,5", "a, b, c", "12,345.60"])
NAMES = st.sampled_from(["name, first", "Betrag, EUR", "sum", "Ort", "id"])


@st.composite
def tables_with_commas(draw):
    """A delimiter, a header and rows of which every one may have commas in the same place."""
    width, delimiter = draw(st.integers(2, 4)), draw(st.sampled_from(["\t", ";", "|"]))
    header = tuple(draw(st.lists(NAMES, min_size=width, max_size=width, unique=True)))
    cells = [draw(st.sampled_from([WORDS, WITH_COMMAS])) for _ in range(width)]
    rows = draw(st.lists(st.tuples(*cells), min_size=1, max_size=6))
    return delimiter, header, rows


def written(delimiter, records, line_end="\n"):
    return "".join(delimiter.join(record) + line_end for record in records)


@given(tables_with_commas(), st.sampled_from(["\n", "\r\n", "\r"]))
def test_a_comma_in_every_row_is_no_delimiter_where_another_one_is(table, line_end):
    delimiter, header, rows = table
    found, reader = read(written(delimiter, [header, *rows], line_end))
    assert reader.dialect.delimiter == delimiter
    assert (reader.columns, found) == (header, rows)


@given(tables_with_commas())
def test_it_is_none_without_a_header_either(table):
    delimiter, _, rows = table
    found, reader = read(written(delimiter, rows), {"header": False})
    assert (reader.dialect.delimiter, found) == (delimiter, rows)


@given(
    st.lists(st.tuples(WORDS, st.sampled_from(["a; b", "x | y", "c; d; e", "&amp;"])), min_size=1)
)
def test_other_characters_in_every_row_are_no_delimiter_where_a_comma_is(rows):
    found, _ = read(written(",", [("id", "notes; more | other"), *rows]))
    assert found == rows


@pytest.mark.parametrize("delimiter", ["\t", ";", "|"])
@pytest.mark.parametrize("comma", [", ", ","])
def test_a_delimiter_of_all_rows_beats_one_of_most(delimiter, comma):
    rows = [("1", f"Meier{comma}Anna")] * 97 + [("2", "Wolf")] * 3
    found, reader = read(written(delimiter, [("id", f"name{comma}first"), *rows]))
    assert (found, reader.rejected.rows) == (rows, 0)


@pytest.mark.parametrize("text", ["a,\tb,\tc\n1,\t2,\t3\n", "a, b, c\n1, 2, 3\n", "a,b,c\n1,2,3\n"])
def test_padding_is_no_delimiter(text):
    _, reader = read(text)
    assert (reader.dialect.delimiter, len(reader.columns)) == (",", 3)


def test_one_column_of_numbers_with_commas_is_one_where_the_feed_declares_them():
    number = {"type": "number", "decimal_mark": ","}
    found, _ = read("amount\n1,5\n2,5\n", columns={"amount": number})
    assert found == [("1,5",), ("2,5",)]
    found, _ = read('id,amount\n1,"1,5"\n', columns={"id": {}, "amount": number})
    assert found == [("1", "1,5")]


@given(st.lists(st.sampled_from(["a;", "b;", "c|", "d\t", "e", ";"]), min_size=1))
def test_what_ends_the_values_of_one_column_is_no_delimiter(lines):
    found, _ = read("\n".join(["note", *lines, ""]))
    assert found == [(line,) for line in lines]


@given(st.lists(st.sampled_from(["'", "1", "2", "it's", "'t Zand", "'s-Graveland"]), max_size=9))
def test_an_apostrophe_that_encloses_no_field_takes_in_no_row(lines):
    found, _ = read("\n".join(["note", *lines, ""]))
    assert found == [(line,) for line in lines]


LINES = st.lists(
    st.sampled_from(["1,a", "#2,b", "# 3,c", "# note", "#4", "#5,x,y", "6,d", "#", ""]), max_size=12
)


@given(LINES, st.sampled_from([0, "auto"]))
def test_no_line_that_may_be_a_row_is_a_comment(lines, skip):
    """A comment is prose, or has other fields than the rows; some row is left."""
    text = "\n".join(["nr,name", *lines, ""])
    found, reader = read(text, {"comment": "auto", "skip_lines": skip})
    left_out = [one for one in lines if one.startswith("#")] if reader.lines.comments else []
    assert len(left_out) == reader.lines.comments
    assert not any(one[1:2].strip() and one.count(",") == 1 for one in left_out)
    assert not left_out or found
    assert reader.rows_read + len(left_out) == len([one for one in lines if one])


@pytest.mark.parametrize(
    "text",
    ["# by us\nnr,name\n1,a\n# end\n", "#\n# a, b\nnr,name\n1,a\n", "#a\nnr,name\n1,a\n2,b\n"],
)
def test_comments_are_left_out(text):
    found, reader = read(text, {"comment": "auto"})
    assert (reader.columns, found[0], len(found)) == (("nr", "name"), ("1", "a"), len(found))
    assert reader.lines.comments == text.count("#")


@given(
    st.lists(st.tuples(st.sampled_from("ab1"), st.sampled_from("xy2")), max_size=3),
    st.lists(st.tuples(*[st.sampled_from("cde3")] * 3), min_size=1, max_size=30),
)
def test_a_header_above_rows_with_a_field_more_is_not_skipped(fit, wider):
    found, reader = read(
        written(";", [("id", "name"), *fit, *wider]), {"skip_lines": "auto", "delimiter": ";"}
    )
    assert (reader.lines.skipped, reader.columns) == (0, ("id", "name"))
    assert (found, reader.rejected.rows) == (fit, len(wider))


@pytest.mark.parametrize(
    ("before", "skipped"),
    [
        ("Report, of May\n", 1),
        ("Report of May\n\n", 1),
        ("Stichtag;31.12.2025\n\n", 1),
        ("Report\n", 1),
        ("Report;;\n", 1),
        ("Stichtag;31.12.2025;\n", 1),
    ],
)
def test_titles_above_a_table_are_skipped(before, skipped):
    found, reader = read(f"{before}id;name;x\n1;a;b\n2;c;d\n", {"skip_lines": "auto"})
    assert (reader.dialect.skip_lines, reader.columns) == (skipped, ("id", "name", "x"))
    assert found == [("1", "a", "b"), ("2", "c", "d")]


@pytest.mark.parametrize(
    "text",
    [
        "name;city;\nAnn;Ulm;x\nBob;Bonn;5\nCid;Kiel;6\n",
        "name;;\nAnn;Ulm;x\nBob;Bonn;y\n",
        "id;name;\n1;a;\n2;b;\n",
        ";a;b\n1;2;3\n",
    ],
)
def test_a_header_that_lacks_a_name_is_no_title(text):
    found, reader = read(text, {"skip_lines": "auto"})
    assert reader.lines.skipped == 0
    assert len(found) == text.count("\n") - 1


def test_no_row_is_the_header_of_a_table_that_another_delimiter_splits():
    lines = ["Dynamic List Display", "---", "|Werk|  Menge|", "---"]
    lines += [f"|100{n}|{n}.234,00|" for n in range(1, 9)]
    _, reader = read("\n".join([*lines, "---", ""]), {"skip_lines": "auto"})
    assert reader.lines.skipped == 0
    assert reader.rows_read == len(lines)


@pytest.mark.parametrize("later", ["7;8;9\n", "#x\n", "'7','8'\n", '7,"a \\"b\\""\n'])
def test_what_comes_after_the_beginning_changes_no_guess(later):
    auto = {"skip_lines": "auto", "comment": "auto", "header": "auto"}
    beginning = "id,name\n" + "1,a\n" * (64 << 8)
    _, reader = read(beginning, auto)
    _, other = read(beginning + later * 5_000, auto)
    assert other.dialect == reader.dialect


@pytest.mark.parametrize("skip", [0, "auto"])
@pytest.mark.parametrize(
    "line",
    ["sep=;", '"sep=;"', "\nsep=;", " \n\nSEP=;", "sep=;;;", "sep=; ", "sep=;,,", '"sep=;";;'],
)
def test_a_statement_is_read_after_blank_lines_and_with_what_pads_it(line, skip):
    found, reader = read(f"{line}\r\nid;name;x\r\n1;a;b\r\n", {"skip_lines": skip})
    assert (reader.columns, found) == (("id", "name", "x"), [("1", "a", "b")])
    assert reader.lines.skipped == line.count("\n") + 1


def test_blank_lines_before_a_header_take_no_time():
    found, reader = read("\r\n" * 20_000 + "id,name\r\n1,a\r\n", {"skip_lines": "auto"})
    assert (found, reader.lines.blank + reader.lines.skipped) == ([("1", "a")], 20_000)


def test_a_statement_above_a_title_is_read():
    columns = {"id": {"type": "integer"}, "name": {}}
    found, reader = read("sep=;\nReport\nid;name\n1;a\n", {"skip_lines": "auto"}, columns)
    assert (reader.columns, found, reader.lines.skipped) == (("id", "name"), [("1", "a")], 2)
    found, _ = read("sep=\\t\nid\tname\n1\ta\n")
    assert found == [("1", "a")]


@pytest.mark.parametrize(
    "text",
    [
        "id,value,value\n1,a,b\n2,c,d\n",
        "name,value,value\nx,a,b\ny,c,d\n",
        "country,2019,2020\nDE,1,2\nFR,3,4\n",
        "country,2024-01,2024-02\nDE,1,2\n",
        ",2019,2020\nDE,1,2\n",
        ",a,b\n0,1,2\n1,3,4\n",
        "id,name\n1,a\n",
    ],
)
def test_a_header_is_found_by_what_is_below(text):
    found, reader = read(text, {"header": "auto"})
    assert reader.dialect.header
    assert len(found) == text.count("\n") - 1


@pytest.mark.parametrize(
    "text",
    [
        "1,a,b\n2,c,d\n",
        "DE,2019,2020\nFR,2018,2021\n",
        "yes,yes,a\nyes,no,b\nno,no,c\n",
        "Meier,2024-01-01\nWolf,2024-02-01\n",
        "2019,2020\n1,2\n",
        "a,,1\nb,,2\n",
    ],
)
def test_a_row_is_not_taken_for_a_header(text):
    found, reader = read(text, {"header": "auto"})
    assert not reader.dialect.header
    assert len(found) == text.count("\n")


def test_a_header_with_other_names_than_declared_is_no_row():
    columns = {"name": {}, "amount": {"type": "number"}}
    with pytest.raises(MemberHeaderError, match="it has 'kunde', 'summe'"):
        read("kunde,summe\nMeier,1.5\nWolf,2.5\n", {"header": "auto"}, columns)
    found, reader = read("Meier,1.5\nWolf,2.5\n", {"header": "auto"}, columns)
    assert (reader.columns, len(found)) == (("name", "amount"), 2)


@given(st.lists(st.sampled_from(["4,5", "6", "7,8,9"]), min_size=1, max_size=9))
def test_without_a_header_most_rows_say_how_wide_one_is(lines):
    widths = [line.count(",") + 1 for line in lines]
    most = max(widths.count(width) for width in widths)
    usual = {width for width in widths if widths.count(width) == most}
    assume(len(usual) == 1 or 2 in usual)
    width = 2 if 2 in usual else usual.pop()
    dialect = {"header": False, "delimiter": ","}
    found, reader = read("\n".join([*lines, ""]), dialect, {"a": {}, "b": {}})
    assert len(reader.columns) == width
    assert len(found) == widths.count(width)
    assert reader.rejected.rows == len(lines) - len(found)


def test_without_a_header_an_empty_last_column_is_one():
    columns = {"a": {}, "b": {}, "c": {"nullable": True}}
    found, reader = read("1,2,\n" * 600 + "1,2,x\n", {"header": False}, columns)
    assert (reader.rejected.rows, found[-1]) == (0, ("1", "2", "x"))
    found, _ = read("1,2,3,\n" * 3, {"header": False}, columns)
    assert found == [("1", "2", "3")] * 3


@pytest.mark.parametrize("last", ['2,"x\nTOTAL"\n', '2,"x\nTOTAL 5\n y"\n', '2,"x\nTOTAL"'])
@pytest.mark.parametrize("trailer", ["", "\nTOTAL 2", "\n\nTOTAL 2\nTOTAL\n"])
def test_a_line_within_a_record_is_no_trailer(last, trailer):
    found, reader = read(f"id,x\n1,a\n{last}{trailer}", trailer="TOTAL")
    assert [row[0] for row in found] == ["1", "2"]
    assert "TOTAL" in found[1][1]
    assert len(reader.trailer) == trailer.count("TOTAL")


def test_a_trailer_that_takes_all_rows_is_told():
    with pytest.raises(Exception, match="trailer takes all 10 lines"):
        read("id,x\n" + "1,a\n" * 10, trailer=".")
    found, _ = read("id,x\nTRAILER|0\nEOF\n", trailer="^(TRAILER|EOF)")
    assert found == []


@pytest.mark.parametrize("mark", ["\x85", "\u2028", "\u2029", "\x0b", "\x0c", "\x1e"])
def test_a_member_of_one_line_that_another_program_would_split_is_told(mark):
    with pytest.raises(Exception, match=f"U\\+{ord(mark):04X}, which ends no line"):
        read(mark.join(["id,name", "1,a", "2,b"]))
