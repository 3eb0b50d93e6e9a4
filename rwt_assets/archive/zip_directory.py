"""The central directory of a ZIP archive: what members it has and where they lie.

What belongs here: parsing the directory, and what it says that cannot be. What does not: where
it lies and what may lie around it (`zip_joints.py`), the members' bytes (`archive.py`). Rule:
PKWARE APPNOTE.TXT, ".ZIP File Format Specification", 4.3.12 and 4.3.13 (directory), 4.4
(fields), 4.5 (extra fields); WinZip, "AES Encryption Information", "Extra data field".

The standard library's zipfile is not used: it refuses the whole archive where one entry is
odd. Here an odd entry is a member with a `defect`, which is told when somebody reads it.
"""

import stat
import struct
from collections import Counter
from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass, replace
from itertools import pairwise
from typing import Final

from rwt_assets.archive.members import Defect, Member
from rwt_assets.archive.zip_budget import Budget
from rwt_assets.archive.zip_joints import (
    ENTRY,
    ENTRY_SIGNATURE,
    LOCAL_HEADER,
    LOCAL_SIGNATURE,
    DamagedError,
    End,
    Tail,
    find_end,
    refuse_before,
)
from rwt_assets.archive.zip_names import (
    OLD_ENCODING,
    UNICODE_PATH,
    DistinctNames,
    decode_name,
    no_data,
    shown,
)
from rwt_assets.archive.zip_wrapped import real_offsets, real_size, room_behind
from rwt_assets.feed import Limits
from rwt_assets.runtime import (
    LimitError,
    MemberCorruptError,
    MemberUnsupportedError,
    NotAZipError,
)
from rwt_assets.storage import ByteRanges
from rwt_assets.text import folded, spelled_apart

ENCRYPTED: Final = 1 << 0
STRONGLY_ENCRYPTED: Final = (1 << 6) | (1 << 13)
PATCHED: Final = 1 << 5
DESCRIBED_BEHIND: Final = 1 << 3
STORED: Final = 0
DEFLATE: Final = 8
AES: Final = 99
UNIX_SYSTEMS: Final = frozenset({3, 19})  # Unix and OS X keep a file's mode (APPNOTE 4.4.2)

_FIELD = struct.Struct("<2H")
_SIGNED_DIRECTORY: Final = b"PK\x05\x05"
_ZIP64_FIELD: Final = 0x0001
_AES_FIELD: Final = 0x9901
_AES = struct.Struct("<H2sBH")
_AES_STRENGTHS: Final = {1: 16, 2: 24, 3: 32}
_AE_2: Final = 2
_IN_ZIP64: Final = 0xFFFF_FFFF
_SHORT: Final = 0xFFFF


@dataclass(frozen=True, slots=True)
class Aes:
    """A member that is encrypted as WinZip does; its `key_bytes` are 16, 24 or 32."""

    key_bytes: int
    checksum: bool


@dataclass(frozen=True, slots=True, kw_only=True)
class ZipMember(Member):
    """One entry of a ZIP archive, as the central directory has it.

    `end` is where the next structure of the archive begins: it bounds the one request by which the
    member is read, since the length of its local header is not in the directory. `beside` are raw
    names of members whose place is not known: their local headers may lie before it. `may_wrap`
    says that `uncompressed_bytes` may lack multiples of 4 GiB.
    """

    method: int
    flags: int
    header_offset: int
    end: int
    raw_name: bytes = b""
    modified_time: int = 0
    aes: Aes | None = None
    beside: frozenset[bytes] = frozenset()
    may_wrap: bool = False

    @property
    def encrypted(self) -> bool:
        """Whether a password is needed."""
        return bool(self.flags & ENCRYPTED)


def read_directory(
    source: ByteRanges,
    limits: Limits,
    *,
    where: str,
    name_encoding: str = OLD_ENCODING,
    budget: Budget | None = None,
) -> tuple[ZipMember, ...]:
    """Read the central directory: one read of the tail, one more for a larger directory.

    Bytes before the archive (a self-extractor, up to 16 MiB) and after it are tolerated, as long
    as no part of another archive is among them; those before it are read once, piece by piece.

    Args:
        source: the archive.
        limits: on names, the number of members and the bytes of all.
        where: named in errors.
        name_encoding: of names that do not say they are UTF-8 and are none.
        budget: what is left of the limits, for an archive within an archive.

    Returns:
        All entries in the order of the directory; folders and the like are `ignored`.

    Raises:
        NotAZipError: no end of a central directory, a damaged directory or one that does not end
            where its end record begins, an end record that counts other entries than there are,
            one part of a split archive, parts of another archive before or behind it, or members
            that overlap.
        LimitError: too many members, or too many bytes.
    """
    budget = budget or Budget(limits, source.size)
    try:
        tail = Tail(source)
        end = find_end(tail)
        budget.hold_members(end.members, end.size, where)
        entries = tuple(_parse(tail.read(end.start, end.start + end.size), end, name_encoding))
        budget.hold_members(len(entries), end.size, where)
        members = _bounded(_with_real_offsets(entries, end, tail), end)
        _refuse_before_first(members, end, tail)
        members = tuple(_without_overlaps(members))
    except DamagedError as damage:
        raise NotAZipError(
            f"the object is no readable ZIP archive: {damage}",
            where=f"{where}, {source.size} bytes",
            effect="Nothing of it was processed.",
            fix="Ask the sender for a whole archive and upload it under the same key.",
        ) from None
    readable = [member for member in members if member.defect is None]
    budget.spend(len(members), sum(member.uncompressed_bytes for member in readable), where)
    return _named(members, limits)


def _parse(directory: bytes, end: End, encoding: str) -> Iterator[ZipMember]:
    """The entries, as far as the directory goes; then their number is held to its end record."""
    place = number = 0
    while place < len(directory) and not directory.startswith(_SIGNED_DIRECTORY, place):
        number += 1
        if not directory.startswith(ENTRY_SIGNATURE, place):
            raise DamagedError(
                f"entry {number} of its directory does not begin at {end.start + place}, where "
                "the one before it ends"
            )
        if place + ENTRY.size > len(directory):
            raise DamagedError(f"entry {number} of its directory is cut off")
        fields = ENTRY.unpack_from(directory, place)
        lengths = fields[11:14]
        start, place = place + ENTRY.size, place + ENTRY.size + sum(lengths)
        if place > len(directory):
            raise DamagedError(f"entry {number} of its directory is cut off")
        name = directory[start : start + lengths[0]]
        extra = directory[start + lengths[0] : start + lengths[0] + lengths[1]]
        yield _member(fields, name, extra, end, encoding)
    if not end.counts(number):
        place_of_it = f"({end.size} bytes at {end.start})"
        if number < end.members:
            raise DamagedError(
                f"entry {number + 1} of {end.members} of its directory is missing {place_of_it}"
            )
        raise DamagedError(
            f"its directory has {number} entries {place_of_it}, more than the {end.members} "
            "entries that it says"
        )


def _member(
    fields: tuple[int, ...], raw: bytes, extra: bytes, end: End, encoding: str
) -> ZipMember:
    """One entry; whatever is wrong with it is its defect."""
    _, _, system, _, flags, method, time, _, crc, compressed, size, *rest = fields
    _, _, _, disk, _, attributes, offset = rest
    known, problem = _extra_fields(extra)
    name = decode_name(raw, flags, system, known.get(UNICODE_PATH, b""), encoding)
    try:
        size, compressed, offset, disk = _with_zip64(
            known.get(_ZIP64_FIELD, b""), size, compressed, offset, disk
        )
        method, aes = _with_aes(known.get(_AES_FIELD), method)
    except DamagedError as damage:
        problem = problem or str(damage)
        aes = None
    # A folder has no bytes; an entry that has some is a file that somebody named like one.
    folder_free = name.text.rstrip("/") if size else name.text
    member = ZipMember(
        name=name.text,
        method=method,
        flags=flags,
        crc32=crc,
        compressed_bytes=compressed,
        uncompressed_bytes=size,
        header_offset=offset + end.before,
        end=end.start,
        stored_name=name.text,
        raw_name=raw,
        modified_time=time,
        aes=aes,
        ignored=no_data(folder_free),
        may_wrap=not end.zip64 and _ZIP64_FIELD not in known and _is_streamed(method, flags),
    )
    if disk:
        problem = problem or "it begins in another file of a split archive"
    defect = Defect(MemberCorruptError, problem) if problem else None
    return replace(member, defect=defect or _of_another_kind(name.problem, system, attributes))


def _is_streamed(method: int, flags: int) -> bool:
    """Whether a member was written as macOS writes all: its sizes follow its deflated bytes."""
    return method == DEFLATE and flags & (DESCRIBED_BEHIND | ENCRYPTED) == DESCRIBED_BEHIND


def _of_another_kind(problem: str, system: int, attributes: int) -> Defect | None:
    """What is no file with a name, though its bytes could be read."""
    if problem:
        return Defect(MemberUnsupportedError, problem)
    kind = stat.S_IFMT(attributes >> 16) if system in UNIX_SYSTEMS else 0
    if kind == stat.S_IFLNK:
        return Defect(MemberUnsupportedError, "it is a symbolic link, not a file")
    if kind in (stat.S_IFCHR, stat.S_IFBLK, stat.S_IFSOCK):
        return Defect(MemberUnsupportedError, "it is a device, not a file")
    return None  # a pipe is what `zip` writes for what it read from its standard input


def _extra_fields(extra: bytes) -> tuple[Mapping[int, bytes], str]:
    """Extra fields by their number, the first of each, and what is wrong with them.

    Fewer bytes at the end than a field's head are padding, as Android's zipalign leaves.
    """
    known: dict[int, bytes] = {}
    place = 0
    while place + _FIELD.size <= len(extra):
        number, length = _FIELD.unpack_from(extra, place)
        place += _FIELD.size
        if place + length > len(extra):
            return known, f"its extra field {number:#06x} runs over the end of the entry"
        value = extra[place : place + length]
        place += length
        if number == UNICODE_PATH or number not in known:
            known[number] = value
    return known, ""


def _with_zip64(
    field: bytes, size: int, compressed: int, offset: int, disk: int
) -> tuple[int, int, int, int]:
    """The numbers of an entry, those that do not fit taken from its Zip64 field."""
    values: list[int] = []
    place = 0
    for value, full, form in (
        (size, _IN_ZIP64, "<Q"),
        (compressed, _IN_ZIP64, "<Q"),
        (offset, _IN_ZIP64, "<Q"),
        (disk, _SHORT, "<I"),
    ):
        length = struct.calcsize(form)
        if value != full:
            values.append(value)
        elif place + length <= len(field):
            values += struct.unpack_from(form, field, place)
            place += length
        else:
            raise DamagedError("its Zip64 field lacks a number that is too large for the entry")
    size, compressed, offset, disk = values
    return size, compressed, offset, disk


def _with_aes(field: bytes | None, method: int) -> tuple[int, Aes | None]:
    """The true method of an entry, and how it is encrypted if WinZip's way."""
    if method != AES:
        return method, None
    if field is None or len(field) < _AES.size:
        raise DamagedError("it is encrypted with AES and does not say how")
    version, vendor, strength, true_method = _AES.unpack_from(field)
    if vendor != b"AE" or version not in (1, _AE_2) or strength not in _AES_STRENGTHS:
        raise DamagedError("it is encrypted with AES in a way that is not known")
    return true_method, Aes(_AES_STRENGTHS[strength], checksum=version != _AE_2)


def _with_real_offsets(
    members: tuple[ZipMember, ...], end: End, tail: Tail
) -> tuple[ZipMember, ...]:
    """Members where they really lie and with their real compressed sizes; see `zip_wrapped.py`."""
    if not end.wraps:
        return members

    def has_header(number: int, offset: int) -> bool:
        name = members[number].raw_name
        head = tail.read(offset, min(offset + LOCAL_HEADER.size + len(name), end.start))
        return head.startswith(LOCAL_SIGNATURE) and head.endswith(name)

    offsets = real_offsets([one.header_offset for one in members], end.start, has_header)
    real: list[ZipMember] = []
    for member, (offset, following) in zip(members, pairwise([*offsets, end.start]), strict=True):
        room = room_behind(member.raw_name, offset, following)
        size = real_size(member.compressed_bytes, room)
        unpacked = size if member.method == STORED else member.uncompressed_bytes
        real.append(
            replace(
                member, header_offset=offset, compressed_bytes=size, uncompressed_bytes=unpacked
            )
        )
    return tuple(real)


def _bounded(members: tuple[ZipMember, ...], end: End) -> tuple[ZipMember, ...]:
    """Each member with the place where the next structure begins, or what is wrong with it."""
    checked = [_within(member, end) for member in members]
    offsets = sorted({m.header_offset for m in checked if m.defect is None} | {end.start})
    following = dict(pairwise(offsets))
    beside = frozenset(member.raw_name for member in checked if member.defect is not None)
    return tuple(
        replace(member, end=following[member.header_offset], beside=beside)
        if member.defect is None
        else member
        for member in checked
    )


def _refuse_before_first(members: tuple[ZipMember, ...], end: End, tail: Tail) -> None:
    """Raise if what lies before the first member is more than a self-extractor."""
    places = [one.header_offset for one in members if one.header_offset <= end.start]
    taken = Counter(places)
    # An entry that stands there twice may be meant for two members, of which one is not named.
    lost = {one.raw_name for one in members if taken[one.header_offset] != 1}
    refuse_before(tail, min(places, default=end.start), lost)


def _within(member: ZipMember, end: End) -> ZipMember:
    """A member with a defect if what the directory says of its bytes cannot be."""
    if member.defect is not None:
        return member
    last = member.header_offset + LOCAL_HEADER.size + member.compressed_bytes
    if last > end.start:
        why = "its bytes would lie outside the archive"
    elif (
        member.method == STORED
        and not member.encrypted
        and member.compressed_bytes != member.uncompressed_bytes
    ):
        why = (
            f"it is stored as it is, yet {member.compressed_bytes} bytes are to be "
            f"{member.uncompressed_bytes}"
        )
    else:
        return member
    return replace(member, defect=Defect(MemberCorruptError, why))


def _without_overlaps(members: tuple[ZipMember, ...]) -> Iterator[ZipMember]:
    """Overlapping members are how a small archive unpacks to a huge one.

    An entry that stands in the directory twice is read once.
    """
    seen: dict[int, ZipMember] = {}
    for member in members:
        if member.defect is not None:
            yield member
            continue
        if member.header_offset + LOCAL_HEADER.size + member.compressed_bytes > member.end:
            raise DamagedError(f"member {member.name!r} runs into what comes after it")
        other = seen.setdefault(member.header_offset, member)
        if other == member and other is not member:
            yield replace(member, ignored="it stands in the directory twice")
            continue
        if other is not member:
            raise DamagedError(f"member {member.name!r} runs into {other.name!r}: it is one place")
        yield member


def _named(members: tuple[ZipMember, ...], limits: Limits) -> tuple[ZipMember, ...]:
    """Members under names that differ and that any report can hold."""
    names = DistinctNames()
    alike: dict[str, dict[str, None]] = {}
    for member in members:
        alike.setdefault(folded(member.stored_name), {})[member.stored_name] = None
    names.reserve(member.stored_name for member in members)
    return tuple(
        _under_its_name(member, names, limits.name_bytes, alike[folded(member.stored_name)])
        for member in members
    )


def _under_its_name(
    member: ZipMember, names: DistinctNames, most: int, alike: Iterable[str]
) -> ZipMember:
    wanted = shown(member.stored_name, most)
    given = names.give(wanted)
    note = "" if given == wanted else f"one of several members named {wanted!r}"
    others = [one for one in alike if one != member.stored_name]
    if others and not note:
        told = spelled_apart(shown(others[0], most), [member.stored_name])
        note = f"the name of another member differs only in case or Unicode form: {told}"
    defect = member.defect
    if len(member.raw_name) > most:
        size = len(member.raw_name)
        why = f"its name has {size} bytes; limits.name_bytes of the feed is {most}"
        defect = Defect(LimitError, why)
    return replace(member, name=given, note=note, defect=defect)
