"""`rwt status`: what is done, waits, failed or was forgotten."""

import json
from dataclasses import asdict
from typing import Annotated, Any

import dagster as dg
import typer
from botocore.exceptions import BotoCoreError, ClientError
from rich.table import Table

from rwt_assets.catalog import FeedCatalog, Standing, figures_now, take_standing
from rwt_assets.definitions import declared_feeds
from rwt_assets.operations import count_quarantined
from rwt_assets.resources import connect_queue
from rwt_assets.terminal import (
    DEFAULT_STATE,
    State,
    check_loads,
    console,
    enter,
    errors,
    errors_told,
)

SHOWN = 20


def status_command(
    state: State = DEFAULT_STATE,
    waiting: Annotated[
        bool, typer.Option("--waiting", help="What each archive waits for, a line each.")
    ] = False,
    as_json: Annotated[bool, typer.Option("--json", help="As JSON, with every reason.")] = False,
) -> None:
    """What is done, waits, failed or was forgotten.

    For example:

        rwt status
        rwt status --waiting
        rwt status --json | jq '.gtfs.failed'

    Status 1 if anything was forgotten, which should never be, or if the definitions of the project
    do not load.
    """
    with errors_told():
        check_loads(state, here=enter(state), effect="The status was not taken.")
        with dg.DagsterInstance.get() as instance:
            catalogs = [FeedCatalog(instance, feed) for feed in declared_feeds()]
            standings = {one.feed.name: take_standing(one) for one in catalogs}
            figures = {one.feed.name: _figures(one) for one in catalogs}
            quarantined = {one.feed.name: count_quarantined(one) for one in catalogs}
        if as_json:
            both = {
                name: {
                    **_as_dict(standing),
                    "figures": figures[name],
                    "archives_with_quarantine": quarantined[name],
                }
                for name, standing in standings.items()
            }
            console.print_json(json.dumps(both))
        else:
            _show_standings(standings)
            if waiting:
                _show_waiting(standings)
            _show_figures(figures)
            for name, archives in quarantined.items():
                if archives:
                    console.print(
                        f"{name}: archives with something in quarantine {archives:,}: "
                        "`rwt quarantine list`",
                        markup=False,
                    )
        raise typer.Exit(1 if any(one.forgotten for one in standings.values()) else 0)


def _show_standings(standings: dict[str, Standing]) -> None:
    table = Table()
    table.add_column("feed")
    for name in ("done", "waiting", "failed", "forgotten"):
        table.add_column(name, justify="right")
    for name, standing in standings.items():
        counts = (standing.done, standing.waiting, standing.failed, standing.forgotten)
        table.add_row(name, *(str(len(entries)) for entries in counts))
    console.print(table)
    for standing in standings.values():
        for verdict in ("forgotten", "failed"):
            entries = getattr(standing, verdict)
            for entry in entries[:SHOWN]:
                console.print(f"{verdict}: {entry.partition_key}", style="red", markup=False)
                console.print(f"    {entry.reason}", markup=False)
            if len(entries) > SHOWN:
                console.print(f"{verdict}: {len(entries) - SHOWN} more; see `rwt status --json`")


def _show_waiting(standings: dict[str, Standing]) -> None:
    for name, standing in standings.items():
        for entry in standing.waiting:
            if entry.asset == "zip_archive":
                console.print(f"{name}: {entry.partition_key}: {entry.reason}", markup=False)


def _figures(catalog: FeedCatalog) -> dict[str, int] | None:
    """The feed's figures; None if its queue cannot be reached."""
    try:
        return asdict(figures_now(catalog, connect_queue()))
    except (ClientError, BotoCoreError):
        return None


def _show_figures(figures: dict[str, dict[str, int] | None]) -> None:
    for name, own in figures.items():
        if own is None:
            errors.print(f"{name}: the queue cannot be reached", style="yellow", markup=False)
            continue
        told = ", ".join(f"{figure.replace('_', ' ')} {n:,}" for figure, n in own.items())
        console.print(f"{name}: {told}", markup=False)


def _as_dict(standing: Standing) -> dict[str, Any]:
    return {
        name: [
            {"asset": e.asset, "partition": e.partition_key, "reason": e.reason}
            for e in getattr(standing, name)
        ]
        for name in ("done", "waiting", "failed", "forgotten")
    }
