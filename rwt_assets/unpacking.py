"""From one revision of an archive to its shards on the object store.

What belongs here: the order of things: inspect, select, unpack, split, upload. What does
not: how a ZIP is read (`archive.py`) and walked (`nesting.py`), how rows are split
(`splitting.py`), how objects are named (`layout.py`) and what Dagster is told
(`assets/archive_manifest.py`).
"""

from collections.abc import Iterable, Iterator
from contextlib import closing
from dataclasses import dataclass, field
from io import BytesIO

import numpy as np
import pyarrow.parquet as pq
from isal import isal_zlib
from pydantic import SecretStr

from rwt_assets.archive import Member, read_member
from rwt_assets.byte_ranges import ByteRanges
from rwt_assets.concurrency import map_ahead
from rwt_assets.contract import QuarantineEntry, count_by_rule, quarantine_table
from rwt_assets.dialect import CsvDialect
from rwt_assets.errors import LimitError, MemberError, NoMatchingMemberError
from rwt_assets.feed import Feed, MemberRule
from rwt_assets.layout import Layout
from rwt_assets.manifest import ArchiveManifest, MemberReport, Part, Shard
from rwt_assets.nesting import Found, Walk
from rwt_assets.notifications import ArchiveRevision
from rwt_assets.object_store import ObjectRanges, ObjectStore
from rwt_assets.partitions import ShardKey
from rwt_assets.splitting import MemberSplitter, SplitPart

UPLOAD_WORKERS = 8
UPLOADS_AHEAD = 16
NAMES_TOLD = 10
ROW_NUMBER = np.dtype("<i8")


@dataclass(slots=True)
class _Unpacked:
    """What one member came to."""

    report: MemberReport
    shards: list[Shard] = field(default_factory=list)
    quarantined: list[QuarantineEntry] = field(default_factory=list)


def unpack_archive(
    store: ObjectStore,
    feed: Feed,
    revision: ArchiveRevision,
    *,
    password: SecretStr | None = None,
) -> ArchiveManifest:
    """Split every member that the feed takes and write the shards.

    A member that cannot be read is quarantined whole and the others go through, or, as the
    feed's `broken_members` says, the archive fails. The same revision gives the same objects
    with the same bytes, however often this runs.

    Args:
        store: where the archive is read and shards are written.
        feed: which members to take and how to split them.
        revision: what to read; a content replaced meanwhile is not read.
        password: of encrypted members.

    Returns:
        The manifest, which is not yet stored.

    Raises:
        NotAZipError: no ZIP file.
        NoMatchingMemberError: nothing in it that the feed takes.
        LimitError: a limit of the feed on the archive as a whole.
        MemberError: a member cannot be read, and the feed's `broken_members` is "fail".
        ArchiveSchemaError: columns for which the feed's `evolution` fails the archive.
        ArchiveMissingError: the object is gone or was replaced.
    """
    where = f"s3://{revision.bucket}/{revision.key}"
    source = ObjectRanges(store, revision.bucket, revision.key, revision.revision, revision.size)
    unpacker = _Unpacker(store, feed, revision, password)
    done: list[_Unpacked] = []
    ignored: list[MemberReport] = []
    with closing(Walk(source, feed, where, password).entries()) as entries:
        for found in entries:
            if found.ignored:
                ignored.append(_ignored(found))
            else:
                done.append(unpacker.unpack(found))
    if not done:
        names = ", ".join(repr(report.name) for report in ignored[:NAMES_TOLD]) or "nothing"
        patterns = ", ".join(pattern for rule in feed.members for pattern in rule.include)
        raise NoMatchingMemberError(
            f"the archive has no member that feed {feed.name} takes ({patterns}); it has {names}",
            where=where,
            fate="Nothing of it was processed.",
            remedy="Upload a complete archive under the same key, or mend the feed's patterns.",
        )
    quarantined = [entry for one in done for entry in one.quarantined]
    return ArchiveManifest(
        feed=feed.name,
        bucket=revision.bucket,
        key=revision.key,
        revision=revision.revision,
        version_id=revision.version_id,
        members=(*(one.report for one in done), *ignored),
        shards=tuple(shard for one in done for shard in one.shards),
        quarantine_keys=unpacker.write_quarantine(quarantined),
    )


class _Unpacker:
    """Unpacks the members of one revision, one after the other."""

    def __init__(
        self,
        store: ObjectStore,
        feed: Feed,
        revision: ArchiveRevision,
        password: SecretStr | None,
    ) -> None:
        self._store = store
        self._feed = feed
        self._revision = revision
        self._password = password
        self._layout = Layout(feed.target.prefix)
        self._written: list[str] = []  # by the member in hand

    def unpack(self, found: Found) -> _Unpacked:
        """Split one member; if it cannot be read, quarantine it whole or fail the archive."""
        self._written = []
        if found.rule is not None:
            return self._split(found.source, found.member, found.rule)
        if found.broken is not None:
            return self._quarantined_whole(found.member, None, found.broken)
        msg = f"{found.member.name!r} is neither taken nor broken"
        raise ValueError(msg)

    def _split(self, source: ByteRanges, member: Member, rule: MemberRule) -> _Unpacked:
        where = f"s3://{self._revision.bucket}/{self._revision.key}, member {member.name!r}"
        limits = self._feed.limits
        splitter = MemberSplitter(rule, limits, where=where)
        parts: dict[str | None, list[Part]] = {}
        try:
            chunks = read_member(source, member, limits, where=where, password=self._password)
            cut = self._cut(member.name, rule, splitter, chunks)
            uploads = map_ahead(self._upload, cut, workers=UPLOAD_WORKERS, ahead=UPLOADS_AHEAD)
            for value, part in uploads:
                parts.setdefault(value, []).append(part)
        except (MemberError, LimitError) as error:
            self._store.delete(self._feed.target.bucket, self._written)
            return self._quarantined_whole(member, splitter, error)
        rejected = [
            QuarantineEntry(member.name, r.line, r.row, r.rows, r.rule, r.reason, r.text)
            for r in splitter.rejected
        ]
        report = MemberReport(
            name=member.name,
            stored_name=_stored_name(member),
            outcome="split",
            reason=member.note,
            rows_read=splitter.rows_read,
            rows_quarantined=sum(entry.rows for entry in rejected),
            rows_by_rule=count_by_rule(rejected),
            bytes=member.uncompressed_bytes,
            crc32=member.crc32,
            columns=splitter.columns,
            dialect=splitter.dialect,
            first_row_line=splitter.first_row_line,
        )
        shards = [self._shard(member.name, rule, value, own) for value, own in parts.items()]
        return _Unpacked(report, shards, rejected)

    def write_quarantine(self, entries: list[QuarantineEntry]) -> tuple[str, ...]:
        """Write what was set aside; the keys of what was written."""
        if not entries:
            return ()
        key = self._layout.member_quarantine(self._revision.key, self._revision.revision)
        table = quarantine_table(
            entries, archive=self._revision.key, revision=self._revision.revision
        )
        body = BytesIO()
        pq.write_table(table, body, compression="zstd")
        self._store.put(self._feed.target.bucket, key, body.getvalue())
        return (key,)

    def _cut(
        self, member: str, rule: MemberRule, splitter: MemberSplitter, chunks: Iterable[bytes]
    ) -> Iterator[tuple[ShardKey, int, SplitPart, tuple[str | None, int]]]:
        """Parts in the order they are cut, each with the place of its row numbers."""
        counts: dict[str | None, int] = {}
        for number, flush in enumerate(splitter.parts(chunks)):
            places = self._write_row_numbers(member, number, flush)
            for part, place in zip(flush, places, strict=True):
                index = counts.get(part.value, 0)
                counts[part.value] = index + 1
                yield self._key(member, rule, part.value), index, part, place

    def _write_row_numbers(
        self, member: str, number: int, flush: tuple[SplitPart, ...]
    ) -> list[tuple[str | None, int]]:
        """Keep the row numbers of one flush in one object, unless all are consecutive."""
        scattered = [part for part in flush if not _consecutive(part.row_numbers)]
        if not scattered:
            return [(None, 0)] * len(flush)
        key = self._layout.row_numbers(self._revision.key, self._revision.revision, member, number)
        body = np.concatenate([part.row_numbers for part in scattered]).astype(ROW_NUMBER)
        self._written.append(key)
        self._store.put(self._feed.target.bucket, key, body.tobytes())
        places: list[tuple[str | None, int]] = []
        offset = 0
        for part in flush:
            if _consecutive(part.row_numbers):
                places.append((None, 0))
            else:
                places.append((key, offset))
                offset += part.rows * ROW_NUMBER.itemsize
        return places

    def _upload(
        self, cut: tuple[ShardKey, int, SplitPart, tuple[str | None, int]]
    ) -> tuple[str | None, Part]:
        shard, index, part, (row_numbers_key, offset) = cut
        key = self._layout.shard_part(self._revision.revision, shard, index)
        data = memoryview(part.data)
        self._written.append(key)
        self._store.put(self._feed.target.bucket, key, data)
        return part.value, Part(
            key=key,
            rows=part.rows,
            bytes=data.nbytes,
            crc32=isal_zlib.crc32(data),
            first_row=int(part.row_numbers[0]) if part.rows else 0,
            row_numbers_key=row_numbers_key,
            row_numbers_offset=offset,
        )

    def _key(self, member: str, rule: MemberRule, value: str | None) -> ShardKey:
        if rule.split_by is None:
            return ShardKey(self._revision.key, member)
        return ShardKey(self._revision.key, member, rule.split_by, value)

    def _shard(self, member: str, rule: MemberRule, value: str | None, parts: list[Part]) -> Shard:
        return Shard(
            partition_key=self._key(member, rule, value).partition_key,
            member=member,
            split_by=rule.split_by,
            value=value,
            parts=tuple(parts),
        )

    def _quarantined_whole(
        self, member: Member, splitter: MemberSplitter | None, error: MemberError | LimitError
    ) -> _Unpacked:
        if self._feed.broken_members == "fail":
            raise _fails_the_archive(error)
        rows = splitter.rows_read if splitter else 0
        entry = QuarantineEntry(member.name, None, None, rows, type(error).__name__, str(error), "")
        report = MemberReport(
            name=member.name,
            stored_name=_stored_name(member),
            outcome="quarantined",
            reason=str(error),
            rows_read=rows,
            rows_quarantined=rows,
            rows_by_rule={entry.rule: rows},
            bytes=member.uncompressed_bytes,
            crc32=member.crc32,
            columns=splitter.columns if splitter else (),
            dialect=splitter.dialect if splitter else CsvDialect(),
        )
        return _Unpacked(report, [], [entry])


def _ignored(found: Found) -> MemberReport:
    return MemberReport(name=found.member.name, outcome="ignored", reason=found.ignored)


def _stored_name(member: Member) -> str:
    return "" if member.name == member.stored_name else member.stored_name


def _fails_the_archive(error: MemberError | LimitError) -> MemberError | LimitError:
    """The same error with what became of the data: the whole archive, not one member."""
    return type(error)(
        error.what,
        where=error.where,
        fate="Nothing of the archive was delivered: broken_members of the feed is 'fail'.",
        remedy=error.remedy,
    )


def _consecutive(row_numbers: np.ndarray) -> bool:
    # Row numbers rise, so the two ends say whether there is a gap between them.
    return len(row_numbers) == 0 or int(row_numbers[-1] - row_numbers[0]) == len(row_numbers) - 1
