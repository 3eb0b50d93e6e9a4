"""`rwt verify`: whether what was delivered lies as it was delivered.

What belongs here: the command. What does not: what is held to what (`verification.py`).
"""

import json
from collections.abc import Callable, Mapping
from dataclasses import asdict
from functools import partial
from typing import Annotated, Any

import dagster as dg
import typer

from rwt_assets.catalog import FeedCatalog, look_for_documents, other_on_record
from rwt_assets.definitions import declared_feeds
from rwt_assets.delivery import Depth, Fault, Verified, never_delivered, verify_document
from rwt_assets.documents import Layout, parse_archive_partition_key
from rwt_assets.feed import Feed
from rwt_assets.resources import connect_objects
from rwt_assets.runtime import ArchiveMissingError
from rwt_assets.terminal import (
    DEFAULT_STATE,
    FeedName,
    State,
    archives_by_feed,
    console,
    enter,
    errors_told,
    progress_bars,
)


def verify_command(
    archives: Annotated[
        list[str] | None,
        typer.Argument(metavar="[ARCHIVE]...", help="Object keys of archives; without: all."),
    ] = None,
    state: State = DEFAULT_STATE,
    feed_name: FeedName = "",
    deep: Annotated[
        bool, typer.Option("--deep", help="Read everything and decode every column.")
    ] = False,
    as_json: Annotated[bool, typer.Option("--json", help="One JSON object at the end.")] = False,
) -> None:
    """Hold every delivery to its objects: they are there, whole, and their rows add up.

    An archive that was delivered and has no delivery.json any more is a fault too.

    For example:

        rwt verify
        rwt verify gtfs/monday.zip --deep

    Status 1 if anything is not as it was delivered.
    """
    with errors_told():
        enter(state)
        depth: Depth = "deep" if deep else "quarantine"
        told: dict[str, dict[str, Any]] = {}
        found = Verified()
        with dg.DagsterInstance.get() as instance:
            for feed, own in archives_by_feed(declared_feeds(), feed_name, archives or ()):
                catalog = FeedCatalog(instance, feed)
                known = set(map(parse_archive_partition_key, catalog.archives()))
                store = connect_objects(feed)
                heads, missing = look_for_documents(catalog, store, own)
                keys = [Layout(feed.target.prefix).delivery(one) for one in own]
                documents = dict(zip(keys, own, strict=True)) if own else {h.key: "" for h in heads}
                for fault in missing:
                    documents.pop(fault.where.removeprefix(f"s3://{feed.target.bucket}/"), None)
                    if not as_json:
                        _tell(fault)
                look = partial(
                    verify_document,
                    store,
                    feed,
                    known=known,
                    depth=depth,
                    recorded=other_on_record(catalog),
                )
                result = _verify(feed, documents, look, quiet=as_json)
                result += Verified(faults=tuple(missing))
                told[feed.name] = asdict(result)
                found += result
        if as_json:
            console.print_json(json.dumps(told))
        else:
            counted = f"{found.deliveries:,} deliveries with {found.objects:,} objects"
            rows = f" and {found.rows:,} rows"
            verdict = f"{len(found.faults):,} faults" if found.faults else "as delivered"
            console.print(f"{counted}{rows}: {verdict}.", markup=False)
            if found.elsewhere:
                console.print(f"{found.elsewhere:,} objects are kept elsewhere: not looked at.")
        raise typer.Exit(1 if found.faults else 0)


def _verify(
    feed: Feed, documents: Mapping[str, str], look: Callable[..., Verified], *, quiet: bool
) -> Verified:
    """Hold documents to their objects; of those that were asked for the archive is given."""
    column = "{task.completed} of {task.total} deliveries, {task.fields[objects]:,} objects"
    found, seen = Verified(), 0
    with progress_bars(console, column, shown=not quiet and console.is_terminal) as bars:
        bar = bars.add_task(feed.name, total=len(documents), objects=0)

        def count() -> None:
            nonlocal seen
            seen += 1
            bars.update(bar, objects=seen)

        for key, archive in documents.items():
            try:
                one = look(key, seen=count)
            except ArchiveMissingError as error:
                if archive:
                    raise never_delivered(feed.target, archive) from error
                continue  # it was retired meanwhile
            for fault in one.faults if not quiet else ():
                _tell(fault)
            found += one
            bars.advance(bar)
    return found


def _tell(fault: Fault) -> None:
    console.print(str(fault), style="red", markup=False, soft_wrap=True)
