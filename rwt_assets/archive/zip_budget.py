"""How much an archive may come to, counted over all archives within it.

What belongs here: the limits of the feed on ZIP archives and the errors that name them. What
does not: limits on rows (`splitting.py`). PKWARE APPNOTE.TXT 4.4.8 and 4.4.9: sizes stand in
the central directory, so these limits hold before a byte of a member is read.
"""

from typing import Final

from rwt_assets.feed import Limits
from rwt_assets.runtime import LimitError

RATIO_BYTES: Final = 1 << 20  # smaller members may have any ratio
TOTAL_RATIO_BYTES: Final = 4 << 20  # smaller archives likewise
ENTRY_BYTES: Final = 46 + 1024  # of the directory: a header, and extra fields at their usual most
DIRECTORY_BYTES: Final = 1 << 20  # smaller directories are read whatever they say


class Budget:
    """What the limits leave, shared by an archive and all archives within it."""

    def __init__(self, limits: Limits, archive_bytes: int) -> None:
        self._limits = limits
        self._archive_bytes = archive_bytes
        self._members = 0
        self._bytes = 0

    def hold_members(self, count: int, directory_bytes: int, where: str) -> None:
        """Refuse a directory before it is read.

        Raises:
            LimitError: too many members, or a directory that no such number needs.
        """
        limits = self._limits
        if self._members + count > limits.members:
            raise over_limit(
                "members", limits.members, f"{self._so_far(count)} members", where, "the archive"
            )
        most = max(limits.members * (ENTRY_BYTES + limits.name_bytes), DIRECTORY_BYTES)
        if directory_bytes > most:
            what = f"a directory of {directory_bytes} bytes, more than its members can need"
            raise over_limit("members", limits.members, what, where, "the archive")

    def spend(self, count: int, size: int, where: str) -> None:
        """Count the members of one directory and the bytes they unpack to.

        Raises:
            LimitError: too many bytes, or too many for the bytes of the archive; nothing is
                counted then.
        """
        limits, total = self._limits, self._bytes + size
        if total > limits.archive_bytes:
            raise over_limit(
                "archive_bytes", limits.archive_bytes, f"{total} bytes unpacked", where,
                "the archive",
            )  # fmt: skip
        if total > TOTAL_RATIO_BYTES and total > limits.ratio * max(self._archive_bytes, 1):
            what = f"{total} bytes unpacked, of {self._archive_bytes} bytes of archive"
            raise over_limit("ratio", limits.ratio, what, where, "the archive")
        self._members += count
        self._bytes = total

    def _so_far(self, count: int) -> str:
        return f"{self._members} and {count} more" if self._members else str(count)


def hold_member(compressed: int, size: int, limits: Limits, where: str) -> None:
    """Refuse a member by what the directory says of it.

    Raises:
        LimitError: too many bytes, or too many for its compressed bytes.
    """
    if size > limits.member_bytes:
        raise over_limit(
            "member_bytes", limits.member_bytes, f"{size} bytes unpacked", where, "the member"
        )
    if size > RATIO_BYTES and size > limits.ratio * max(compressed, 1):
        what = f"{size} bytes unpacked, of {compressed} compressed bytes"
        raise over_limit("ratio", limits.ratio, what, where, "the member")


def over_limit(setting: str, limit: int, what: str, where: str, who: str) -> LimitError:
    """The error of a limit that was exceeded; it names the setting."""
    return LimitError(
        f"{who} has {what}; limits.{setting} of the feed is {limit}",
        where=where,
        effect="It was not unpacked.",
        fix=f"If it is right, raise limits.{setting} of the feed.",
    )
