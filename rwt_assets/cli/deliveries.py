"""`rwt deliveries` and `rwt rollback`: what an archive delivered, and going back to it.

What belongs here: the commands. What does not: the list (`history.py`) and the switch
(`rollback.py`).
"""

import json
from collections.abc import Sequence
from dataclasses import asdict
from datetime import UTC, datetime
from typing import Annotated

import dagster as dg
import typer

from rwt_assets.catalog import FeedCatalog
from rwt_assets.definitions import declared_feeds
from rwt_assets.delivery import PastDelivery, delivery_history
from rwt_assets.operations import make_current_again
from rwt_assets.resources import connect_objects
from rwt_assets.terminal import (
    DEFAULT_STATE,
    FeedName,
    State,
    archives_by_feed,
    console,
    enter,
    errors_told,
)

REVISION_SHOWN = 12
Archive = Annotated[str, typer.Argument(metavar="ARCHIVE", help="Object key of the archive.")]


def deliveries_command(
    archive: Archive,
    state: State = DEFAULT_STATE,
    feed_name: FeedName = "",
    as_json: Annotated[bool, typer.Option("--json", help="As JSON, with whole revisions.")] = False,
) -> None:
    """Show the current delivery of an archive and those before it, the newest first.

    For example:

        rwt deliveries gtfs/monday.zip
        rwt deliveries gtfs/monday.zip --json

    Status 1 if the archive was never delivered.
    """
    with errors_told():
        enter(state)
        ((feed, _),) = archives_by_feed(declared_feeds(), feed_name, [archive])
        found = delivery_history(connect_objects(feed), feed, archive)
        if as_json:
            told = {"feed": feed.name, "archive": archive, "deliveries": list(map(asdict, found))}
            console.print_json(json.dumps(told, default=datetime.isoformat))
            return
        console.print(f"{feed.name}: {archive}", markup=False)
        _show(found)


def rollback_command(
    archive: Archive,
    state: State = DEFAULT_STATE,
    feed_name: FeedName = "",
    to: Annotated[
        str,
        typer.Option(
            "--to",
            metavar="GENERATION",
            help="As `rwt deliveries` shows it; without: the delivery before the current one.",
        ),
    ] = "",
) -> None:
    """Make a former delivery of an archive current again.

    It stays current until a newer revision arrives or the archive is processed again. Asking for
    what is current already changes nothing.

    For example:

        rwt rollback gtfs/monday.zip
        rwt rollback gtfs/monday.zip --to 4f2a9c01d7-88b1c0ffee

    Status 1 if there is no such delivery, or its objects were collected.
    """
    with errors_told():
        enter(state)
        ((feed, _),) = archives_by_feed(declared_feeds(), feed_name, [archive])
        store, now = connect_objects(feed), datetime.now(UTC)
        with dg.DagsterInstance.get() as instance:
            make_current_again(FeedCatalog(instance, feed), store, archive, to=to, now=now)
        console.print(f"{feed.name}: {archive}", markup=False)
        _show(delivery_history(store, feed, archive)[:1])


def _show(deliveries: Sequence[PastDelivery]) -> None:
    for one in deliveries:
        name = one.generation or "without a generation"
        console.print(f"  {name}  {_standing(one)}", markup=False)
        reason = f": {one.reason}" if one.reason else ""
        replaced = "" if one.replaced_at is None else f", replaced {_time(one.replaced_at)}"
        console.print(f"    revision {one.revision[:REVISION_SHOWN]}{reason}", markup=False)
        console.print(f"    delivered {_time(one.delivered_at)}{replaced}", markup=False)
        console.print(
            f"    {one.rows_read:,} rows read, {one.rows_enriched:,} enriched, "
            f"{one.rows_quarantined:,} quarantined",
            markup=False,
        )


def _standing(one: PastDelivery) -> str:
    if one.state == "kept" and one.kept_until is not None:
        over = one.kept_until <= datetime.now(UTC)
        return f"kept until {'the next collection' if over else _time(one.kept_until)}"
    return one.state


def _time(at: datetime) -> str:
    return f"{at.astimezone(UTC):%Y-%m-%dT%H:%M:%SZ}"
