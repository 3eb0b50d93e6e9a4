"""How the parts of a ZIP archive meet: members, central directory, end records, and nothing else.

What belongs here: finding the end of an archive, and whether anything lies before, between or
behind its parts that only another archive would have. What does not: the entries of the
directory (`zip_directory.py`) and the members' bytes (`archive.py`). Rule: PKWARE APPNOTE.TXT
4.3.6 (overall format), 4.3.14 to 4.3.16 (the end records).

A reader that takes the first directory it finds reads a part of an archive for the whole: that
of an archive within an archive that was cut off, or one of two that were written after one
another. So the directory must end exactly where its end record begins, and no ZIP structure may
lie where none belongs. Only the tail and what lies before the first member is read for that.
"""

import re
import struct
from collections.abc import Collection
from typing import Final, NamedTuple

from rwt_assets.storage import ByteRanges

# The longest comment, the end record and what Zip64 puts before it: one read finds them.
TAIL_BYTES: Final = 66 << 10
STUB_BYTES: Final = 16 << 20  # of a self-extractor, which is looked through
STUB_PIECE_BYTES: Final = 1 << 20
# Finder writes no Zip64: its sizes and offsets begin again at 0 after 4 GiB, its counts after this.
SIZES_WRAP_AT: Final = 1 << 32
COUNTS_WRAP_AT: Final = 1 << 16

END: Final = struct.Struct("<4s4H2IH")
END_SIGNATURE: Final = b"PK\x05\x06"
ENTRY: Final = struct.Struct("<4s2B5H3I5H2I")
ENTRY_SIGNATURE: Final = b"PK\x01\x02"
LOCAL_HEADER: Final = struct.Struct("<4s2B4H3I2H")
LOCAL_SIGNATURE: Final = b"PK\x03\x04"
_LOCATOR: Final = struct.Struct("<4sIQI")
_LOCATOR_SIGNATURE: Final = b"PK\x06\x07"
_ZIP64_END: Final = struct.Struct("<4sQ2H2I4Q")
_ZIP64_END_SIGNATURE: Final = b"PK\x06\x06"
_ZIP64_HEAD: Final = 12  # what the size of the Zip64 end record does not count
_IN_ZIP64: Final = 0xFFFF_FFFF
_SHORT: Final = 0xFFFF
_HIGHEST_VERSION: Final = 100  # APPNOTE 4.4.3 goes to 6.3
_SIGNATURE: Final = re.compile(rb"PK(?:\x01\x02|\x03\x04|\x05\x06)")
_METHODS: Final = frozenset({*range(21), *range(93, 100)})
_SPLIT: Final = "it is one part of an archive that was split over several files"


class DamagedError(Exception):
    """What was read can be no whole archive."""


class End(NamedTuple):
    """What the end of the directory says of it; offsets are those of the object.

    `before` are the bytes before the archive's first, as a self-extractor has. `wraps` is how
    often 4 GiB were left out of the offsets.
    """

    members: int
    start: int
    size: int
    before: int
    zip64: bool = False
    wraps: int = 0

    def counts(self, entries: int) -> bool:
        """Whether it counts so many entries; without Zip64 it may have begun again at 0."""
        if self.zip64 or entries < COUNTS_WRAP_AT:
            return entries == self.members
        return entries % COUNTS_WRAP_AT == self.members


class Tail:
    """The last bytes of an archive, read at once; what lies before them is read when asked."""

    def __init__(self, source: ByteRanges) -> None:
        self._source = source
        self.size = source.size
        self.start = max(0, source.size - TAIL_BYTES)
        self.bytes = source.read(self.start, source.size) if source.size else b""
        if len(self.bytes) != self.size - self.start:
            raise DamagedError("it is shorter than it says")

    def read(self, start: int, end: int) -> bytes:
        """Bytes `[start, end)`, which lie within the archive."""
        if end <= start:
            return b""
        kept = self.bytes[max(0, start - self.start) : max(0, end - self.start)]
        if start >= self.start:
            return kept
        return self._source.read(start, min(end, self.start)) + kept

    def has(self, signature: bytes, offset: int) -> bool:
        """Whether a structure begins there; only what is in memory is looked at."""
        place = offset - self.start
        # What lies before the tail is judged when the directory is parsed.
        return place < 0 or self.bytes.startswith(signature, place)


def find_end(tail: Tail) -> End:
    """The last end record that makes sense: comments may hold the signature too.

    Raises:
        DamagedError: there is none, or a ZIP structure lies behind it.
    """
    reason: DamagedError | None = None
    place = len(tail.bytes)
    while (place := tail.bytes.rfind(END_SIGNATURE, 0, place + 3)) >= 0:
        try:
            end, last = _end_at(tail, place)
            _refuse_behind(tail, place + END.size, last)
        except DamagedError as damage:
            # What stands nearest to the end is what other readers take, and what is told.
            reason = reason or damage
        else:
            return end
    raise reason or DamagedError("it has no end of a central directory; it may be cut off")


def _end_at(tail: Tail, place: int) -> tuple[End, int]:
    """What the end record at a place says, and where it ends; places are those of the tail."""
    if place + END.size > len(tail.bytes):
        raise DamagedError(
            f"its end is cut off: only a part of it is there, at {tail.start + place}"
        )
    fields = END.unpack_from(tail.bytes, place)
    _, disk, directory_disk, here, members, size, offset, comment = fields
    last = place + END.size + comment
    if last > len(tail.bytes):
        raise DamagedError("its comment is cut off")
    following = tail.start + place
    locator = _Locator.before(tail, place, needed=_SHORT in fields or _IN_ZIP64 in fields)
    if locator is not None:
        _refuse_disagreement(fields[1:7], locator.fields)
        following = locator.start
        disk, directory_disk, here, members, size, offset = locator.fields
    if disk or directory_disk or here != members:
        raise DamagedError(_SPLIT)
    end = _placed(tail, members, size, offset, following, zip64=locator is not None)
    if locator is not None and locator.offset + end.before != locator.start:
        raise DamagedError(
            f"its Zip64 end of the central directory lies at {locator.start}, not at "
            f"{locator.offset + end.before} where it says"
        )
    return end, last


class _Locator(NamedTuple):
    """The Zip64 end record: where it lies, where the locator says it does, and its numbers."""

    start: int
    offset: int
    fields: tuple[int, int, int, int, int, int]

    @classmethod
    def before(cls, tail: Tail, place: int, *, needed: bool) -> "_Locator | None":
        """What lies before the end record; without it, the largest numbers are meant as such.

        The name of the last entry may end like a locator: then no record is where it leads.
        """
        at = place - _LOCATOR.size
        if at < 0 or not tail.bytes.startswith(_LOCATOR_SIGNATURE, at):
            return None
        _, disk, offset, disks = _LOCATOR.unpack_from(tail.bytes, at)
        if needed and (disk or disks > 1):
            raise DamagedError(_SPLIT)
        for start in (tail.start + at - _ZIP64_END.size, offset):
            inside = tail.start <= start <= tail.start + at - _ZIP64_END.size
            if inside and tail.has(_ZIP64_END_SIGNATURE, start):
                _, size, _, _, *rest = _ZIP64_END.unpack_from(tail.bytes, start - tail.start)
                if start + _ZIP64_HEAD + size == tail.start + at:
                    return cls(start, offset, (rest[0], rest[1], *rest[2:]))
        if not needed:
            return None
        raise DamagedError("its Zip64 end of the central directory is not where it says")


def _refuse_disagreement(classic: tuple[int, ...], zip64: tuple[int, ...]) -> None:
    """Where the end record says a number itself, the Zip64 one must say the same."""
    words = ("disk", "disk of the directory", "entries", "entries", "bytes", "offset")
    for word, short, long, full in zip(
        words, classic, zip64, (*[_SHORT] * 4, *[_IN_ZIP64] * 2), strict=True
    ):
        if short not in (full, long):
            raise DamagedError(
                f"its two end records disagree on its directory ({word}): {short} in the one, "
                f"{long} in the one of Zip64"
            )


def _placed(  # noqa: PLR0913 - each is a number of the end record
    tail: Tail, members: int, size: int, offset: int, following: int, *, zip64: bool
) -> End:
    """The directory ends where its end record begins; its offset tells what lies before all."""
    start = following - size
    before = start - offset
    if start < 0 or before < 0 or (members and not tail.has(ENTRY_SIGNATURE, start)):
        raise DamagedError(
            f"its central directory is not where it says: {size} bytes at {offset}, though what "
            f"follows it begins at {following}"
        )
    wraps, rest = divmod(before, SIZES_WRAP_AT)
    if wraps and not rest and not zip64:
        return End(members, start, size, 0, zip64, wraps)
    return End(members, start, size, before, zip64)


def _refuse_behind(tail: Tail, comment: int, behind: int) -> None:
    """Raise if a ZIP structure lies in the comment or behind it; places are those of the tail."""
    found = find_structure(tail.bytes[comment:])
    place = None if found is None else comment + found
    if place is None and tail.bytes[behind : behind + 4] in (LOCAL_SIGNATURE, ENTRY_SIGNATURE):
        place = behind
    if place is not None:
        raise DamagedError(
            f"another archive or a part of one begins at {tail.start + place}, behind its end at "
            f"{tail.start + comment - END.size}"
        )


def refuse_before(tail: Tail, first: int, known: Collection[bytes]) -> None:
    """Raise if a ZIP structure lies before an archive's first member.

    Args:
        tail: of the archive.
        first: where the first member begins.
        known: raw names of members whose place is not known; their local headers may lie there.

    Raises:
        DamagedError: there is one, or more lies there than is looked through.
    """
    if first > STUB_BYTES:
        raise DamagedError(
            f"{first} bytes lie before its first member, more than a self-extractor has "
            f"({STUB_BYTES}); it may be a part of another archive"
        )
    held = b""
    for start in range(0, first, STUB_PIECE_BYTES):
        held = held[-_OVERLAP:] + tail.read(start, min(first, start + STUB_PIECE_BYTES))
        at = min(first, start + STUB_PIECE_BYTES) - len(held)
        found = find_structure(held, known)
        if found is not None:
            raise DamagedError(
                f"another archive or a part of one begins at {at + found}, before its first "
                f"member at {first}; it was cut off, or two archives were written after one another"
            )


_OVERLAP: Final = 8 << 10  # a structure that lies over the border of two pieces, with its name


def find_structure(data: bytes, known: Collection[bytes] = ()) -> int | None:
    """Where the first whole structure of a ZIP archive begins in some bytes.

    A signature alone is none: programs that read archives have it, and so may any bytes.
    """
    places = (found.start() for found in _SIGNATURE.finditer(data))
    return next((place for place in places if _is_structure(data, place, known)), None)


def _is_structure(data: bytes, place: int, known: Collection[bytes]) -> bool:
    signature = data[place : place + 4]
    if signature == LOCAL_SIGNATURE and place + LOCAL_HEADER.size <= len(data):
        _, version, _, _, method, *_, name, extra = LOCAL_HEADER.unpack_from(data, place)
        start = place + LOCAL_HEADER.size
    elif signature == ENTRY_SIGNATURE and place + ENTRY.size <= len(data):
        _, _, _, version, _, method, *_, name, extra, comment, _, _, _, _ = ENTRY.unpack_from(
            data, place
        )
        start, extra = place + ENTRY.size, extra + comment
    elif signature == END_SIGNATURE and place + END.size <= len(data):
        _, disk, directory_disk, here, members, size, _, _ = END.unpack_from(data, place)
        return not disk and not directory_disk and here == members and size >= members * ENTRY.size
    else:
        return False
    raw = data[start : start + name]
    return (
        version & 0xFF <= _HIGHEST_VERSION
        and method in _METHODS
        and bool(raw)
        and b"\0" not in raw
        and start + name + extra <= len(data)
        and raw not in known
    )
