"""Reading a delivery as a consumer does: `delivery.json` first, then exactly what it names.

What belongs here: the consumer's side, also used by `rwt demo` to prove what was written.
What does not: making a delivery (`reconciliation.py`).
"""

from collections import defaultdict
from collections.abc import Sequence
from dataclasses import dataclass
from io import BytesIO

import pyarrow.parquet as pq

from rwt_assets.contract import QUARANTINE_SCHEMA
from rwt_assets.documents import Delivery, Layout
from rwt_assets.feed import Target
from rwt_assets.runtime import DocumentDamagedError, map_ahead
from rwt_assets.shard import read_manifest
from rwt_assets.storage import ObjectStore

WORKERS = 8


@dataclass(frozen=True, slots=True)
class MemberResult:
    """One member of a delivery. `bytes` are those of its Parquet objects.

    `rows_read` is what was counted when the archive was split; `rows_enriched` and
    `rows_quarantined` are what lies in the Parquet objects now.
    """

    member: str
    shards: int
    rows_read: int
    rows_enriched: int
    rows_quarantined: int
    bytes: int


@dataclass(frozen=True, slots=True)
class Result:
    """A delivery read back."""

    delivery: Delivery
    members: Sequence[MemberResult]

    @property
    def reconciled(self) -> bool:
        """Every row that was read is in the Parquet objects, enriched or quarantined, once."""
        return bool(self.members) and all(
            one.rows_read == one.rows_enriched + one.rows_quarantined for one in self.members
        )


def read_delivery(store: ObjectStore, target: Target, archive: str) -> Delivery:
    """What belongs to the delivered revision of an archive.

    Args:
        store: where it lies.
        target: of the feed.
        archive: object key of the archive.

    Raises:
        ArchiveMissingError: it was never delivered.
        DocumentDamagedError: see `parse_delivery`.
    """
    key = Layout(target.prefix).delivery(archive)
    return parse_delivery(target, key, store.read(target.bucket, key))


def parse_delivery(target: Target, place: str, body: bytes) -> Delivery:
    """The document of a delivery, from its body.

    Args:
        target: of the feed.
        place: key of the document.
        body: what lies there.

    Raises:
        DocumentDamagedError: it is not as it was written, or it is that of another archive.
    """
    where = f"s3://{target.bucket}/{place}"
    delivery = Delivery.from_body(body, where=where)
    if Layout(target.prefix).delivery(delivery.key) != place:
        raise DocumentDamagedError(
            f"in the place of this document is that of {delivery.key}",
            where=where,
            effect="Nothing was changed.",
            fix="Run `rwt replay` for the archive of this place, which writes it again.",
        )
    return delivery


def read_result(store: ObjectStore, target: Target, archive: str) -> Result:
    """Read every Parquet object of a delivery and count what is in it.

    Raises:
        ArchiveMissingError: it was never delivered, or an object that it names is gone.
    """
    delivery = read_delivery(store, target, archive)
    # Deliveries of earlier versions have no members of their own.
    members = delivery.members or read_manifest(store, target, archive).members
    enriched: dict[str, int] = defaultdict(int)
    quarantined: dict[str, int] = defaultdict(int)
    shards: dict[str, int] = defaultdict(int)
    size: dict[str, int] = defaultdict(int)
    bodies = map_ahead(
        lambda one: store.read(target.bucket, one.key),
        delivery.objects,
        workers=WORKERS,
        ahead=WORKERS,
    )
    for one, body in zip(delivery.objects, bodies, strict=True):
        rows = pq.read_table(BytesIO(body), use_threads=False).num_rows
        enriched[one.member] += rows
        shards[one.member] += 1
        size[one.member] += len(body)
    for key in delivery.quarantine_keys:
        table = pq.read_table(
            BytesIO(store.read(target.bucket, key)), schema=QUARANTINE_SCHEMA, use_threads=False
        )
        for entry in table.select(["member", "rows"]).to_pylist():
            quarantined[entry["member"]] += entry["rows"]
    results = [
        MemberResult(
            member=report.name,
            shards=shards[report.name],
            rows_read=report.rows_read,
            rows_enriched=enriched[report.name],
            rows_quarantined=quarantined[report.name],
            bytes=size[report.name],
        )
        for report in members
        if report.outcome != "ignored"
    ]
    return Result(delivery, results)
