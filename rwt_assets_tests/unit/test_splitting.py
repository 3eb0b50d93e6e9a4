"""Python's csv module is the judge of what a record is; the bytes must be the member's own."""

import csv
import io
from typing import NamedTuple

import numpy as np
import pyarrow as pa
import pytest
from hypothesis import example, given, settings
from hypothesis import strategies as st

from rwt_assets.feed.feed import Dialect, Limits, MemberRule
from rwt_assets.member.dialect import CsvDialect
from rwt_assets.member.records import find_records
from rwt_assets.runtime.errors import LimitError, MemberHeaderError
from rwt_assets.shard import member_rows, splitting
from rwt_assets.shard.splitting import MemberSplitter, parts

RFC_4180 = Dialect(
    encoding="utf-8", delimiter=",", quote='"', escape="none", trailing_delimiter=False
)
BY_B = MemberRule(include=("*",), split_by="b", dialect=RFC_4180)
WHOLE = MemberRule(include=("*",), dialect=RFC_4180)
FIELDS = st.text(st.characters(exclude_characters="\0", exclude_categories=("Cs",)), max_size=8)
TRICKY = st.text('",\r\n ab', max_size=6)


class Cut(NamedTuple):
    value: str | None
    data: bytes
    rows: int
    row_numbers: np.ndarray


def split(data, rule=BY_B, limits=None, chunk=7):
    splitter = MemberSplitter(rule, limits or Limits(), where="s3://b/a.zip, member 'm'")
    chunks = [data[i : i + chunk] for i in range(0, len(data), chunk)]
    parts = [
        Cut(shard.value, part.data, part.rows, part.row_numbers)
        for shard in splitter.shards(chunks)
        for part in shard.parts
    ]
    return splitter.rows, parts


def by_value(parts):
    found = {}
    for part in parts:
        found.setdefault(part.value, []).append(part)
    return found


def rows_of(data):
    return list(csv.reader(io.StringIO(data.decode(), newline="")))


def written(rows, end, quoting):
    out = io.StringIO(newline="")
    csv.writer(out, lineterminator=end, quoting=quoting).writerows(rows)
    return out.getvalue().encode()


@settings(max_examples=100)
@given(
    st.lists(st.tuples(FIELDS, TRICKY, FIELDS), max_size=30),
    st.sampled_from(["\n", "\r\n"]),
    st.sampled_from([csv.QUOTE_MINIMAL, csv.QUOTE_ALL]),
    st.integers(1, 40),
    st.booleans(),
)
def test_every_row_goes_to_the_shard_of_its_value(rows, end, quoting, chunk, cut_end):
    if any("\r" in field for row in rows for field in row):
        quoting = csv.QUOTE_ALL  # before Python 3.13 the module does not quote a lone CR
    data = written([["a", "b", "c"], *rows], end, quoting)
    if cut_end:
        data = data.removesuffix(end.encode())
    splitter, parts = split(data, chunk=chunk)
    assert splitter.rows_read == len(rows)
    assert not splitter.rejected
    for value, own in by_value(parts).items():
        expected = [list(row) for row in rows if (row[1] or None) == value]
        numbers = [n for n, row in enumerate(rows, 1) if (row[1] or None) == value]
        found = [row for part in own for row in rows_of(part.data)[1:]]
        assert found == expected
        assert np.concatenate([part.row_numbers for part in own]).tolist() == numbers
        assert {part.data.partition(b"\n")[0] for part in own} == {data.partition(b"\n")[0]}
    assert {row[1] or None for row in rows} == set(by_value(parts))


@settings(max_examples=100)
@given(st.lists(st.sampled_from(list('",\r\nab')), max_size=60).map("".join))
@example('a"b,c\n"d""e","f\ng"\r\nh\r')
@example('a,"b"x,c\ny,z,w\n')
def test_records_are_those_of_the_csv_module(text):
    data = text.encode()
    if data and not data.endswith((b"\n", b"\r")):
        data += b"\n"
    try:
        expected = [row for row in csv.reader(io.StringIO(data.decode(), newline="")) if row]
    except csv.Error:
        return
    records = find_records(data, CsvDialect(), last=True)
    found = [data[slice(*records.span(i))] for i in range(len(records))]
    rest = data[records.end :]
    if rest:  # an unclosed quote: the csv module makes a last row of it
        expected = expected[: len(found)]
    assert len(found) == len(expected)
    for record, row in zip(found, expected, strict=True):
        assert next(csv.reader(io.StringIO(record.decode(), newline=""))) == row


@given(st.lists(st.sampled_from(list('",\r\nab')), max_size=60).map("".join), st.integers(1, 9))
def test_batches_do_not_matter(text, size):
    data = b"a,b\n" + text.encode()
    outcomes = []
    for batch in (size, 1 << 20):
        with pytest.MonkeyPatch.context() as patch:
            patch.setattr(member_rows, "BATCH_BYTES", batch)
            splitter, parts = split(data, chunk=size)
        shards = {
            value: b"".join(part.data.removeprefix(b"a,b\n") for part in own)
            for value, own in by_value(parts).items()
        }
        rejected = [(r.line, r.row, r.rule) for r in splitter.rejected]
        outcomes.append((shards, splitter.rows_read, rejected))
    assert outcomes[0] == outcomes[1]


@given(st.lists(st.sampled_from(list('",\r\nab')), max_size=60).map("".join))
def test_rows_reconcile_whatever_comes(text):
    splitter, parts = split(b"a,b\n" + text.encode())
    assert splitter.rows_read == sum(part.rows for part in parts) + len(splitter.rejected)


def test_shards_have_the_bytes_of_the_member():
    data = b'a,b\r\n"x ""1""",k\r\n y ,"k"\r\nz,l\r\n'
    _, parts = split(data)
    shards = {part.value: part.data for part in parts}
    assert shards == {
        "k": b'a,b\r\n"x ""1""",k\r\n y ,"k"\r\n',
        "l": b"a,b\r\nz,l\r\n",
    }


def test_a_member_without_split_column_is_one_shard_even_without_rows():
    _, (part,) = split(b"a,b\n", WHOLE)
    assert (part.value, part.data, part.rows) == (None, b"a,b\n", 0)


def test_ragged_rows_are_set_aside_with_their_line():
    data = b'\xef\xbb\xbfa,b\n1,x\n"two\nlines",x\n3\n\n4,x,5\n6,x\n'
    splitter, (part,) = split(data)
    assert part.data == b'a,b\n1,x\n"two\nlines",x\n6,x\n'
    assert part.row_numbers.tolist() == [1, 2, 5]
    assert [(r.line, r.row, r.rule, r.text) for r in splitter.rejected] == [
        (5, 3, "ragged_row", "3"),
        (7, 4, "ragged_row", "4,x,5"),
    ]
    assert next(iter(splitter.rejected)).reason == "2 fields expected, 1 found"


def test_a_quote_that_is_never_closed_sets_its_line_aside_and_no_other():
    splitter, parts = split(b'a,b\n1,x\n2,"x\n3,y\n')
    assert [part.data for part in parts] == [b"a,b\n1,x\n", b"a,b\n3,y\n"]
    (rejected,) = splitter.rejected
    assert (rejected.line, rejected.row, rejected.rule) == (3, 2, "unclosed_quote")


def test_a_value_that_is_no_utf8_is_set_aside():
    splitter, (part,) = split(b"a,b\n1,x\n2,\xff\n3,x\n")
    assert part.row_numbers.tolist() == [1, 3]
    assert next(iter(splitter.rejected)).rule == "encoding"


@pytest.mark.parametrize(
    ("data", "says"),
    [
        (b"", "is empty"),
        (b"\n\n", "is empty"),
        (b"a,c\n1,2\n", "column 'b' is missing; it has 'a', 'c'"),
        (b"a,b,b\n", "column 'b' twice"),
        (b"\xff,b\n", "no UTF-8"),
    ],
)
def test_a_bad_header_is_an_error_of_the_member(data, says):
    with pytest.raises(MemberHeaderError, match=says) as caught:
        split(data)
    assert "line 1" in str(caught.value)


def test_columns_without_a_name_or_with_one_twice_get_one():
    splitter, _ = split(b"a,b,,a,,column_3,a_2\n1,x,2,3,4,5,6\n")
    assert splitter.columns == ("a", "b", "column_3_2", "a_3", "column_5", "column_3", "a_2")


def test_limits_name_their_setting():
    with pytest.raises(LimitError, match=r"limits\.split_values"):
        split(b"a,b\n1,x\n1,y\n1,z\n", limits=Limits(split_values=2))
    with pytest.raises(LimitError, match=r"limits\.record_bytes"):
        split(b'a,b\n"' + b"x" * (9 << 20), limits=Limits(record_bytes=1000), chunk=1 << 20)


@pytest.mark.parametrize(("more", "rows"), [(0, [[0, 1, 2, 3]]), (1, [[0, 1, 2], [3]])])
def test_records_of_exactly_16_mib_are_one_part_and_one_byte_more_is_the_next(more, rows):
    records = [b"x" * (4 << 20)] * 3 + [b"x" * ((4 << 20) + more)]
    tables = [
        pa.table({"record": pa.array([record], pa.large_binary()), "row": [number]})
        for number, record in enumerate(records)
    ]
    found = list(parts(iter(tables), b"header\n"))
    assert [part.row_numbers.tolist() for part in found] == rows
    assert b"".join(part.data.removeprefix(b"header\n") for part in found) == b"".join(records)


def test_much_data_is_cut_into_parts_and_no_row_is_lost(monkeypatch):
    monkeypatch.setattr(member_rows, "BATCH_BYTES", 1 << 20)
    monkeypatch.setattr(splitting, "PART_BYTES", 1 << 19)
    rows = "".join(f"{n:07d},{'xyz'[n % 3]}\n" for n in range(600_000)).encode()
    limits = Limits(buffer_bytes=1 << 20)
    splitter, parts = split(b"a,b\n" + rows, limits=limits, chunk=1 << 20)
    assert splitter.rows_read == 600_000
    assert len(parts) == 3 * 4  # each value has 2.0 MB
    assert max(len(part.data) for part in parts) <= len(b"a,b\n") + (1 << 19)
    for value, own in by_value(parts).items():
        numbers = np.concatenate([part.row_numbers for part in own])
        assert numbers.tolist() == [n + 1 for n in range(600_000) if "xyz"[n % 3] == value]
