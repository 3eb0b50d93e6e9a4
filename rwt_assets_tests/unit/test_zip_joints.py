"""An archive is read whole or refused: nothing of it is passed off as all."""

import io
import struct
import zipfile
import zlib
from random import Random

import pytest
from hypothesis import given
from hypothesis import strategies as st

from rwt_assets.archive import zip_joints
from rwt_assets.archive.archive import read_directory, read_member
from rwt_assets.archive.zip_joints import END, find_structure
from rwt_assets.feed.feed import Limits
from rwt_assets.runtime.errors import LimitError, NotAZipError, RwtError
from rwt_assets.shard.unpacking import unpack_archive
from rwt_assets.storage.notifications import ArchiveRevision
from rwt_assets_tests.mutations import FEED
from rwt_assets_tests.odd_archives import DEFLATE, STORED, Entry, Ranges, archive
from rwt_assets_tests.stand_ins import InMemoryObjects

WHERE = "s3://b/a.zip"
LIMITS = Limits()
ROWS = b"id,name\n" + b"".join(b"%d,pen\n" % number for number in range(200))
A, B = Entry("a.csv", ROWS), Entry("b.csv", b"id\n7\n")
GOOD = archive([A, B])


def read(body, limits=LIMITS):
    """Content of every member, in the order of the directory; raises where one cannot be read."""
    source = Ranges(body)
    return [
        (member.name, b"".join(read_member(source, member, limits, where=WHERE)))
        for member in read_directory(source, limits, where=WHERE)
        if not member.ignored
    ]


def refused(body, *says):
    with pytest.raises(NotAZipError) as caught:
        read(body)
    assert all(words in str(caught.value) for words in says), str(caught.value)
    assert "Ask the sender for a whole archive" in str(caught.value)
    assert WHERE in str(caught.value)


def end_of(body):
    return body.rindex(b"PK\x05\x06")


def with_end(body, **fields):
    """An archive whose end record says other numbers."""
    names = ("disk", "directory_disk", "here", "members", "size", "offset", "comment")
    place = end_of(body)
    known = dict(zip(names, END.unpack_from(body, place)[1:], strict=True)) | fields
    return body[:place] + END.pack(b"PK\x05\x06", *known.values()) + body[place + END.size :]


# --- each joint ---


def test_an_archive_cut_off_behind_a_stored_archive_is_not_the_one_within():
    inner = archive([B])
    outer = archive([Entry("inner.zip", inner, STORED), A])
    cut = outer[: outer.index(inner) + len(inner)]
    refused(cut, "begins at 0, before its first member at 39", "cut off")
    later = archive([A, Entry("inner.zip", inner, STORED), A])
    refused(later[: later.index(inner) + len(inner)], "begins at 0")
    refused(later[: later.index(inner) + len(inner) + 60], "behind its end")


def test_of_two_archives_after_one_another_none_is_read():
    first, second = archive([A]), archive([B])
    refused(first + second, "begins at 0", "two archives were written after one another")
    refused(first + archive([B], shift=len(first)), "begins at 0")
    refused(first + second[:40], f"begins at {len(first)}, behind its end")
    refused(archive([]) + second, "begins at 0")
    refused(first + archive([]), "begins at")


def test_an_end_record_that_counts_other_entries_than_there_are_is_refused():
    refused(with_end(GOOD, here=1, members=1), "2 entries", "more than the 1 entries")
    refused(with_end(GOOD, here=3, members=3), "entry 3 of 3", "is missing")
    entry = end_of(GOOD) - GOOD.rindex(b"PK\x01\x02")
    size = END.unpack_from(GOOD, end_of(GOOD))[5]
    for fields in ({}, {"offset": GOOD.rindex(b"PK\x01\x02")}):  # the second entry, or its place
        refused(with_end(GOOD, here=1, members=1, size=entry, **fields), "begins at 0")
    # The first entry alone: its directory does not end where its end record begins.
    refused(with_end(GOOD, here=1, members=1, size=size - entry))


def test_a_member_that_the_directory_does_not_name_is_found():
    last = Entry("c.csv", b"id\n9\n")
    whole = archive([A, B, last])
    heads = [place for place in range(len(whole)) if whole.startswith(b"PK\x01\x02", place)]
    for number in range(3):
        start, end = heads[number], [*heads, end_of(whole)][number + 1]
        less = whole[:start] + whole[end:]
        size = END.unpack_from(whole, end_of(whole))[5] - (end - start)
        refused(with_end(less, here=2, members=2, size=size))


def test_two_end_records_that_disagree_are_refused():
    body = archive([A, B], zip64=True)
    for fields in ({"members": 1, "here": 1}, {"size": 51}, {"offset": 3}):
        refused(with_end(body, **fields), "disagree", str(next(iter(fields.values()))))
    whole = END.unpack_from(GOOD, end_of(GOOD))
    agreeing = with_end(body, here=2, members=2, size=whole[5], offset=whole[6])
    assert read(agreeing) == read(GOOD)


def test_a_zip64_record_must_lie_where_its_locator_says():
    body = archive([A], zip64=True)
    place = body.index(b"PK\x06\x07") + 8
    (offset,) = struct.unpack_from("<Q", body, place)
    moved = body[:place] + struct.pack("<Q", offset + 1) + body[place + 8 :]
    refused(moved, f"not at {offset + 1}")


@pytest.mark.parametrize("comment", [GOOD, archive([]), GOOD[:200]], ids=["one", "empty", "part"])
def test_an_archive_in_the_comment_is_refused(comment):
    refused(archive([A], comment=comment))


def test_a_self_extractor_is_read_and_looked_through_once():
    stub = b"MZ" + b"PK\x03\x04 and PK\x01\x02 and PK\x05\x06 are what this program looks for " * 9
    for shift in (0, len(stub)):
        source = Ranges(archive([A, B], before=stub, shift=shift))
        members = read_directory(source, LIMITS, where=WHERE)
        assert [member.name for member in members] == ["a.csv", "b.csv"]
    assert read(archive([A, B], before=stub)) == read(GOOD)
    hidden = stub + archive([B])[:60]
    refused(archive([A], before=hidden), f"begins at {len(stub)}, before its first member")


def test_a_stub_is_read_in_pieces_and_bounded():
    stub = bytes(3 * zip_joints.STUB_PIECE_BYTES + 5)
    at_border = bytearray(stub)
    at_border[(1 << 20) - 10 : (1 << 20) + 50] = archive([B])[:60]

    class Watched(Ranges):
        largest = 0

        def read(self, start, end):
            self.largest = max(self.largest, end - start)
            return super().read(start, end)

    source = Watched(archive([A], before=stub))
    assert len(read_directory(source, LIMITS, where=WHERE)) == 1
    assert source.largest <= zip_joints.STUB_PIECE_BYTES
    assert source.reads <= 5
    refused(archive([A], before=bytes(at_border)), f"begins at {(1 << 20) - 10}")
    too_much = Watched(archive([A], before=bytes(zip_joints.STUB_BYTES + 1)))
    with pytest.raises(NotAZipError, match="more than a self-extractor has"):
        read_directory(too_much, LIMITS, where=WHERE)
    assert too_much.reads == 1


def test_an_archive_without_a_stub_costs_one_read():
    source = Ranges(GOOD)
    read_directory(source, LIMITS, where=WHERE)
    assert (source.reads, source.streams) == (1, 0)


# --- any damage ---


def by_zipfile(body):
    """What zipfile reads of all members, or None."""
    try:
        with zipfile.ZipFile(io.BytesIO(body)) as found:
            return [(info.filename, found.read(info)) for info in found.infolist()]
    except (zipfile.BadZipFile, ValueError, NotImplementedError, EOFError, OSError, zlib.error,
            RuntimeError, struct.error, OverflowError):  # fmt: skip
        return None


WHOLE = {
    kind: (by_zipfile(body), body)
    for kind, body in {
        "plain": archive([A, B]),
        "zip64": archive([A, B], zip64=True),
        "commented": archive([A, B], comment=b"by hand", after=b"\0" * 9),
        "described": archive([Entry("a.csv", ROWS, descriptor=True), B]),
        "within": archive([Entry("in.zip", archive([A, B]), STORED), Entry("c.csv", ROWS)]),
    }.items()
}
EDGES = [0, 1, 2, 3, 0xFF, 0xFFFF, 0x10000, 0x7FFFFFFF, 0xFFFFFFFE, 0xFFFFFFFF]
# Counts, sizes and offsets: where they stand behind the signature, and how long they are.
NUMBERS = {
    b"PK\x01\x02": [(20, 4), (24, 4), (28, 2), (30, 2), (32, 2), (34, 2), (42, 4)],
    b"PK\x05\x06": [(4, 2), (6, 2), (8, 2), (10, 2), (12, 4), (16, 4), (20, 2)],
    b"PK\x06\x06": [(4, 8), (16, 4), (20, 4), (24, 8), (32, 8), (40, 8), (48, 8)],
    b"PK\x06\x07": [(4, 4), (8, 8), (16, 4)],
}


def whole_or_refused(body, content):
    """All members of the archive that it was made from, or an error."""
    try:
        found = read(body)
    except RwtError as error:
        assert str(error)  # noqa: PT017 - the error may come, or not
        return
    assert found == by_zipfile(body) == content


@given(st.sampled_from(sorted(WHOLE)), st.data())
def test_a_cut_archive_is_refused(kind, data):
    content, body = WHOLE[kind]
    length = data.draw(st.integers(0, len(body)))
    whole_or_refused(body[:length], content)
    whole_or_refused(body[length:], content)


@given(st.sampled_from(sorted(WHOLE)), st.sampled_from(sorted(WHOLE)), st.integers(0, 40))
def test_archives_after_one_another_are_refused(one, two, between):
    for second in (WHOLE[two][1], archive([B], shift=len(WHOLE[one][1]) + between)):
        with pytest.raises(RwtError):
            read(WHOLE[one][1] + bytes(between) + second)


@given(st.sampled_from(sorted(WHOLE)), st.data())
def test_a_number_that_was_changed_gives_all_members_or_none(kind, data):
    content, body = WHOLE[kind]
    places = [
        (place + at, size)
        for signature, numbers in NUMBERS.items()
        for place in range(len(body))
        if body.startswith(signature, place)
        for at, size in numbers
    ]
    place, size = data.draw(st.sampled_from(places))
    old = int.from_bytes(body[place : place + size], "little")
    near = st.integers(-70, 70).map(lambda step: old + step)
    new = data.draw(near | st.sampled_from(EDGES) | st.integers(0, len(body))) % 256**size
    whole_or_refused(body[:place] + new.to_bytes(size, "little") + body[place + size :], content)


@given(st.binary(max_size=200))
def test_bytes_by_chance_are_no_structure(data):
    assert find_structure(data) is None


# --- archives of macOS, which has no Zip64 ---


@pytest.mark.extended
def test_a_count_of_more_than_65535_entries_may_have_begun_again():
    entries = [Entry(f"{number}", b"", STORED) for number in range(65_539)]
    body = archive(entries, count=65_539 % 65_536)
    limits = Limits(members=100_000)
    assert len(read_directory(Ranges(body), limits, where=WHERE)) == 65_539
    with pytest.raises(LimitError, match=r"limits\.members"):
        read_directory(Ranges(body), Limits(members=65_538), where=WHERE)
    with pytest.raises(NotAZipError, match="65539 entries"):
        read_directory(Ranges(with_end(body, here=4, members=4)), limits, where=WHERE)


@pytest.fixture
def wrap(monkeypatch):
    """Sizes and offsets begin again after 64 KiB, not 4 GiB."""
    monkeypatch.setattr(zip_joints, "SIZES_WRAP_AT", 1 << 16)
    return 1 << 16


def like_macos(contents, wrap, method=DEFLATE):
    """An archive as Finder writes it, with every number modulo the wrap."""
    entries, offset = [], 0
    for name, content in contents.items():
        entry = Entry(name, content, method, descriptor=True, size=len(content) % wrap)
        body = entry.made()[0]
        packed = len(body) - 30 - len(name) - 16
        entry.compressed_size, entry.offset = packed % wrap, offset % wrap
        entries.append(entry)
        offset += len(body)
    body = archive(entries)
    assert offset == END.unpack_from(body, end_of(body))[6]
    return with_end(body, offset=offset % wrap)


def noise(size, seed):
    return Random(seed).randbytes(size)  # noqa: S311 - no secret


def test_what_a_member_unpacks_to_is_measured_where_its_size_was_cut(wrap):
    rows = b"".join(b"%d,%d\n" % (number, number * number) for number in range(20_000))
    assert len(rows) > 3 * wrap
    body = like_macos({"a.csv": rows, "b.csv": b"id\n1\n"}, wrap)
    assert read(body) == [("a.csv", rows), ("b.csv", b"id\n1\n")]
    (member, _) = read_directory(Ranges(body), LIMITS, where=WHERE)
    with pytest.raises(RwtError, match="or more, the directory says"):
        b"".join(read_member(Ranges(body), member, Limits(member_bytes=wrap), where=WHERE))
    flipped = bytearray(body)
    flipped[body.index(b"PK\x01\x02") + 16] ^= 1  # the checksum decides
    with pytest.raises(RwtError, match="CRC-32"):
        read(bytes(flipped))


def test_the_account_has_the_size_that_was_measured(wrap):
    rows = b"id,square\n" + b"".join(b"%d,%d\n" % (n, n * n) for n in range(9_000))
    store = InMemoryObjects()
    store.put("incoming", "a.zip", like_macos({"a.csv": rows}, wrap))
    revision = ArchiveRevision("incoming", "a.zip", store.etag("incoming", "a.zip"), 0)
    (report,) = unpack_archive(store, FEED, revision).members
    assert (report.bytes, report.rows_read) == (len(rows), 9_000)
    assert len(rows) > wrap


@pytest.mark.parametrize("method", [DEFLATE, STORED])
@pytest.mark.parametrize(
    "sizes",
    [
        [70_000, 10],
        [10, 200_000, 10],
        [40_000] * 9,
        [10, 140_000, 10, 10, 300_000, 65_536, 10, 66_000],
        [10] * 30 + [131_072] + [10] * 30,
    ],
    ids=str,
)
def test_offsets_and_sizes_that_began_again_are_found(wrap, sizes, method):
    contents = {f"{number}.csv": noise(size, number) for number, size in enumerate(sizes)}
    body = like_macos(contents, wrap, method)
    source = Ranges(body, 10_000)
    limits = Limits(ratio=10_000)
    members = read_directory(source, limits, where=WHERE)
    assert source.reads <= 40
    for member in members:
        content = b"".join(read_member(source, member, limits, where=WHERE))
        assert content == contents[member.name]


def test_sizes_that_zip64_would_have_are_not_taken_modulo(wrap):
    rows = bytes(wrap + 5)
    with pytest.raises(RwtError, match="the directory says 5"):
        read(archive([Entry("a.csv", rows, size=5)]))  # its writer did not stream it
