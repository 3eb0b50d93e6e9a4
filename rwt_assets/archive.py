"""Reading ZIP archives where they lie, by two kinds of request.

What belongs here: the central directory, by one read from the end, and the bytes of a
member, by one streamed read. What does not: what is in a member (`splitting.py`). Rule:
PKWARE APPNOTE.TXT, ".ZIP File Format Specification", sections 4.3 (layout), 4.4 (fields).

The directory is parsed by the standard library over a view of the archive's tail. Members
are inflated here, by ISA-L, which is several times faster than zlib.
"""

import bz2
import io
import struct
import zipfile
import zlib
from collections.abc import Iterator
from dataclasses import dataclass
from itertools import pairwise
from typing import Any, Final, Protocol, cast

from isal import isal_zlib

from rwt_assets.errors import LimitError, MemberCorruptError, MemberUnsupportedError, NotAZipError
from rwt_assets.feed import Limits

TAIL_BYTES: Final = 64 << 10
CHUNK_BYTES: Final = 1 << 20
LOCAL_HEADER: Final = struct.Struct("<4s5H3I2H")
LOCAL_SIGNATURE: Final = b"PK\x03\x04"
ENCRYPTED: Final = 0x1
INPUT_BYTES: Final = 64 << 10
RATIO_BYTES: Final = 1 << 20  # smaller members may have any ratio
RAW_DEFLATE: Final = -15
DAMAGED: Final = (zlib.error, cast("type[Exception]", isal_zlib.error), EOFError)


class ByteRanges(Protocol):
    """An object on a store, or bytes in a test."""

    @property
    def size(self) -> int:
        """Bytes of the whole object."""
        ...

    def read(self, start: int, end: int) -> bytes:
        """Bytes `[start, end)`."""
        ...

    def stream(self, start: int, end: int) -> Iterator[bytes]:
        """Bytes `[start, end)` in chunks, by one request."""
        ...


@dataclass(frozen=True, slots=True)
class Member:
    """One file of an archive, as the central directory has it.

    `end` is where the next structure of the archive begins: it bounds the one request by which
    the member is read, since the length of its local header is not in the directory.
    """

    name: str
    method: int
    flags: int
    crc32: int
    compressed_bytes: int
    uncompressed_bytes: int
    header_offset: int
    end: int


def read_directory(source: ByteRanges, limits: Limits, *, where: str) -> tuple[Member, ...]:
    """Read the central directory.

    Args:
        source: the archive.
        limits: on the number of members and the bytes of all.
        where: named in errors.

    Returns:
        The files of the archive, without folders, in the order of the directory.

    Raises:
        NotAZipError: no end of a central directory, or a damaged directory.
        LimitError: too many members, or too many bytes.
    """
    tail = _Tail(source)
    try:
        with zipfile.ZipFile(tail) as opened:
            start = opened.start_dir
            infos = opened.infolist()
    except (zipfile.BadZipFile, ValueError, struct.error, NotImplementedError, OSError) as error:
        raise NotAZipError(
            f"the object is no readable ZIP archive: {error}",
            where=f"{where}, {source.size} bytes",
            fate="Nothing of it was processed.",
            remedy="Ask the sender for a whole archive and upload it under the same key.",
        ) from error
    _hold_limits(infos, limits, where)
    offsets = sorted({info.header_offset for info in infos} | {start})
    following = dict(pairwise(offsets))
    members = tuple(
        Member(
            name=info.filename,
            method=info.compress_type,
            flags=info.flag_bits,
            crc32=info.CRC,
            compressed_bytes=info.compress_size,
            uncompressed_bytes=info.file_size,
            header_offset=info.header_offset,
            end=following.get(info.header_offset, start),
        )
        for info in infos
        if not info.is_dir()
    )
    _refuse_overlaps(members, where)
    return members


def read_member(
    source: ByteRanges, member: Member, limits: Limits, *, where: str
) -> Iterator[bytes]:
    """The content of a member, inflated, in chunks.

    The checksum and the length are compared at the end: what was yielded before is of no use
    if this raises.

    Args:
        source: the archive.
        member: which member.
        limits: on the member's bytes and their ratio to the compressed bytes.
        where: named in errors.

    Yields:
        Chunks of about a MiB.

    Raises:
        MemberUnsupportedError: encrypted, or a compression that is not read here.
        MemberCorruptError: truncated, or checksum or length disagree with the directory.
        LimitError: more bytes than the feed allows.
    """
    _hold_member_limits(member, limits, where)
    inflate = _decompressor(member, where)
    crc = size = 0
    try:
        for chunk in _inflated(_compressed(source, member, where), inflate, member):
            crc = isal_zlib.crc32(chunk, crc)
            size += len(chunk)
            if size > member.uncompressed_bytes:
                break
            yield chunk
    except DAMAGED as error:
        raise _corrupt(member, where, f"its compressed bytes are damaged: {error}") from error
    if size != member.uncompressed_bytes:
        raise _corrupt(
            member,
            where,
            f"it has {size} bytes or more, the directory says {member.uncompressed_bytes}",
        )
    if crc != member.crc32:
        raise _corrupt(
            member, where, f"its CRC-32 is {crc:08x}, the directory says {member.crc32:08x}"
        )


class _Tail(io.RawIOBase):
    """A seekable view of an archive that has its last bytes in memory.

    zipfile reads the end, then the directory just before it: one request for both, and one
    more only where the directory is larger than the tail.
    """

    def __init__(self, source: ByteRanges) -> None:
        self._source = source
        self._start = max(0, source.size - TAIL_BYTES)
        self._bytes = source.read(self._start, source.size) if source.size else b""
        self._position = 0

    def seekable(self) -> bool:
        return True

    def readable(self) -> bool:
        return True

    def tell(self) -> int:
        return self._position

    def seek(self, offset: int, whence: int = io.SEEK_SET) -> int:
        base = {io.SEEK_SET: 0, io.SEEK_CUR: self._position, io.SEEK_END: self._source.size}
        self._position = base[whence] + offset
        if self._position < 0:
            raise OSError("an offset before the archive's beginning")  # as a file would
        return self._position

    def read(self, size: int = -1) -> bytes:
        end = self._source.size if size < 0 else min(self._source.size, self._position + size)
        if end <= self._position:
            return b""
        if self._position < self._start:
            self._bytes = self._source.read(self._position, self._start) + self._bytes
            self._start = self._position
        data = self._bytes[self._position - self._start : end - self._start]
        self._position += len(data)
        return data


def _compressed(source: ByteRanges, member: Member, where: str) -> Iterator[bytes]:
    """The member's compressed bytes: one request, of which the local header is cut off."""
    held = b""
    skip = None
    left = member.compressed_bytes
    for chunk in source.stream(member.header_offset, member.end):
        data = chunk
        if skip is None:
            held += chunk
            if len(held) < LOCAL_HEADER.size:
                continue
            signature, *_, name_length, extra_length = LOCAL_HEADER.unpack_from(held)
            if signature != LOCAL_SIGNATURE:
                raise _corrupt(member, where, "there is no local header where it should begin")
            skip = LOCAL_HEADER.size + name_length + extra_length
            data = held
        if skip:
            cut = min(skip, len(data))
            skip -= cut
            data = data[cut:]
        data = data[:left]
        left -= len(data)
        if data:
            yield data
    if left:
        raise _corrupt(member, where, f"the archive ends {left} bytes before the member does")


def _inflated(compressed: Iterator[bytes], inflate: Any, member: Member) -> Iterator[bytes]:
    if inflate is None:
        yield from compressed
        return
    for data in compressed:
        for start in range(0, len(data), INPUT_BYTES):
            yield from _pieces(inflate, data[start : start + INPUT_BYTES])
    if not inflate.eof and member.uncompressed_bytes:
        raise EOFError("the stream ends too early")


def _pieces(inflate: Any, data: bytes) -> Iterator[bytes]:
    """What a little input inflates to. Deflate gives at most a thousand times its input."""
    if inflate.eof:
        return
    if not isinstance(inflate, bz2.BZ2Decompressor):
        yield inflate.decompress(data)
        return
    try:
        yield inflate.decompress(data, CHUNK_BYTES)
        while not inflate.needs_input and not inflate.eof:
            yield inflate.decompress(b"", CHUNK_BYTES)
    except OSError as error:  # what bz2 calls damaged input; a lost connection is not that
        raise EOFError(str(error)) from error


def _decompressor(member: Member, where: str) -> Any:
    if member.flags & ENCRYPTED:
        raise _unsupported(member, where, "it is encrypted")
    match member.method:
        case zipfile.ZIP_STORED:
            return None
        case zipfile.ZIP_DEFLATED:
            return isal_zlib.decompressobj(RAW_DEFLATE)
        case zipfile.ZIP_BZIP2:
            return bz2.BZ2Decompressor()
    raise _unsupported(member, where, f"its compression method {member.method} is not read here")


def _hold_limits(infos: list[zipfile.ZipInfo], limits: Limits, where: str) -> None:
    if len(infos) > limits.members:
        raise _over("members", limits.members, f"the archive has {len(infos)} members", where)
    total = sum(info.file_size for info in infos)
    if total > limits.archive_bytes:
        raise _over(
            "archive_bytes", limits.archive_bytes, f"the archive unpacks to {total} bytes", where
        )


def _hold_member_limits(member: Member, limits: Limits, where: str) -> None:
    size = member.uncompressed_bytes
    if size > limits.member_bytes:
        raise _over("member_bytes", limits.member_bytes, f"it unpacks to {size} bytes", where)
    if size > RATIO_BYTES and size > limits.ratio * max(member.compressed_bytes, 1):
        raise _over(
            "ratio", limits.ratio, f"{member.compressed_bytes} bytes unpack to {size}", where
        )


def _refuse_overlaps(members: tuple[Member, ...], where: str) -> None:
    """Overlapping members are how a small archive unpacks to a huge one."""
    for member in members:
        if member.header_offset + LOCAL_HEADER.size + member.compressed_bytes > member.end:
            raise NotAZipError(
                f"member {member.name!r} runs into what comes after it",
                where=where,
                fate="Nothing of it was processed.",
                remedy="Ask the sender for an archive made by an ordinary tool.",
            )


def _over(setting: str, limit: int, what: str, where: str) -> LimitError:
    return LimitError(
        f"{what}, the feed's limit is {limit}",
        where=where,
        fate="It was not unpacked.",
        remedy=f"If it is right, raise limits.{setting} of the feed.",
    )


def _corrupt(member: Member, where: str, why: str) -> MemberCorruptError:
    return MemberCorruptError(
        f"member {member.name!r} is corrupt: {why}",
        where=where,
        fate="The whole member was set aside; the others were processed.",
        remedy="Ask the sender for the archive again.",
    )


def _unsupported(member: Member, where: str, why: str) -> MemberUnsupportedError:
    return MemberUnsupportedError(
        f"member {member.name!r} cannot be read: {why}",
        where=where,
        fate="The whole member was set aside; the others were processed.",
        remedy="Ask the sender for deflate without a password.",
    )
