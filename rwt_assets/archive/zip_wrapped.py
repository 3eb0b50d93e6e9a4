"""Numbers of a ZIP archive that were cut to 32 bits because its writer knows no Zip64.

What belongs here: finding out what offsets and compressed sizes really are. What does not: what
a member unpacks to, which only unpacking tells (`archive.py`). macOS (Finder, Archive Utility)
writes such archives: what PKWARE APPNOTE.TXT 4.4.8, 4.4.9 and 4.4.16 would have in a Zip64 field
is there modulo 4 GiB. Members lie in the order of the directory, one behind the other.
"""

from collections.abc import Callable, Sequence

from rwt_assets.archive import zip_joints
from rwt_assets.archive.zip_joints import LOCAL_HEADER

HasHeader = Callable[[int, int], bool]


def real_offsets(offsets: Sequence[int], end: int, has_header: HasHeader) -> list[int]:
    """Offsets of members with their multiples of 4 GiB.

    Args:
        offsets: as the directory has them, in its order.
        end: where the directory begins.
        has_header: whether a member (by its number) has its local header at an offset; asked only
            where some member takes more than 4 GiB of the archive, a few times for each such one.
    """
    wrap = zip_joints.SIZES_WRAP_AT
    real: list[int] = []
    for offset in offsets:
        real.append(offset + wrap * (real[-1] // wrap if real else 0))
        if len(real) > 1 and real[-1] <= real[-2]:
            real[-1] += wrap
    if not real:
        return real
    more = max(0, end - real[-1]) // wrap
    more_of_each = _turns(real, more, has_header) if more else [0] * len(real)
    return [offset + wrap * turn for offset, turn in zip(real, more_of_each, strict=True)]


def _turns(real: Sequence[int], most: int, has_header: HasHeader) -> list[int]:
    """How many more turns each offset took; they only rise: what is between equals is known."""
    wrap = zip_joints.SIZES_WRAP_AT
    turns = [0] * len(real)

    def at(place: int, low: int, high: int) -> int:
        fits = (
            turn for turn in range(low, high + 1) if has_header(place, real[place] + wrap * turn)
        )
        return next(fits, low)

    turns[-1] = at(len(real) - 1, 0, most)
    open_ranges = [(0, len(real) - 1)]
    while open_ranges:
        first, last = open_ranges.pop()
        if turns[first] == turns[last]:
            turns[first : last + 1] = [turns[first]] * (last + 1 - first)
        elif last - first > 1:
            middle = (first + last) // 2
            turns[middle] = at(middle, turns[first], turns[last])
            open_ranges += [(first, middle), (middle, last)]
    return turns


def real_size(compressed: int, room: int) -> int:
    """A compressed size with its multiples of 4 GiB.

    Args:
        compressed: as the directory has it.
        room: bytes from behind the member's name to where the next structure begins.
    """
    return compressed + max(0, room - compressed) // zip_joints.SIZES_WRAP_AT * (
        zip_joints.SIZES_WRAP_AT
    )


def room_behind(name: bytes, offset: int, end: int) -> int:
    """What is left for a member's bytes between its local header and what comes next."""
    return end - offset - LOCAL_HEADER.size - len(name)
