"""`rwt collect`: what no delivery needs any more is removed.

What belongs here: the command. What does not: what is removed (`collection.py`).
"""

import json
from dataclasses import asdict
from typing import Annotated, Any

import dagster as dg
import typer

from rwt_assets.catalog import FeedCatalog
from rwt_assets.definitions import declared_feeds
from rwt_assets.resources import connect_objects
from rwt_assets.retention import collect, find_begun, retire
from rwt_assets.terminal import (
    DEFAULT_STATE,
    FeedName,
    State,
    archives_by_feed,
    console,
    enter,
    errors_told,
)


def collect_command(
    archives: Annotated[
        list[str] | None,
        typer.Argument(metavar="[ARCHIVE]...", help="Object keys of archives; without: all."),
    ] = None,
    state: State = DEFAULT_STATE,
    feed_name: FeedName = "",
    dry_run: Annotated[
        bool, typer.Option("--dry-run", help="Say what would be removed; touch nothing.")
    ] = False,
    as_json: Annotated[bool, typer.Option("--json", help="One JSON object at the end.")] = False,
) -> None:
    """Remove what no delivery needs any more, as it is done every night.

    The objects of former deliveries stay for the feed's `keep_former_hours`. It may be stopped at
    any time; the next time finishes what it left.

    For example:

        rwt collect --dry-run
        rwt collect gtfs/monday.zip
    """
    with errors_told():
        enter(state)
        told: dict[str, list[dict[str, Any]]] = {}
        objects = size = 0
        with dg.DagsterInstance.get() as instance:
            for feed, own in archives_by_feed(declared_feeds(), feed_name, archives or ()):
                catalog, lines = FeedCatalog(instance, feed), told.setdefault(feed.name, [])
                store = connect_objects(feed)
                now = store.now(feed.target.bucket, f"{feed.target.prefix}/")
                if not dry_run and not archives:
                    for begun in retire(catalog, store, find_begun(catalog), keep_data=True):
                        if not as_json:
                            console.print(str(begun), markup=False)
                for one in collect(catalog, store, own, now=now, dry_run=dry_run):
                    lines.append(asdict(one))
                    objects, size = objects + one.objects, size + one.bytes
                    if not as_json:
                        console.print(str(one), markup=False)
        if as_json:
            console.print_json(json.dumps(told))
            return
        done = "would be removed" if dry_run else "removed"
        console.print(f"{objects:,} objects with {size:,} bytes {done}.")
