"""The kinds of archives that are read: one line each.

What belongs here: which kinds there are, and which one bytes are of. What does not: how a kind is
read (`archive.py` reads ZIP).
"""

from typing import Any, Final

from rwt_assets.archive.archive import open_zip
from rwt_assets.archive.members import Archive, Kind, Opening
from rwt_assets.storage import ByteRanges

# The first kind that recognises the bytes opens them. ZIP is the last one and takes what is left:
# its error says why it is none.
KINDS: Final[tuple[Kind, ...]] = (Kind(".zip", lambda _: True, open_zip),)
SUFFIXES: Final = tuple(kind.suffix for kind in KINDS)


def open_bytes(source: ByteRanges, where: str, opening: Opening) -> Archive[Any]:
    """The archive in these bytes, of whichever kind they are.

    Raises:
        NotAZipError: of no kind, or damaged.
        LimitError: beyond a limit of the feed.
    """
    kind = next(kind for kind in KINDS if kind.recognises(source))
    return kind.open(source, where, opening)
