"""Rejected rows given out to be corrected.

What belongs here: which rows these are. What does not: the file (`correction_file.py`) and finding
what lies in quarantine (`replay.py`).
"""

from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from fnmatch import fnmatchcase
from itertools import islice
from typing import TextIO

from rwt_assets.catalog import FeedCatalog
from rwt_assets.contract import QuarantineEntry
from rwt_assets.documents import MemberReport
from rwt_assets.member import fields_of
from rwt_assets.operations.replay import Quarantined, find_quarantined
from rwt_assets.quarantine import FileRow, is_cut, iter_entries, write_file
from rwt_assets.runtime import ArchiveMissingError
from rwt_assets.shard import read_manifest
from rwt_assets.storage import ObjectStore

AT_ONCE = 1_000  # rows whose fields are read together


@dataclass(slots=True)
class Exported:
    """What was written: how many rows, how many of which cannot be taken back, whole members."""

    rows: int = 0
    fixed: int = 0
    members: tuple[str, ...] = ()


def find_rejected(catalog: FeedCatalog, store: ObjectStore, archive: str) -> Quarantined:
    """What of one archive is quarantined.

    Raises:
        ArchiveMissingError: nothing of it is.
    """
    found = next(find_quarantined(catalog, store, archives=[archive]), None)
    if found is None:
        raise ArchiveMissingError(
            "nothing of this archive is quarantined",
            where=archive,
            effect="Nothing was written.",
            fix="`rwt quarantine list` shows the archives of which something is.",
        )
    return found


def export_rows(  # noqa: PLR0913 - each chooses one thing
    catalog: FeedCatalog,
    store: ObjectStore,
    found: Quarantined,
    file: TextIO,
    *,
    member: str = "",
    rule: str = "",
) -> Exported:
    """Write the rejected rows of an archive as CSV, as they are read.

    Args:
        catalog: of the feed.
        store: where they lie.
        found: what is quarantined of the archive; see `find_rejected`.
        file: opened with `newline=""`.
        member: only rows of this member; it may be a pattern of `fnmatch`.
        rule: only what this rule rejected; likewise.

    Returns:
        What was written. Members that were quarantined whole have no rows to write.
    """
    manifest = read_manifest(store, catalog.feed.target, found.found.archive)
    wanted = {
        one.name: one
        for one in manifest.members
        if not member or one.name == member or fnmatchcase(one.name, member)
    }
    with_rows = {one.member for one in found.found.of_rule(rule)}
    columns = dict.fromkeys(
        column for name, one in wanted.items() if name in with_rows for column in one.columns
    )
    entries = (
        one
        for one in iter_entries(store, catalog.feed.target.bucket, found.keys, rule=rule)
        if one.member in wanted
    )
    done = Exported()
    rows = _noted(entries, done)
    archive, revision = found.found.archive, found.found.revision
    written = file_rows(rows, wanted, archive=archive, revision=revision)
    done.rows = write_file(file, [*columns], written)
    return done


def can_be_corrected(entry: QuarantineEntry) -> bool:
    """Whether a corrected row can take the place of this entry: it is one row, kept whole."""
    return entry.row is not None and entry.rows == 1 and not is_cut(entry)


def file_rows(
    entries: Iterable[QuarantineEntry],
    members: Mapping[str, MemberReport],
    *,
    archive: str,
    revision: str,
) -> Iterator[FileRow]:
    """Rejected rows as rows of the file: their fields, or their whole text where they have none."""
    rest = iter(entries)
    while some := list(islice(rest, AT_ONCE)):
        read = _fields(some, members)
        for entry, fields in zip(some, read, strict=True):
            columns = members[entry.member].columns
            yield FileRow(
                archive=archive,
                revision=revision,
                member=entry.member,
                row=entry.row,
                line=entry.line,
                rule=entry.rule,
                reason=entry.reason,
                text=entry.text if fields is None else "",
                fields={} if fields is None else dict(zip(columns, fields, strict=True)),
            )


def _fields(
    entries: Sequence[QuarantineEntry], members: Mapping[str, MemberReport]
) -> list[tuple[str, ...] | None]:
    read: list[tuple[str, ...] | None] = [None] * len(entries)
    for name in dict.fromkeys(entry.member for entry in entries):
        places = [
            place
            for place, entry in enumerate(entries)
            if entry.member == name and can_be_corrected(entry)
        ]
        member = members[name]
        texts = [entries[place].text for place in places]
        for place, fields in zip(
            places, fields_of(texts, member.dialect, member.columns), strict=True
        ):
            read[place] = fields
    return read


def _noted(entries: Iterable[QuarantineEntry], done: Exported) -> Iterator[QuarantineEntry]:
    """The rows among these entries; what else there is, is noted."""
    for entry in entries:
        if entry.row is None:
            done.members = (*done.members, entry.member)
            continue
        done.fixed += not can_be_corrected(entry)
        yield entry
