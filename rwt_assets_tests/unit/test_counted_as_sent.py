"""Every row is counted as it was sent, and a quote in one row loses no other."""

import csv
import io

import numpy as np
import pytest
from hypothesis import example, given
from hypothesis import strategies as st

from rwt_assets.feed.feed import Dialect, Limits, MemberRule
from rwt_assets.member import physical_lines, quoting
from rwt_assets.member.dialect import CsvDialect
from rwt_assets.member.records import left_out
from rwt_assets.runtime.errors import RwtError
from rwt_assets.shard import member_rows
from rwt_assets.shard.member_rows import MemberRows

RULE = MemberRule(include=("*",), dialect=Dialect(encoding="utf-8", delimiter=",", quote='"'))
TEXTS = st.lists(
    st.sampled_from(
        ['"', '"', ",", "\n", "\r\n", "\r", "a", "b", "\\", "#", " ", "é", "\0", "END", '""', '",']
    )
    | st.sampled_from(["1,2\n", '3,"x"\n', '4,"p\nq"\n', "\n\n", '"\n', ',"', '\n"'])
).map("".join)


def read(data, rule=RULE, chunk=1 << 20, batch=None, limits=None):
    """The member's rows as texts with their ordinals, and its reader."""
    rows = MemberRows(rule, limits or Limits(), where="here", all_fields=True)
    with pytest.MonkeyPatch.context() as patch:
        if batch is not None:
            patch.setattr(member_rows, "BATCH_BYTES", batch)
        chunks = [data[start : start + chunk] for start in range(0, len(data), chunk)]
        found = []
        for one in rows.batches(chunks):
            cells = [tuple(row.values()) for row in one.fields.to_pylist()]
            found += zip(one.row_numbers.tolist(), cells, strict=True)
    return found, rows


def lines_of(data):
    return len(io.StringIO(data.decode(errors="replace"), newline="").readlines())


DIALECTS = st.builds(
    dict,
    encoding=st.just("utf-8"),
    delimiter=st.sampled_from(["auto", ",", ";"]),
    quote=st.sampled_from(["auto", "none", '"', "'"]),
    escape=st.sampled_from(["auto", "none", "\\"]),
    header=st.sampled_from([True, False, "auto"]),
    comment=st.sampled_from(["none", "#"]),
    skip_lines=st.sampled_from([0, 1, "auto"]),
    trailing_delimiter=st.sampled_from(["auto", False]),
    quotes=st.sampled_from(["strict", "strict", "strict", "lenient"]),
    blank_lines=st.sampled_from(["skip", "skip", "row"]),
).map(Dialect.model_validate)


@given(TEXTS, DIALECTS, st.sampled_from([None, "END"]), st.integers(1, 60), st.integers(1, 60))
@example('1,"\n2,"', RULE.dialect, None, 1, 1)
def test_lines_are_rows_or_accounted_for_whatever_the_batches(text, dialect, trailer, chunk, batch):
    """physical = header + skipped + blank + comments + trailer + joined + rows, good or not.

    And the same rows come out, and the same are quarantined, in whatever pieces the text comes.
    """
    data = f"a,b\n{text}".encode()
    rule = MemberRule(include=("*",), dialect=dialect, trailer=trailer)
    outcomes = []
    for sizes in ({"chunk": chunk, "batch": batch}, {"chunk": len(data)}):
        try:
            with pytest.MonkeyPatch.context() as patch:
                patch.setattr(quoting, "LOOK_AHEAD", 40)
                patch.setattr(physical_lines, "TRAILER_BYTES", 30)
                patch.setattr(member_rows, "TRAILER_BYTES", 30)
                found, rows = read(data, rule, limits=Limits(record_bytes=50), **sizes)
        except RwtError as error:
            outcomes.append(str(error))
            continue
        assert rows.rows_read == len(found) + rows.rejected.rows
        assert rows.lines.rows == rows.rows_read, rows.lines
        assert rows.lines.physical == lines_of(data)
        set_aside = [(one.line, one.row, one.rule, one.lines, one.text) for one in rows.rejected]
        outcomes.append((found, set_aside, rows.lines, rows.trailer, rows.first_row_line))
    assert outcomes[0] == outcomes[1]


CELLS = st.text(st.sampled_from('ab1 ,"\né'), max_size=6)
QUOTED = st.sampled_from([csv.QUOTE_MINIMAL, csv.QUOTE_ALL, csv.QUOTE_NONE])


@st.composite
def clean_files(draw, cells=CELLS):
    """The records of a clean file, each as its text, and its rows."""
    width = draw(st.integers(2, 4))
    rows = draw(st.lists(st.tuples(*[cells] * width), min_size=1, max_size=12))
    rows = [(f"r{number}{row[0]}", *row[1:]) for number, row in enumerate(rows)]
    records = []
    for row in rows:
        out = io.StringIO(newline="")
        quoting_of_row = draw(QUOTED)
        try:
            csv.writer(out, lineterminator="\n", quoting=quoting_of_row).writerow(row)
        except csv.Error:
            csv.writer(out, lineterminator="\n").writerow(row)
        records.append(out.getvalue())
    return [",".join(f"c{place}" for place in range(width)) + "\n", *records], rows


@given(clean_files(), st.integers(1, 80))
def test_a_clean_file_comes_back_as_it_was(clean, batch):
    records, rows = clean
    found, reader = read("".join(records).encode(), batch=batch, chunk=batch)
    assert [row for _, row in found] == rows
    assert not len(reader.rejected)


# A field that ends in a line end or a delimiter has a closing quote that looks like an opening one.
ORDINARY_CELLS = CELLS.map(lambda cell: f"{cell}." if "\n" in cell else cell)


@given(clean_files(ORDINARY_CELLS), st.data(), st.integers(1, 80))
def test_a_quote_in_one_line_loses_that_record_at_most(clean, data, batch):
    records, rows = clean
    single = [place for place, record in enumerate(records) if place and record.count("\n") == 1]
    if not single:
        return
    hit = data.draw(st.sampled_from(single))
    at = data.draw(st.integers(0, len(records[hit]) - 1))
    records[hit] = records[hit][:at] + '"' + records[hit][at:]
    found, reader = read("".join(records).encode(), batch=batch, chunk=batch)
    others = [row for place, row in enumerate(rows, 1) if place != hit]
    delivered = [row for _, row in found]
    assert [row for row in delivered if row in others] == others
    assert len(delivered) - len(others) + len(reader.rejected) == 1


def test_a_quote_that_swallowed_half_of_a_file_takes_its_own_row_alone():
    lines = [f"{number},name {number}" for number in range(1, 1_001)]
    lines[9], lines[499] = '10,"name 10', '500,"name 500"'
    found, reader = read("\n".join(["id,name", *lines]).encode())
    assert len(found) == 999
    assert found[498] == (500, ("500", "name 500"))
    (rejected,) = reader.rejected
    assert (rejected.rule, rejected.line, rejected.lines) == ("stray_quote", 11, 1)


def test_a_quote_that_is_never_closed_takes_its_own_row_alone():
    lines = [f'{number},"name {number}"' for number in range(100_000)]
    lines[50_000] = '50000,"name'
    found, reader = read("\n".join(["id,name", *lines]).encode())
    assert len(found) == 99_999
    assert [(one.row, one.rule, one.text) for one in reader.rejected] == [
        (50_001, "stray_quote", '50000,"name')
    ]
    plain = [f"{number},name" for number in range(100_000)]
    plain[50_000] = '50000,"name'
    found, reader = read("\n".join(["id,name", *plain]).encode())
    assert len(found) == 99_999
    assert reader.rejected.by_rule == {"unclosed_quote": 1}


def test_inch_marks_are_set_aside_one_by_one():
    data = b'id,part\n1,5" pipe\n2,6" pipe\n3,"7"" pipe"\n4,hose\n'
    found, reader = read(data)
    assert found == [(3, ("3", '7" pipe')), (4, ("4", "hose"))]
    assert [(one.line, one.rule) for one in reader.rejected] == [
        (2, "stray_quote"),
        (3, "stray_quote"),
    ]
    lenient = RULE.model_copy(update={"dialect": Dialect(quotes="lenient")})
    found, reader = read(data, lenient)
    assert [row[1] for _, row in found] == ['5" pipe', '6" pipe', '7" pipe', "hose"]


@pytest.mark.parametrize(
    "text",
    [
        '1,"Dear Ann, hello\nthanks, Bob\nbye"\n2,x\n',  # a line within is as wide as the header
        '1,"a\n"\n2,"\nb"\n',
        '1,"see:\na,b\nc,d\n"\n2,x\n',
        'p,"\n\n"\nq,"r"\n',
    ],
)
def test_what_people_wrote_on_several_lines_is_one_field(text):
    found, reader = read(f"id,text\n{text}".encode())
    expected = list(csv.reader(io.StringIO(text, newline="")))
    assert [list(row) for _, row in found] == expected
    assert not len(reader.rejected)


def test_a_closed_field_that_holds_whole_rows_is_no_field():
    data = b'id,name\n5,"name\n6,foo\n7,"\nbar"\n8,baz\n'
    found, reader = read(data)
    assert [row[0] for _, row in found] == ["6", "7", "8"]
    assert [(one.rule, one.line) for one in reader.rejected] == [("unclosed_quote", 2)]


def test_lines_of_fields_with_several_are_looked_at_once(monkeypatch):
    class Counted(np.ndarray):
        times = 0

        def __or__(self, other):
            Counted.times += 1
            return np.asarray(self) | np.asarray(other)

    def counted(*given, **named):
        return tuple(one.view(Counted) for one in left_out(*given, **named))

    monkeypatch.setattr(quoting, "left_out", counted)
    text = ('1,"' + "a,b\n" * 50 + '"\n') * 20
    found = quoting.judge_records(
        text.encode(), CsvDialect(), width=2, last=True, record_bytes=1 << 20
    )
    assert (len(found), Counted.times) == (20, 1)


def test_blank_lines_are_rows_where_the_feed_says_so():
    data = b"nickname\nAnnie\n\nBo\n\nCy\n"
    found, reader = read(data)
    assert [row for _, (row,) in found] == ["Annie", "Bo", "Cy"]
    assert reader.lines.blank == 2
    rule = MemberRule(include=("*",), dialect=Dialect(blank_lines="row"))
    for batch in (1, 1 << 20):
        found, reader = read(data, rule, batch=batch)
        assert [row for _, (row,) in found] == ["Annie", "", "Bo", "", "Cy"]
        assert reader.lines.blank == 0


def test_a_trailer_is_no_row_and_its_text_is_kept():
    rule = MemberRule(include=("*",), trailer=r"^(EOF|TRAILER\|)")
    data = b"a,b\n1,EOF\nEOF of page 1,x\n2,y\nTRAILER|2\n\nEOF\n\n"
    found, reader = read(data, rule)
    assert [row for _, row in found] == [("1", "EOF"), ("EOF of page 1", "x"), ("2", "y")]
    assert reader.trailer == ("TRAILER|2", "EOF")
    assert (reader.lines.trailer, reader.lines.blank) == (2, 2)


@pytest.mark.parametrize("before", ["", "\ufeff"])
@pytest.mark.parametrize("line", ["sep=;", '"sep=;"', "SEP=;"])
def test_the_statement_of_a_spreadsheet_is_read_and_no_row(line, before):
    data = f"{before}{line}\r\nartikel;menge\r\nA1;2,5\r\nA2;3,5\r\n".encode()
    for dialect in (Dialect(), Dialect(skip_lines="auto"), Dialect(skip_lines=1)):
        found, reader = read(data, MemberRule(include=("*",), dialect=dialect))
        assert reader.columns == ("artikel", "menge")
        assert [row for _, row in found] == [("A1", "2,5"), ("A2", "3,5")]
        assert (reader.lines.skipped, reader.lines.rows) == (1, 2)


@pytest.mark.parametrize(
    ("data", "skipped", "rows"),
    [
        ("note\n" + "plain\n" * 10 + "red, green\n", 0, 11),
        ("id,name\n1,a\n2,b,c\n3,d,e\n4,f,g\n", 0, 4),
        ("Report\nof May\n\nid,name\n1,a\n2,b\n3,c\n", 2, 3),
        ("one\ntwo,three\n", 0, 1),
    ],
)
def test_lines_are_skipped_only_before_a_table(data, skipped, rows):
    rule = MemberRule(include=("*",), dialect=Dialect(skip_lines="auto"))
    _, reader = read(data.encode(), rule)
    assert (reader.lines.skipped, reader.rows_read) == (skipped, rows)


def test_an_escape_that_escapes_nothing_stays():
    data = rb""""id","name","city"
"1","Ann \"A\" Lee",\N
"2",\N,"Bonn"
"3","tab\there","C:\\x"
"""
    found, _ = read(data, MemberRule(include=("*",)))
    assert [row for _, row in found] == [
        ("1", 'Ann "A" Lee', "\\N"),
        ("2", "\\N", "Bonn"),
        ("3", "tab\\there", "C:\\x"),
    ]


@pytest.mark.parametrize("delimiter", ["\t", "|"])
def test_tables_without_quoting_are_found(delimiter):
    titles = ['"Rome', 'Open City"', "Plain", '"Giliap"', 'He said "no"', '5" disc']
    lines = [delimiter.join(["code", "title", "year"])]
    lines += [delimiter.join([f"t{n}", title, "1950"]) for n, title in enumerate(titles)]
    found, reader = read("\n".join(lines).encode(), MemberRule(include=("*",)))
    assert [row[1] for _, row in found] == titles
    assert reader.dialect.quote is None


def test_one_bad_quote_does_not_turn_quoting_off():
    lines = ["code\ttitle", *(f'"t{n}"\t"a ""b"" {n}"' for n in range(20)), 't\t"bad']
    found, reader = read("\n".join(lines).encode(), MemberRule(include=("*",)))
    assert found[3][1] == ("t3", 'a "b" 3')
    assert len(reader.rejected) == 1
