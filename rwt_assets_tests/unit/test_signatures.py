"""A file of another format under the name of a table is told, and is no table."""

import bz2
import gzip
import io
import lzma
import zipfile
import zlib

import pyarrow as pa
import pyarrow.parquet as pq
import pytest
from backports import zstd
from hypothesis import given
from hypothesis import strategies as st
from pyarrow import feather, orc

from rwt_assets.feed.feed import Dialect, Limits, MemberRule
from rwt_assets.member.encodings import find_encoding, looks_like_ebcdic
from rwt_assets.member.signatures import document_in, not_text
from rwt_assets.runtime.errors import MemberHeaderError, MemberNotTextError
from rwt_assets.shard.member_rows import MemberRows

CSV = b"id,name\n" + b"".join(b"%d,pen %d\n" % (n, n) for n in range(500))
TABLE = pa.table({"id": [1, 2], "name": ["a", "b"]})


def written(write):
    body = io.BytesIO()
    write(body)
    return body.getvalue()


def zipped(*names):
    def write(body):
        with zipfile.ZipFile(body, "w") as archive:
            for name in names:
                archive.writestr(name, CSV)

    return written(write)


OTHERS = {
    "gzip": gzip.compress(CSV),
    "Excel": zipped("[Content_Types].xml", "xl/workbook.xml"),
    "OpenDocument": b"PK\x03\x04" + bytes(26) + b"mimetypeapplication/vnd.oasis.opendocument",
    "ZIP": zipped("a.csv"),
    "Parquet": written(lambda body: pq.write_table(TABLE, body)),
    "ORC": written(lambda body: orc.write_table(TABLE, body)),
    "Arrow": written(lambda body: feather.write_feather(TABLE, body)),
    "PDF": b"%PDF-1.7\n%\xe2\xe3\xcf\xd3\n1 0 obj\n",
    "7-Zip": b"7z\xbc\xaf\x27\x1c\x00\x04" + bytes(20),
    "bzip2": bz2.compress(CSV),
    "xz": lzma.compress(CSV),
    "Zstandard": zstd.compress(CSV),
    "RAR": b"Rar!\x1a\x07\x01\x00",
    "OLE2": b"\xd0\xcf\x11\xe0\xa1\xb1\x1a\xe1" + bytes(500),
    "PNG": b"\x89PNG\r\n\x1a\n\x00\x00\x00\rIHDR",
    "JPEG": b"\xff\xd8\xff\xe0\x00\x10JFIF\x00",
    "GIF": b"GIF89a\x01\x00\x01\x00\x80\x00\x00",
    "TIFF": b"II*\x00\x08\x00\x00\x00",
    "BMP": b"BM\x46\x00\x00\x00\x00\x00\x00\x00\x36\x00",
    "WebP": b"RIFF\x24\x00\x00\x00WEBPVP8 ",
    "ELF": b"\x7fELF\x02\x01\x01" + bytes(9),
    "Windows": b"MZ\x90\x00\x03\x00\x00\x00\x04\x00\x00\x00\xff\xff",
    "tar": b"a.csv" + bytes(252) + b"ustar\x0000" + bytes(200),
    "SQLite": b"SQLite format 3\x00\x10\x00\x01\x01",
    "NUL": bytes(1000),
}


def rows(data, chunk=None, **dialect):
    member = MemberRows(
        MemberRule(include=("*",), dialect=Dialect(**dialect)), Limits(), where="a.csv"
    )
    step = chunk or max(len(data), 1)
    pieces = [data[start : start + step] for start in range(0, len(data), step)]
    count = sum(len(batch.row_numbers) for batch in member.batches(pieces))
    return count, [*member.rejected]


@pytest.mark.parametrize("name", OTHERS)
@pytest.mark.parametrize("chunk", [None, 7])
def test_what_is_no_text_is_refused_by_name(name, chunk):
    with pytest.raises(MemberNotTextError, match=name) as caught:
        rows(OTHERS[name], chunk)
    assert "Ask the sender for CSV" in str(caught.value)


@pytest.mark.parametrize("first", ["BM", "MZ", "PAR1", "ORC", "GIF89a", "RIFF", "PK", "Obj", "id"])
@pytest.mark.parametrize("encoding", ["utf-8", "utf-8-sig", "utf-16", "utf-16-le", "utf-32"])
def test_a_column_called_like_a_format_is_a_column(first, encoding):
    data = "".join(f"{one},name,x\n" for one in (first, *range(300))).encode(encoding)
    declared = {"encoding": "utf-16"} if encoding == "utf-16-le" else {}
    assert rows(data, **declared) == (300, [])


@given(st.text(st.characters(exclude_categories=["C"]), min_size=1, max_size=40))
def test_no_text_is_taken_for_something_else(text):
    for encoding in ("utf-8", "utf-16", "utf-32"):
        head = (text * 50).encode(encoding)
        assert not_text(head, encoding) is None


def test_a_record_with_a_nul_is_set_aside_and_its_neighbours_are_not():
    data = b"id,name\n1,a\n2,b\0c\n\n3,\0\0\n4,d\n"
    count, rejected = rows(data)
    assert count == 2
    assert [(one.row, one.rule) for one in rejected] == [(2, "zero_byte"), (3, "zero_byte")]
    assert "NUL byte, as byte 3" in rejected[0].reason


@given(st.lists(st.sampled_from([b"1,a\n", b"2,\0\n", b"\0,b\n", b"3,cc\n"]), max_size=30))
def test_each_record_with_a_nul_and_no_other_is_set_aside(records):
    good = sum(b"\0" not in record for record in records)
    count, rejected = rows(b"id,name\n" + b"".join(records))
    assert count == good
    assert [one.rule for one in rejected] == ["zero_byte"] * (len(records) - good)


def test_a_header_with_a_nul_is_no_header():
    with pytest.raises(MemberHeaderError, match="NUL"):
        rows(b"id,na\0me\n" + b"1,a\n" * 50)


def test_utf16_without_a_mark_is_still_found_by_its_zeros():
    data = CSV.decode().encode("utf-16-le")
    assert find_encoding(data) == "utf-16-le"
    assert rows(data) == (500, [])


def test_excel_says_what_it_is_although_it_is_a_zip():
    assert not_text(OTHERS["Excel"], "utf-8") == "an Excel or Office file"


DOCUMENTS = {
    "HTML": "<html><head><title>403 Forbidden</title></head>\n<body>Access denied</body></html>\n",
    "an HTML": "\n\n<!DOCTYPE HTML PUBLIC>\n<html>\n",
    "XML": '<?xml version="1.0"?>\n<Error><Code>AccessDenied</Code></Error>\n',
    "RTF": "{\\rtf1\\ansi\n{\\fonttbl}\n}\n",
    "PGP": "-----BEGIN PGP MESSAGE-----\n\nhQEMA\n=abcd\n-----END PGP MESSAGE-----\n",
    "PEM": "-----BEGIN CERTIFICATE-----\nMIIB\n-----END CERTIFICATE-----\n",
    "base64": ("QUJD" * 19 + "\n") * 3 + "QUJE\n",
    "JSON": '[{"id": 1, "name": "a"},\n {"id": 2, "name": "b"}]\n',
    "a JSON": '{"id": 1}\n{"id": 2}\n',
    "PostScript": "%!PS-Adobe-3.0\n%%Pages: 1\n",
    "HTML page": '<table border="1"><tr><td>id</td></tr>\n<tr><td>1</td></tr></table>\n',
    "an HTML page": '<meta charset="utf-8">\n<table>\n<tr><td>1</td></tr></table>\n',
    "HTML pag": "<title>Login</title>\n",
    "XML document": '<orders>\n  <order id="1"/>\n</orders>\n',
    "an XML document": "<soap:Envelope><soap:Body/></soap:Envelope>\n",
    "an XML docu": "<!-- generated -->\n<rows/>\n",
    "JSON document": "[[1, 2], [3, 4]]\n",
    "a JSON document": '["a", "b"]\n["c", "d"]\n',
    "a JSON docu": "[]\n",
    "script of SQL": "-- dump\n/* by us */;\nDROP TABLE IF EXISTS `a`;\n",
    "a script of SQL": "INSERT INTO a (id, name) VALUES (1, 'x');\n",
    "script": "-- MySQL dump 10.13\n--\n-- Host: localhost\n",
    "Git LFS": "version https://git-lfs.github.com/spec/v1\noid sha256:4d7a\nsize 12345\n",
    "SYLK": "ID;PWXL;N;E\nP;PGeneral\nC;Y1;X1;K1\n",
    "vCard": "BEGIN:VCARD\nVERSION:3.0\nEND:VCARD\n",
    "EDIFACT": "UNA:+.? 'UNB+UNOC:3+X+Y+250101:1200+1'UNH+1+ORDERS'\n",
    "X12": "ISA*00*          *00*          *ZZ*A*ZZ*B*250101*1200*U*00401*1*0*P*>~\n",
    "MIME": "MIME-Version: 1.0\nContent-Type: text/csv\n\nid,name\n",
}


@pytest.mark.parametrize("name", DOCUMENTS)
@pytest.mark.parametrize("encoding", ["utf-8", "utf-8-sig", "utf-16"])
def test_a_document_is_refused_by_name_unless_its_first_line_is_declared_to_be_a_row(
    name, encoding
):
    data = DOCUMENTS[name].encode(encoding)
    for declared in ({}, {"header": "auto", "skip_lines": "auto"}):
        with pytest.raises(MemberNotTextError, match=name):
            rows(data, **declared)
    assert rows("\n".join(["<b>1</b>"] * 3).encode(), header=False) == (3, [])


@pytest.mark.parametrize(
    "header",
    [
        *("<5,>5", "{a},b", "[a],b", "html,xml", "%,n", "-----,x", "QUJDQUJD,x", "<b>,x"),
        *(
            "<DATE>,<TIME>",
            "<title>,<a>",
            "ID;P,x",
            "version,x",
            "-- id,x",
            "ISA,00",
            "insert,into",
        ),
    ],
)
def test_a_header_of_such_characters_is_a_header(header):
    assert rows(f"{header}\n1,2\n".encode()) == (1, [])


@pytest.mark.parametrize(
    "piece",
    [
        "/**/",
        "/* ",
        "-- x\n",
        " ",
        "<a ",
        "<a>\n",
        '["',
        "[[",
        "[1",
        "{",
        "ISA",
        "UNA",
        "<!",
        "<b>x",
    ],
)
def test_no_beginning_takes_long_to_look_at(piece):
    for end in ("", "x", "*/", "\n"):
        document_in((piece * 4000 + end).encode(), "utf-8")


@pytest.mark.parametrize("delimiter", [",", ";", "\t", "|", "  "])
def test_names_in_angle_brackets_are_names(delimiter):
    header = delimiter.join(["<DATE>", "<TIME>", "<OPEN>"])
    assert rows(f"{header}\n1\n".encode(), delimiter="~") == (1, [])


def test_bytes_without_a_signature_are_no_table():
    packed = zlib.compress(CSV * 20)
    for data in (
        packed,
        packed[2:],
        bytes(n * 7919 % 251 for n in range(9000)),
        b"\x85\x02\x0c\x03" + packed,
    ):
        with pytest.raises(MemberNotTextError, match="control characters"):
            rows(data)


@pytest.mark.parametrize("dialect", [{}, {"delimiter": "\x01"}])
def test_control_characters_within_values_or_as_a_delimiter_are_text(dialect):
    between = dialect.get("delimiter", ",")
    text = f"id{between}name\n" + "".join(f"{n}{between}a\x02b\x03c\x04d\x05\n" for n in range(9))
    assert rows(text.encode(), **dialect) == (9, [])


EBCDIC = ("cp037", "cp273", "cp500", "cp1140")


@pytest.mark.parametrize("encoding", EBCDIC)
@pytest.mark.parametrize("end", ["\x85", "\n", "\r\n", "\r\x85"])
def test_ebcdic_is_read_if_it_is_declared_and_told_if_it_is_not(encoding, end):
    data = end.join(["id,name", "1,Müller", "2,Ann Lee", "3,", ""]).encode(encoding)
    for chunk in (None, 1):
        assert rows(data, chunk, encoding=encoding) == (3, [])
    with pytest.raises(MemberNotTextError, match="EBCDIC") as caught:
        rows(data)
    assert "Declare dialect.encoding of the feed, such as cp037" in str(caught.value)


@given(st.lists(st.text(st.characters(codec="cp1251"), max_size=9), max_size=9))
def test_no_text_of_ascii_lines_is_taken_for_ebcdic(cells):
    assert not looks_like_ebcdic("\n".join(["id", *cells]).encode("cp1251"))
