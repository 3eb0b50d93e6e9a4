"""The two documents that the pipeline keeps beside the data, as JSON on S3.

What belongs here: their models. What does not: where they are stored (`layout.py`) and who
writes them (`assets/`).
"""

from datetime import datetime
from typing import Literal, Self

from pydantic import BaseModel, ConfigDict, Field, ValidationError

from rwt_assets.documents.sealed import is_as_sealed, sealed
from rwt_assets.member import CsvDialect
from rwt_assets.runtime import DocumentDamagedError


class _Document(BaseModel):
    # A later version may have written fields that this one does not know: it reads past them.
    model_config = ConfigDict(extra="ignore", frozen=True)


class _StoredDocument(_Document):
    def to_body(self, *, indent: int | None = None) -> bytes:
        """The document as it is stored: JSON with a seal (`sealed.py`)."""
        return sealed(self.model_dump_json(indent=indent).encode())

    @classmethod
    def from_body(cls, body: bytes, *, where: str) -> Self:
        """A document as it was stored, with a seal or by a version before it.

        Raises:
            DocumentDamagedError: it is no such document, or not as it was written.
        """
        found = "" if is_as_sealed(body) else "it is not as it was written"
        if not found:
            try:
                return cls.model_validate_json(body)
            except ValidationError as error:
                found = f"it is no {error.title}"
        raise DocumentDamagedError(
            f"the document cannot be read: {found}",
            where=where,
            effect="Nothing was changed.",
            fix="Run `rwt replay` for its archive, which writes it again.",
        )


class Part(_Document):
    """One object of a shard. `crc32` is of the object's bytes.

    Of a feed that does not keep shards, a shard has one part without a `key`: its rows, bytes
    and CRC-32 are those of the object that is made if it is asked for again.

    Row numbers of a part are its rows' ordinals in the member, counted from 1, header
    excluded. Where they are consecutive only `first_row` is kept; otherwise the object
    `row_numbers_key` holds them as little-endian int64 from byte `row_numbers_offset` on;
    `row_numbers_crc32` is of these bytes (None in manifests of earlier versions).
    """

    key: str | None
    rows: int
    bytes: int
    crc32: int
    first_row: int
    row_numbers_key: str | None = None
    row_numbers_offset: int = 0
    row_numbers_crc32: int | None = None


class Shard(_Document):
    """The rows of one member that share one value of the split column."""

    partition_key: str
    member: str
    split_by: str | None
    value: str | None
    parts: tuple[Part, ...]

    @property
    def rows(self) -> int:
        """Rows of the shard, header excluded."""
        return sum(part.rows for part in self.parts)

    @property
    def bytes(self) -> int:
        """Bytes of the shard's objects, headers included."""
        return sum(part.bytes for part in self.parts)

    @property
    def checksum(self) -> str:
        """Identity of the shard's content: the CRC-32 of each part, in order."""
        return "-".join(f"{part.crc32:08x}" for part in self.parts)


class LineCounts(_Document):
    """The physical lines of a member, counted before parsing gives them a meaning.

    `physical` is counted on the text alone. The others are those that are no rows: left out before
    the header, the header itself, blank, comments, the trailer, and `joined`, those that belong to
    a row which began on a line before.
    """

    physical: int
    skipped: int = 0
    header: int = 0
    blank: int = 0
    comments: int = 0
    trailer: int = 0
    joined: int = 0

    @property
    def rows(self) -> int:
        """How many rows there are if every line is accounted for."""
        others = self.skipped + self.header + self.blank + self.comments + self.trailer
        return self.physical - others - self.joined


class MemberReport(_Document):
    """What became of one member.

    `rows_read` counts records below the header; it is the sum of the rows in shards and of
    `rows_quarantined`. A member with outcome "quarantined" has no shard; one with outcome
    "ignored" was not read at all. `columns` are the names that its columns have in the result.
    `rows_by_rule` counts the quarantined rows by the rule that they broke.

    `rows_corrected` counts the rows that were read as a person has corrected them. `stored_name` is
    what the archive says where `name` had to be made distinct from another.
    `first_row_line` is the line of the first row, if every row has exactly one line. `digests` are
    those that the feed's control file states, hexadecimal, of the member's bytes. `lines` are the
    member's physical lines (None in manifests of earlier versions), `trailer` those at its end that
    the rule's `trailer` found.
    """

    name: str
    stored_name: str = ""
    outcome: Literal["split", "quarantined", "ignored"]
    reason: str = ""
    rows_read: int = 0
    rows_quarantined: int = 0
    bytes: int = 0
    crc32: int = 0
    columns: tuple[str, ...] = ()
    dialect: CsvDialect = CsvDialect()
    first_row_line: int | None = None
    rows_by_rule: dict[str, int] = Field(default_factory=dict)
    digests: dict[str, str] = Field(default_factory=dict)
    lines: LineCounts | None = None
    trailer: tuple[str, ...] = ()
    rows_corrected: int = 0

    @property
    def rule_name(self) -> str:
        """The name that the feed's rules match."""
        return self.stored_name or self.name


class Claim(_Document):
    """One statement of a control file about a member, or about the archive if `member` is "".

    `digests` are hexadecimal, by algorithm; `sums` are decimal numbers as text, by column.
    """

    place: str
    member: str = ""
    rows: int | None = None
    bytes: int | None = None
    digests: dict[str, str] = Field(default_factory=dict)
    sums: dict[str, str] = Field(default_factory=dict)


class ControlReport(_Document):
    """What the sender states about an archive: the control files, their claims and problems."""

    members: tuple[str, ...] = ()
    claims: tuple[Claim, ...] = ()
    problems: tuple[str, ...] = ()


class ArchiveManifest(_StoredDocument):
    """What one revision of an archive consists of. Written before its shards are reported.

    `split_id` tells this split from others of the same revision; see `generations.py`. It is ""
    in manifests of versions before generations. `reason` says why the revision was split again.
    `corrections` is the document of corrected rows that were used, `corrections_after` the number
    up to which such documents of the revision are not in force.
    """

    feed: str
    bucket: str
    key: str
    revision: str
    version_id: str | None
    split_id: str = ""
    reason: str = ""
    members: tuple[MemberReport, ...]
    shards: tuple[Shard, ...]
    quarantine_keys: tuple[str, ...]
    control: ControlReport = ControlReport()
    corrections: str = ""
    corrections_after: int = 0

    @property
    def rows_corrected(self) -> int:
        """Records that were read as a person has corrected them."""
        return sum(member.rows_corrected for member in self.members)

    @property
    def rows_read(self) -> int:
        """Records of all members that were read."""
        return sum(member.rows_read for member in self.members)

    @property
    def rows_quarantined(self) -> int:
        """Records that were quarantined while the archive was split."""
        return sum(member.rows_quarantined for member in self.members)


class EnrichedObject(_Document):
    """One Parquet object of a delivery; `rows` and `rows_by_rule` are what its footer says.

    `rows_by_rule` counts the quarantined rows of the shard by the rule that they broke. `nulls`
    counts the nulls of each column that has any, by the footer; the document leaves them out.
    `crc32` is of the object's bytes, `quarantine_crc32` of those of `quarantine_key`: None where an
    earlier version, or an IO manager of one's own, did not say.
    """

    partition_key: str
    member: str
    split_by: str | None
    value: str | None
    key: str
    rows: int
    bytes: int
    rows_quarantined: int
    quarantine_key: str | None
    crc32: int | None = None
    quarantine_crc32: int | None = None
    rows_by_rule: dict[str, int] = Field(default_factory=dict)
    nulls: dict[str, int] = Field(default_factory=dict, exclude=True)


class FormerDelivery(_Document):
    """A delivery that another took the place of.

    `document` is the key of a copy of its document, in which the objects are named. They stay
    for the feed's `keep_former_hours` after `replaced_at`.
    """

    revision: str
    generation: str
    delivered_at: datetime
    replaced_at: datetime
    rows_read: int
    rows_enriched: int
    rows_quarantined: int
    reason: str
    document: str


class Delivery(_StoredDocument):
    """The archive as a whole: exactly the objects that belong to one revision.

    Written last. `rows_read == rows_enriched + rows_quarantined` holds for every delivery
    that exists, and what it names is never written again. `generation` says how its objects were
    made, `reason` why it took the place of the one before. `former` are the deliveries before it,
    the newest first, as far as their objects may still be there. `warnings` say what of the archive
    is not as expected, though it is delivered. Documents of earlier versions have no generation,
    reason, members, warnings and former. Of the rows read, `rows_corrected` were read as a person
    has corrected them, which the document `corrections` has.
    """

    feed: str
    bucket: str
    key: str
    revision: str
    generation: str = ""
    reason: str = ""
    delivered_at: datetime
    rows_read: int
    rows_enriched: int
    rows_quarantined: int
    objects: tuple[EnrichedObject, ...]
    quarantine_keys: tuple[str, ...]
    rows_corrected: int = 0
    corrections: str = ""
    members: tuple[MemberReport, ...] = ()
    warnings: tuple[str, ...] = ()
    former: tuple[FormerDelivery, ...] = ()
