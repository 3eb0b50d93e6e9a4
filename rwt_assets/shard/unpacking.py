"""From one revision of an archive to its shards on the object store.

What belongs here: the order of things: inspect, select, unpack, split, upload. What does
not: how a ZIP is read (`archive.py`) and walked (`nesting.py`), how rows are split
(`splitting.py`), how objects are named (`layout.py`) and what Dagster is told
(`archive_manifest.py`).
"""

from collections.abc import Callable, Iterable, Iterator, Sequence
from contextlib import closing
from dataclasses import dataclass, field, replace
from hashlib import new as new_digest

import numpy as np
import pyarrow as pa
from isal import isal_zlib
from pydantic import SecretStr

from rwt_assets.archive import CONTROL, Found, Member, open_archive, shown
from rwt_assets.contract import QuarantineEntry, quarantine_table
from rwt_assets.documents import (
    AT_MOST_BYTES,
    OBJECT_BYTES,
    ROW_NUMBER,
    ArchiveManifest,
    ControlReport,
    Generation,
    Layout,
    MemberReport,
    Part,
    RowNumberWriter,
    Shard,
    ShardKey,
    consecutive,
    enrichment_version,
    joined,
    read_control_file,
)
from rwt_assets.feed import Feed, MemberRule
from rwt_assets.member import CsvDialect, Rejections
from rwt_assets.quarantine import NOTHING_CORRECTED, Corrections, as_quarantine, write_quarantine
from rwt_assets.runtime import (
    EncodingGuessError,
    LimitError,
    MemberError,
    NoMatchingMemberError,
    NoReadableMemberError,
    Room,
    ShardDamagedError,
    give_back_small_pieces,
    map_ahead,
)
from rwt_assets.shard.member_rows import MemberRows, in_utf8
from rwt_assets.shard.one_pass import OnePass, OnePassShard
from rwt_assets.shard.processing import OnePassRun
from rwt_assets.shard.split_values import SplitValues
from rwt_assets.shard.splitting import PART_BYTES, MemberSplitter, SplitPart, SplitShard
from rwt_assets.storage import ArchiveRevision, ObjectRanges, ObjectStore
from rwt_assets.text import spelled_apart, spelled_pattern

WORKERS = 8
AHEAD = 16
IN_HAND_BYTES = 2 * PART_BYTES  # of shards that the workers are keeping
NAMES_TOLD = 10
BROKEN_TOLD = 4  # with their reasons, all of which fit in the tag of a run
SHOWN_BYTES = 90
GIVEN_BACK_AFTER_BYTES = 32 << 20


@dataclass(slots=True)
class _Unpacked:
    """What one member came to."""

    report: MemberReport
    numbers: RowNumberWriter | None = None
    shards: list[Shard] = field(default_factory=list)
    whole: QuarantineEntry | None = None
    rejected: Rejections = field(default_factory=Rejections)
    broken: MemberError | LimitError | None = None


class _Counted:
    """Chunks of a member, and how many bytes those that were taken come to."""

    def __init__(self, chunks: Iterator[bytes]) -> None:
        self.bytes = 0
        self._chunks = chunks

    def __iter__(self) -> Iterator[bytes]:
        for chunk in self._chunks:
            self.bytes += len(chunk)
            yield chunk


@dataclass(frozen=True, slots=True)
class _Cut:
    """A shard as it was cut, before anything of it is kept."""

    unpacked: _Unpacked
    rule: MemberRule
    key: ShardKey
    bytes_in_hand: int
    parts: Iterator[SplitPart] | None
    one_pass: OnePassRun | None = None


@dataclass(frozen=True, slots=True)
class _KeptPart:
    """A part of a shard that is on the store; its row numbers are not, if they are here."""

    part: Part
    row_numbers: np.ndarray | None = None


@dataclass(frozen=True, slots=True)
class OnePassWriter:
    """What unpacking needs to enrich in the same pass.

    Args:
        check: called with the rule and each enriched batch; raises if it is not as it must be.
        write: keeps one enriched shard; called by several threads at a time.
    """

    check: Callable[[MemberRule, pa.Table], None]
    write: Callable[[OnePassRun], None]


def unpack_archive(  # noqa: PLR0913 - each says one thing about the archive
    store: ObjectStore,
    feed: Feed,
    revision: ArchiveRevision,
    *,
    split_id: str = "",
    password: SecretStr | None = None,
    enriched: OnePassWriter | None = None,
    corrections: Corrections = NOTHING_CORRECTED,
) -> ArchiveManifest:
    """Split every member that the feed takes and write the shards.

    A member that cannot be read is quarantined whole and the others go through, or, as the
    feed's `broken_members` says, the archive fails. If no member can be read, the archive fails
    whatever `broken_members` says, since a delivery of nothing would replace the one before.
    Nothing of a member is written before it was read as a whole. The same revision gives the same
    objects with the same bytes, however often this runs.

    Args:
        store: where the archive is read and shards are written.
        feed: which members to take and how to split them.
        revision: what to read, by its ETag; its size is not used. A content replaced meanwhile
            is not read.
        split_id: of what is written; see `generations.py`.
        password: of encrypted members.
        enriched: takes the enriched shards of a feed with `one_pass`.
        corrections: rows that take the place of those that were sent.

    Returns:
        The manifest, which is not yet stored.

    Raises:
        NotAZipError: no ZIP file.
        NoMatchingMemberError: nothing in it that the feed takes.
        NoReadableMemberError: no member that the feed takes can be read.
        LimitError: a limit of the feed on the archive as a whole.
        MemberError: a member cannot be read, and the feed's `broken_members` is "fail".
        ArchiveSchemaError: columns for which the feed's `evolution` fails the archive.
        ArchiveMissingError: the object is gone or was replaced.
        ShardDamagedError: an object that is already there is not as it was written.
    """
    where = f"s3://{revision.bucket}/{revision.key}"
    source = ObjectRanges.pinned(store, revision.bucket, revision.key, revision.revision)
    generation = Generation(revision.revision, split_id)
    enriched = enriched if feed.one_pass else None
    unpacker = _Unpacker(store, feed, revision, generation, enriched, corrections)
    ignored: list[MemberReport] = []
    with closing(open_archive(source, feed, where, password)) as entries:
        unpacker.unpack(unpacker.taken(entries, ignored))
    done = unpacker.done
    if not done:
        wanted = [pattern for rule in feed.members for pattern in rule.include]
        told = [spelled_apart(report.name, wanted) for report in ignored[:NAMES_TOLD]]
        names = ", ".join(told) or "nothing"
        patterns = ", ".join(map(spelled_pattern, wanted))
        raise NoMatchingMemberError(
            f"the archive has no member that feed {feed.name} takes ({patterns}); it has {names}",
            where=where,
            effect="Nothing of it was processed.",
            fix="Upload a complete archive under the same key, or fix the feed's patterns.",
        )
    members = (*(one.report for one in done), *ignored)
    broken = [(one.report.name, one.broken) for one in done if one.broken is not None]
    if len(broken) == len(done):
        raise _nothing_readable(feed, members, broken, where)
    return ArchiveManifest(
        feed=feed.name,
        bucket=revision.bucket,
        key=revision.key,
        revision=revision.revision,
        version_id=revision.version_id,
        split_id=split_id,
        members=members,
        shards=tuple(shard for one in done for shard in one.shards),
        quarantine_keys=unpacker.write_quarantine(),
        control=unpacker.control,
        corrections=corrections.key,
        corrections_after=corrections.after,
    )


def _nothing_readable(
    feed: Feed,
    members: tuple[MemberReport, ...],
    broken: Sequence[tuple[str, MemberError | LimitError]],
    where: str,
) -> NoReadableMemberError:
    told = [
        f"{shown(name, SHOWN_BYTES)!r} ({type(error).__name__}: {shown(error.what, SHOWN_BYTES)})"
        for name, error in broken[:BROKEN_TOLD]
    ]
    if len(broken) > BROKEN_TOLD:
        told.append(f"and {len(broken) - BROKEN_TOLD} more")
    error = NoReadableMemberError(
        f"no member that feed {feed.name} takes can be read: {', '.join(told)}",
        where=where,
        effect="Nothing of it is delivered; the delivery before, if any, stays.",
        fix="Upload a complete archive under the same key, or fix the feed and `rwt retry`.",
    )
    error.members = members
    return error


class _Digests:
    """Digests of a member's bytes, taken while it is read."""

    def __init__(self, names: Sequence[str]) -> None:
        self._digests = {name: new_digest(name, usedforsecurity=False) for name in names}

    @property
    def hexadecimal(self) -> dict[str, str]:
        """By algorithm; of the whole member once it was read to its end."""
        return {name: one.hexdigest() for name, one in self._digests.items()}

    def taken_of(self, chunks: Iterable[bytes]) -> Iterable[bytes]:
        """The same chunks."""
        if not self._digests:
            return chunks
        return self._noted(chunks)

    def _noted(self, chunks: Iterable[bytes]) -> Iterator[bytes]:
        for chunk in chunks:
            for one in self._digests.values():
                one.update(chunk)
            yield chunk


class _Unpacker:
    """Unpacks a revision: reads member after member, while threads keep the shards of the last."""

    def __init__(  # noqa: PLR0913, PLR0917 - each says one thing about the archive
        self,
        store: ObjectStore,
        feed: Feed,
        revision: ArchiveRevision,
        generation: Generation,
        enriched: OnePassWriter | None,
        corrections: Corrections,
    ) -> None:
        self.done: list[_Unpacked] = []
        self.control = ControlReport()
        self._store = store
        self._feed = feed
        self._revision = revision
        self._generation = generation
        self._enriched = enriched
        self._corrections = corrections
        self._kept_bytes = 0
        self._room = Room(IN_HAND_BYTES)
        self._layout = Layout(feed.target.prefix)

    def taken(self, entries: Iterable[Found], ignored: list[MemberReport]) -> Iterator[Found]:
        """The entries to unpack; the control file is read, the others are noted as ignored."""
        for found in entries:
            if not found.ignored:
                yield found
                continue
            member = found.member
            report = MemberReport(name=member.name, outcome="ignored", reason=found.ignored)
            if found.ignored == CONTROL:
                sent = {"bytes": member.uncompressed_bytes, "crc32": member.crc32}
                report = report.model_copy(update=sent)
                self._read_control(found)
            ignored.append(report)

    def _read_control(self, found: Found) -> None:
        control, member = self._feed.control, found.member
        if control is None:
            return
        where = self._place(member)
        claims, problems = self.control.claims, self.control.problems
        try:
            data = joined(found.chunks(where))
        except (MemberError, LimitError) as error:
            problems = (*problems, str(error))
        else:
            if data is None:
                problems = (*problems, f"{member.name} has more than {AT_MOST_BYTES} bytes")
            else:
                stated = read_control_file(data, control, member.name)
                claims = (*claims, *stated.claims)
                problems = (*problems, *stated.problems)
        members = (*self.control.members, member.name)
        self.control = ControlReport(members=members, claims=claims, problems=problems)

    def _place(self, member: Member) -> str:
        return f"s3://{self._revision.bucket}/{self._revision.key}, member {member.name!r}"

    def unpack(self, members: Iterable[Found]) -> None:
        """Split members; of one that cannot be read, nothing is kept but the reason."""
        cuts = (cut for found in members for cut in self._cuts(found))
        before: _Unpacked | None = None
        for cut, kept in map_ahead(self._keep_with_room, cuts, workers=WORKERS, ahead=AHEAD):
            if before is not None and before is not cut.unpacked and before.numbers:
                before.numbers.flush()
            before = cut.unpacked
            before.shards.append(_shard(cut, kept))
        if before is not None and before.numbers:
            before.numbers.flush()

    def write_quarantine(self) -> tuple[str, ...]:
        """Write what was quarantined; the keys of what was written."""
        bucket, archive = self._feed.target.bucket, self._revision.key

        def key_of(checksum: str) -> str:
            return self._layout.member_quarantine(self._generation, archive, checksum)

        try:
            key = write_quarantine(self._store, bucket, self._set_aside(), key_of)
        except ShardDamagedError as error:
            error.archive = archive
            raise
        return () if key is None else (key,)

    def _set_aside(self) -> Iterator[pa.Table]:
        """What was quarantined of each member, in their order, as it is kept."""
        archive, revision = self._revision.key, self._revision.revision
        for one in self.done:
            if one.whole is not None:
                yield quarantine_table([one.whole], archive=archive, revision=revision)
            for table in one.rejected.tables():
                yield as_quarantine(
                    table, archive=archive, revision=revision, member=one.report.name
                )

    def _cuts(self, found: Found) -> Iterator[_Cut]:
        """The shards of one member, after it was read as a whole; none if it cannot be."""
        if found.broken is not None:
            self._quarantine_whole(found.member, None, found.broken)
        elif found.rule is None:
            msg = f"{found.member.name!r} is neither taken nor broken"
            raise ValueError(msg)
        else:
            yield from self._cut(found, found.rule)

    def _cut(self, found: Found, rule: MemberRule) -> Iterator[_Cut]:
        try:
            yield from self._cut_once(found, rule)
        except EncodingGuessError:  # before any shard
            yield from self._cut_once(found, in_utf8(rule))

    def _cut_once(self, found: Found, rule: MemberRule) -> Iterator[_Cut]:
        member = found.member
        where = self._place(member)
        splitter: MemberSplitter | OnePass = MemberSplitter(
            rule,
            self._feed.limits,
            archive=self._revision.key,
            member=member.name,
            where=where,
            case=self._feed.case,
            corrections=self._corrections.of(member.name),
        )
        if self._enriched is not None:
            splitter = self._one_pass(self._enriched, rule, member, where)
        chunks = _Counted(found.chunks(where))
        control = self._feed.control
        digests = _Digests(control.digests if control is not None else ())
        shards: Iterator[SplitShard | OnePassShard] = iter(
            splitter.shards(digests.taken_of(chunks))
        )
        try:
            shard = next(shards, None)
        except EncodingGuessError:
            raise
        except (MemberError, LimitError) as error:
            self._quarantine_whole(member, splitter.rows, error)
            return
        member = replace(member, uncompressed_bytes=chunks.bytes)  # may have been cut to 32 bits
        if member.uncompressed_bytes > GIVEN_BACK_AFTER_BYTES:
            give_back_small_pieces()
        unpacked = self._unpacked(member, splitter.rows, splitter.values, digests)
        self.done.append(unpacked)
        while shard is not None:
            key = self._key(member.name, rule, shard.value)
            run = None
            if isinstance(shard, OnePassShard):
                run = self._run(rule, key, splitter.rows, shard)
            in_hand = min(shard.bytes, PART_BYTES)
            yield _Cut(unpacked, rule, key, in_hand, shard.parts, run)
            shard = next(shards, None)

    def _one_pass(
        self, enriched: OnePassWriter, rule: MemberRule, member: Member, where: str
    ) -> OnePass:
        return OnePass(
            rule,
            self._feed.limits,
            archive=self._revision.key,
            member=member.name,
            where=where,
            check=lambda table: enriched.check(rule, table),
            keep_shards=self._feed.keep_shards,
            case=self._feed.case,
            corrections=self._corrections.of(member.name),
        )

    def _run(
        self, rule: MemberRule, key: ShardKey, rows: MemberRows, shard: OnePassShard
    ) -> OnePassRun:
        return OnePassRun(
            store=self._store,
            target=self._feed.target,
            rule=rule,
            generation=self._generation.enriched_by(enrichment_version(self._feed)),
            partition_key=key.partition_key,
            first_row_line=rows.first_row_line,
            shard=shard,
        )

    def _unpacked(
        self, member: Member, rows: MemberRows, values: SplitValues, digests: "_Digests"
    ) -> _Unpacked:
        rejected = rows.rejected
        for table in values.rejected(rows.first_row_line):
            rejected.add(table)
        report = MemberReport(
            name=member.name,
            stored_name=_stored_name(member),
            outcome="split",
            reason="; ".join(filter(None, [member.note, rows.note])),
            rows_read=rows.rows_read,
            rows_quarantined=rejected.rows,
            rows_by_rule=dict(rejected.by_rule),
            bytes=member.uncompressed_bytes,
            crc32=member.crc32,
            columns=rows.columns,
            dialect=rows.dialect,
            first_row_line=rows.first_row_line,
            digests=digests.hexadecimal,
            lines=rows.lines,
            trailer=rows.trailer,
            rows_corrected=rows.rows_corrected,
        )
        generation, archive = self._generation, self._revision.key
        numbers = RowNumberWriter(
            self._store,
            self._feed.target.bucket,
            lambda index: self._layout.row_numbers(generation, archive, member.name, index),
        )
        return _Unpacked(report, numbers, [], rejected=rejected)

    def _keep_with_room(self, cut: _Cut) -> tuple[_Cut, list[_KeptPart]]:
        """Keep a shard when those under way leave room: at most a part of it is in memory."""
        with self._room.taken(cut.bytes_in_hand):
            return self._keep(cut)

    def _keep(self, cut: _Cut) -> tuple[_Cut, list[_KeptPart]]:
        """Keep a shard as CSV, as Parquet, or both."""
        if cut.parts is not None:
            kept = [self._put(cut.key, index, part) for index, part in enumerate(cut.parts)]
        elif cut.one_pass is not None and cut.one_pass.shard.sum is not None:
            known = cut.one_pass.shard.sum
            kept = [
                _KeptPart(
                    Part(
                        key=None,
                        rows=known.rows,
                        bytes=known.bytes,
                        crc32=known.crc32,
                        first_row=known.first_row,
                    )
                )
            ]
        else:
            msg = f"{cut.key.partition_key} has neither parts nor a sum"
            raise ValueError(msg)
        if cut.one_pass is not None and self._enriched is not None:
            cut.one_pass.checksum = _shard(cut, kept, numbered=False).checksum
            self._enriched.write(cut.one_pass)
        self._kept_bytes += sum(one.part.bytes for one in kept)  # of two threads, one may be lost
        if self._kept_bytes > GIVEN_BACK_AFTER_BYTES:
            self._kept_bytes = 0
            give_back_small_pieces()
        return cut, kept

    def _put(self, shard: ShardKey, index: int, part: SplitPart) -> _KeptPart:
        bucket = self._feed.target.bucket
        key = self._layout.shard_part(self._generation, shard, index)
        data = memoryview(part.data)
        self._store.put(bucket, key, data)
        numbers: np.ndarray | None = part.row_numbers
        numbers_key: str | None = None
        numbers_crc32: int | None = None
        if consecutive(part.row_numbers):
            numbers = None
        elif part.rows * ROW_NUMBER.itemsize > OBJECT_BYTES:
            numbers_key = self._layout.part_row_numbers(self._generation, shard, index)
            written = part.row_numbers.astype(ROW_NUMBER).tobytes()
            numbers_crc32 = isal_zlib.crc32(written)
            self._store.put(bucket, numbers_key, written)
            numbers = None
        return _KeptPart(
            Part(
                key=key,
                rows=part.rows,
                bytes=data.nbytes,
                crc32=isal_zlib.crc32(data),
                first_row=int(part.row_numbers[0]) if part.rows else 0,
                row_numbers_key=numbers_key,
                row_numbers_crc32=numbers_crc32,
            ),
            numbers,
        )

    def _key(self, member: str, rule: MemberRule, value: str | None) -> ShardKey:
        if rule.split_by is None:
            return ShardKey(self._revision.key, member)
        return ShardKey(self._revision.key, member, rule.split_by, value)

    def _quarantine_whole(
        self, member: Member, read: MemberRows | None, error: MemberError | LimitError
    ) -> None:
        if self._feed.broken_members == "fail":
            raise _fails_the_archive(error)
        rows = read.rows_read if read else 0
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
            columns=read.columns if read else (),
            dialect=read.dialect if read else CsvDialect(),
        )
        self.done.append(_Unpacked(report, None, [], whole=entry, broken=error))


def _shard(cut: _Cut, kept: list[_KeptPart], *, numbered: bool = True) -> Shard:
    """A shard for the manifest; if `numbered`, its row numbers get their place."""
    parts: list[Part] = []
    for one in kept:
        part = one.part
        if numbered and one.row_numbers is not None and cut.unpacked.numbers is not None:
            place = cut.unpacked.numbers.add(one.row_numbers)
            part = part.model_copy(
                update={
                    "row_numbers_key": place.key,
                    "row_numbers_offset": place.offset,
                    "row_numbers_crc32": place.crc32,
                }
            )
        parts.append(part)
    return Shard(
        partition_key=cut.key.partition_key,
        member=cut.key.member,
        split_by=cut.rule.split_by,
        value=cut.key.value,
        parts=tuple(parts),
    )


def _stored_name(member: Member) -> str:
    return "" if member.name == member.stored_name else member.stored_name


def _fails_the_archive(error: MemberError | LimitError) -> MemberError | LimitError:
    """The same error with what became of the data: the whole archive, not one member."""
    return type(error)(
        error.what,
        where=error.where,
        effect="Nothing of the archive was delivered: broken_members of the feed is 'fail'.",
        fix=error.fix,
    )
