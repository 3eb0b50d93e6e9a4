"""`rwt quarantine export` and `import`: rejected rows as a CSV file that a person corrects.

What belongs here: the commands. What does not: which rows are given out (`correcting.py` of the
package) and taken back (`taking_back.py`).
"""

from pathlib import Path
from typing import Annotated

import dagster as dg
import typer

from rwt_assets.catalog import FeedCatalog
from rwt_assets.cli.quarantine import Rule, follow
from rwt_assets.definitions import declared_feeds
from rwt_assets.documents import archive_partition_key
from rwt_assets.operations import (
    Exported,
    archive_in,
    export_rows,
    find_rejected,
    import_rows,
    rolled_back_to,
)
from rwt_assets.resources import connect_objects
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
            catalog, store = FeedCatalog(instance, feed), connect_objects(feed)
            found = find_rejected(catalog, store, archive)
            former = rolled_back_to(catalog, archive) == found.found.revision
            if output is None:
                with console.data() as file:
                    done = export_rows(catalog, store, found, file, member=member, rule=rule)
            else:
                # Spreadsheets take a CSV for UTF-8 only if it begins with a byte order mark.
                with output.open("w", encoding="utf-8-sig", newline="") as file:
                    done = export_rows(catalog, store, found, file, member=member, rule=rule)
        _tell(done, output)
        if former:
            errors.print(
                f"They cannot be taken back: a person rolled {archive} back to this revision, and "
                "its ZIP was replaced since.",
                markup=False,
            )


def import_command(
    file: Annotated[
        Path,
        typer.Argument(
            metavar="FILE", exists=True, dir_okay=False, help="What `export` wrote, corrected."
        ),
    ],
    archive: Annotated[
        str, typer.Option("--archive", metavar="KEY", help="Refuse a file of another archive.")
    ] = "",
    state: State = DEFAULT_STATE,
    feed_name: FeedName = "",
    wait: Annotated[
        bool, typer.Option("--wait", help="Wait for the delivery; status 1 if it fails.")
    ] = False,
) -> None:
    """Take corrected rows back: their archive is processed again with them.

    Each takes the place of the row that was rejected, and is held to the same contract. Rows that
    were left as they were are not taken. A file is taken as a whole or not at all.

    For example:

        rwt quarantine import monday.csv --wait

    Status 1 if the file is refused.
    """
    with errors_told():
        enter(state)
        key, rows = archive_in(file.read_bytes(), where=str(file), archive=archive)
        failed = False
        with dg.DagsterInstance.get() as instance:
            ((feed, _),) = archives_by_feed(declared_feeds(), feed_name, [key])
            catalog = FeedCatalog(instance, feed)
            done = import_rows(catalog, connect_objects(feed), rows, where=str(file))
            effect = "it is processed again" if done.asked else "it stays as it is"
            console.print(
                f"{key}: rows corrected: {done.rows:,}, as they were: {done.unchanged:,}; {effect}",
                markup=False,
            )
            if done.restored:
                console.print(
                    f"{done.restored:,} rows have cells that a spreadsheet wrote again, such as 7 "
                    "for 007: these cells stay as they were.",
                    markup=False,
                )
            if wait and done.asked:
                ends = follow(catalog, [archive_partition_key(key)])
                failed = any(end.stage == "failed" for end in ends.values())
        raise typer.Exit(1 if failed else 0)


def _tell(done: Exported, output: Path | None) -> None:
    where = "" if output is None else f" to {output}"
    errors.print(f"Rejected rows written{where}: {done.rows:,}.", markup=False)
    if done.fixed:
        errors.print(
            f"{done.fixed:,} of them stand for several rows or are longer than is kept: they can "
            "be corrected at their source only.",
            markup=False,
        )
    for name in done.members:
        errors.print(f"{name} was quarantined whole: it has no rows here.", markup=False)
