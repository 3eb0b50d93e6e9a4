"""Corrected rows taken back into the next generation of their archive.

What belongs here: whether the rows of a file can take the place of what is in quarantine, and
asking for the split that does it. What does not: giving rows out (`correcting.py`), keeping
corrections and putting them into a member (`corrections.py`).

A file is taken as a whole or not at all. Rows that were left as they were given out are not taken.
Each of the others must be one that lies in quarantine, or one that was corrected before.
"""

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field, replace

from rwt_assets.catalog import FeedCatalog, is_failed
from rwt_assets.contract import QuarantineEntry
from rwt_assets.documents import ArchiveManifest, MemberReport, archive_partition_key
from rwt_assets.member import fields_of, shown_record, write_records
from rwt_assets.operations.correcting import can_be_corrected, file_rows
from rwt_assets.operations.replay import find_quarantined, rolled_back_to
from rwt_assets.quarantine import (
    Corrections,
    FileRow,
    corrections_in_force,
    fields_in,
    iter_entries,
    keep_corrections,
    read_file,
    refused,
)
from rwt_assets.shard import read_manifest
from rwt_assets.status import Stage, locate
from rwt_assets.storage import ObjectStore
from rwt_assets.text import command, is_saved_anew

PROBLEMS_TOLD = 10
Place = tuple[str, int | None]  # member and row


@dataclass(frozen=True, slots=True)
class Imported:
    """What an import did.

    Attributes:
        archive: object key.
        rows: that take the place of others from now on.
        unchanged: that were left as they were given out, or are corrected so already.
        asked: whether the archive is processed again.
        restored: rows with cells that a spreadsheet had written again, which stay as they were.
    """

    archive: str
    rows: int
    unchanged: int
    asked: bool
    restored: int = 0


def archive_in(body: bytes, *, where: str, archive: str = "") -> tuple[str, list[FileRow]]:
    """The rows of a file and the archive that they are of.

    Args:
        body: of the file.
        where: its name.
        archive: of which they must be; "" for any.

    Raises:
        CorrectionError: it is no such file, or its rows are not of one archive.
    """
    rows = read_file(body, where)
    found = {row.archive for row in rows}
    if not rows:
        raise refused("the file has no rows", where=where)
    if len(found) > 1 or (archive and found != {archive}):
        names = ", ".join(sorted(found))
        wanted = archive or "one archive"
        raise refused(f"its rows are of {names}, not of {wanted}", where=where)
    return rows[0].archive, rows


def import_rows(
    catalog: FeedCatalog, store: ObjectStore, rows: Sequence[FileRow], *, where: str
) -> Imported:
    """Take corrected rows back and have their archive processed again.

    Args:
        catalog: of the feed.
        store: where corrections are kept.
        rows: of one archive, as a file has them.
        where: name of the file.

    Returns:
        What was done. Where nothing is new, nothing is asked for.

    Raises:
        CorrectionError: the archive has another revision or is in work, or rows of the file cannot
            be taken. Nothing was imported.
        ArchiveMissingError: the archive was never split.
    """
    archive = rows[0].archive
    asked = _refuse_in_work(catalog, archive, where)
    manifest = read_manifest(store, catalog.feed.target, archive)
    _refuse_other_revisions(catalog, manifest, rows, where)
    before = corrections_in_force(
        store, catalog.feed.target, archive, manifest.revision, lambda: manifest
    )
    judgement = _Judgement(catalog, store, manifest, before, where)
    new = judgement.judge(rows)
    if new:
        kept = {_place(row): row for row in before.rows} | {_place(row): row for row in new}
        keep_corrections(store, catalog.feed.target, before, [*kept.values()])
    unused = before.key and before.key != manifest.corrections
    if new or (unused and not asked):
        told = f"{len(new) or len(before.rows)} rows were corrected"
        catalog.ask_replay(archive_partition_key(archive), manifest.revision, told)
        asked = True
    return Imported(archive, len(new), len(rows) - len(new), asked, len(judgement.restored))


def _refuse_in_work(catalog: FeedCatalog, archive: str, where: str) -> bool:
    """Raise if the archive is not settled; whether it waits to be split again."""
    snapshot, key = catalog.snapshot(), archive_partition_key(archive)
    facts = snapshot.others.get(key) or snapshot.at_rest.get(key)
    if facts is None:
        raise refused(f"the archive {archive} is not in the catalog", where=where)
    at_rest = locate(facts).stage is Stage.DELIVERED or is_failed(catalog, facts)
    if facts.running is not None or not (at_rest or facts.replay_asked):
        raise refused(
            f"the archive {archive} is in work",
            where=where,
            fix=(
                f"Run it again when `{command('rwt trace', archive)}` says that it is delivered or "
                "failed."
            ),
        )
    return facts.replay_asked


def _refuse_other_revisions(
    catalog: FeedCatalog, manifest: ArchiveManifest, rows: Sequence[FileRow], where: str
) -> None:
    newest = catalog.latest_revision(manifest.key)
    current = manifest.revision if newest is None else newest.revision
    former = rolled_back_to(catalog, manifest.key)
    for row in rows:
        if former and row.revision == former:
            raise refused(
                f"the row is of revision {former}, to which a person rolled back: its ZIP was "
                "replaced since, so nothing of it can be processed again",
                where=f"{where}, line {row.place}",
                fix=(
                    f"Upload {manifest.key} as it should be; or run "
                    f"`{command('rwt replay', manifest.key)}`, which delivers the newest upload, "
                    "and export and correct its rows."
                ),
            )
        if row.revision != current or current != manifest.revision:
            raise refused(
                f"the row is of revision {row.revision}, the current one of {manifest.key} is "
                f"{current}",
                where=f"{where}, line {row.place}",
                fix="Run `rwt quarantine export` again, and correct what it writes.",
            )


@dataclass(frozen=True, slots=True)
class _Known:
    """What is known of a row of the file."""

    row: FileRow
    member: MemberReport
    entry: QuarantineEntry | None
    given_out: FileRow | None
    before: FileRow | None


@dataclass(frozen=True, slots=True)
class _Judgement:
    """Judges the rows of one file; `restored` fills with the places of rows with such cells."""

    catalog: FeedCatalog
    store: ObjectStore
    manifest: ArchiveManifest
    before: Corrections
    where: str
    restored: set[Place] = field(default_factory=set)

    def judge(self, rows: Sequence[FileRow]) -> list[FileRow]:
        """Those that are to take the place of others.

        Raises:
            CorrectionError: some cannot; the first of them are named.
        """
        problems: list[str] = []
        changed = [
            known for known in self._known(rows, problems) if self._is_changed(known, problems)
        ]
        taken = self._with_fields(changed, problems)
        if problems:
            self._refuse(problems)
        return taken

    def _known(self, rows: Sequence[FileRow], problems: list[str]) -> Iterator[_Known]:
        members = {one.name: one for one in self.manifest.members if one.outcome == "split"}
        entries = self._entries({_place(row) for row in rows})
        shown = file_rows(
            entries.values(), members, archive=self.manifest.key, revision=self.manifest.revision
        )
        given_out = dict(zip(entries, shown, strict=True))
        before = {_place(row): row for row in self.before.rows}
        seen: set[Place] = set()
        for row in rows:
            place = _place(row)
            if row.member not in members:
                problems.append(_told(row, "the archive has no such member that was split"))
            elif place in seen:
                problems.append(_told(row, "it stands in the file twice"))
            elif place not in entries and place not in before:
                problems.append(_told(row, "it is not in quarantine"))
            else:
                own = entries.get(place), given_out.get(place), before.get(place)
                yield _Known(self._restored(row, *own), members[row.member], *own)
            seen.add(place)

    def _restored(
        self,
        row: FileRow,
        entry: QuarantineEntry | None,
        given_out: FileRow | None,
        before: FileRow | None,
    ) -> FileRow:
        """The row without what a spreadsheet made of cells that nobody touched.

        The column that the row was rejected for may have been corrected so.
        """
        source = given_out if given_out is not None else before
        known = {} if source is None else source.fields
        blamed = "" if entry is None else entry.rule.rpartition(": ")[0]
        again = {
            name: known[name]
            for name, text in row.fields.items()
            if name != blamed and name in known and is_saved_anew(known[name], text)
        }
        if not again:
            return row
        self.restored.add(_place(row))
        return replace(row, fields={**row.fields, **again})

    def _entries(self, wanted: set[Place]) -> Mapping[Place, QuarantineEntry]:
        """What of these rows lies in quarantine now."""
        target = self.catalog.feed.target
        found = next(find_quarantined(self.catalog, self.store, archives=[self.manifest.key]), None)
        keys = () if found is None else found.keys
        return {
            (one.member, one.row): one
            for one in iter_entries(self.store, target.bucket, keys)
            if (one.member, one.row) in wanted
        }

    def _is_changed(self, known: _Known, problems: list[str]) -> bool:
        """Whether a row is not as it was given out, and not as it was corrected before."""
        row, columns = known.row, known.member.columns
        for name in columns:
            if name not in row.fields:
                problems.append(_told(row, f"the file has no column {name!r} of its member"))
                return False
        for name, value in row.fields.items():
            if value and name not in columns:
                problems.append(_told(row, f"its member has no column {name!r}"))
                return False
        fields = tuple(row.fields[name] for name in columns)
        for one, text in ((known.given_out, None), (known.before, "")):
            if one is None:
                continue
            same = row.text == (one.text if text is None else text)
            if same and fields == tuple(one.fields.get(name, "") for name in columns):
                return False
        if known.entry is not None and not can_be_corrected(known.entry):
            what = "it stands for several rows, or is longer than is kept: its source has to change"
            problems.append(_told(row, what))
            return False
        if bool(row.text) == any(fields):
            what = "its text and its fields are filled; leave one of them empty"
            problems.append(_told(row, what if row.text else "it is empty"))
            return False
        return True

    def _with_fields(self, changed: list[_Known], problems: list[str]) -> list[FileRow]:
        """The rows with their fields, and with the text that was sent."""
        taken: list[FileRow] = []
        for name in dict.fromkeys(known.row.member for known in changed):
            own = [known for known in changed if known.row.member == name]
            member = own[0].member
            columns, dialect = member.columns, member.dialect
            texts = [known.row.text for known in own if known.row.text]
            read = iter(fields_of([one.rstrip("\r\n") for one in texts], dialect, columns))
            fields = [
                next(read) if known.row.text else fields_in(known.row, columns) for known in own
            ]
            written = iter(write_records([one for one in fields if one], dialect, columns))
            for known, values in zip(own, fields, strict=True):
                if values is None:
                    what = f"its text is not one record of {len(columns)} fields"
                    problems.append(_told(known.row, what))
                elif next(written) is None:
                    what = f"its fields cannot be written with delimiter {dialect.delimiter!r}"
                    problems.append(_told(known.row, f"{what} and quote {dialect.quote!r}"))
                else:
                    texts_by_column = dict(zip(columns, values, strict=True))
                    sent = self._sent(known)
                    taken.append(replace(known.row, text=sent, fields=texts_by_column, place=0))
        return taken

    def _sent(self, known: _Known) -> str:
        """The record as it was sent: what lies in quarantine, unless that is a correction."""
        entry, before, columns = known.entry, known.before, known.member.columns
        if before is None or entry is None:
            return before.text if before is not None else entry.text if entry is not None else ""
        fields = fields_in(before, columns)
        written = write_records([fields], known.member.dialect, columns) if fields else [None]
        is_correction = written[0] is not None and shown_record(written[0]) == entry.text
        return before.text if is_correction else entry.text

    def _refuse(self, problems: Sequence[str]) -> None:
        told = "; ".join(problems[:PROBLEMS_TOLD])
        more = len(problems) - PROBLEMS_TOLD
        told += f"; and {more} more" if more > 0 else ""
        raise refused(f"{len(problems)} rows cannot be taken: {told}", where=self.where)


def _place(row: FileRow) -> Place:
    return row.member, row.row


def _told(row: FileRow, what: str) -> str:
    return f"line {row.place} ({row.member}, row {row.row}): {what}"
