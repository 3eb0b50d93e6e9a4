"""The one switch of an archive: which delivery is current, and which were before it.

What belongs here: reading `delivery.json`, putting another in its place, and going back to a
former one. What does not: making a delivery (`reconciliation.py`), reading its rows
(`delivered.py`) and removing what nobody needs any more (`collection.py`).

`delivery.json` is written last and only in the place of the document that was read before, so of
two runs that end at the same time one gives up. Before it is replaced it is copied, so that a
former delivery can become current again while its objects stand.
"""

import re
from collections import defaultdict
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from datetime import datetime, timedelta
from typing import Final
from zlib import crc32

from rwt_assets.delivery.consumption import parse_delivery
from rwt_assets.delivery.reconciliation import (
    ANOTHER_CRC32,
    differences,
    is_another_quarantine,
    quarantine_checksums,
)
from rwt_assets.documents import (
    ArchiveManifest,
    Delivery,
    FormerDelivery,
    Layout,
    read_footer,
    remove_document,
    write_document,
)
from rwt_assets.feed import Target
from rwt_assets.runtime import (
    ArchiveMissingError,
    DeliveryError,
    DocumentDamagedError,
    SupersededError,
    map_ahead,
)
from rwt_assets.storage import ObjectHead, ObjectStore
from rwt_assets.text import command

FORMER_LISTED: Final = 20  # also those that were collected
GENERATION: Final = re.compile(r".*/rwt_generation=[^/]+/")
WORKERS: Final = 8
FIRST: Final = "first delivery"
UNREADABLE: Final = "the document before could not be read"
NEW_REVISION: Final = "new revision"
SPLIT_AGAIN: Final = "split again"
ENRICHED_AGAIN: Final = "the declaration of its rows changed"
ROLLED_BACK: Final = "rolled back by a person"


@dataclass(frozen=True, slots=True)
class Current:
    """The delivery in place and its ETag; None and "" if the archive was never delivered."""

    delivery: Delivery | None
    etag: str


def current_delivery(store: ObjectStore, target: Target, archive: str) -> Current:
    """The delivery of an archive that consumers read now.

    Raises:
        DocumentDamagedError: its document is not as it was written.
    """
    body, etag = _in_place(store, target, archive)
    return Current(_parsed(target, archive, body) if etag else None, etag)


def delivery_to_replace(store: ObjectStore, target: Target, archive: str) -> Current:
    """The same; of a document that cannot be read only its ETag, since another may replace it."""
    body, etag = _in_place(store, target, archive)
    try:
        return Current(_parsed(target, archive, body) if etag else None, etag)
    except DocumentDamagedError:
        return Current(None, etag)


def _in_place(store: ObjectStore, target: Target, archive: str) -> tuple[bytes, str]:
    try:
        return store.read_tagged(target.bucket, Layout(target.prefix).delivery(archive))
    except ArchiveMissingError:
        return b"", ""


def _parsed(target: Target, archive: str, body: bytes) -> Delivery:
    return parse_delivery(target, Layout(target.prefix).delivery(archive), body)


def never_delivered(target: Target, archive: str) -> ArchiveMissingError:
    """The error of an archive without a delivery."""
    return ArchiveMissingError(
        f"the archive {archive} was never delivered",
        where=f"s3://{target.bucket}/{Layout(target.prefix).delivery(archive)}",
        effect="Nothing was changed.",
        fix=f"See `{command('rwt trace', archive)}`.",
    )


def reason_for(before: Delivery | None, manifest: ArchiveManifest, generation: str) -> str:
    """Why a delivery of this manifest in this generation takes the place of the one before."""
    if before is None:
        return FIRST
    if before.revision != manifest.revision:
        return NEW_REVISION
    split, _, _ = before.generation.partition("-")
    if split != generation.partition("-")[0]:
        return f"{SPLIT_AGAIN}: {manifest.reason}" if manifest.reason else SPLIT_AGAIN
    return ENRICHED_AGAIN


def switch_delivery(
    store: ObjectStore, target: Target, before: Current, delivery: Delivery
) -> Delivery:
    """Make a delivery the one that consumers read.

    Args:
        store: where it is written.
        target: of the feed.
        before: what was in place when the work for this delivery began.
        delivery: the new one; its `former` are added here.

    Returns:
        The delivery that is in place now. If the one before names the same objects, it stays.

    Raises:
        SupersededError: another was put into its place meanwhile. Nothing was written.
    """
    old = before.delivery
    if old is not None and _names_the_same(old, delivery):
        return old
    former = [] if old is None else [_keep_copy(store, target, old, delivery.delivered_at)]
    former += [] if old is None else old.former
    kept = [
        one
        for one in former
        if (one.revision, one.generation) != (delivery.revision, delivery.generation)
    ]
    document = delivery.model_copy(update={"former": _still_kept(store, target, kept)})
    key = Layout(target.prefix).delivery(delivery.key)
    body = document.to_body(indent=1)
    if not write_document(store, target.bucket, key, body, replaces=before.etag):
        if old is not None and current_delivery(store, target, delivery.key).delivery is None:
            # It was retired meanwhile, and nothing else would remove the copy.
            store.delete(target.bucket, [former[0].document])
        raise SupersededError(
            "another delivery of this archive was written meanwhile",
            where=f"s3://{target.bucket}/{key}",
            effect="This one gave up: the delivery in place is as it was.",
            fix="Nothing to do.",
        )
    return document


def roll_back(
    store: ObjectStore, target: Target, archive: str, *, to: str = "", now: datetime
) -> Delivery:
    """Make a former delivery current again.

    Collection may be about to remove its objects. It removes the document of a former delivery
    first, and then looks whether the current delivery has changed; so the document is looked for
    after the switch.

    Args:
        store: where deliveries lie.
        target: of the feed.
        archive: object key.
        to: the generation; the delivery before the current one if "". One without a generation,
            of a version before them, is named by its revision or the beginning of it.
        now: when this is asked.

    Returns:
        The delivery that is in place now.

    Raises:
        ArchiveMissingError: the archive was never delivered.
        DeliveryError: there is no such former delivery, or its objects are not there any more.
        SupersededError: another delivery was written meanwhile.
    """
    before = current_delivery(store, target, archive)
    where = f"s3://{target.bucket}/{Layout(target.prefix).delivery(archive)}"
    if before.delivery is None:
        raise never_delivered(target, archive)
    wanted = [one for one in before.delivery.former if is_named(one, to)]
    if not wanted:
        known = ", ".join(one.generation or one.revision for one in before.delivery.former)
        raise DeliveryError(
            f"there is no former delivery{f' of generation {to!r}' if to else ''}",
            where=where,
            effect="Nothing was changed.",
            fix=f"Former generations: {known or 'none'}; see "
            f"`{command('rwt deliveries', archive)}`.",
        )
    chosen = wanted[0]
    document = read_former(store, target, chosen)
    refuse_missing(store, target, document)
    delivery = document.model_copy(update={"reason": ROLLED_BACK, "delivered_at": now})
    switched = switch_delivery(store, target, before, delivery)
    try:
        read_former(store, target, chosen)
        refuse_missing(store, target, switched)
    except DeliveryError:
        take_back(store, target, switched, before.delivery)
        raise
    return switched


def _still_kept(
    store: ObjectStore, target: Target, former: Sequence[FormerDelivery]
) -> tuple[FormerDelivery, ...]:
    """The former deliveries that a document lists: the newest, and all that were not collected."""
    if len(former) <= FORMER_LISTED:
        return tuple(former)
    folder, _, _ = former[0].document.rpartition("/")
    there = {head.key for head in store.list(target.bucket, f"{folder}/")}
    older = [one for one in former[FORMER_LISTED:] if one.document in there]
    return (*former[:FORMER_LISTED], *older)


def confirm_switch(store: ObjectStore, target: Target, before: Current, switched: Delivery) -> None:
    """Check after a switch whether what it names is there; otherwise undo it.

    A run that was taken for lost may switch when its objects were collected.

    Args:
        store: where deliveries lie.
        target: of the feed.
        before: what was in place when the work for this delivery began.
        switched: what has taken its place.

    Raises:
        SupersededError: an object is gone. The delivery before is in its place again; if there was
            none, there is none.
    """
    if switched == before.delivery:
        return
    own = _own_keys(target, switched)
    gone = sorted(set(own) - _present(store, target.bucket, own))
    if not gone:
        return
    if before.delivery is not None:
        take_back(store, target, switched, before.delivery)
    else:
        now = current_delivery(store, target, switched.key)
        if now.delivery == switched:
            place = Layout(target.prefix).delivery(switched.key)
            remove_document(store, target.bucket, place, etag=now.etag)
    raise SupersededError(
        "objects of this delivery were collected before it was written",
        where=f"s3://{target.bucket}/{gone[0]}",
        effect="This run gave up: the delivery in place is the one before it.",
        fix="Nothing to do if the archive was split again since; else run `rwt replay` for it.",
    )


def _present(store: ObjectStore, bucket: str, keys: Iterable[str]) -> set[str]:
    """Those of these keys under which there is an object, by listing their generations."""
    folders = defaultdict(list)
    for key in keys:
        found = GENERATION.match(key)
        folders[key if found is None else found[0]].append(key)
    return {head.key for folder in folders for head in store.list(bucket, folder)}


def is_named(one: Delivery | FormerDelivery, to: str) -> bool:
    """Whether a person means this delivery by `to`: a generation, or a revision if it has none."""
    if one.generation:
        return to in ("", one.generation)
    return one.revision.startswith(to)


def take_back(store: ObjectStore, target: Target, switched: Delivery, before: Delivery) -> None:
    """Put a delivery back in the place of one that has taken it, unless a third is there."""
    now = current_delivery(store, target, switched.key)
    if now.delivery == switched:
        key = Layout(target.prefix).delivery(switched.key)
        body = before.to_body(indent=1)
        write_document(store, target.bucket, key, body, replaces=now.etag)


def read_former(store: ObjectStore, target: Target, former: FormerDelivery) -> Delivery:
    """The whole document of a former delivery.

    Raises:
        DeliveryError: it was collected, or it cannot be read.
    """
    try:
        body = store.read(target.bucket, former.document)
        return Delivery.from_body(body, where=f"s3://{target.bucket}/{former.document}")
    except ArchiveMissingError as error:
        raise _collected(target, former.document) from error
    except DocumentDamagedError as error:
        raise _damaged(target, former.document, "it cannot be read") from error


def named_keys(delivery: Delivery) -> set[str]:
    """The keys of all objects that a delivery names."""
    return {one.key for one in delivery.objects} | {*delivery.quarantine_keys}


def expires_at(document: ObjectHead, keep_hours: float) -> datetime:
    """Until when the objects of a former delivery are kept.

    Its document was written when another took its place: by the clock of the store, which is the
    same for all machines.
    """
    return document.last_modified + timedelta(hours=keep_hours)


def _names_the_same(one: Delivery, other: Delivery) -> bool:
    """Whether two deliveries differ in nothing but when, why and after which they were made."""
    left_out = {"delivered_at", "reason", "former"}
    return one.model_dump(exclude=left_out) == other.model_dump(exclude=left_out)


def _keep_copy(
    store: ObjectStore, target: Target, delivery: Delivery, replaced_at: datetime
) -> FormerDelivery:
    """Copy a document that will be replaced; the copy's name says its content."""
    body = delivery.model_copy(update={"former": ()}).to_body(indent=1)
    key = Layout(target.prefix).former_delivery(delivery.key, f"{crc32(body):08x}")
    store.put(target.bucket, key, body)
    return FormerDelivery(
        revision=delivery.revision,
        generation=delivery.generation,
        delivered_at=delivery.delivered_at,
        replaced_at=replaced_at,
        rows_read=delivery.rows_read,
        rows_enriched=delivery.rows_enriched,
        rows_quarantined=delivery.rows_quarantined,
        reason=delivery.reason,
        document=key,
    )


def refuse_missing(store: ObjectStore, target: Target, delivery: Delivery) -> None:
    """Check the footer of every object that a delivery names below the feed's target.

    An IO manager of one's own may keep objects elsewhere.

    Raises:
        DeliveryError: one is not there, or its footer says something else than the delivery.
    """
    rows = {one.key: one for one in delivery.objects}
    checksums = quarantine_checksums(delivery)

    def look(key: str) -> None:
        footer = read_footer(store, target.bucket, key)
        if footer is None:
            try:
                store.head(target.bucket, key)
            except ArchiveMissingError as error:
                raise _collected(target, key) from error
            raise _damaged(target, key, "it is no Parquet, or its footer is another")
        if key in rows and (found := differences(rows[key], delivery.revision, footer)):
            raise _damaged(target, key, found[0])
        if key not in rows and is_another_quarantine(key, footer, checksums.get(key)):
            raise _damaged(target, key, ANOTHER_CRC32.format("a quarantine object"))

    for _ in map_ahead(look, _own_keys(target, delivery), workers=WORKERS, ahead=2 * WORKERS):
        pass


def _own_keys(target: Target, delivery: Delivery) -> list[str]:
    return [key for key in sorted(named_keys(delivery)) if key.startswith(f"{target.prefix}/")]


def _damaged(target: Target, key: str, found: str) -> DeliveryError:
    return DeliveryError(
        f"an object of the former delivery is not as it was delivered: {found}",
        where=f"s3://{target.bucket}/{key}",
        effect="The current delivery is as it was.",
        fix="Choose another of `rwt deliveries`, or run `rwt replay` for the archive.",
    )


def _collected(target: Target, key: str) -> DeliveryError:
    return DeliveryError(
        "an object of the former delivery is not there any more: it was collected",
        where=f"s3://{target.bucket}/{key}",
        effect="The current delivery is as it was.",
        fix="See `rwt deliveries` for those that are kept; `keep_former_hours` says how long.",
    )
