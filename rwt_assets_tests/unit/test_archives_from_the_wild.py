"""Archives that other projects keep for their tests, and what becomes of each here.

They lie outside the repository (`../shared/data`, of yauzl, Apache Commons Compress, zip-rs
and others); without them these tests are skipped, and `test_odd_archives.py` has the same
kinds, made byte by byte.
"""

import zipfile
import zlib
from contextlib import suppress
from pathlib import Path
from typing import NamedTuple

import pytest
from pydantic import SecretStr

from rwt_assets.archive.archive import read_directory, read_member
from rwt_assets.feed.feed import Limits
from rwt_assets.runtime.errors import (
    LimitError,
    MemberCorruptError,
    MemberPasswordError,
    MemberUnsupportedError,
    NotAZipError,
    RwtError,
)
from rwt_assets_tests.odd_archives import Ranges

SAMPLES = Path(__file__).parents[3] / "shared" / "data"
FOLDERS = ["archives", "zip"]
LIMITS = Limits()


class Refused(NamedTuple):
    """The whole archive is refused."""

    error: type[RwtError]
    says: str


class Read(NamedTuple):
    """So many members come back whole, are ignored, or are bad for a reason."""

    whole: int
    ignored: int = 0
    opened_by: str | None = None
    bad: tuple[int, type[RwtError], str] | None = None


OUTCOMES = {
    "archives/cairns_gtfs.zip": Read(8),
    "archives/flights.csv.zip": Read(1),
    "archives/sample_gtfs.zip": Read(13),
    "zip/commons-compress/COMPRESS-189.zip": Read(1),
    "zip/commons-compress/COMPRESS-211_uid_gid_zip_test.zip": Read(12, ignored=1),
    "zip/commons-compress/COMPRESS-214_unix_symlinks.zip": Read(
        2, ignored=10, bad=(9, MemberUnsupportedError, "symbolic link")
    ),
    "zip/commons-compress/COMPRESS-219.zip": Read(4, ignored=1),
    "zip/commons-compress/COMPRESS-227.zip": Read(1, ignored=1),
    "zip/commons-compress/COMPRESS-228.zip": Read(23),
    "zip/commons-compress/COMPRESS-264.zip": Read(1),
    "zip/commons-compress/COMPRESS-351.zip": Refused(NotAZipError, "end of a central directory"),
    "zip/commons-compress/COMPRESS-380-dd.zip": Read(5),
    "zip/commons-compress/COMPRESS-380-readbeyondmemory.zip": Read(1),
    "zip/commons-compress/COMPRESS-380.zip": Read(1),
    "zip/commons-compress/COMPRESS-479.zip": Read(3),
    "zip/commons-compress/COMPRESS-546.zip": Refused(NotAZipError, "end of a central directory"),
    "zip/commons-compress/COMPRESS-621.zip": Read(1),
    "zip/commons-compress/SHRUNK.ZIP": Read(0, bad=(2, MemberUnsupportedError, "Shrink")),
    "zip/commons-compress/archive_with_bytes_after_data.zip": Read(2),
    "zip/commons-compress/bla-stored-dd-contradicts-actualsize.zip": Read(
        1, bad=(1, MemberCorruptError, "no local header")
    ),
    "zip/commons-compress/bla-stored-dd-nosig.zip": Read(
        1, bad=(1, MemberCorruptError, "no local header")
    ),
    "zip/commons-compress/bla-stored-dd.zip": Read(
        1, bad=(1, MemberCorruptError, "no local header")
    ),
    "zip/commons-compress/bla-stored.zip": Read(2),
    "zip/commons-compress/bzip2-zip.zip": Read(1),
    "zip/commons-compress/compress-692.zip": Read(5, ignored=1),
    "zip/commons-compress/imploding-4Kdict-2trees.zip": Read(
        0, bad=(1, MemberUnsupportedError, "Implode")
    ),
    "zip/commons-compress/imploding-8Kdict-3trees.zip": Read(
        0, bad=(1, MemberUnsupportedError, "Implode")
    ),
    "zip/commons-compress/invalid-zip.zip": Refused(NotAZipError, "end of a central directory"),
    "zip/commons-compress/lorem-ipsum-deflate64.zip": Read(1),
    "zip/commons-compress/lorem-ipsum-implode.zip": Read(
        0, bad=(1, MemberUnsupportedError, "Implode")
    ),
    "zip/commons-compress/minotaur-z.zip": Read(8, ignored=11),
    "zip/commons-compress/minotaur.zip": Read(8, ignored=11),
    "zip/commons-compress/mixed.zip": Read(2),
    "zip/commons-compress/ordertest.zip": Read(23),
    "zip/commons-compress/password-encrypted.zip": Read(
        0, ignored=3, bad=(10, MemberPasswordError, "no password")
    ),
    "zip/commons-compress/split_zip_created_by_zip.zip": Refused(
        NotAZipError, "split over several"
    ),
    "zip/commons-compress/split_zip_created_by_zip_zip64.zip": Refused(
        NotAZipError, "split over several"
    ),
    "zip/commons-compress/test.zip": Refused(NotAZipError, "end of a central directory"),
    "zip/commons-compress/utf8-7zip-test.zip": Read(3),
    "zip/commons-compress/utf8-winzip-test.zip": Read(3),
    "zip/yauzl/End of central directory record signature not found Either not a zip file or file is truncated.zip": Refused(  # noqa: E501
        NotAZipError, "end of a central directory"
    ),
    "zip/yauzl/End of central directory record signature not found Either not a zip file or file is truncated_1.zip": Refused(  # noqa: E501
        NotAZipError, "end of a central directory"
    ),
    "zip/yauzl/NtfsTimestamp.zip": Read(1),
    "zip/yauzl/absolute path C xt.zip": Read(1, bad=(1, MemberCorruptError, "another name")),
    "zip/yauzl/big-compression.zip": Read(1),
    "zip/yauzl/big-uncompressed.zip": Read(1),
    "zip/yauzl/bogus-compression-method.zip": Read(0, bad=(1, MemberUnsupportedError, "Tokenize")),
    "zip/yauzl/compressed uncompressed size mismatch for stored file 2147483647 5.zip": Read(
        1, bad=(1, MemberCorruptError, "outside the archive")
    ),
    "zip/yauzl/cygwin-info-zip.zip": Read(2),
    "zip/yauzl/deflate.zip": Read(1),
    "zip/yauzl/extra field length exceeds extra field buffer size.zip": Read(
        1, bad=(1, MemberCorruptError, "extra field 0x7875")
    ),
    "zip/yauzl/file data overflows file bounds 63 2147483647 308.zip": Read(
        1, bad=(1, MemberCorruptError, "outside the archive")
    ),
    "zip/yauzl/invalid characters in fileName a txt.zip": Read(
        1, bad=(1, MemberCorruptError, "another name")
    ),
    "zip/yauzl/invalid zip64 end of central directory record signature.zip": Refused(
        NotAZipError, "Zip64 end"
    ),
    "zip/yauzl/multi-disk zip files are not supported found disk number 1.zip": Refused(
        NotAZipError, "split over several"
    ),
    "zip/yauzl/not enough bytes in the stream expected 2048576 got only 1000000.zip": Read(
        0, bad=(1, LimitError, "limits.ratio")
    ),
    "zip/yauzl/sloppy-filenames.zip": Read(1, bad=(1, MemberCorruptError, "another name")),
    "zip/yauzl/strong encryption is not supported.zip": Read(
        0, bad=(1, MemberUnsupportedError, "strong encryption")
    ),
    "zip/yauzl/too many length or distance symbols.zip": Read(
        0, bad=(1, MemberCorruptError, "damaged")
    ),
    "zip/yauzl/traditional-encryption-and-compression.zip": Read(1, opened_by="a"),
    "zip/yauzl/traditional-encryption-and-compression_deprecated.zip": Read(
        0, bad=(1, MemberPasswordError, "no password")
    ),
    "zip/yauzl/traditional-encryption.zip": Read(1, opened_by="a"),
    "zip/yauzl/traditional-encryption_deprecated.zip": Read(
        0, bad=(1, MemberPasswordError, "no password")
    ),
    "zip/yauzl/unexpected EOF.zip": Read(0, bad=(1, MemberCorruptError, "Zip64 field lacks")),
    "zip/yauzl/unicode-path-extra-field.zip": Read(
        0, bad=(1, MemberUnsupportedError, "control characters")
    ),
    "zip/yauzl/unicode.zip": Read(2, ignored=3),
    "zip/yauzl/unix-epoch.zip": Read(1),
    "zip/yauzl/unsupported compression method 1.zip": Read(
        1, bad=(1, MemberUnsupportedError, "Shrink")
    ),
    "zip/yauzl/zip64 extended information extra field does not include relative header offset.zip": Read(  # noqa: E501
        0, bad=(1, MemberCorruptError, "Zip64 field lacks")
    ),
    "zip/yauzl/zip64 extended information extra field does not include uncompressed size.zip": Read(
        0, bad=(1, MemberCorruptError, "Zip64 field lacks")
    ),
    "zip/zip2/aes_archive.zip": Read(4, opened_by="helloworld"),
    "zip/zip2/data_descriptor.zip": Read(1),
    "zip/zip2/ignore_encryption_flag.zip": Read(0, bad=(1, MemberPasswordError, "no password")),
    "zip/zip2/implode.zip": Read(0, bad=(1, MemberUnsupportedError, "Implode")),
    "zip/zip2/linux-7z.zip": Read(1),
    "zip/zip2/non_utf8.zip": Read(2),
    "zip/zip2/ntfs.zip": Read(2),
    "zip/zip2/ppmd.zip": Read(0, bad=(1, MemberUnsupportedError, "PPMd")),
    "zip/zip2/reduce.zip": Read(0, bad=(1, MemberUnsupportedError, "Reduce")),
    "zip/zip2/symlink.zip": Read(0, bad=(1, MemberUnsupportedError, "symbolic link")),
    "zip/zip2/windows-7zip.zip": Read(1),
    "zip/zip2/zip64_demo.zip": Read(1),
    "zip/zip2/zip64_magic_in_filename_2.zip": Read(
        0, bad=(1, MemberUnsupportedError, "control characters")
    ),
    "zip/zip2/zip64_magic_in_filename_5.zip": Read(
        0, bad=(6, MemberUnsupportedError, "control characters|no name")
    ),
}


def present():
    if not SAMPLES.is_dir():
        why = f"the sample archives are not there ({SAMPLES})"
        return [pytest.param(None, marks=pytest.mark.skip(reason=why))]
    files = [path for folder in FOLDERS for path in (SAMPLES / folder).rglob("*") if path.is_file()]
    return [pytest.param(path, id=path.relative_to(SAMPLES).as_posix()) for path in sorted(files)]


def test_the_table_has_every_file():
    found = {case.id for case in present() if case.id}
    if not found:
        pytest.skip(f"the sample archives are not there ({SAMPLES})")
    assert found == set(OUTCOMES)


@pytest.mark.parametrize("path", present())
def test_it_becomes_what_the_table_says(path):
    expected = OUTCOMES[path.relative_to(SAMPLES).as_posix()]
    source = Ranges(path.read_bytes(), 4000)
    if isinstance(expected, Refused):
        with pytest.raises(expected.error, match=expected.says):
            read_directory(source, LIMITS, where="here")
        return
    members = read_directory(source, LIMITS, where="here")
    password = SecretStr(expected.opened_by) if expected.opened_by else None
    whole, bad = {}, []
    for number, member in enumerate(members):
        if member.ignored:
            continue
        try:
            chunks = list(read_member(source, member, LIMITS, where="here", password=password))
        except RwtError as error:
            bad.append(error)
        else:
            whole[number] = b"".join(chunks)
    assert (len(whole), sum(bool(member.ignored) for member in members)) == expected[:2]
    count, error, says = expected.bad or (0, RwtError, "")
    assert len(bad) == count
    for one in bad:
        assert type(one) is error
        assert any(words in str(one) for words in says.split("|"))
    agree_with_zipfile(path, whole, password)


def agree_with_zipfile(path, whole, password):
    """Whatever zipfile can read and we have read are the same bytes."""
    with suppress(zipfile.BadZipFile), zipfile.ZipFile(path) as archive:
        infos = archive.infolist()
        for number, content in whole.items():
            secret = password.get_secret_value().encode() if password else None
            with suppress(NotImplementedError, RuntimeError, zipfile.BadZipFile, zlib.error):
                assert archive.read(infos[number], secret) == content
