"""What was quarantined of an archive: how much, by which rule, and the entries themselves.

What belongs here: counting, reading and telling what lies in quarantine, and whether it is
more than a feed tolerates. What does not: quarantining (`contract.py`, `splitting.py`) and
having it tried again (`replay.py`). Rule: Parquet format specification, "File format".

Counts come from the documents of an archive, so a list of them reads no quarantine; only the
entries themselves are read from Parquet.
"""

from collections import Counter
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass, replace
from fnmatch import fnmatchcase
from io import BytesIO
from itertools import islice

import pyarrow.parquet as pq

from rwt_assets.contract import TEXT_BYTES, QuarantineEntry
from rwt_assets.documents import ArchiveManifest, Delivery, EnrichedObject
from rwt_assets.feed import Tolerance
from rwt_assets.member import CUT
from rwt_assets.storage import ObjectStore
from rwt_assets.text import NO_MARKDOWN, SafeMarkdown, command_in_markdown, markdown_table

UNKNOWN = "unknown"  # made before rules were counted
FIELDS = ["member", "line", "row", "rows", "rule", "reason", "text", "lines"]
BATCH_ROWS = 512
OLD_TEXT_BYTES = 480  # about: line ends after the 500 bytes that were kept are left out
SHOWN = 20
SAMPLE = 5


@dataclass(frozen=True, slots=True)
class Broken:
    """Rows of one member that one rule quarantined.

    `reason` is that of a member which was quarantined whole; then `rows` are those that were
    read of it before, often none.
    """

    member: str
    rule: str
    rows: int
    reason: str = ""


@dataclass(frozen=True, slots=True)
class SetAside:
    """What was quarantined of one revision. `members` were quarantined whole."""

    archive: str
    revision: str
    rows_read: int
    rows: int
    members: int
    members_read: int
    broken: tuple[Broken, ...]

    @property
    def anything(self) -> bool:
        """Whether there is a row or a member in quarantine."""
        return bool(self.rows or self.members)

    @property
    def ratio(self) -> float:
        """Rows quarantined to rows read."""
        return self.rows / self.rows_read if self.rows_read else 0.0

    @property
    def by_rule(self) -> dict[str, int]:
        """Rows by the rule that quarantined them, most first; 0 where only a member was."""
        counts: Counter[str] = Counter()
        for one in self.broken:
            counts[one.rule] += one.rows
        return dict(sorted(counts.items(), key=lambda item: (-item[1], item[0])))

    def of_rule(self, rule: str) -> tuple[Broken, ...]:
        """What this rule quarantined; all for "". A rule may be a pattern of `fnmatch`."""
        return tuple(one for one in self.broken if matches(one.rule, rule))


@dataclass(frozen=True, slots=True)
class Breach:
    """A bound of the feed's tolerance, and what is beyond it."""

    setting: str
    found: float
    bound: float

    def __str__(self) -> str:
        return f"{self.setting} is {self.bound:g}, found {self.found:.6g}"


def count_set_aside(
    manifest: ArchiveManifest | Delivery, objects: Iterable[EnrichedObject]
) -> SetAside:
    """Count what was quarantined when an archive was split and when its shards were enriched.

    Args:
        manifest: what was split; a delivery has the reports of its members, too.
        objects: what was enriched.
    """
    whole = {one.name: one.reason for one in manifest.members if one.outcome == "quarantined"}
    counts: Counter[tuple[str, str]] = Counter()
    counted = [(one.name, one.rows_quarantined, one.rows_by_rule) for one in manifest.members]
    counted += [(one.member, one.rows_quarantined, one.rows_by_rule) for one in objects]
    for member, rows, by_rule in counted:
        told = dict(by_rule)
        rest = rows - sum(by_rule.values())
        if rest or (member in whole and not told):
            told[UNKNOWN] = rest
        for rule, number in told.items():
            counts[member, rule] += number
    broken = [
        Broken(member, rule, rows, whole.get(member, "")) for (member, rule), rows in counts.items()
    ]
    return SetAside(
        archive=manifest.key,
        revision=manifest.revision,
        rows_read=manifest.rows_read,
        rows=sum(rows for _, rows, _ in counted),
        members=len(whole),
        members_read=sum(one.outcome != "ignored" for one in manifest.members),
        broken=tuple(sorted(broken, key=lambda one: (one.member, -one.rows, one.rule))),
    )


def count_delivered(delivery: Delivery) -> SetAside:
    """Count what a delivery has quarantined, by its document alone.

    One of a version before generations does not say what was quarantined by member when the archive
    was split; that counts as unknown.
    """
    found = count_set_aside(delivery, delivery.objects)
    rest = delivery.rows_quarantined - found.rows
    if not rest:
        return found
    unknown = Broken("", UNKNOWN, rest)
    return replace(found, rows=delivery.rows_quarantined, broken=(*found.broken, unknown))


def breaches(found: SetAside, tolerance: Tolerance) -> list[Breach]:
    """The bounds of a tolerance that are exceeded; what is not set bounds nothing."""
    bounds = [
        ("tolerance.rows", found.rows, tolerance.rows),
        ("tolerance.ratio", found.ratio, tolerance.ratio),
        ("tolerance.members", found.members, tolerance.members),
    ]
    return [
        Breach(setting, value, bound)
        for setting, value, bound in bounds
        if bound is not None and value > bound
    ]


def matches(rule: str, wanted: str) -> bool:
    """Whether a rule is the wanted one or fits it as a pattern; "" is any."""
    return not wanted or rule == wanted or fnmatchcase(rule, wanted)


def read_entries(
    store: ObjectStore, bucket: str, keys: Sequence[str], *, limit: int, rule: str = ""
) -> list[QuarantineEntry]:
    """The first entries in these quarantine objects, one object after the other.

    Objects are read until there are enough entries. The `line` of a row is known where its
    structure was at fault; a row that broke the contract has its place in `row`.
    """
    return list(islice(_entries(store, bucket, keys, rule), limit))


def _entries(
    store: ObjectStore, bucket: str, keys: Sequence[str], rule: str
) -> Iterator[QuarantineEntry]:
    for key in keys:
        body = pq.ParquetFile(BytesIO(store.read(bucket, key)))
        told = TEXT_BYTES.encode() in (body.schema_arrow.metadata or {})
        there = [name for name in FIELDS if name in body.schema_arrow.names]  # once without lines
        for batch in body.iter_batches(batch_size=BATCH_ROWS, columns=there, use_threads=False):
            for row in batch.to_pylist():
                if matches(row["rule"], rule):
                    yield _cut_marked(QuarantineEntry(**row), whole_texts=told)


def iter_entries(
    store: ObjectStore, bucket: str, keys: Sequence[str], *, rule: str = ""
) -> Iterator[QuarantineEntry]:
    """All entries in these quarantine objects, as they are read."""
    return _entries(store, bucket, keys, rule)


def is_cut(entry: QuarantineEntry) -> bool:
    """Whether the record was too long for its text to be kept whole."""
    return entry.text.endswith(CUT)


def _cut_marked(entry: QuarantineEntry, *, whole_texts: bool) -> QuarantineEntry:
    """The entry; versions that kept 500 bytes of a text did not say whether they had cut it."""
    if whole_texts or len(entry.text.encode()) < OLD_TEXT_BYTES:
        return entry
    return replace(entry, text=entry.text + CUT)


def quarantine_report(found: SetAside, sample: Sequence[QuarantineEntry]) -> SafeMarkdown:
    """What was quarantined, as Markdown: by member and rule, some reasons, and how to see all."""
    rows = [
        (one.member, one.rule, f"{'whole member, ' if one.reason else ''}{one.rows}")
        for one in found.broken[:SHOWN]
    ]
    if len(found.broken) > SHOWN:
        rows.append((f"{len(found.broken) - SHOWN} more", "", ""))
    all_of_it = command_in_markdown("rwt quarantine list --archive", found.archive)
    return SafeMarkdown.lines(
        [
            markdown_table(("member", "rule", "rows quarantined:"), rows),
            NO_MARKDOWN,
            *(SafeMarkdown.of("- {}: {}", place_of(entry), entry.reason) for entry in sample),
            NO_MARKDOWN,
            SafeMarkdown.of("All of it: {}", all_of_it),
        ]
    )


def place_of(entry: QuarantineEntry) -> str:
    """Where an entry was in its archive: member, and lines or row as far as they are known."""
    if entry.line is not None and (entry.lines or 1) > 1:
        last = entry.line + (entry.lines or 1) - 1
        return f"{entry.member}, lines {entry.line} to {last}, row {entry.row}"
    places = [("line", entry.line), ("row", entry.row)]
    return ", ".join([entry.member, *(f"{name} {n}" for name, n in places if n is not None)])
