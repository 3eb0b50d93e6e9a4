"""Deliveries that the catalog has on record and that are not where the feed delivers to.

What belongs here: holding the catalog to the documents that are there, and these to the catalog.
What does not: holding a document to its objects (`verification.py`). Dagster documentation: "Asset
metadata".

The catalog is read before documents are listed: a document is written before its event, so one
that is on record has been there.
"""

from collections.abc import Callable, Collection
from typing import TYPE_CHECKING

import dagster as dg

from rwt_assets.delivery import Fault, delivered
from rwt_assets.documents import (
    Delivery,
    Layout,
    archive_partition_key,
    parse_archive_partition_key,
)
from rwt_assets.storage import ObjectHead, ObjectStore
from rwt_assets.text import command

if TYPE_CHECKING:
    from rwt_assets.catalog.catalog import FeedCatalog


def look_for_documents(
    catalog: "FeedCatalog", store: ObjectStore, archives: Collection[str] = ()
) -> tuple[list[ObjectHead], list[Fault]]:
    """The documents of a feed's current deliveries, and those that should be there and are not.

    Args:
        catalog: of the feed.
        store: where deliveries lie.
        archives: object keys of the only archives that are looked for; all without any.

    Returns:
        All documents, in the order of their keys; a fault for each archive that was delivered, was
        not retired since and has no document. Where it was delivered to another place, since the
        feed had another target then, the fault says so.
    """
    feed, graph = catalog.feed, catalog.graph
    wanted = {*map(archive_partition_key, archives)} if archives else {*catalog.archives()}
    on_record = catalog.latest_ids(graph.delivery, wanted & {*catalog.archives()})
    heads = delivered(store, feed)
    there = {head.key for head in heads}
    layout = Layout(feed.target.prefix)
    place_of = {key: layout.delivery(parse_archive_partition_key(key)) for key in on_record}
    absent = {key for key, place in place_of.items() if place not in there}
    events = catalog.latest_events(graph.delivery, absent)
    left = events.keys() - catalog.retirements_of({*events})
    known = {*catalog.archives()} if left else set()  # they are retired one after the other
    faults = []
    for key in sorted(left & known):
        archive = parse_archive_partition_key(key)
        now = f"s3://{feed.target.bucket}/{place_of[key]}"
        faults.append(_fault(archive, delivered_to=events[key].uri, now=now))
    return heads, faults


def other_on_record(catalog: "FeedCatalog") -> Callable[[Delivery], str]:
    """Says of a document which other delivery is on record as the current one of its archive.

    A document is written before its event. So of an archive that is not settled nothing is said,
    nor of one that is not in the catalog; then it is "", as if the document is the one on record.
    """

    def other(document: Delivery) -> str:
        key = archive_partition_key(document.key)
        wanted = dg.AssetRecordsFilter(asset_key=catalog.graph.delivery, asset_partitions=[key])
        found = catalog.instance.fetch_materializations(wanted, limit=1).records
        event = found[0].asset_materialization if found else None
        if event is None or not {"revision", "generation"} <= event.metadata.keys():
            return ""  # such as one that a person reported by hand
        said = [event.metadata[name].value for name in ("revision", "generation")]
        if said == [document.revision, document.generation]:
            return ""
        return "/".join(map(str, said)) if key in catalog.snapshot().at_rest else ""

    return other


def _fault(archive: str, *, delivered_to: str, now: str) -> Fault:
    if delivered_to and delivered_to != now:
        what = f"it was delivered to {delivered_to}, which is not below the feed's target any more"
        fix = (
            f"Run `{command('rwt replay', archive)}` to have it delivered to the new place, or "
            "give the feed its former target again. What lies at the former place is left as it is."
        )
        return Fault(archive, what, now, fix)
    what = "it was delivered, and its delivery.json is not there"
    return Fault(archive, what, now, f"Run `{command('rwt replay', archive)}`.")
