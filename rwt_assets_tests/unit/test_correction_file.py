"""Rejected rows as a file: every text comes back, and no cell is a formula."""

import csv
from io import StringIO

import pytest
from hypothesis import given
from hypothesis import strategies as st

from rwt_assets.member.dialect import CsvDialect
from rwt_assets.member.records import CUT, SHOWN_BYTES, shown_record
from rwt_assets.member.written_records import fields_of, write_records
from rwt_assets.quarantine.correction_file import FileRow, read_file, write_file
from rwt_assets.runtime.errors import CorrectionError
from rwt_assets.text.foreign_text import spreadsheet_cell, spreadsheet_text

TEXTS = st.text(st.characters(exclude_categories=["Cs"]), max_size=12) | st.text(
    "'=+-@\t\r\n\",;\uff1d x", max_size=6
)
DIALECTS = st.builds(
    CsvDialect,
    delimiter=st.sampled_from(",;\t|"),
    quote=st.sampled_from(['"', "'", None]),
    escape=st.sampled_from(["\\", None]),
    comment=st.sampled_from(["#", None]),
    trailing_delimiter=st.booleans(),
)


def row(**changed):
    return FileRow("shop/a.zip", "r1", "sales.csv", 3, None, "price: minimum", "why", "", **changed)


def written(columns, *rows):
    file = StringIO(newline="")
    write_file(file, columns, rows)
    return file.getvalue()


@given(TEXTS)
def test_every_cell_comes_back_and_none_begins_as_a_formula(text):
    cell = spreadsheet_cell(text)
    assert spreadsheet_text(cell) == text
    assert not cell.startswith(tuple("=+-@\t\r\n\uff1d\uff0b\uff0d\uff20"))


@pytest.mark.parametrize("typed", ["-5", "=1", "'s-Gravenhage", "''", "5"])
def test_what_a_person_types_is_taken_as_it_is(typed):
    assert spreadsheet_text(typed) == typed


@given(st.lists(TEXTS, min_size=1, max_size=3, unique=True), st.data())
def test_a_file_is_read_as_it_was_written(columns, data):
    fields = data.draw(st.fixed_dictionaries(dict.fromkeys(columns, TEXTS)))
    one = row(fields=fields)
    (read,) = read_file(written(columns, one).encode(), "rows.csv")
    assert {**read.fields} == fields
    assert (read.archive, read.revision, read.member, read.row) == (
        "shop/a.zip",
        "r1",
        "sales.csv",
        3,
    )
    assert (read.line, read.rule, read.reason, read.text) == (None, "price: minimum", "why", "")


def test_the_columns_of_the_place_are_none_of_a_member():
    text = written(["rwt_row", "_RWT_x"], row(fields={"rwt_row": "a", "_RWT_x": "b"}))
    assert text.splitlines()[0].startswith("__rwt_archive,__rwt_revision,__rwt_member,__rwt_row,")
    (read,) = read_file(text.encode(), "rows.csv")
    assert {**read.fields} == {"rwt_row": "a", "_RWT_x": "b"}


@pytest.mark.parametrize("delimiter", [",", ";", "\t"])
@pytest.mark.parametrize("encoding", ["utf-8-sig", "utf-16"])
def test_a_file_that_a_spreadsheet_has_written_is_read(delimiter, encoding):
    rows = csv.reader(StringIO(written(["price"], row(fields={"price": "1,5"})), newline=""))
    file = StringIO(newline="")
    csv.writer(file, delimiter=delimiter).writerows(rows)
    (read,) = read_file(file.getvalue().encode(encoding), "rows.csv")
    assert read.fields["price"] == "1,5"


@pytest.mark.parametrize(
    ("body", "found"),
    [
        (b"", "does not begin with the column rwt_archive"),
        (b"item,price\npen,1\n", "does not begin with the column rwt_archive"),
        (b"rwt_archive,rwt_row\n", "has no column 'rwt_revision'"),
        ("rwt_archive,\xfc".encode("latin-1"), "is no UTF-8"),
        (b"\xff\xfer\x00w", "is no UTF-16"),
        (written(["a"]).replace("text,a", "text,a,a").encode(), "has the column 'a' twice"),
        (written(["a"], row(fields={"a": "x"})).encode() + b"one,two\r\n", "9 cells expected, 2"),
        (written(["a"], row()).replace(",3,", ",three,").encode(), "rwt_row is no number: 'three'"),
        (written(["a"]).encode() + b'"x"y', "is no CSV"),
    ],
)
def test_what_is_no_such_file_is_refused(body, found):
    with pytest.raises(CorrectionError, match=found) as refusal:
        read_file(body, "rows.csv")
    assert "Nothing was imported" in str(refusal.value)


@given(DIALECTS, st.lists(TEXTS, min_size=1, max_size=3))
def test_a_record_has_the_fields_that_it_was_written_with(dialect, fields):
    columns = [f"c{number}" for number in range(len(fields))]
    (record,) = write_records([fields], dialect, columns)
    if record is not None:
        assert fields_of([record.decode().removesuffix("\n")], dialect, columns) == [tuple(fields)]
    elif dialect.quote is not None and dialect.escape is None:
        assert any("\0" in one for one in fields)


@given(st.lists(TEXTS, max_size=8))
def test_the_fields_of_a_text_do_not_depend_on_its_neighbours(texts):
    together = fields_of(texts, CsvDialect(), ["a", "b"])
    assert together == [fields_of([one], CsvDialect(), ["a", "b"])[0] for one in texts]


def test_a_record_is_kept_whole_up_to_the_limit_and_marked_beyond():
    assert SHOWN_BYTES == 64 << 10
    assert shown_record(b"x" * (SHOWN_BYTES - 1) + b"\n") == "x" * (SHOWN_BYTES - 1)
    assert shown_record(b"x" * (SHOWN_BYTES + 1)) == "x" * SHOWN_BYTES + CUT
