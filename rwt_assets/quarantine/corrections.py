"""Corrected rows of an archive: where they are kept, and how they take the place of what was sent.

What belongs here: their documents, and putting them into a member that is read. What does not:
taking them from a person (`correcting.py`) and the form of the file (`correction_file.py`).

A document has every corrected row of one revision. It is never changed: the next import writes the
next number, and the highest is in force. A split notes in its manifest which one it has used. The
split of another revision uses none, and notes the highest number that is there, so that it stays
so where the content from before is uploaded again.

A corrected row takes the place of a record only if that record is, to the letter, the one that was
corrected. Where it is not, because the member is read in another way now, the record stays as it
was sent, and the contract has its say.
"""

from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass, replace
from io import StringIO
from zlib import crc32

import numpy as np

from rwt_assets.documents import ArchiveManifest, Layout, damaged, write_document
from rwt_assets.feed import Target
from rwt_assets.member import CsvDialect, Records, shown_record, write_records
from rwt_assets.quarantine.correction_file import FileRow, read_file, refused, write_file
from rwt_assets.runtime import ArchiveMissingError, ShardDamagedError
from rwt_assets.storage import ObjectStore


class MemberCorrections:
    """The corrected rows of one member. `text` of each is the record as it was sent."""

    def __init__(self, rows: Iterable[FileRow] = ()) -> None:
        self._rows = sorted(rows, key=lambda one: one.row or 0)
        self._numbers = np.array([one.row for one in self._rows], np.int64)

    def apply(
        self,
        text: bytes,
        records: Records,
        first_row: int,
        dialect: CsvDialect,
        columns: Sequence[str],
    ) -> tuple[bytes, Records, int]:
        """Put corrected rows into a batch.

        Args:
            text: of the batch.
            records: in it.
            first_row: ordinal of the first.
            dialect: of the member.
            columns: of the member.

        Returns:
            The batch with them, and how many there are. The lines of the records are as sent.
        """
        low, high = np.searchsorted(self._numbers, [first_row, first_row + len(records)])
        spans = [records.span(int(n) - first_row) for n in self._numbers[low:high]]
        sent = [text[start:end] for start, end in spans]
        written = _written(self._rows[low:high], sent, dialect, columns)
        count = sum(one is not None for one in written)
        if not count:
            return text, records, 0
        lengths, faults = np.diff(records.offsets), records.faults
        faults = None if faults is None else faults.copy()
        pieces, begin = list[bytes](), 0
        for number, (start, end), one in zip(self._numbers[low:high], spans, written, strict=True):
            if one is not None:
                pieces += [text[begin:start], one]
                raw = records.filled[int(number) - first_row]
                lengths[raw] = len(one)
                if faults is not None:
                    faults[raw] = 0
                begin = end
        offsets = np.concatenate([[0], np.cumsum(lengths)]).astype(np.int64)
        corrected = replace(
            records, offsets=offsets, faults=faults, sent_on=records.line_bounds(text)
        )
        return b"".join([*pieces, text[begin:]]), corrected, count

    def in_place_of(
        self, record: bytes, row: int, dialect: CsvDialect, columns: Sequence[str]
    ) -> bytes | None:
        """The corrected row in the place of one record; None if there is none."""
        place = int(np.searchsorted(self._numbers, row))
        own = [one for one in self._rows[place : place + 1] if one.row == row]
        return _written(own, [record], dialect, columns)[0] if own and record else None


def _written(
    rows: Sequence[FileRow], sent: Sequence[bytes], dialect: CsvDialect, columns: Sequence[str]
) -> list[bytes | None]:
    """Corrected rows as records; None for one that is not of the record that was sent."""
    fields = [
        values if shown_record(record) == row.text else None
        for row, record, values in zip(
            rows, sent, (fields_in(row, columns) for row in rows), strict=True
        )
    ]
    fitting = [one for one in fields if one is not None]
    written = iter(write_records(fitting, dialect, columns))
    return [None if one is None else next(written) for one in fields]


def fields_in(row: FileRow, columns: Sequence[str]) -> tuple[str, ...] | None:
    """The fields of a row in the order of its member's columns; None if they are others."""
    others = any(value for name, value in row.fields.items() if name not in columns)
    if others or not all(name in row.fields for name in columns):
        return None
    return tuple(row.fields[name] for name in columns)


NO_CORRECTIONS = MemberCorrections()


@dataclass(frozen=True, slots=True)
class Corrections:
    """The corrected rows of one revision that are in force.

    Attributes:
        key: of their document; "" if there are none.
        version: changes with what they are.
        number: of the newest document that is there, in force or not; 0 without any.
        after: documents up to this number are not in force.
        rows: `text` is the record as it was sent.
    """

    key: str = ""
    version: str = ""
    number: int = 0
    after: int = 0
    rows: tuple[FileRow, ...] = ()

    def of(self, member: str) -> MemberCorrections:
        """Those of one member."""
        own = [one for one in self.rows if one.member == member]
        return MemberCorrections(own) if own else NO_CORRECTIONS


NOTHING_CORRECTED = Corrections()


def corrections_in_force(
    store: ObjectStore,
    target: Target,
    archive: str,
    revision: str,
    before: Callable[[], ArchiveManifest],
) -> Corrections:
    """The corrected rows that a split of a revision has to use.

    Args:
        store: where they are kept.
        target: of the feed.
        archive: object key.
        revision: that is split.
        before: reads the manifest in place. If it is of another revision, nothing is in force; if
            it is not as it was written, all that was corrected of this revision is.
    """
    folder = Layout(target.prefix).corrections_folder(archive, revision)
    keys = [head.key for head in store.list(target.bucket, folder)]
    number = max((_number(key) for key in keys), default=0)
    if not number:
        return NOTHING_CORRECTED
    try:
        manifest = before()
        after = manifest.corrections_after if manifest.revision == revision else number
    except ShardDamagedError:
        after = 0  # only records that are as they were corrected are replaced
    if number <= after:
        return Corrections(number=number, after=after)
    key = Layout(target.prefix).corrections(archive, revision, number)
    return replace(read_corrections(store, target, key), number=number, after=after)


def read_corrections(store: ObjectStore, target: Target, key: str) -> Corrections:
    """The corrected rows of one document; none for "".

    Raises:
        ShardDamagedError: it is gone, or is not as it was written.
    """
    if not key:
        return NOTHING_CORRECTED
    try:
        body = store.read(target.bucket, key)
    except ArchiveMissingError as error:
        raise damaged(target.bucket, key, "it is gone") from error
    rows = tuple(read_file(body, f"s3://{target.bucket}/{key}"))
    return Corrections(key, f"{key} {crc32(body):08x}", _number(key), rows=rows)


def keep_corrections(
    store: ObjectStore, target: Target, before: Corrections, rows: Sequence[FileRow]
) -> str:
    """Keep corrected rows as the next document.

    Args:
        store: where they are kept.
        target: of the feed.
        before: in force until now.
        rows: all that shall be in force, of one archive and revision; at least one.

    Returns:
        The key of the document.

    Raises:
        CorrectionError: another import has taken its place meanwhile. Nothing was written.
    """
    file = StringIO(newline="")
    columns = dict.fromkeys(name for one in rows for name in one.fields)
    write_file(file, [*columns], sorted(rows, key=lambda one: (one.member, one.row or 0)))
    first = rows[0]
    key = Layout(target.prefix).corrections(first.archive, first.revision, before.number + 1)
    body = file.getvalue().encode(errors="surrogatepass")
    if not write_document(store, target.bucket, key, body, replaces=""):
        raise refused(
            "another import has ended meanwhile",
            where=f"s3://{target.bucket}/{key}",
            fix="Run it again.",
        )
    return key


def _number(key: str) -> int:
    name = key.rpartition("/")[2].removesuffix(".csv")
    return int(name) if name.isascii() and name.isdigit() else 0
