"""`rwt replay`: archives processed again, the whole way from their split.

What belongs here: the command. What does not: asking (`replay.py` of the package), and replaying
what has something in quarantine (`quarantine.py`).
"""

from typing import Annotated

import dagster as dg
import typer

from rwt_assets.catalog import FeedCatalog
from rwt_assets.cli.quarantine import follow
from rwt_assets.definitions import declared_feeds
from rwt_assets.documents import archive_partition_key
from rwt_assets.operations import Outcome, ask_whole_way
from rwt_assets.terminal import (
    DEFAULT_STATE,
    FeedName,
    State,
    archives_by_feed,
    console,
    enter,
    errors,
    errors_told,
)

TOLD: dict[Outcome, str] = {
    "again": "is processed again",
    "before": "was asked for before, and has not begun",
    "in work": "is in work already",
    "no room": "has to wait, since the feed has as many in work as `archives_in_work` allows: "
    "run this again later",
    "unknown": "is not in the catalog; upload it again",
}


def replay_command(
    archives: Annotated[
        list[str], typer.Argument(metavar="ARCHIVE...", help="Object keys of archives.")
    ],
    state: State = DEFAULT_STATE,
    feed_name: FeedName = "",
    wait: Annotated[
        bool, typer.Option("--wait", help="Wait for the deliveries; status 1 if one fails.")
    ] = False,
) -> None:
    """Process archives again, the whole way from their split; what is delivered stays until then.

    For example:

        rwt replay gtfs/monday.zip
        rwt replay gtfs/monday.zip gtfs/tuesday.zip --wait

    Status 1 if one is not in the catalog or there is no room for it.
    """
    with errors_told():
        enter(state)
        wrong = False
        with dg.DagsterInstance.get() as instance:
            for feed, own in archives_by_feed(declared_feeds(), feed_name, archives):
                catalog = FeedCatalog(instance, feed)
                outcomes = ask_whole_way(catalog, own)
                for archive, outcome in outcomes.items():
                    refused = outcome in ("unknown", "no room")
                    wrong |= refused
                    shown = errors if refused else console
                    shown.print(f"{archive}: {TOLD[outcome]}", markup=False)
                under_way = [
                    archive_partition_key(archive)
                    for archive, outcome in outcomes.items()
                    if outcome in ("again", "before", "in work")
                ]
                if wait and under_way:
                    ends = follow(catalog, under_way)
                    wrong |= any(end.stage == "failed" for end in ends.values())
        raise typer.Exit(1 if wrong else 0)
