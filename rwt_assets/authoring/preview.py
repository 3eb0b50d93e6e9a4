"""What a feed would make of an archive that lies in a file, before anything is stored.

What belongs here: the pipeline's own way of an archive (`unpacking.py`, in one pass), with a
file in the place of S3, and what is told of it. What does not: how it is shown
(`feed.py`), and any rule of its own: what would be delivered, ignored or quarantined is
decided by the code that does it, so that a preview and the pipeline cannot disagree.
"""

from collections.abc import Callable, Iterable, Iterator, Sequence
from dataclasses import dataclass
from datetime import UTC, datetime
from io import BytesIO
from itertools import count
from pathlib import Path
from tempfile import TemporaryDirectory
from threading import Lock
from typing import BinaryIO, Final, Literal

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc
import pyarrow.parquet as pq
from pydantic import SecretStr

from rwt_assets.contract import QuarantineEntry, new_columns
from rwt_assets.delivery import (
    Account,
    Finding,
    asks_rows,
    find_in_rows,
    find_incomplete,
    may_ask_rows,
)
from rwt_assets.documents import (
    ArchiveManifest,
    EnrichedObject,
    MemberReport,
    Shard,
    ShardKey,
    enrichment_version,
    generation_of,
)
from rwt_assets.feed import Feed, MemberRule
from rwt_assets.member import CsvDialect
from rwt_assets.quarantine import FIELDS, breaches
from rwt_assets.runtime import (
    ArchiveError,
    ArchiveMissingError,
    LimitError,
    MemberError,
    NoReadableMemberError,
)
from rwt_assets.shard import OnePassRun, OnePassWriter, unpack_archive
from rwt_assets.storage import FILE_CHUNK_BYTES, ArchiveRevision, ObjectHead

VALUES_SHOWN: Final = 10
EXAMPLES: Final = 3
LOCAL: Final = "local"  # the revision of a file, which has no ETag

Outcome = Literal["taken", "ignored", "broken"]
TOLD: Final[dict[str, Outcome]] = {"split": "taken", "ignored": "ignored", "quarantined": "broken"}


@dataclass(frozen=True, slots=True)
class ColumnPreview:
    """A column of a member as it will be in the result; `note` says what is special about it."""

    name: str
    type: str
    note: str = ""


@dataclass(frozen=True, slots=True)
class ValueCount:
    """A value of the split column, and how many rows have it."""

    value: str | None
    rows: int


@dataclass(frozen=True, slots=True)
class Problem:
    """A rule that rows or a whole member break, with the first of them."""

    rule: str
    rows: int
    examples: tuple[QuarantineEntry, ...]


@dataclass(frozen=True, slots=True)
class MemberPreview:
    """What would become of one member.

    `stored_name` is what the feed's rules match; it differs where two members have one name.
    `values` are the most frequent split values, `other_values` and `other_rows` count the rest.
    `rows_quarantined` counts what breaks the contract, too.
    """

    name: str
    stored_name: str
    outcome: Outcome
    reason: str = ""
    bytes: int = 0
    rows_read: int = 0
    rows_quarantined: int = 0
    shards: int = 0
    dialect: CsvDialect | None = None
    columns: tuple[ColumnPreview, ...] = ()
    split_by: str | None = None
    values: tuple[ValueCount, ...] = ()
    other_values: int = 0
    other_rows: int = 0
    problems: tuple[Problem, ...] = ()


@dataclass(frozen=True, slots=True)
class Preview:
    """What a feed would make of an archive.

    `failure` says why there would be no delivery; then `members` is empty, unless what fails the
    archive is that too much is quarantined, or every member. `not_noticed`
    says why the feed would never read an object of this name. `findings` are what of the archive is
    not as the feed and the sender say.
    """

    feed: str
    archive: str
    members: tuple[MemberPreview, ...] = ()
    failure: str = ""
    not_noticed: str = ""
    findings: tuple[Finding, ...] = ()

    @property
    def rows_read(self) -> int:
        """Rows of all members that are read."""
        return sum(one.rows_read for one in self.members)

    @property
    def rows_quarantined(self) -> int:
        """Rows that would be quarantined."""
        return sum(one.rows_quarantined for one in self.members)

    @property
    def members_broken(self) -> int:
        """Members that would be quarantined whole."""
        return sum(one.outcome == "broken" for one in self.members)

    @property
    def everything_delivered(self) -> bool:
        """Whether the archive would be delivered with nothing quarantined."""
        told = self.failure or self.not_noticed
        return not (told or self.findings or self.rows_quarantined or self.members_broken)


def preview_archive(
    file: Path,
    feed: Feed,
    *,
    password: SecretStr | None = None,
    on_read: Callable[[int], None] = lambda _: None,
) -> Preview:
    """Take an archive the whole way and keep nothing.

    Args:
        file: the archive.
        feed: the declaration that it is held to.
        password: of encrypted members.
        on_read: told how many bytes of the archive were just read; called by other threads.

    Returns:
        What would become of it, also where the archive as a whole would fail.
    """
    key = f"{feed.source.prefix}{file.name}"
    store = LocalArchive(file, key, on_read)
    revision = ArchiveRevision(feed.source.bucket, key, LOCAL, file.stat().st_size)
    # In one pass the same rows come out and are quarantined; see `one_pass.py`.
    way = feed.model_copy(update={"one_pass": True, "keep_shards": False})
    not_noticed = "" if feed.reads(feed.source.bucket, key) else _not_noticed(feed, file)
    with TemporaryDirectory(prefix="rwt-preview-") as folder:
        return _preview(file, way, store, revision, password, Path(folder), not_noticed)


def _preview(  # noqa: PLR0913, PLR0917 - what a preview is made of
    file: Path,
    feed: Feed,
    store: "LocalArchive",
    revision: ArchiveRevision,
    password: SecretStr | None,
    folder: Path,
    not_noticed: str,
) -> Preview:
    shards, failure = _Enriched(folder if may_ask_rows(feed) else None), ""
    try:
        manifest = unpack_archive(
            store,
            feed,
            revision,
            password=password,
            enriched=OnePassWriter(check=lambda _rule, _table: None, write=shards.take),
        )
    except NoReadableMemberError as error:
        manifest = ArchiveManifest(
            feed=feed.name,
            bucket=feed.source.bucket,
            key=revision.key,
            revision=LOCAL,
            version_id=None,
            members=error.members,
            shards=(),
            quarantine_keys=(),
        )
        failure = str(error)
    except (ArchiveError, MemberError, LimitError) as error:
        return Preview(feed.name, str(file), failure=str(error), not_noticed=not_noticed)
    generation = generation_of(manifest, enrichment_version(feed))
    account = Account(manifest, generation, shards.objects, missing=())
    beyond = "; ".join(map(str, breaches(account.set_aside, feed.tolerance)))
    if beyond and not failure:
        failure = f"More is quarantined than the feed tolerates: {beyond}."
    found = find_incomplete(feed, account)
    if asks_rows(feed, manifest):
        found += find_in_rows(feed, manifest, shards.files, folder)
    if not failure:
        failure = "; ".join(str(one) for one in found if one.severity == "fail")
    return Preview(
        feed=feed.name,
        archive=str(file),
        members=tuple(_members(feed, manifest, account, store)),
        failure=failure,
        not_noticed=not_noticed,
        findings=tuple(found),
    )


def _not_noticed(feed: Feed, file: Path) -> str:
    return (
        f"The feed reads objects whose name ends in {feed.source.suffix!r}: under the name "
        f"{file.name!r} it would never be read."
    )


def _members(
    feed: Feed, manifest: ArchiveManifest, account: Account, store: "LocalArchive"
) -> Iterator[MemberPreview]:
    shards: dict[str, list[Shard]] = {}
    for shard in manifest.shards:
        shards.setdefault(shard.member, []).append(shard)
    counts: dict[str, dict[str, int]] = {}
    for broken in account.set_aside.broken:
        counts.setdefault(broken.member, {})[broken.rule] = broken.rows
    for report in manifest.members:
        rule = feed.rule_for(report.rule_name)
        rows_by_rule = counts.get(report.name, {})
        own = shards.get(report.name, [])
        problems = tuple(
            Problem(name, rows, _examples(report, name, rows, store))
            for name, rows in rows_by_rule.items()
        )
        yield _member(report, rule, own, problems)


def _examples(
    report: MemberReport, rule: str, rows: int, store: "LocalArchive"
) -> tuple[QuarantineEntry, ...]:
    if report.outcome == "quarantined":  # as it would be kept
        return (QuarantineEntry(report.name, None, None, rows, rule, report.reason, ""),)
    return store.examples(report.name, rule)


def _member(
    report: MemberReport,
    rule: MemberRule | None,
    shards: Sequence[Shard],
    problems: tuple[Problem, ...],
) -> MemberPreview:
    split_by = None if rule is None or not shards else rule.split_by
    values = [] if split_by is None else [ValueCount(one.value, one.rows) for one in shards]
    values.sort(key=lambda one: -one.rows)
    rest = values[VALUES_SHOWN:]
    return MemberPreview(
        name=report.name,
        stored_name=report.rule_name,
        outcome=TOLD[report.outcome],
        reason=report.reason,
        bytes=report.bytes,
        rows_read=report.rows_read,
        rows_quarantined=sum(one.rows for one in problems),
        shards=len(shards),
        dialect=report.dialect if report.columns else None,
        columns=tuple(_columns(report.columns, rule)) if rule is not None and shards else (),
        split_by=split_by,
        values=tuple(values[:VALUES_SHOWN]),
        other_values=len(rest),
        other_rows=sum(one.rows for one in rest),
        problems=problems,
    )


def _columns(names: Sequence[str], rule: MemberRule) -> Iterator[ColumnPreview]:
    new = {*new_columns(names, rule)}
    what = {"add": "not declared", "rescue": "not declared, rescued", "ignore": "left out"}
    for name in names:
        declared = rule.columns.get(name)
        if declared is None:
            note = what.get(rule.evolution.new_columns, "") if name in new else ""
            yield ColumnPreview(name, "string", note)
        else:
            yield ColumnPreview(name, declared.type, "" if declared.nullable else "not null")
    for name, declared in rule.columns.items():
        if name not in names:
            yield ColumnPreview(name, declared.type, "not there, null")


class _Enriched:
    """Consumes enriched shards and keeps what their footers would say; of several threads.

    The rows go to files in `folder`, if something is asked of them.
    """

    def __init__(self, folder: Path | None) -> None:
        self.objects: list[EnrichedObject] = []
        self.files: dict[str, list[Path]] = {}
        self._folder = folder
        self._number = count()

    def take(self, run: OnePassRun) -> None:
        """Take one shard."""
        if self._folder is None:
            rows = sum(table.num_rows for table in run.tables())
        else:
            rows = self._keep(run, self._folder / f"{next(self._number)}.parquet")
        key = ShardKey.parse(run.partition_key)
        self.objects.append(
            EnrichedObject(
                partition_key=run.partition_key,
                member=key.member,
                split_by=key.split_by,
                value=key.value,
                key="",
                rows=rows,
                bytes=0,
                rows_quarantined=run.rows_quarantined,
                quarantine_key=run.quarantine_key,
                rows_by_rule=run.rows_by_rule,
            )
        )

    def _keep(self, run: OnePassRun, file: Path) -> int:
        rows = 0
        writer: pq.ParquetWriter | None = None
        for table in run.tables():
            writer = writer or pq.ParquetWriter(file, table.schema, compression="lz4")
            writer.write_table(table)
            rows += table.num_rows
        if writer is not None:
            writer.close()
            self.files.setdefault(ShardKey.parse(run.partition_key).member, []).append(file)
        return rows


class LocalArchive:
    """An object store of one object, a file; of what is put, the first of each kind is noted.

    What is put without shards is quarantine alone.
    """

    def __init__(self, file: Path, key: str, on_read: Callable[[int], None]) -> None:
        self._file = file
        self._key = key
        self._on_read = on_read
        self._lock = Lock()
        self._examples: dict[tuple[str, str], list[QuarantineEntry]] = {}

    def examples(self, member: str, rule: str) -> tuple[QuarantineEntry, ...]:
        """The first entries that a rule quarantined in a member."""
        return tuple(self._examples.get((member, rule), ()))

    def head(self, bucket: str, key: str, *, version_id: str | None = None) -> ObjectHead:
        """What is known of the file."""
        self._refuse_others(bucket, key)
        known = self._file.stat()
        when = datetime.fromtimestamp(known.st_mtime, UTC)
        return ObjectHead(key, known.st_size, LOCAL, when, version_id)

    def read(
        self, bucket: str, key: str, start: int = 0, end: int | None = None, *, etag: str = ""
    ) -> bytes:
        """Bytes of the file. It is opened again: threads read at a time."""
        self._refuse_others(bucket, key, etag)
        with self._file.open("rb") as body:
            body.seek(start)
            data = body.read(-1 if end is None else max(0, end - start))
        self._on_read(len(data))
        return data

    def read_tagged(self, bucket: str, key: str) -> tuple[bytes, str]:
        """All of the file."""
        return self.read(bucket, key), LOCAL

    def tail(self, bucket: str, key: str, length: int) -> tuple[bytes, int]:
        """The last bytes of the file, and its size."""
        size = self._file.stat().st_size
        return self.read(bucket, key, max(0, size - length)), size

    def stream(
        self, bucket: str, key: str, start: int, end: int, *, etag: str = ""
    ) -> Iterator[bytes]:
        """Bytes of the file in chunks."""
        for offset in range(start, end, FILE_CHUNK_BYTES):
            yield self.read(bucket, key, offset, min(offset + FILE_CHUNK_BYTES, end), etag=etag)

    def put(self, bucket: str, key: str, body: bytes | memoryview | BinaryIO) -> None:  # noqa: ARG002
        """Note the first entries of what would be quarantined, and forget the rest."""
        readable = BytesIO(body) if isinstance(body, bytes | memoryview) else body
        file = pq.ParquetFile(readable, read_dictionary=["member", "rule"])
        for number in range(file.num_row_groups):
            self._note(file, number)

    def _note(self, file: pq.ParquetFile, number: int) -> None:
        """Take the first rows of each kind, which are seldom in any row group but the first.

        Arrow reads without threads: one that still has bytes of ours as the process ends aborts it.
        """
        places = file.read_row_group(number, columns=["member", "rule", "row"], use_threads=False)
        rows = np.asarray(places.column("row").fill_null(0))
        kinds = places.group_by(["member", "rule"], use_threads=False).aggregate([]).to_pylist()
        for kind in kinds:
            member, rule = kind["member"], kind["rule"]
            own = pc.and_(
                pc.equal(places.column("member"), member), pc.equal(places.column("rule"), rule)
            )
            indices = np.flatnonzero(np.asarray(own))
            first = indices[np.argsort(rows[indices], kind="stable")[:EXAMPLES]]
            with self._lock:
                known = self._examples.setdefault((member, rule), [])
                if len(known) == EXAMPLES and (known[-1].row or 0) <= rows[first[0]]:
                    continue
                found = file.read_row_group(number, columns=FIELDS, use_threads=False).take(
                    pa.array(first)
                )
                entries = [QuarantineEntry(**row) for row in found.to_pylist()]
                merged = sorted([*known, *entries], key=lambda entry: entry.row or 0)
                known[:] = merged[:EXAMPLES]

    def put_if(
        self, bucket: str, key: str, body: bytes | memoryview | BinaryIO, *, etag: str
    ) -> str:
        """As `put`: nothing is there before it."""
        self.put(bucket, key, body)
        return etag or LOCAL

    def folders(self, bucket: str, prefix: str) -> Iterator[str]:  # noqa: ARG002
        """Nothing: nothing is kept."""
        return iter(())

    def list(self, bucket: str, prefix: str, *, start_after: str = "") -> Iterator[ObjectHead]:  # noqa: ARG002
        """Nothing: nothing is kept."""
        return iter(())

    def now(self, bucket: str, prefix: str) -> datetime:  # noqa: ARG002
        """The time of this machine."""
        return datetime.now(UTC)

    def delete(self, bucket: str, keys: Iterable[str]) -> None:
        """Nothing is kept, so nothing is deleted."""

    def delete_if(self, bucket: str, key: str, *, etag: str) -> bool:  # noqa: ARG002
        """Nothing is kept, so nothing is deleted."""
        return False

    def _refuse_others(self, bucket: str, key: str, etag: str = LOCAL) -> None:
        if key != self._key or etag not in ("", LOCAL):
            raise ArchiveMissingError("a preview keeps nothing", where=f"s3://{bucket}/{key}")
