"""`rwt quarantine export`: rejected rows as a CSV file that a person corrects.

What belongs here: the command. What does not: which rows these are (`correcting.py` of the package)
and how they are written (`correction_file.py`).
"""

import sys
from pathlib import Path
from typing import Annotated

import dagster as dg
import typer

from rwt_assets.catalog import FeedCatalog
from rwt_assets.commands.quarantine import Rule
from rwt_assets.commands.session import (
    DEFAULT_STATE,
    FeedName,
    State,
    archives_by_feed,
    enter,
    errors,
    errors_told,
)
from rwt_assets.correcting import Exported, export_rows, find_rejected
from rwt_assets.definitions import declared_feeds
from rwt_assets.resources.object_store import connect_objects


def export_command(  # noqa: PLR0913, PLR0917 - one for each option
    archive: Annotated[str, typer.Argument(metavar="ARCHIVE", help="Object key of an archive.")],
    output: Annotated[
        Path | None,
        typer.Option("--output", "-o", metavar="FILE", help="Where to; standard output without."),
    ] = None,
    member: Annotated[
        str,
        typer.Option("--member", help="Only rows of this member; `*` and `?` stand for anything."),
    ] = "",
    rule: Rule = "",
    state: State = DEFAULT_STATE,
    feed_name: FeedName = "",
) -> None:
    """Write the rejected rows of an archive as CSV, with what is wrong with them.

    Each row has the fields of its member, or its whole text where it has no fields. A cell that a
    spreadsheet would take for a formula begins with an apostrophe.

    For example:

        rwt quarantine export gtfs/monday.zip --output monday.csv
        rwt quarantine export gtfs/monday.zip --member stop_times.txt > rows.csv

    Status 1 if nothing of the archive is quarantined.
    """
    with errors_told():
        enter(state)
        with dg.DagsterInstance.get() as instance:
            ((feed, _),) = archives_by_feed(declared_feeds(), feed_name, [archive])
            catalog, store = FeedCatalog(instance, feed), connect_objects()
            found = find_rejected(catalog, store, archive)
            if output is None:
                sys.stdout.reconfigure(encoding="utf-8", newline="")  # type: ignore[union-attr]
                done = export_rows(catalog, store, found, sys.stdout, member=member, rule=rule)
            else:
                # Spreadsheets take a CSV for UTF-8 only if it begins with a byte order mark.
                with output.open("w", encoding="utf-8-sig", newline="") as file:
                    done = export_rows(catalog, store, found, file, member=member, rule=rule)
        _tell(done, output)


def _tell(done: Exported, output: Path | None) -> None:
    where = "" if output is None else f" to {output}"
    errors.print(f"{done.rows:,} rejected rows written{where}.", markup=False)
    if done.fixed:
        errors.print(
            f"{done.fixed:,} of them are no single row, or are longer than is kept: they can be "
            "corrected at their source only.",
            markup=False,
        )
    for name in done.members:
        errors.print(f"{name} was quarantined whole: it has no rows here.", markup=False)
