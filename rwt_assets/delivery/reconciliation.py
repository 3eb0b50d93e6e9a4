"""Does an archive add up: rows read = rows enriched + rows quarantined, member by member.

What belongs here: the account of one revision, from what was really written. What does not:
when it is made and who is told (`delivery.py`). Rule: Parquet format specification,
"File format" (the footer's row count).
"""

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from datetime import datetime
from json import loads

import pyarrow.parquet as pq

from rwt_assets.documents import (
    ArchiveManifest,
    Delivery,
    EnrichedObject,
    Footer,
    Generation,
    Layout,
    Shard,
    ShardKey,
    digest,
    read_footer,
)
from rwt_assets.feed import Target
from rwt_assets.quarantine import SetAside, count_set_aside, crc32_in_name
from rwt_assets.runtime import map_ahead
from rwt_assets.storage import ObjectStore

WORKERS = 8
FOOTER_QUARANTINED = b"rwt.rows_quarantined"
FOOTER_REVISION = b"rwt.revision"
FOOTER_CHECKSUM = b"rwt.shard_checksum"
FOOTER_RULES = b"rwt.rows_by_rule"
FOOTER_VERSION = b"rwt.enrichment"
ANOTHER_CRC32 = "{} has another CRC-32 than it was delivered with"


@dataclass(frozen=True, slots=True)
class Account:
    """What one revision came to. `missing` are shards without an object of the generation."""

    manifest: ArchiveManifest
    generation: Generation
    objects: Sequence[EnrichedObject]
    missing: Sequence[str]

    @property
    def rows_enriched(self) -> int:
        """Rows in the Parquet objects, by their footers."""
        return sum(one.rows for one in self.objects)

    @property
    def rows_quarantined(self) -> int:
        """Rows quarantined, when the archive was split and when its shards were enriched."""
        return self.manifest.rows_quarantined + sum(one.rows_quarantined for one in self.objects)

    @property
    def set_aside(self) -> SetAside:
        """What lies in quarantine, by member and rule."""
        return count_set_aside(self.manifest, self.objects)

    @property
    def quarantine_keys(self) -> tuple[str, ...]:
        """The objects in which what was quarantined lies."""
        own = [one.quarantine_key for one in self.objects if one.quarantine_key is not None]
        return (*self.manifest.quarantine_keys, *own)

    @property
    def members_off(self) -> list[str]:
        """Members whose rows do not add up."""
        rows = {one.name: one.rows_read - one.rows_quarantined for one in self.manifest.members}
        for one in self.objects:
            rows[one.member] = rows.get(one.member, 0) - one.rows - one.rows_quarantined
        for report in self.manifest.members:
            # Rows as they were sent, counted by the lines of the text.
            if report.outcome == "split" and report.lines is not None:
                rows[report.name] = rows[report.name] or report.lines.rows - report.rows_read
        return [member for member, left in rows.items() if left]

    @property
    def members_verified(self) -> int:
        """Members that were read to their end; reading one fails where its CRC-32 differs."""
        return sum(one.outcome == "split" for one in self.manifest.members)

    @property
    def reconciled(self) -> bool:
        """Nothing is missing and every row read is accounted for, once, in each member."""
        return not self.missing and not self.members_off


Stored = Callable[[Generation, Shard], EnrichedObject | None]


def take_account(manifest: ArchiveManifest, generation: Generation, stored: Stored) -> Account:
    """Ask for every shard of a manifest what is stored of it.

    Args:
        manifest: of one revision.
        generation: of which objects are wanted; those of others count as missing.
        stored: what is there of a shard, from its content, in this generation; None if nothing
            is. Called by several threads.
    """
    found = map_ahead(
        lambda shard: stored(generation, shard),
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
    return Account(manifest, generation, objects, missing)


def stored_parquet(
    store: ObjectStore, target: Target, generation: Generation, shard: Shard
) -> EnrichedObject | None:
    """What an S3 store has of a shard in a generation; None if there is nothing of its content.

    Of an archive that was split by a version before generations, what that version has made in the
    same way counts as well.
    """
    layout, key = Layout(target.prefix), ShardKey.parse(shard.partition_key)
    places = [
        (
            layout.enriched(generation, key, shard.checksum),
            layout.shard_quarantine(generation, key, shard.checksum),
        )
    ]
    if not generation.split_id:
        revision = generation.revision
        places.append(
            (layout.old_enriched(revision, key), layout.old_shard_quarantine(revision, key))
        )
    for name, quarantine in places:
        footer = read_footer(store, target.bucket, name)
        if footer is None or not is_of(footer, generation, shard.checksum):
            continue
        one = _enriched_object(shard, name, footer)
        if not one.rows_quarantined:
            return one
        kept = read_footer(store, target.bucket, quarantine)
        if kept is not None and _is_quarantine(kept, one.rows_quarantined):
            own = {"quarantine_key": quarantine, "quarantine_crc32": kept.crc32}
            return one.model_copy(update=own)
    return None


def differences(one: EnrichedObject, revision: str, footer: Footer) -> list[str]:
    """What an object's footer says in another way than the delivery of a revision that names it."""
    facts = [
        ("bytes", one.bytes, footer.size),
        ("rows", one.rows, footer.facts.num_rows),
        ("revision", revision, footer.own.get(FOOTER_REVISION, b"").decode("utf-8", "replace")),
        ("rows quarantined", one.rows_quarantined, int(footer.own.get(FOOTER_QUARANTINED, b"0"))),
    ]
    found = [
        f"an object has {name} {there}, not {said}" for name, said, there in facts if said != there
    ]
    if one.crc32 is not None and footer.crc32 != one.crc32:
        found.append(ANOTHER_CRC32.format("an object"))
    return found


def quarantine_checksums(delivery: Delivery) -> dict[str, int]:
    """The CRC-32 of each quarantine object that a delivery names, as far as it is known."""
    named = [(key, crc32_in_name(key)) for key in delivery.quarantine_keys]
    named += [(one.quarantine_key or "", one.quarantine_crc32) for one in delivery.objects]
    return {key: crc for key, crc in named if crc is not None}


def is_another_quarantine(key: str, footer: Footer, right: int | None) -> bool:
    """Whether a footer tells that a quarantine object is not the one with this CRC-32."""
    if footer.miscounted or right is None:
        return footer.miscounted
    # An earlier version made the name of the checksum, and kept none in the footer.
    may_lack = None if crc32_in_name(key) is not None else right
    return footer.crc32 not in (right, may_lack)


def is_of(footer: Footer, generation: Generation, checksum: str) -> bool:
    """Whether an object was made from the shard with this checksum, by a generation's enrichment.

    An object that was put into its place by somebody else is not, nor is one without our footer,
    or with more or fewer bytes before it than it counts.
    """
    made_by = footer.own.get(FOOTER_VERSION)
    is_ours = footer.own.get(FOOTER_CHECKSUM) == checksum.encode() and not footer.miscounted
    return is_ours and (
        made_by is None or digest(made_by.decode("utf-8", "replace")) == generation.enrichment
    )


def _is_quarantine(footer: Footer, rows: int) -> bool:
    """Whether an object is the quarantine of a shard whose Parquet says that it has these rows."""
    facts = footer.facts
    return not footer.miscounted and facts.num_rows == rows and "rule" in facts.schema.names


def _enriched_object(shard: Shard, key: str, footer: Footer) -> EnrichedObject:
    own = footer.own
    return EnrichedObject(
        partition_key=shard.partition_key,
        member=shard.member,
        split_by=shard.split_by,
        value=shard.value,
        key=key,
        rows=footer.facts.num_rows,
        bytes=footer.size,
        crc32=footer.crc32,
        rows_quarantined=int(own.get(FOOTER_QUARANTINED, b"0")),
        quarantine_key=None,
        rows_by_rule=loads(own.get(FOOTER_RULES, b"{}")),
        nulls=nulls_in(footer.facts),
    )


def nulls_in(footer: pq.FileMetaData) -> dict[str, int]:
    """The nulls of each column that has any, by the statistics of a Parquet object."""
    counts: dict[str, int] = {}
    for group in range(footer.num_row_groups):
        row_group = footer.row_group(group)
        for place in range(footer.num_columns):
            column = row_group.column(place)
            known = column.statistics
            if known is not None and known.has_null_count and known.null_count:
                name = column.path_in_schema
                counts[name] = counts.get(name, 0) + known.null_count
    return counts


def make_delivery(
    account: Account, delivered_at: datetime, *, reason: str, warnings: Sequence[str] = ()
) -> Delivery:
    """The document for consumers: exactly the objects of this revision.

    Args:
        account: that reconciles.
        delivered_at: now.
        reason: why it takes the place of the delivery before it.
        warnings: what of the archive is not as expected.
    """
    manifest = account.manifest
    return Delivery(
        feed=manifest.feed,
        bucket=manifest.bucket,
        key=manifest.key,
        revision=manifest.revision,
        generation=account.generation.name,
        reason=reason,
        delivered_at=delivered_at,
        rows_read=manifest.rows_read,
        rows_enriched=account.rows_enriched,
        rows_quarantined=account.rows_quarantined,
        objects=tuple(account.objects),
        quarantine_keys=account.quarantine_keys,
        rows_corrected=manifest.rows_corrected,
        corrections=manifest.corrections,
        members=manifest.members,
        warnings=tuple(warnings),
    )
