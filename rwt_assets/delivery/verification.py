"""Does what was delivered lie where it was delivered, as it was delivered?

What belongs here: holding what a delivery says to its objects, and which deliveries are looked at
when there are too many. What does not: having one made again (`replay.py`), `rwt verify` and the
asset check (`deliveries_intact.py`). Rule: Parquet format specification, "File format".

Three depths: `footers` costs one small request an object; `quarantine` also reads what was
quarantined and adds it up; `deep` reads everything and decodes every column.
"""

from collections import Counter, defaultdict
from collections.abc import Callable, Collection, Sequence
from dataclasses import dataclass, field
from datetime import datetime
from heapq import nlargest
from io import BytesIO
from math import ceil
from typing import Any, Final, Literal
from zlib import crc32

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc
import pyarrow.parquet as pq

from rwt_assets.contract import crc32_of
from rwt_assets.delivery.consumption import parse_delivery
from rwt_assets.delivery.reconciliation import (
    ANOTHER_CRC32,
    FOOTER_VERSION,
    differences,
    is_another_quarantine,
    quarantine_checksums,
)
from rwt_assets.documents import (
    Delivery,
    EnrichedObject,
    Layout,
    MemberReport,
    enrichment_version,
    read_footer,
)
from rwt_assets.feed import Feed
from rwt_assets.runtime import ArchiveMissingError, DocumentDamagedError, map_ahead
from rwt_assets.storage import ObjectHead, ObjectStore
from rwt_assets.text import command
from rwt_assets.values import ARCHIVE, CRC32, MEMBER, RESCUED, ROW

DOCUMENT: Final = "delivery.json"
Depth = Literal["footers", "quarantine", "deep"]
WORKERS: Final = 8
BATCH_ROWS: Final = 65_536
ALL_UP_TO: Final = 200  # deliveries that are all looked at each time
NEWEST: Final = 50
AT_LEAST: Final = 150  # of the others
WITHIN_HOURS: Final = 72
OBJECTS_AT_MOST: Final = 20_000
HOUR: Final = 3_600
TRIES: Final = 3
QUARANTINE_COLUMNS: Final = ["archive", "revision", "member", "row", "rows"]


@dataclass(frozen=True, slots=True)
class Fault:
    """Something that is not as it was delivered: what, where, and what to do."""

    archive: str
    what: str
    where: str
    fix: str

    def __str__(self) -> str:
        return f"{self.archive}: {self.what} ({self.where}). {self.fix}"


@dataclass(frozen=True, slots=True)
class Verified:
    """What came out of one delivery, or of several.

    `elsewhere` counts objects that an IO manager of one's own keeps outside of the feed's target;
    they are not looked at.
    """

    deliveries: int = 0
    objects: int = 0
    elsewhere: int = 0
    rows: int = 0
    faults: tuple[Fault, ...] = ()

    def __add__(self, other: "Verified") -> "Verified":
        return Verified(
            self.deliveries + other.deliveries,
            self.objects + other.objects,
            self.elsewhere + other.elsewhere,
            self.rows + other.rows,
            (*self.faults, *other.faults),
        )


def delivered(store: ObjectStore, feed: Feed) -> list[ObjectHead]:
    """The documents of all current deliveries of a feed, in the order of their keys."""
    folder = Layout(feed.target.prefix).deliveries()
    heads = store.list(feed.target.bucket, folder)
    return [one for one in heads if one.key.removeprefix(folder).partition("/")[2] == DOCUMENT]


def verify_document(  # noqa: PLR0913 - each says one thing about the work
    store: ObjectStore,
    feed: Feed,
    key: str,
    *,
    known: Collection[str],
    depth: Depth = "quarantine",
    window: tuple[int, int] | None = None,
    seen: Callable[[], None] = lambda: None,
    recorded: Callable[[Delivery], str] = lambda _: "",
) -> Verified:
    """Hold one current delivery to its objects.

    If it is replaced meanwhile, the one that took its place is looked at.

    Args:
        store: where it lies.
        feed: whose it is.
        key: of its document.
        known: object keys of the archives in the catalog; others cannot be processed again.
        depth: see the module.
        window: the first object that is looked at, and how many are, beginning again after the
            last; all without it.
        seen: called after each object.
        recorded: says of a document which other delivery is on record as the current one, "" if
            none is.

    Raises:
        ArchiveMissingError: there is no such document.
    """
    found, layout = Verified(), Layout(feed.target.prefix)
    for _ in range(TRIES):
        body, etag = store.read_tagged(feed.target.bucket, key)
        try:
            delivery = parse_delivery(feed.target, key, body)
        except DocumentDamagedError as error:
            archive = next((one for one in known if layout.delivery(one) == key), key)
            fix = f"Run `{command('rwt replay', archive)}`, which writes it again."
            return Verified(1, faults=(Fault(archive, error.what, error.where, fix),))
        verification = _Verification(store, feed, delivery, delivery.key in known, depth, seen)
        verification.hold_to_record(recorded(delivery))
        found = verification.run(window)
        if not found.faults or store.head(feed.target.bucket, key).etag == etag:
            break
    return found


def verify_some(  # noqa: PLR0913 - each says one thing about the work
    store: ObjectStore,
    feed: Feed,
    heads: Sequence[ObjectHead],
    *,
    known: Collection[str],
    now: datetime,
    objects_at_most: int = OBJECTS_AT_MOST,
    recorded: Callable[[Delivery], str] = lambda _: "",
) -> Verified:
    """Check the footers of as many deliveries as one evaluation may cost.

    Args:
        store: where they lie.
        feed: whose they are.
        heads: see `delivered`.
        known: see `verify_document`.
        now: decides which of many are looked at.
        objects_at_most: about how many objects are looked at; of a delivery with more, other
            ones each time.
        recorded: see `verify_document`.
    """
    newest, others = choose(heads, now)
    # No multiple of anything, so that each window comes to be the first.
    start = crc32(str(int(now.timestamp() // HOUR)).encode())
    found = Verified()
    for part, allowed in ((newest, objects_at_most // 2 if others else 0), (others, 0)):
        limit = allowed or objects_at_most
        for head in part:
            room = limit - found.objects
            if room <= 0:
                break
            try:
                found += verify_document(
                    store,
                    feed,
                    head.key,
                    known=known,
                    depth="footers",
                    window=(start, room),
                    recorded=recorded,
                )
            except ArchiveMissingError:
                continue  # it was retired meanwhile
    return found


def choose(
    heads: Sequence[ObjectHead], now: datetime
) -> tuple[Sequence[ObjectHead], Sequence[ObjectHead]]:
    """The deliveries that are looked at in this hour: the newest, and some of the others.

    Few are all looked at. Of many, it is each time the newest and a part of the others, so that
    each is looked at once in some days. Which is first differs too: there may be no room for all.
    """
    hour = int(now.timestamp() // HOUR)
    if len(heads) <= ALL_UP_TO:
        return (), _rotated(heads, hour)
    newest = nlargest(NEWEST, heads, key=lambda one: (one.last_modified, one.key))
    left = {one.key for one in newest}
    others = [one for one in heads if one.key not in left]
    size = max(AT_LEAST, ceil(len(others) / WITHIN_HOURS))
    parts = ceil(len(others) / size)
    start = hour % parts * size
    return _rotated(newest, hour), _rotated(others[start : start + size], hour // parts)


def _rotated(heads: Sequence[ObjectHead], turn: int) -> Sequence[ObjectHead]:
    first = turn % max(len(heads), 1)
    return [*heads[first:], *heads[:first]]


_NONE: Final = np.zeros(0, np.int64)


@dataclass(frozen=True, slots=True)
class _There:
    """What lies in an object: rows of a shard with their numbers, or what was quarantined."""

    rows: int = 0
    numbers: np.ndarray = field(default_factory=lambda: _NONE)
    set_aside: Counter[str] = field(default_factory=Counter)
    numbers_by_member: dict[str, np.ndarray] = field(default_factory=dict)


_Found = tuple[list[tuple[str, str]], _There]


class _Verification:
    """One delivery, held to its objects.

    Args:
        store: where they lie.
        feed: whose it is.
        delivery: what is held to them.
        known: whether its archive can be processed again.
        depth: see the module.
        seen: called after each object.
    """

    def __init__(  # noqa: PLR0913, PLR0917
        self,
        store: ObjectStore,
        feed: Feed,
        delivery: Delivery,
        known: bool,  # noqa: FBT001
        depth: Depth,
        seen: Callable[[], None],
    ) -> None:
        self._store, self._feed, self._delivery = store, feed, delivery
        self._bucket = feed.target.bucket
        self._depth, self._seen = depth, seen
        self._version = enrichment_version(feed)
        self._members = {one.name: one for one in delivery.members}
        self._faults: list[Fault] = []
        self._rows: defaultdict[str, list[np.ndarray]] = defaultdict(list)
        self._quarantine_crc32 = quarantine_checksums(delivery)
        key = delivery.key
        self._fix = (
            f"Run `{command('rwt replay', key)}`"
            + (f", or `{command('rwt rollback', key)}` meanwhile." if delivery.former else ".")
            if known
            else "Upload the archive again: it is no longer in the catalog."
        )

    def hold_to_record(self, other: str) -> None:
        """Tell that another delivery than this one is on record as the current one."""
        if other:
            own = f"{self._delivery.revision}/{self._delivery.generation}"
            self._add(f"the document is of {own}, and {other} is on record as delivered")

    def run(self, window: tuple[int, int] | None) -> Verified:
        """Check the objects in a window, or at all."""
        self._hold_totals()
        self._hold_corrections()
        delivery = self._delivery
        own = [one for one in delivery.objects if self._is_own(one.key)]
        keys = [key for key in delivery.quarantine_keys if self._is_own(key)]
        all_of_it = len(own) + len(keys)
        elsewhere = len(delivery.objects) + len(delivery.quarantine_keys) - all_of_it
        things: list[EnrichedObject | str] = [*own, *keys]
        if window is not None and window[1] < all_of_it:
            start = window[0] % all_of_it
            things = [*things[start:], *things[:start]][: window[1]]
        rows = 0
        set_aside: Counter[str] = Counter()
        looked = map_ahead(self._look, things, workers=WORKERS, ahead=WORKERS)
        for thing, (faults, there) in zip(things, looked, strict=True):
            for what, where in faults:
                self._add(what, where)
            if isinstance(thing, EnrichedObject):
                rows += there.rows
                self._rows[thing.member].append(there.numbers)
            else:
                set_aside.update(there.set_aside)
                for member, numbers in there.numbers_by_member.items():
                    self._rows[member].append(numbers)
            self._seen()
        if self._depth != "footers" and not elsewhere:
            self._hold_quarantine(set_aside)
        if self._depth == "deep":
            self._hold_row_numbers()
        return Verified(1, len(things), elsewhere, rows, tuple(self._faults))

    def _is_own(self, key: str) -> bool:
        return key.startswith(f"{self._feed.target.prefix}/")

    def _add(self, what: str, where: str = "") -> None:
        layout = Layout(self._feed.target.prefix)
        key = where or layout.delivery(self._delivery.key)
        self._faults.append(
            Fault(self._delivery.key, what, f"s3://{self._bucket}/{key}", self._fix)
        )

    def _hold_totals(self) -> None:
        """Whether the document adds up, as a whole and by member."""
        one = self._delivery
        enriched = sum(part.rows for part in one.objects)
        if one.rows_read != one.rows_enriched + one.rows_quarantined:
            self._add(
                f"{one.rows_read} rows read are not {one.rows_enriched} enriched and "
                f"{one.rows_quarantined} quarantined"
            )
        if enriched != one.rows_enriched:
            self._add(f"its objects should have {enriched} rows, {one.rows_enriched} in all")
        if not one.members:
            return  # of a version that kept them in the manifest alone
        left = {m.name: m.rows_read - m.rows_quarantined for m in one.members}
        for part in one.objects:
            left[part.member] = left.get(part.member, 0) - part.rows - part.rows_quarantined
        for member, rows in left.items():
            if rows:
                self._add(f"{rows} rows of member {member!r} are not accounted for")
        if sum(m.rows_read for m in one.members) != one.rows_read:
            self._add(f"its members have other rows than the {one.rows_read} that were read")

    def _hold_corrections(self) -> None:
        """Whether the document is there by which rows were corrected: the next split needs it."""
        key = self._delivery.corrections
        if not key:
            return
        try:
            self._store.head(self._bucket, key)
        except ArchiveMissingError:
            self._add("the document of its corrected rows is not there", key)

    def _look(self, thing: EnrichedObject | str) -> _Found:
        """What is wrong with an object, and what is in it."""
        key = thing if isinstance(thing, str) else thing.key
        try:
            if isinstance(thing, str):
                return self._look_at_quarantine(thing)
            return self._look_at_rows(thing)
        except ArchiveMissingError:
            return [("an object is not there", key)], _There()
        except (pa.ArrowException, OSError, ValueError, KeyError) as error:
            told = str(error).partition("\n")[0]
            return [(f"an object cannot be decoded: {told}", key)], _There()

    def _look_at_rows(self, one: EnrichedObject) -> _Found:
        found = read_footer(self._store, self._bucket, one.key)
        if found is None:
            return [(self._missing("an object", one.key), one.key)], _There()
        footer, own = found.facts, found.own
        faults = [(what, one.key) for what in differences(one, self._delivery.revision, found)]
        there = _There(rows=footer.num_rows)
        if self._depth == "deep" and not faults:
            deep, there = self._decode(one, own.get(FOOTER_VERSION, b"").decode())
            faults += [(what, one.key) for what in deep]
        return faults, there

    def _missing(self, what: str, key: str) -> str:
        """Why an object has no footer."""
        try:
            self._store.head(self._bucket, key)
        except ArchiveMissingError:
            return f"{what} is not there"
        return f"{what} is no Parquet, or its footer is not as it was written"

    def _decode(self, one: EnrichedObject, made_by: str) -> tuple[list[str], _There]:
        """Decode every column of an object and hold its rows to where they came from."""
        rows, numbers, found = 0, [], Counter[str]()
        key_of = self._key_column(one, made_by)
        content = self._store.read(self._bucket, one.key)
        if one.crc32 is not None and crc32(content) != one.crc32:
            return [ANOTHER_CRC32.format("an object")], _There(rows=one.rows)
        body = pq.ParquetFile(BytesIO(content))
        for batch in body.iter_batches(batch_size=BATCH_ROWS):
            table = pa.Table.from_batches([batch])
            rows += table.num_rows
            numbers.append(np.asarray(table.column(ROW), np.int64))
            for name, expected in ((ARCHIVE, self._delivery.key), (MEMBER, one.member)):
                others = pc.not_equal(_text(table.column(name)), expected)
                found[f"another {name} than {expected!r}"] += _count(others)
            key = key_of(table)
            if key is not None:
                there, right = table.column(CRC32), crc32_of(key)
                same = pc.fill_null(pc.equal(there, right), fill_value=False)
                both_null = pc.and_(pc.is_null(there), pc.is_null(right))
                found["another CRC-32 than their key"] += _count(pc.invert(pc.or_(same, both_null)))
        if rows != one.rows:
            found[f"been decoded, not {one.rows}"] = rows
        wrong = [f"{number} rows have {what}" for what, number in found.items() if number]
        return wrong, _There(rows=rows, numbers=_joined(numbers))

    def _key_column(self, one: EnrichedObject, made_by: str) -> Callable[[pa.Table], Any]:
        """Gives the column of which `crc32` is, as far as the declaration of today says which.

        It does not if it has changed since, if own enrichments may have changed the column, or if
        the column's text depends on how numbers are written.
        """
        report = self._members.get(one.member)
        rule = self._feed.rule_for(_rule_name(report, one.member))
        if rule is None or rule.enrichments or made_by != self._version:
            return lambda _table: None

        def key(table: pa.Table) -> Any:
            name = rule.key_column or table.column_names[0]
            if name not in table.column_names or name in (CRC32, RESCUED):
                return None
            column = table.column(name)
            kind = column.type
            if pa.types.is_dictionary(kind):
                return _text(column)
            exact = pa.types.is_string(kind) or pa.types.is_integer(kind)
            return column if exact else None

        return key

    def _look_at_quarantine(self, key: str) -> _Found:
        right = self._quarantine_crc32.get(key)
        if self._depth == "footers":
            footer = read_footer(self._store, self._bucket, key)
            if footer is None:
                return [(self._missing("a quarantine object", key), key)], _There()
            if is_another_quarantine(key, footer, right):
                return [(ANOTHER_CRC32.format("a quarantine object"), key)], _There()
            return [], _There()
        try:
            body = self._store.read(self._bucket, key)
        except ArchiveMissingError:
            return [("a quarantine object is not there", key)], _There()
        if right is not None and crc32(body) != right:
            return [(ANOTHER_CRC32.format("a quarantine object"), key)], _There()
        columns = None if self._depth == "deep" else QUARANTINE_COLUMNS
        table = pq.read_table(BytesIO(body), columns=columns)
        faults = [
            (f"a quarantine object has rows of another {name} than {expected!r}", key)
            for name, expected in (
                ("archive", self._delivery.key),
                ("revision", self._delivery.revision),
            )
            if _count(pc.not_equal(table.column(name), expected))
        ]
        rows: Counter[str] = Counter()
        numbers: defaultdict[str, list[int]] = defaultdict(list)
        for entry in table.select(["member", "row", "rows"]).to_pylist():
            rows[entry["member"]] += entry["rows"]
            if entry["row"] is not None:
                numbers[entry["member"]].append(entry["row"])
        by_member = {member: np.array(own, np.int64) for member, own in numbers.items()}
        return faults, _There(set_aside=rows, numbers_by_member=by_member)

    def _hold_quarantine(self, there: Counter[str]) -> None:
        """Whether as much lies in quarantine as the document says."""
        delivery = self._delivery
        if there.total() != delivery.rows_quarantined:
            self._add(f"{there.total()} rows are quarantined, not {delivery.rows_quarantined}")
            return
        if not delivery.members:
            return
        said = Counter({one.name: one.rows_quarantined for one in delivery.members})
        for one in delivery.objects:
            said[one.member] += one.rows_quarantined
        for member in sorted(said.keys() | there.keys()):
            if said[member] != there[member]:
                self._add(
                    f"{there[member]} rows of member {member!r} are quarantined, not {said[member]}"
                )

    def _hold_row_numbers(self) -> None:
        """Whether each row of a member is there once, enriched or quarantined."""
        for member, parts in self._rows.items():
            numbers = np.sort(_joined(parts))
            twice = numbers[1:][numbers[1:] == numbers[:-1]]
            if len(twice):
                self._add(f"row {twice[0]} of member {member!r} is there more than once")
            if len(numbers) and numbers[0] < 1:
                self._add(f"member {member!r} has a row {numbers[0]}")


def _joined(parts: Sequence[np.ndarray]) -> np.ndarray:
    return np.concatenate(parts) if parts else _NONE


def _text(column: Any) -> Any:
    return column if pa.types.is_string(column.type) else column.cast(pa.string())


def _count(mask: Any) -> int:
    return int(pc.sum(pc.fill_null(mask, fill_value=True)).as_py() or 0)


def _rule_name(report: MemberReport | None, member: str) -> str:
    return member if report is None else report.rule_name
