"""`rwt quarantine`: what was quarantined and why, and processed again after the feed was fixed."""

import json
from collections.abc import Collection
from dataclasses import asdict
from time import sleep
from typing import Annotated, Any

import dagster as dg
import typer

from rwt_assets.catalog import ArchiveProgress, FeedCatalog, archives_progress
from rwt_assets.contract import QuarantineEntry
from rwt_assets.definitions import declared_feeds
from rwt_assets.documents import archive_partition_key, parse_archive_partition_key
from rwt_assets.operations import Asked, Quarantined, ask_again, find_quarantined
from rwt_assets.quarantine import Broken, SetAside, place_of, read_entries
from rwt_assets.resources import connect_objects
from rwt_assets.terminal import (
    DEFAULT_STATE,
    FeedName,
    State,
    choose_all,
    console,
    enter,
    errors,
    errors_told,
    progress_bars,
)
from rwt_assets.text import command

quarantine_app = typer.Typer(
    no_args_is_help=True,
    rich_markup_mode="markdown",
    help="Rows and members that were quarantined, with the reason.",
)
Keys = Annotated[
    list[str] | None,
    typer.Option("--archive", metavar="KEY", help="Object key of an archive; may be repeated."),
]
Rule = Annotated[
    str,
    typer.Option("--rule", help="Only what this rule quarantined; `*` and `?` stand for anything."),
]
LOOK_SECONDS = 0.5
SHORT = 160


@quarantine_app.command("list")
def show(  # noqa: PLR0913, PLR0917 - one for each option
    keys: Keys = None,
    rule: Rule = "",
    state: State = DEFAULT_STATE,
    feed_name: FeedName = "",
    limit: Annotated[
        int, typer.Option("--limit", min=1, help="How many archives; with --archive, entries.")
    ] = 50,
    as_json: Annotated[bool, typer.Option("--json", help="As JSON, with whole texts.")] = False,
) -> None:
    """Archives with something quarantined, by member and rule; with --archive, what it is.

    For example:

        rwt quarantine list
        rwt quarantine list --archive gtfs/monday.zip
        rwt quarantine list --rule 'price: *' --json
    """
    with errors_told():
        enter(state)
        found: dict[str, list[dict[str, Any]]] = {}
        with dg.DagsterInstance.get() as instance:
            for feed in choose_all(declared_feeds(), feed_name):
                catalog = FeedCatalog(instance, feed)
                own = found.setdefault(feed.name, [])
                archives = find_quarantined(
                    catalog, connect_objects(feed), archives=keys or (), rule=rule
                )
                for one in archives:
                    if not keys and len(own) == limit:
                        break
                    entries = _entries(catalog, one, rule, limit) if keys else None
                    own.append(_as_dict(one, rule, entries))
                    if not as_json:
                        _show(feed.name, one, rule, entries, limit)
        if as_json:
            console.print_json(json.dumps(found))
            return
        _tell_end(found, keys or (), limit)


@quarantine_app.command("replay")
def replay(
    keys: Keys = None,
    rule: Rule = "",
    state: State = DEFAULT_STATE,
    feed_name: FeedName = "",
    wait: Annotated[
        bool, typer.Option("--wait", help="Wait for the deliveries; status 1 if one fails.")
    ] = False,
) -> None:
    """Process archives again that have something quarantined, after the feed was fixed.

    For example:

        rwt quarantine replay
        rwt quarantine replay --archive gtfs/monday.zip --wait
    """
    with errors_told():
        enter(state)
        found: set[str] = set()
        failed = False
        with dg.DagsterInstance.get() as instance:
            for feed in choose_all(declared_feeds(), feed_name):
                catalog = FeedCatalog(instance, feed)
                asked = ask_again(catalog, connect_objects(feed), archives=keys or (), rule=rule)
                found |= asked.all
                _tell_asked(asked)
                if wait and (asked.again or asked.before):
                    ends = follow(catalog, [*asked.again, *asked.before])
                    failed |= any(end.stage == "failed" for end in ends.values())
        missing = sorted({archive_partition_key(key) for key in keys or ()} - found)
        for partition_key in missing:
            errors.print(
                f"{partition_key}: nothing of it is quarantined", style="red", markup=False
            )
        if not found and not missing:
            console.print("Nothing is quarantined.")
        raise typer.Exit(1 if missing or failed else 0)


def _entries(
    catalog: FeedCatalog, one: Quarantined, rule: str, limit: int
) -> list[QuarantineEntry]:
    bucket = catalog.feed.target.bucket
    return read_entries(connect_objects(catalog.feed), bucket, one.keys, limit=limit, rule=rule)


def _as_dict(one: Quarantined, rule: str, entries: list[QuarantineEntry] | None) -> dict[str, Any]:
    found = one.found
    told: dict[str, Any] = {
        "archive": found.archive,
        "revision": found.revision,
        "delivered": one.delivered,
        "rows_read": found.rows_read,
        "rows_quarantined": found.rows,
        "members_quarantined": found.members,
        "by_rule": [asdict(broken) for broken in found.of_rule(rule)],
        "objects": list(one.keys),
    }
    return told if entries is None else {**told, "entries": [asdict(entry) for entry in entries]}


def _show(
    feed: str, one: Quarantined, rule: str, entries: list[QuarantineEntry] | None, limit: int
) -> None:
    found = one.found
    outcome = "delivered" if one.delivered else "not delivered"
    console.print(f"{feed}: {found.archive}  {outcome}, {_amount(found)}", markup=False)
    for broken in found.of_rule(rule):
        console.print(f"    {_tell_broken(broken)}", markup=False)
    if entries is None:
        return
    for entry in entries:
        console.print(f"  {place_of(entry)}  [{entry.rule}]", markup=False)
        console.print(f"    {_short(entry.reason)}", markup=False)
        if entry.text:
            console.print(f"    {_short(entry.text)}", markup=False)
    if len(entries) == limit:
        console.print(f"  the first {limit}; see --limit, or the Parquet:", markup=False)
        for key in one.keys[:3]:
            console.print(f"    {key}", markup=False)


def _amount(found: SetAside) -> str:
    return (
        f"{found.rows:,} of {found.rows_read:,} rows and {found.members} of "
        f"{found.members_read} members quarantined"
    )


def _tell_broken(broken: Broken) -> str:
    if broken.reason:
        return f"{broken.member}  {broken.rule}: the member, {_short(broken.reason)}"
    return f"{broken.member}  {broken.rule}: {broken.rows:,} rows"


def _short(text: str) -> str:
    line = " ".join(text.split("\n")).strip()
    return line if len(line) <= SHORT else f"{line[: SHORT - 4]} ..."


def _tell_end(found: dict[str, list[dict[str, Any]]], keys: Collection[str], limit: int) -> None:
    archives = [one["archive"] for own in found.values() for one in own]
    for key in sorted(set(keys) - set(archives)):
        errors.print(f"{key}: nothing of it is quarantined", style="red", markup=False)
    if not archives and not keys:
        console.print("Nothing is quarantined.")
    if not keys and any(len(own) == limit for own in found.values()):
        console.print(f"The first {limit} archives of a feed; see --limit.")
    if archives:
        console.print("After the feed was fixed: `rwt quarantine replay`")


def _tell_asked(asked: Asked) -> None:
    for key, found in asked.again.items():
        console.print(f"{key}: is processed again; {_amount(found)}", markup=False)
    for key in asked.before:
        console.print(f"{key}: was asked for before, and has not begun", markup=False)
    for key in asked.left:
        console.print(f"{key}: is in work or not split yet; ask again afterwards", markup=False)
    for key in asked.rolled_back:
        newest = command("rwt replay", parse_archive_partition_key(key))
        console.print(
            f"{key}: a person rolled back to this, and its ZIP was replaced since: it cannot be "
            f"processed again. `{newest}` processes the newest upload; or upload the archive again "
            "as it should be",
            markup=False,
        )
    if asked.no_room:
        console.print(
            f"{len(asked.no_room)} more wait, since the feed has as many in work as "
            "`archives_in_work` allows: run this again when they are delivered"
        )
    if asked.again:
        console.print("Follow them in `rwt status`, or in the UI as archive_manifest.")


def follow(catalog: FeedCatalog, keys: list[str]) -> dict[str, ArchiveProgress]:
    """Show how archives go through until each is delivered or failed; where each ended."""
    ends: dict[str, ArchiveProgress] = {}
    with progress_bars(console, "{task.completed} of {task.total} archives") as bars:
        bar = bars.add_task("processed again", total=len(keys))
        while len(ends) < len(keys):
            progress = archives_progress(catalog, [key for key in keys if key not in ends])
            for key, one in progress.items():
                if one.stage == "delivered":
                    console.print(f"{key}: delivered", markup=False)
                elif one.stage == "failed":
                    errors.print(f"{key}: failed: {one.reason}", style="red", markup=False)
                else:
                    continue
                ends[key] = one
            bars.update(bar, completed=len(ends))
            if len(ends) < len(keys):
                sleep(LOOK_SECONDS)
    return ends
