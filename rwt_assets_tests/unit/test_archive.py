import io
import zipfile

import pytest
from hypothesis import given
from hypothesis import strategies as st

from rwt_assets.archive.archive import CHUNK_BYTES, TAIL_BYTES, read_directory, read_member
from rwt_assets.feed.feed import Limits
from rwt_assets.runtime.errors import (
    LimitError,
    MemberCorruptError,
    MemberError,
    MemberPasswordError,
    NotAZipError,
)
from rwt_assets_tests.archives import make_zip
from rwt_assets_tests.odd_archives import Ranges

LIMITS = Limits()
WHERE = "s3://b/a.zip"


def unpack(source, limits=LIMITS):
    members = read_directory(source, limits, where=WHERE)
    return {
        m.name: b"".join(read_member(source, m, limits, where=WHERE))
        for m in members
        if not m.ignored
    }


@given(
    st.dictionaries(st.text("ab/.ü", min_size=1).filter(lambda n: n[-1] != "/"), st.binary()),
    st.sampled_from([zipfile.ZIP_STORED, zipfile.ZIP_DEFLATED, zipfile.ZIP_BZIP2]),
    st.integers(1, 100),
)
def test_members_come_back_as_they_were(members, method, chunk):
    assert unpack(Ranges(make_zip(members, method), chunk)) == members


def test_the_directory_is_one_read_and_each_member_one_stream():
    source = Ranges(make_zip({"a.txt": "a" * 100_000, "b.txt": "b"}))
    unpack(source)
    assert (source.reads, source.streams) == (1, 2)


def test_a_directory_larger_than_the_tail_is_two_reads():
    source = Ranges(make_zip({f"{'n' * 90}{n}.txt": "" for n in range(1000)}, zipfile.ZIP_STORED))
    assert source.size > TAIL_BYTES
    assert len(read_directory(source, LIMITS, where=WHERE)) == 1000
    assert source.reads == 2


def test_content_is_yielded_in_bounded_chunks():
    source = Ranges(make_zip({"a.txt": b"0" * (50 << 20)}))
    (member,) = read_directory(source, Limits(ratio=10_000), where=WHERE)
    chunks = read_member(source, member, Limits(ratio=10_000), where=WHERE)
    assert max(map(len, chunks)) <= 64 * CHUNK_BYTES + (1 << 20)


@pytest.mark.parametrize("body", [b"", b"PK", b"no zip at all", b"PK\x05\x06" + b"\0" * 17])
def test_what_is_no_zip_is_refused(body):
    with pytest.raises(NotAZipError, match="no readable ZIP archive") as caught:
        read_directory(Ranges(body), LIMITS, where=WHERE)
    assert WHERE in str(caught.value)


@given(st.binary(max_size=300))
def test_no_bytes_are_a_surprise(body):
    with pytest.raises(NotAZipError):
        read_directory(Ranges(b"x" + body.replace(b"PK", b"..")), LIMITS, where=WHERE)


@given(st.data())
def test_damage_is_found_or_harmless(data):
    members = {"a.txt": b"stop,time\n" * 50, "b.txt": bytes(range(256))}
    body = bytearray(make_zip(members))
    place = data.draw(st.integers(0, len(body) - 1))
    body[place] ^= data.draw(st.integers(1, 255))
    try:
        found = unpack(Ranges(bytes(body)))
    except (NotAZipError, MemberError, LimitError):
        return
    assert set(found.values()) <= set(members.values())


def test_a_truncated_archive_is_no_zip():
    body = make_zip({"a.txt": b"1" * 1000})
    with pytest.raises(NotAZipError):
        read_directory(Ranges(body[:-30]), LIMITS, where=WHERE)


def test_encryption_is_named():
    body = bytearray(make_zip({"a.txt": b"secret"}))
    for signature, offset in ((b"PK\x03\x04", 6), (b"PK\x01\x02", 8)):
        body[body.index(signature) + offset] |= 1
    source = Ranges(bytes(body))
    (member,) = read_directory(source, LIMITS, where=WHERE)
    with pytest.raises(MemberPasswordError, match=r"source\.password_variable"):
        next(read_member(source, member, LIMITS, where=WHERE))


@pytest.mark.parametrize(
    ("limits", "says"),
    [
        (Limits(members=1), "limits.members"),
        (Limits(archive_bytes=10), "limits.archive_bytes"),
        (Limits(member_bytes=10), "limits.member_bytes"),
        (Limits(ratio=1), "limits.ratio"),
    ],
)
def test_limits_hold_before_bytes_are_yielded(limits, says):
    source = Ranges(make_zip({"a.txt": b"0" * (2 << 20), "b.txt": b"1"}))
    with pytest.raises(LimitError, match=says):
        unpack(source, limits)
    assert source.streams == 0


def both_sizes(size):
    """An archive of two members that come to `size` bytes, the first of one byte less."""
    return Ranges(make_zip({"a.txt": b"0" * (size - 1), "b.txt": b"1"}))


def test_bytes_up_to_the_limit_of_the_archive_are_taken_and_one_more_is_not():
    assert len(unpack(both_sizes(1000), Limits(archive_bytes=1000))) == 2
    with pytest.raises(LimitError, match=r"1001 bytes unpacked.*limits\.archive_bytes"):
        unpack(both_sizes(1001), Limits(archive_bytes=1000))


def test_bytes_up_to_the_limit_of_a_member_are_taken_and_one_more_is_not():
    assert len(unpack(both_sizes(1001), Limits(member_bytes=1000))) == 2
    with pytest.raises(LimitError, match=r"limits\.member_bytes"):
        unpack(both_sizes(1002), Limits(member_bytes=1000))


def test_as_many_members_as_the_limit_are_taken_and_one_more_is_not():
    assert len(unpack(both_sizes(10), Limits(members=2))) == 2
    with pytest.raises(LimitError, match=r"limits\.members"):
        unpack(both_sizes(10), Limits(members=1))


def test_a_member_that_is_longer_than_it_says_is_cut_off():
    body = bytearray(make_zip({"a.txt": b"0" * 5000}))
    offset = body.index(b"PK\x01\x02") + 24
    body[offset : offset + 4] = (100).to_bytes(4, "little")
    source = Ranges(bytes(body))
    (member,) = read_directory(source, LIMITS, where=WHERE)
    with pytest.raises(MemberCorruptError, match="the directory says 100"):
        b"".join(read_member(source, member, LIMITS, where=WHERE))


def test_overlapping_members_are_refused():
    body = bytearray(make_zip({"a.txt": bytes(range(256)) * 8, "b.txt": b"b"}, zipfile.ZIP_STORED))
    second = body.rindex(b"PK\x01\x02")
    body[second + 42 : second + 46] = (100).to_bytes(4, "little")
    with pytest.raises(NotAZipError, match="runs into"):
        read_directory(Ranges(bytes(body)), LIMITS, where=WHERE)


def test_folders_are_no_members():
    body = io.BytesIO()
    with zipfile.ZipFile(body, "w") as archive:
        archive.writestr("folder/", b"")
        archive.writestr("folder/a.txt", b"a")
    assert unpack(Ranges(body.getvalue())) == {"folder/a.txt": b"a"}


def test_a_lost_connection_is_not_taken_for_damage():
    class Broken(Ranges):
        def stream(self, start, end):
            yield self.body[start : start + 40]
            raise ConnectionResetError("the other side went away")

    source = Broken(make_zip({"a.txt": b"1" * 1000}))
    (member,) = read_directory(source, LIMITS, where=WHERE)
    with pytest.raises(ConnectionResetError):
        b"".join(read_member(source, member, LIMITS, where=WHERE))
