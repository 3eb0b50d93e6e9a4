"""`rwt trace`: the way of one archive, or of one of its shards, from its message to its objects."""

import json
from dataclasses import asdict
from typing import Annotated

import dagster as dg
import typer
from rich.table import Table

from rwt_assets.catalog import FeedCatalog
from rwt_assets.definitions import declared_feeds
from rwt_assets.operations import Trace, TracedShard, archive_of, trace_archive
from rwt_assets.resources import connect_objects
from rwt_assets.terminal import (
    DEFAULT_STATE,
    FeedName,
    State,
    choose_all,
    console,
    enter,
    errors_told,
    stop_with,
)
from rwt_assets.text import command

SHARDS_SHOWN = 20


def trace_command(
    key: Annotated[
        str,
        typer.Argument(
            metavar="KEY", help="Object key or S3 URI of an archive, or a shard's partition key."
        ),
    ],
    state: State = DEFAULT_STATE,
    feed_name: FeedName = "",
    all_shards: Annotated[
        bool, typer.Option("--all", help=f"All shards, not only the first {SHARDS_SHOWN}.")
    ] = False,
    as_json: Annotated[bool, typer.Option("--json", help="As JSON, with everything.")] = False,
) -> None:
    """Show an archive's message, revision, members, shards, objects, runs and checks.

    For example:

        rwt trace gtfs/cairns_gtfs.zip
        rwt trace 'gtfs/cairns_gtfs.zip|stop_times.txt|stop_sequence=7'

    Status 1 if no feed knows the archive.
    """
    with errors_told():
        enter(state)
        archive, shard = archive_of(key)
        with dg.DagsterInstance.get() as instance:
            for feed in choose_all(declared_feeds(), feed_name):
                found = trace_archive(
                    FeedCatalog(instance, feed), connect_objects(feed), archive, shard=shard
                )
                if found is None:
                    continue
                if shard and not found.shards:
                    stop_with(
                        f"{archive} has no shard {shard}; see `{command('rwt trace', archive)}`.",
                        None,
                    )
                if as_json:
                    console.print_json(json.dumps(asdict(found)))
                else:
                    _show(found, len(found.shards) if all_shards else SHARDS_SHOWN)
                return
        stop_with(f"No feed knows {archive}. `rwt sweep` finds what no message announced.", None)


def _show(found: Trace, shards_shown: int) -> None:
    progress = found.progress
    told = f" ({progress.reason})" if progress.reason else ""
    waits = f": {found.waits_for}" if found.waits_for else ""
    console.print(f"{found.feed}: {found.archive}  {progress.stage}{told}{waits}", markup=False)
    arrivals = Table("revision", "recorded", "uploaded", "bytes", "via", "message")
    for one in found.arrivals:
        arrivals.add_row(
            one.revision, one.recorded_at, one.event_time, f"{one.bytes:,}", one.via, one.message_id
        )
    console.print(arrivals)
    way = [
        f"{one.stage} {one.at}{'' if one.seconds is None else f' (+{one.seconds:g} s)'}"
        for one in found.stages
    ]
    console.print(*way, sep="\n")
    if found.delivered:
        name = f", generation {found.delivered_generation}" if found.delivered_generation else ""
        reason = f": {found.delivered_because}" if found.delivered_because else ""
        console.print(f"Revision {found.delivered}{name} is delivered{reason}", markup=False)
    if found.members:
        console.print(f"Revision {found.revision} was split into:", markup=False)
        members = Table("member", "outcome", "rows read", "quarantined", "shards", "reason")
        for member in found.members:
            members.add_row(
                member.member,
                member.outcome,
                f"{member.rows_read:,}",
                f"{member.rows_quarantined:,}",
                f"{member.shards:,}",
                member.reason,
            )
        console.print(members)
    for shard in found.shards[:shards_shown]:
        _show_shard(shard)
    if len(found.shards) > shards_shown:
        console.print(f"... and {len(found.shards) - shards_shown:,} more shards: --all, or --json")
    runs = Table("run", "step", "status", "began", "seconds", "reason")
    for run in found.runs:
        seconds = "" if run.seconds is None else f"{run.seconds}"
        runs.add_row(run.run_id, run.step, run.status, run.began, seconds, run.reason)
    console.print(runs if found.runs else "No run was asked for it yet.")
    for check in found.checks:
        why = f": {check.reason}" if check.reason else ""
        verdict = "passed" if check.passed else f"FAILED ({check.severity}){why}"
        console.print(f"check {check.asset}:{check.check} {verdict}", markup=False)
    if found.delivered_at:
        console.print(f"Delivered at {found.delivered_at}", markup=False)


def _show_shard(shard: TracedShard) -> None:
    aside = f", {shard.rows_quarantined:,} quarantined" if shard.rows_quarantined else ""
    outcome = "" if shard.rows_enriched is None else f", {shard.rows_enriched:,} enriched{aside}"
    console.print(f"{shard.partition_key}  {shard.rows:,} rows{outcome}", markup=False)
    for uri in (*shard.csv, shard.parquet, shard.quarantine):
        if uri:
            console.print(f"    {uri}", markup=False)
