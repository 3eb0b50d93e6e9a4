"""Every kind of odd archive, made byte by byte, and what becomes of it."""

import io
import struct
import unicodedata
import zipfile
import zlib

import pytest
from hypothesis import given
from hypothesis import strategies as st
from pydantic import SecretStr

from rwt_assets.archive.archive import TAIL_BYTES, read_directory, read_member
from rwt_assets.feed.feed import Limits
from rwt_assets.runtime.errors import (
    LimitError,
    MemberCorruptError,
    MemberPasswordError,
    MemberUnsupportedError,
    NotAZipError,
    RwtError,
)
from rwt_assets_tests.odd_archives import (
    DEFLATE,
    LZMA,
    METHODS,
    STORED,
    ZSTD,
    Entry,
    Ranges,
    archive,
    compressed,
)

WHERE = "s3://b/a.zip"
LIMITS = Limits()
TEXT = b"".join(b"%d,%d\n" % (number, number * number % 977) for number in range(3000))
GOOD = Entry("good.csv", b"a,b\n1,2\n")
KEY = SecretStr("pässword")


def read(source, key=None, limits=LIMITS, **options):
    """Content or error of every member that is data, by name."""
    outcomes = {}
    for member in read_directory(source, limits, where=WHERE, **options):
        if member.ignored:
            continue
        try:
            outcomes[member.name] = b"".join(
                read_member(source, member, limits, where=WHERE, password=key)
            )
        except RwtError as error:
            outcomes[member.name] = error
    return outcomes


def only(entry, key=None, limits=LIMITS):
    """Content or error of an entry; one beside it goes through whatever becomes of it."""
    outcomes = read(Ranges(archive([entry, GOOD])), key, limits)
    assert outcomes.pop("good.csv") == GOOD.content
    (outcome,) = outcomes.values()
    return outcome


def refused(body, says, error=NotAZipError):
    source = Ranges(body)
    with pytest.raises(error, match=says) as caught:
        read_directory(source, LIMITS, where=WHERE)
    assert WHERE in str(caught.value)
    assert source.streams == 0


# --- layout ---


@pytest.mark.parametrize(
    "oddity",
    [
        {"before": b"#!/bin/sh\nexit\n" * 20},
        {"before": b"MZ" * 50, "shift": 100},  # a self-extractor whose offsets count from its start
        {"after": b"\0" * 1000},
        {"comment": b"by PK\x05\x06 tools"},
        {"comment": b"c" * 0xFFFF},
        {"zip64": True},
        {"zip64": True, "before": b"stub" * 9, "comment": b"hello"},
    ],
    ids=str,
)
def test_an_archive_is_found_whatever_lies_around_it(oddity):
    source = Ranges(archive([Entry("a.csv", TEXT), GOOD], **oddity))
    assert read(source) == {"a.csv": TEXT, "good.csv": GOOD.content}
    assert source.reads <= 2


def test_an_empty_archive_has_no_members():
    assert read(Ranges(archive([]))) == {}
    assert read(Ranges(archive([], comment=b"nothing", after=b"xx"))) == {}


@pytest.mark.parametrize(
    ("body", "says"),
    [
        (archive([GOOD], disk=1), "split over several files"),
        (archive([GOOD], zip64=True, disk=1), "split over several files"),
        (archive([GOOD], count=2), "entry 2 of 2 of its directory is missing"),
        (archive([GOOD, GOOD], count=1), "more than the 1 entries that it says"),
        (archive([GOOD])[:-1], "its end is cut off"),
        (archive([GOOD])[:-30], "no end of a central directory"),
        (archive([GOOD])[60:], "not where it says"),
        (archive([GOOD], zip64=True).replace(b"PK\x06\x06", b"PK\x06\x09"), "Zip64 end"),
        (archive([GOOD], comment=b"comment")[:-1], "its comment is cut off"),
    ],
)
def test_a_damaged_directory_is_no_zip(body, says):
    refused(body, says)


def test_members_that_share_bytes_are_refused():
    body = compressed(bytes(100_000), DEFLATE)
    first = Entry("a.csv", method=DEFLATE, body=body, size=100_000)
    again = Entry("b.csv", body=b"", size=100_000, offset=0, compressed_size=len(body))
    refused(archive([first, again]), "runs into")
    within = Entry("b.csv", body=b"", size=9, offset=20, compressed_size=9)
    refused(archive([first, within]), "runs into")


def test_an_entry_that_stands_in_the_directory_twice_is_read_once():
    entry = Entry("a.csv", TEXT)
    again = Entry("a.csv", TEXT, body=b"", offset=0, compressed_size=len(compressed(TEXT, 8)))
    members = read_directory(Ranges(archive([entry, again])), LIMITS, where=WHERE)
    assert [member.ignored for member in members] == ["", "it stands in the directory twice"]


def test_too_many_members_are_refused_before_the_directory_is_read():
    source = Ranges(archive([Entry(f"{n}" * 60, b"", STORED) for n in range(1000)]))
    assert source.size > TAIL_BYTES
    with pytest.raises(LimitError, match=r"limits\.members"):
        read_directory(source, Limits(members=999), where=WHERE)
    assert source.reads == 1
    assert len(read_directory(source, Limits(members=1000), where=WHERE)) == 1000


def test_a_directory_that_its_members_cannot_need_is_refused_before_it_is_read():
    extra = struct.pack("<2H", 0x9999, 60_000) + bytes(60_000)
    source = Ranges(archive([Entry(f"{n}", b"", STORED, extra=extra) for n in range(40)]))
    with pytest.raises(LimitError, match=r"directory of .* limits.members"):
        read_directory(source, Limits(members=100), where=WHERE)
    assert source.reads == 1


def test_the_ratio_holds_for_the_archive_as_a_whole():
    entries = [Entry(f"{n}.csv", bytes(1 << 20), body=bytes(100)) for n in range(6)]
    refused(archive(entries), "limits.ratio", LimitError)


# --- entries ---


@pytest.mark.parametrize(
    ("entry", "says"),
    [
        (Entry("a.csv", extra=b"\x01\x99\xff\x00x"), "runs over the end"),
        (Entry("a.csv", size=0xFFFFFFFF), "Zip64 field lacks"),
        (Entry("a.csv", offset=10**9), "outside the archive"),
        (Entry("a.csv", TEXT, STORED, compressed_size=10**9), "outside the archive"),
        (Entry("a.csv", TEXT, STORED, size=5), "stored as it is"),
        (Entry("a.csv", TEXT, disk=3), "another file of a split archive"),
        (Entry("a.csv", TEXT, crc=1), "CRC-32"),
        (Entry("a.csv", TEXT, size=len(TEXT) + 1), "the directory says"),
        (Entry("a.csv", TEXT, size=len(TEXT) - 1), "or more, the directory says"),
        (Entry("a.csv", TEXT, offset=3), "no local header"),
        (Entry("a.csv", TEXT, local_name=b"b.csv"), "another name"),
        (Entry("a.csv", TEXT, local_method=STORED), "another compression"),
        (Entry("a.csv", TEXT, method=99), "does not say how"),
        (Entry("a.csv", TEXT, method=99, extra=struct.pack("<2HH2sBH", 0x9901, 7, 9, b"AE", 1, 8)),
         "not known"),
        (Entry("a.csv", TEXT, LZMA, body=b"\x09\x14\x05\x00\xff" + bytes(9)), "damaged"),
        (Entry("a.csv", TEXT, LZMA, body=b"\x09\x14\x04\x00" + bytes(9)), "another length"),
        (Entry(b"\xff\xfe.csv", flags=1 << 11), "no UTF-8, though"),
    ],
)  # fmt: skip
def test_a_bad_entry_takes_no_other_with_it(entry, says):
    error = only(entry)
    assert isinstance(error, MemberCorruptError | MemberUnsupportedError)
    assert says in str(error)


@pytest.mark.parametrize("method", METHODS)
def test_damage_is_told_from_a_whole_member(method):
    body = bytearray(compressed(TEXT, method))
    body[len(body) // 2] ^= 0x10
    assert isinstance(only(Entry("a.csv", TEXT, method, body=bytes(body))), MemberCorruptError)
    cut = compressed(TEXT, method)[: len(body) // 2]
    if method != STORED:
        assert isinstance(only(Entry("a.csv", TEXT, method, body=cut)), MemberCorruptError)


@pytest.mark.parametrize(
    ("entry", "says"),
    [
        *((Entry("a.csv", TEXT, number, body=TEXT), name) for number, name in
          [(1, "Shrink"), (5, "Reduce"), (6, "Implode"), (98, "PPMd"), (77, "method 77 is")]),
        (Entry("a.csv", TEXT, flags=0x41), "strong encryption"),
        (Entry("a.csv", TEXT, flags=0x20), "patch"),
        (Entry("a.csv", b"/etc/passwd", mode=0o120777), "symbolic link"),
        (Entry("a.csv", b"", mode=0o020666), "device"),
        (Entry("a\0.csv", TEXT), "control characters"),
        (Entry("a\n.csv", TEXT), "control characters"),
        (Entry("", TEXT), "no name"),
    ],
)  # fmt: skip
def test_what_is_not_read_here_is_named(entry, says):
    error = only(entry)
    assert isinstance(error, MemberUnsupportedError)
    assert says in str(error)
    assert "\0" not in str(error)


def test_what_zip_wrote_from_a_pipe_is_read():
    assert only(Entry("-", TEXT, mode=0o010600)) == TEXT


def test_zeros_that_pad_extra_fields_are_tolerated():
    assert only(Entry("a.csv", TEXT, extra=b"\0\0\0")) == TEXT


def test_sizes_that_are_only_in_a_zip64_field_are_read():
    sizes = struct.pack("<2H2Q", 1, 16, len(TEXT), len(TEXT))
    entry = Entry("a.csv", TEXT, STORED, size=0xFFFFFFFF, compressed_size=0xFFFFFFFF, extra=sizes)
    assert only(entry) == TEXT


@pytest.mark.parametrize("method", [12, 20, ZSTD, 95])
def test_streams_after_one_another_are_one_content(method):
    body = compressed(TEXT[:5000], method) + compressed(TEXT[5000:], method)
    assert only(Entry("a.csv", TEXT, method, body=body)) == TEXT


def test_a_limit_of_a_member_names_its_setting():
    body = compressed(bytes(2 << 20), DEFLATE)
    entry = Entry("a.csv", bytes(2 << 20), body=body)
    error = only(entry, limits=Limits(member_bytes=1000, ratio=10_000))
    assert isinstance(error, LimitError)
    assert "limits.member_bytes of the feed is 1000" in str(error)
    assert "limits.ratio of the feed is 50" in str(only(entry, limits=Limits(ratio=50)))
    error = only(Entry("n" * 2000, TEXT))
    assert isinstance(error, LimitError)
    assert "limits.name_bytes of the feed is 1024" in str(error)
    assert "n" * 1100 not in str(error)


# --- encryption ---

LOCKED = [
    pytest.param({"aes": strength, "ae": ae, "method": method, "descriptor": late},
                 id=f"aes{strength}-ae{ae}-{method}-{late}")
    for strength in (0, 1, 2, 3) for ae in (1, 2) for method in (STORED, DEFLATE, ZSTD)
    for late in (False, True) if strength or ae == 1
]  # fmt: skip


@pytest.mark.parametrize("how", LOCKED)
@pytest.mark.parametrize("content", [TEXT, b"", b"x"], ids=len)
def test_encrypted_members_come_back_as_they_were(how, content):
    entry = Entry("a.csv", content, password=KEY.get_secret_value(), **how)
    assert only(entry, KEY) == content


@pytest.mark.parametrize("how", LOCKED)
def test_without_the_password_nothing_is_read(how):
    entry = Entry("a.csv", TEXT, password=KEY.get_secret_value(), **how)
    for key, says in ((None, "has no password"), (SecretStr("guess"), "another password")):
        error = only(entry, key)
        assert isinstance(error, MemberPasswordError | MemberCorruptError)
        assert says in str(error)
        assert "guess" not in repr(error)
    assert "source.password_variable" in str(only(entry))


def test_a_wrong_password_that_the_check_byte_lets_through_is_still_found():
    source = Ranges(archive([Entry("a.csv", TEXT[:99], password=KEY.get_secret_value())]))
    errors = [read(source, SecretStr(str(number)))["a.csv"] for number in range(1500)]
    assert {type(error) for error in errors} == {MemberPasswordError, MemberCorruptError}
    assert all("another password" in str(error) for error in errors)


@pytest.mark.parametrize("ae", [1, 2])
def test_encrypted_bytes_that_were_changed_are_found(ae):
    entry = Entry("a.csv", TEXT, STORED, password=KEY.get_secret_value(), aes=3, ae=ae)
    body = bytearray(archive([entry, GOOD]))
    body[2000] ^= 1
    error = read(Ranges(bytes(body)), KEY)["a.csv"]
    assert isinstance(error, MemberCorruptError)
    assert "authentication code" in str(error)


@pytest.mark.parametrize("spelling", ["utf-8", "cp437", "cp850", "cp1252", "latin-1", "cp1250"])
@pytest.mark.parametrize("how", LOCKED[::5])
def test_a_password_is_tried_as_its_writer_may_have_encoded_it(spelling, how):
    key = "gehäuse ß ü"
    entry = Entry("a.csv", TEXT[:300], password=key, key=key.encode(spelling), **how)
    assert only(entry, SecretStr(key)) == entry.content
    assert only(entry, SecretStr(unicodedata.normalize("NFD", key))) == entry.content


@pytest.mark.parametrize("method", [STORED, DEFLATE])
def test_of_several_encodings_that_pass_the_check_byte_the_right_one_is_found(method):
    key = "ñandú"
    for number in range(60):
        entry = Entry("a.csv", b"%d" % number * 20, method, key, key=key.encode("cp1252"))
        assert only(entry, SecretStr(key)) == entry.content


def test_another_password_is_told_when_no_encoding_of_it_opens_the_member():
    entry = Entry("a.csv", TEXT, password=KEY.get_secret_value(), aes=3)
    error = only(entry, SecretStr("ñandú"))
    assert isinstance(error, MemberPasswordError)
    assert "another password, in whichever of" in str(error)
    assert "ñandú" not in repr(error)


# --- names ---


def names(*entries, encoding="cp437"):
    source = Ranges(archive(entries))
    members = read_directory(source, LIMITS, where=WHERE, name_encoding=encoding)
    for member in members:
        if not member.ignored and member.defect is None:
            b"".join(read_member(source, member, LIMITS, where=WHERE))
    return [member.name for member in members]


def unicode_path(name, raw):
    field = struct.pack("<BI", 1, zlib.crc32(raw)) + name.encode()
    return struct.pack("<2H", 0x7075, len(field)) + field


@pytest.mark.parametrize(
    ("entry", "encoding", "name"),
    [
        (Entry("öl.csv"), "cp437", "öl.csv"),
        (Entry("öl.csv", flags=0), "cp437", "öl.csv"),  # UTF-8 that does not say so
        (Entry("öl.csv".encode("cp437")), "cp437", "öl.csv"),
        (Entry("öl.csv".encode("cp437")), "auto", "öl.csv"),
        (Entry("öl.csv".encode("latin-1")), "latin-1", "öl.csv"),
        (Entry("表.csv".encode("cp932")), "cp932", "表.csv"),  # its second byte is a backslash
        (Entry(b"%U.csv", extra=unicode_path("€.csv", b"%U.csv")), "cp437", "€.csv"),
        (Entry(b"old.csv", extra=unicode_path("€.csv", b"new.csv")), "cp437", "old.csv"),
        (Entry(b"a\\b.csv", system=0), "cp437", "a/b.csv"),
        (Entry(b"a\\b.csv", system=3), "cp437", "a\\b.csv"),
        (Entry(b"a\\b/c.csv", system=0), "cp437", "a\\b/c.csv"),
    ],
)
def test_names_are_read_as_they_were_meant(entry, encoding, name):
    assert names(entry, encoding=encoding) == [name]


def test_a_name_that_its_encoding_cannot_have_is_a_bad_entry():
    source = Ranges(archive([Entry(b"\x81\x20.csv", TEXT), GOOD]))
    outcomes = read(source, name_encoding="cp932")
    assert isinstance(outcomes.pop("ü .csv"), MemberUnsupportedError)
    assert outcomes == {"good.csv": GOOD.content}


def test_names_that_differ_by_case_or_form_alone_stay_apart_and_say_so():
    forms = [unicodedata.normalize(form, "é.csv") for form in ("NFC", "NFD")]
    entries = [Entry(name, name.encode()) for name in ("a.csv", "A.CSV", *forms)]
    members = read_directory(Ranges(archive(entries)), LIMITS, where=WHERE)
    assert [member.name for member in members] == ["a.csv", "A.CSV", *forms]
    assert all("differs only in case or Unicode form" in member.note for member in members)
    assert "U+00E9" in members[3].note
    assert "U+0301" in members[2].note
    assert read(Ranges(archive(entries))) == {one.name: one.content for one in entries}


def test_members_of_the_same_name_stay_distinct_and_no_real_name_is_taken():
    entries = [Entry(name, name.encode() + bytes([number])) for number, name in
               enumerate(["a.csv", "a.csv", "a.csv~2", "a.csv", "b.csv"])]  # fmt: skip
    members = read_directory(Ranges(archive(entries)), LIMITS, where=WHERE)
    given = [member.name for member in members]
    assert given == ["a.csv", "a.csv~3", "a.csv~2", "a.csv~4", "b.csv"]
    assert {member.stored_name for member in members} == {"a.csv", "a.csv~2", "b.csv"}
    assert [bool(member.note) for member in members] == [False, True, False, True, False]
    assert list(read(Ranges(archive(entries))).values()) == [entry.content for entry in entries]


@pytest.mark.parametrize(
    "name",
    ["f/", "__MACOSX/a.csv", "f/__MACOSX/._a.csv", "f/._a.csv", ".DS_Store", "f/Thumbs.db",
     "F/DESKTOP.INI"],
)  # fmt: skip
def test_what_systems_leave_is_no_data(name):
    (member,) = read_directory(Ranges(archive([Entry(name)])), LIMITS, where=WHERE)
    assert member.ignored


# --- compared with zipfile ---

NAMES = st.text("ab/._~ü€", min_size=1, max_size=8)
# zipfile itself takes an end record within a comment for that of the archive.
COMMENTS = st.binary(max_size=40).filter(lambda comment: b"PK\x05\x06" not in comment)


@given(
    st.lists(st.tuples(NAMES, st.binary(max_size=300)), max_size=6),
    st.sampled_from([0, 8, 12, 14]),
    COMMENTS,
    st.binary(max_size=40),
)  # fmt: skip
@pytest.mark.filterwarnings("ignore:Duplicate name")
def test_what_zipfile_writes_and_reads_is_read_the_same(members, method, comment, before):
    body = io.BytesIO(before)
    with zipfile.ZipFile(body, "a", method) as written:
        for name, content in members:
            written.writestr(zipfile.ZipInfo(name), content, method)
        written.comment = comment
    source = Ranges(body.getvalue(), 70)
    with zipfile.ZipFile(io.BytesIO(body.getvalue())) as opened:
        ours = read_directory(source, LIMITS, where=WHERE)
        assert [m.stored_name for m in ours] == [i.filename for i in opened.infolist()]
        for member, info in zip(ours, opened.infolist(), strict=True):
            chunks = read_member(source, member, LIMITS, where=WHERE)
            assert b"".join(chunks) == opened.read(info)
            assert member.header_offset == info.header_offset
