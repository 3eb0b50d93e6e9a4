"""Does an archive add up: rows read = rows enriched + rows quarantined.

What belongs here: the account of one revision, from what was really written. What does not:
when it is made and who is told (`assets/delivery.py`). Rule: Parquet format specification,
"File format" (the footer's row count).
"""

from collections import Counter, defaultdict
from collections.abc import Sequence
from dataclasses import dataclass
from datetime import datetime
from io import BytesIO
from json import loads

import pyarrow.parquet as pq

from rwt_assets.concurrency import map_ahead
from rwt_assets.errors import ArchiveMissingError
from rwt_assets.feed import Feed
from rwt_assets.layout import Layout
from rwt_assets.manifest import ArchiveManifest, Delivery, EnrichedObject, Shard
from rwt_assets.object_store import ObjectStore
from rwt_assets.partitions import ShardKey

FOOTER_GUESS_BYTES = 32 << 10
FOOTER_LENGTH_BYTES = 8
WORKERS = 8
FOOTER_QUARANTINED = b"rwt.rows_quarantined"
FOOTER_REVISION = b"rwt.revision"
FOOTER_CHECKSUM = b"rwt.shard_checksum"
FOOTER_RULES = b"rwt.rows_by_rule"


@dataclass(frozen=True, slots=True)
class Account:
    """What one revision came to. `missing` are shards without an enriched object of it."""

    manifest: ArchiveManifest
    objects: Sequence[EnrichedObject]
    missing: Sequence[str]

    @property
    def rows_enriched(self) -> int:
        """Rows in the Parquet objects, by their footers."""
        return sum(one.rows for one in self.objects)

    @property
    def rows_quarantined(self) -> int:
        """Rows set aside, when the archive was split and when its shards were enriched."""
        return self.manifest.rows_quarantined + sum(one.rows_quarantined for one in self.objects)

    @property
    def rows_by_rule(self) -> dict[str, int]:
        """Rows set aside by the rule that they broke, the most frequent first."""
        counts: Counter[str] = Counter()
        for counted in (
            *(member.rows_by_rule for member in self.manifest.members),
            *(one.rows_by_rule for one in self.objects),
        ):
            counts.update(counted)
        return dict(sorted(counts.items(), key=lambda item: (-item[1], item[0])))

    @property
    def reconciled(self) -> bool:
        """Nothing is missing and every row read is accounted for, once."""
        accounted = self.rows_enriched + self.rows_quarantined
        return not self.missing and self.manifest.rows_read == accounted


def take_account(store: ObjectStore, feed: Feed, manifest: ArchiveManifest) -> Account:
    """Read the footer of every enriched object of a manifest."""
    found = map_ahead(
        lambda shard: _enriched_object(store, feed, manifest, shard),
        manifest.shards,
        workers=WORKERS,
        ahead=2 * WORKERS,
    )
    objects: list[EnrichedObject] = []
    missing: list[str] = []
    for shard, one in zip(manifest.shards, found, strict=True):
        if one is None:
            missing.append(shard.partition_key)
        else:
            objects.append(one)
    return Account(manifest, objects, missing)


def _enriched_object(
    store: ObjectStore, feed: Feed, manifest: ArchiveManifest, shard: Shard
) -> EnrichedObject | None:
    """What is on the store for a shard; None if there is nothing made from its content."""
    layout = Layout(feed.target.prefix)
    key = ShardKey.parse(shard.partition_key)
    name = layout.enriched(manifest.revision, key)
    try:
        tail, size = store.tail(feed.target.bucket, name, FOOTER_GUESS_BYTES)
        footer = int.from_bytes(tail[-8:-4], "little") + FOOTER_LENGTH_BYTES
        if footer > len(tail):
            tail, size = store.tail(feed.target.bucket, name, footer)
    except ArchiveMissingError:
        return None
    facts = pq.read_metadata(BytesIO(tail))
    own = facts.metadata or {}
    if own.get(FOOTER_CHECKSUM) != shard.checksum.encode():
        return None
    quarantined = int(own.get(FOOTER_QUARANTINED, b"0"))
    return EnrichedObject(
        partition_key=shard.partition_key,
        member=shard.member,
        split_by=shard.split_by,
        value=shard.value,
        key=name,
        rows=facts.num_rows,
        bytes=size,
        rows_quarantined=quarantined,
        quarantine_key=layout.shard_quarantine(manifest.revision, key) if quarantined else None,
        rows_by_rule=loads(own.get(FOOTER_RULES, b"{}")),
    )


def make_delivery(account: Account, delivered_at: datetime) -> Delivery:
    """The document for consumers: exactly the objects of this revision."""
    manifest = account.manifest
    own = [one.quarantine_key for one in account.objects if one.quarantine_key is not None]
    return Delivery(
        feed=manifest.feed,
        bucket=manifest.bucket,
        key=manifest.key,
        revision=manifest.revision,
        delivered_at=delivered_at,
        rows_read=manifest.rows_read,
        rows_enriched=account.rows_enriched,
        rows_quarantined=account.rows_quarantined,
        objects=tuple(account.objects),
        quarantine_keys=(*manifest.quarantine_keys, *own),
    )


def report_table(account: Account) -> str:
    """The account by member, as a Markdown table."""
    shards: dict[str, int] = defaultdict(int)
    enriched: dict[str, int] = defaultdict(int)
    quarantined: dict[str, int] = defaultdict(int)
    size: dict[str, int] = defaultdict(int)
    for one in account.objects:
        shards[one.member] += 1
        enriched[one.member] += one.rows
        quarantined[one.member] += one.rows_quarantined
        size[one.member] += one.bytes
    lines = [
        "| member | outcome | shards | rows read | enriched | quarantined | Parquet bytes |",
        "|---|---|---:|---:|---:|---:|---:|",
    ]
    for member in account.manifest.members:
        name = member.name.replace("|", "\\|").replace("\n", " ")
        lines.append(
            f"| {name} | {member.outcome} | {shards[member.name]} | {member.rows_read} "
            f"| {enriched[member.name]} | {member.rows_quarantined + quarantined[member.name]} "
            f"| {size[member.name]} |"
        )
    return "\n".join(lines)
