"""What every kind of archive gives: members, their bytes and where they lie.

What belongs here: what the walk (`nesting.py`) asks of an archive. What does not: the kinds that
are known (`kinds.py`) and how one of them is read (`archive.py` reads ZIP).
"""

from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from typing import Any, Protocol, TypeVar

from pydantic import SecretStr

from rwt_assets.archive.zip_budget import Budget
from rwt_assets.feed import Limits
from rwt_assets.runtime import LimitError, MemberError
from rwt_assets.storage import ByteRanges


@dataclass(frozen=True, slots=True)
class Defect:
    """Why a member cannot be read, as its entry in the directory tells."""

    error: type[MemberError | LimitError]
    why: str


@dataclass(frozen=True, slots=True, kw_only=True)
class Member:
    """One entry of an archive; a kind of archive adds what it needs to find the bytes.

    `name` is distinct among the members of its archive; `stored_name` is what the archive says,
    which rules match. `ignored` says why an entry is no data, `note` what a reader of the report
    should know, `defect` why it cannot be read.
    """

    name: str
    stored_name: str = ""
    compressed_bytes: int
    uncompressed_bytes: int
    crc32: int
    ignored: str = ""
    note: str = ""
    defect: Defect | None = None


Own = TypeVar("Own", bound=Member)


class Archive(Protocol[Own]):
    """An opened archive of any kind."""

    @property
    def members(self) -> Sequence[Own]:
        """All entries, in their order."""
        ...

    def chunks(self, member: Own, where: str) -> Iterator[bytes]:
        """The content of a member; what was yielded is of no use if this raises.

        Raises:
            MemberError: it cannot be read, or is not what the archive promises.
            LimitError: more bytes than the feed allows.
        """
        ...

    def in_place(self, member: Own, where: str) -> ByteRanges | None:
        """The content where it lies in the archive; None if it must be unpacked first."""
        ...


@dataclass(frozen=True, slots=True)
class Opening:
    """What an archive is opened with: the limits of the feed, and what is left of them."""

    limits: Limits
    budget: Budget
    name_encoding: str
    password: SecretStr | None = None


@dataclass(frozen=True, slots=True)
class Kind:
    """A kind of archive.

    Attributes:
        suffix: of an archive within an archive, in small letters.
        recognises: whether bytes are of this kind, by their content.
        open: the archive in these bytes; the text names it in errors. It raises `NotAZipError` for
            one that is damaged, and `LimitError` for one that is beyond a limit.
    """

    suffix: str
    recognises: Callable[[ByteRanges], bool]
    open: Callable[[ByteRanges, str, Opening], Archive[Any]]
