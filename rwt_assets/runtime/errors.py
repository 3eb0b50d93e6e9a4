"""Every error that this package raises on purpose, and whether trying again can help.

What belongs here: the tree of error types. What does not: handling them, which is the
business of the asset, sensor or command that meets them.

    RwtError
    ├── FeedError                  the declaration of a feed cannot be right
    ├── CodeLocationError          Dagster cannot load the project's definitions
    ├── MissingExtraError          it needs packages that an extra of this one brings
    ├── PartitionKeyError          a text is no partition key of ours
    ├── NotificationError          a queue message is no S3 event
    ├── ArchiveError               the archive as a whole cannot be read
    │   ├── NotAZipError           no ZIP file, or its central directory is damaged
    │   ├── NoMatchingMemberError  a ZIP file, but nothing in it that the feed takes
    │   ├── NoReadableMemberError  every member that the feed takes is broken
    │   ├── ArchiveSchemaError     columns or values that the feed's evolution fails an archive for
    │   ├── ArchiveMissingError    the object is gone or was replaced meanwhile
    │   ├── ArchiveInGlacierError  the object can be read only once it is restored
    │   ├── ShardDamagedError      what was split is not there as it was written
    │   ├── DocumentDamagedError   a manifest or a delivery is not as it was written
    │   └── SupersededError        a newer revision or another run took its place
    ├── MemberError                one member cannot be read; the others can
    │   ├── MemberUnsupportedError compression, encryption or kind of file that we do not read
    │   ├── MemberPasswordError    encrypted, and there is no password or another one
    │   ├── MemberNotTextError     a file of another format under the name of a table
    │   ├── EncodingGuessError     an encoding that was guessed, and is not the one
    │   ├── MemberInFolderError    a rule names it, but it lies in a folder
    │   ├── MemberCorruptError     checksum or length disagree with the directory
    │   ├── MemberHeaderError      no header line, or a column that the feed needs is missing
    │   └── MemberSchemaError      its columns are not what the feed's evolution allows
    ├── EnrichmentError            a feed's own enrichment fails, or does what it may not
    ├── LimitError                 a limit of the feed was exceeded
    ├── DeliveryError              the delivery does not reconcile
    │   ├── ToleranceError         more was quarantined than the feed tolerates
    │   └── IncompleteError        the archive has not what its feed or its sender says
    ├── CorrectionError            corrected rows that cannot be taken back
    ├── QueryError                 a statement that may not run, or took too long
    └── StackError                 a local server did not start, stop or answer
        └── StateFolderError       the state folder cannot be written to

`terminal` is true where the same input fails the same way each time; Dagster is then told
not to retry (Dagster documentation: "Op retries", `Failure(allow_retries=False)`; "Run retries",
the tag `dagster/retry_on_asset_or_op_failure`).
"""

from typing import TYPE_CHECKING, ClassVar, Final

from rwt_assets.text import visible, visible_lines

if TYPE_CHECKING:
    from rwt_assets.documents import MemberReport

SPLIT_AGAIN: Final = (
    "The archive is split again by itself, some times; then materialize archive_manifest for it."
)


class RwtError(Exception):
    """Base of all errors of this package.

    Args:
        what: what was wrong, as a sentence without a full stop.
        where: bucket, key, member, line: whatever leads a person to the place.
        effect: what happened to the data.
        fix: what to do next.

    What others wrote is often part of it, so it is kept as it can be shown (`foreign_text.py`).
    `in_lines` is true where a text of ours has several lines, such as the end of a log.
    """

    terminal: ClassVar[bool] = True
    in_lines: ClassVar[bool] = False

    def __init__(self, what: str, *, where: str = "", effect: str = "", fix: str = "") -> None:
        fit = visible_lines if self.in_lines else visible
        self.what, self.where, self.effect, self.fix = map(fit, (what, where, effect, fix))
        super().__init__(str(self))

    def __str__(self) -> str:
        place = f" ({self.where})" if self.where else ""
        return " ".join(
            part if part.endswith(".") else f"{part}."
            for part in (f"{self.what}{place}", self.effect, self.fix)
            if part
        )


class FeedError(RwtError):
    """The declaration of a feed cannot be right."""

    in_lines = True


class CodeLocationError(RwtError):
    """Dagster cannot load the project's definitions: no feed of the project works."""

    in_lines = True


class MissingExtraError(RwtError):
    """It needs packages that are not installed: `pip install 'rwt_assets[<extra>]'` brings them."""


class PartitionKeyError(RwtError):
    """A text is no partition key of ours."""


class NotificationError(RwtError):
    """A queue message is no S3 event."""


class ArchiveError(RwtError):
    """The archive as a whole cannot be read."""


class NotAZipError(ArchiveError):
    """No ZIP file, or its central directory is damaged."""


class NoMatchingMemberError(ArchiveError):
    """A ZIP file, but nothing in it that the feed takes."""


class NoReadableMemberError(ArchiveError):
    """Every member that the feed takes is broken: there would be a delivery of nothing."""

    members: "tuple[MemberReport, ...]" = ()  # of the archive, for who tells all their reasons


class ArchiveSchemaError(ArchiveError):
    """Columns or values for which the feed's `evolution` fails the archive."""


class ArchiveMissingError(ArchiveError):
    """The object is gone, or was replaced while it was read."""

    terminal = False


class ArchiveInGlacierError(ArchiveError):
    """The object lies in S3 Glacier: it is processed when S3 announces that it was restored."""


class ShardDamagedError(ArchiveMissingError):
    """A shard, its row numbers or its manifest is not on the store as it was written."""

    archive: str = ""  # object key of the one that has to be split again, as far as it is known


class DocumentDamagedError(ArchiveError):
    """A manifest, or the document of a delivery, cannot be read or is not as it was written."""


class SupersededError(ArchiveError):
    """A newer revision arrived, or another run has done this meanwhile: this one gives up."""

    terminal = False


class MemberError(RwtError):
    """One member cannot be read; the others can."""


class MemberUnsupportedError(MemberError):
    """Compression, encryption or a kind of file that we do not read."""


class MemberPasswordError(MemberError):
    """Encrypted, and there is no password, or another one was used."""


class MemberCorruptError(MemberError):
    """Checksum or length disagree with the central directory."""


class MemberNotTextError(MemberError):
    """A file of another format (gzip, XLSX, Parquet, PDF, an image) under the name of a table."""


class EncodingGuessError(MemberError):
    """A guessed encoding is refuted by the member as a whole; it is read again as UTF-8."""


class MemberInFolderError(MemberError):
    """A rule that took nothing names it, but for the folder it lies in, or blanks in its name."""


class MemberHeaderError(MemberError):
    """No header line, or a column that the feed needs is missing."""


class MemberSchemaError(MemberError):
    """Its columns are not what the feed's `evolution` allows."""


class EnrichmentError(RwtError):
    """An enrichment that the feed names fails, or does what it may not."""


class LimitError(RwtError):
    """A limit of the feed was exceeded."""


class DeliveryError(RwtError):
    """The delivery does not reconcile."""

    terminal = False


class ToleranceError(DeliveryError):
    """More was quarantined than the feed tolerates."""

    terminal = True


class IncompleteError(DeliveryError):
    """The archive does not hold what its feed, its control file or a check says."""

    terminal = True


class CorrectionError(RwtError):
    """Corrected rows cannot be taken back as they are; nothing of them was."""


class QueryError(RwtError):
    """A statement of `rwt query` that does something else than to read, or takes too long."""


class StackError(RwtError):
    """A local server did not start, stop or answer."""

    terminal = False
    in_lines = True


class StateFolderError(StackError):
    """The state folder cannot be made or written to; nothing was started."""
