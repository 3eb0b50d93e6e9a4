"""Where the time of one archive goes: the steps, the gaps between them, and their events."""

import time
from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass
from statistics import median

import dagster as dg

from rwt_assets.documents.partitions import ShardKey
from rwt_assets.graph.feed_graph import FeedGraph
from rwt_assets.runtime.run_tags import ARCHIVE_TAG, STEP_TAG

REPORTED = "reported (csv_shard)"
NAMES = {
    dg.DagsterEventType.ASSET_MATERIALIZATION_PLANNED.value: "planned",
    dg.DagsterEventType.ASSET_MATERIALIZATION.value: "materialized",
    dg.DagsterEventType.ASSET_CHECK_EVALUATION.value: "checks",
}


@dataclass(frozen=True, slots=True)
class Step:
    """The runs of one step, in seconds since the upload."""

    name: str
    runs: int
    asked: float
    launched: float
    started: float
    ended: float
    busy: float
    events: Counter[str]


@dataclass(frozen=True, slots=True)
class Account:
    """One archive from upload to delivery."""

    noticed: float
    steps: Sequence[Step]
    delivered: float
    reported: int


def take_account(instance: dg.DagsterInstance, feed: str, key: str, began: float) -> Account:
    """What the instance knows of the way of an archive that was uploaded at `began`."""
    graph = FeedGraph(feed)
    arrival, delivery = (
        instance.fetch_materializations(
            dg.AssetRecordsFilter(asset, asset_partitions=[key]), limit=1
        ).records[0]
        for asset in (graph.zip_archive, graph.delivery)
    )
    of_step: dict[str, list[dg.RunRecord]] = {}
    for record in instance.get_run_records(dg.RunsFilter(tags={ARCHIVE_TAG: key})):
        of_step.setdefault(record.dagster_run.tags[STEP_TAG], []).append(record)
    steps = [_step(instance, name, records, began) for name, records in of_step.items()]
    return Account(
        noticed=arrival.timestamp - began,
        steps=sorted(steps, key=lambda one: one.asked),
        delivered=delivery.timestamp - began,
        reported=sum(
            ShardKey.parse(shard).archive == key
            for shard in instance.get_latest_storage_id_by_partition(
                graph.csv_shard, dg.DagsterEventType.ASSET_MATERIALIZATION
            )
        ),
    )


def _step(
    instance: dg.DagsterInstance, name: str, records: Sequence[dg.RunRecord], began: float
) -> Step:
    events: Counter[str] = Counter()
    launched: list[float] = []
    for record in records:
        for entry in instance.all_logs(record.dagster_run.run_id):
            kind = entry.dagster_event.event_type_value if entry.dagster_event else ""
            events[NAMES.get(kind, "others")] += 1
            if kind == dg.DagsterEventType.PIPELINE_STARTING.value:
                launched.append(entry.timestamp)
    started = [record.start_time or began for record in records]
    ended = [record.end_time or time.time() for record in records]
    return Step(
        name=name,
        runs=len(records),
        asked=min(record.create_timestamp.timestamp() for record in records) - began,
        launched=min(launched, default=min(started)) - began,
        started=min(started) - began,
        ended=max(ended) - began,
        busy=sum(end - start for start, end in zip(started, ended, strict=True)),
        events=events,
    )


def print_account(account: Account, shards: int) -> None:
    """The steps, each with what went by before it began."""
    print(
        f"{'':<10}{'runs':>6}{'asked for':>11}{'launched':>10}{'begins':>8}{'ends at s':>11}"
        f"{'ms a shard':>12}{'planned':>9}{'material.':>11}{'others':>8}"
    )
    print(f"{'noticed':<10}{account.noticed:>46.1f}")
    for step in account.steps:
        planned, materialized = step.events["planned"], step.events["materialized"]
        print(
            f"{step.name:<10}{step.runs:>6}{step.asked:>11.1f}{step.launched:>10.1f}"
            f"{step.started:>8.1f}{step.ended:>11.1f}"
            f"{(step.ended - step.started) / shards * 1_000:>12.2f}"
            f"{planned:>9,}{materialized:>11,}"
            f"{step.events.total() - planned - materialized:>8,}"
        )
    print(f"\n  events without a run: {account.reported:,} {REPORTED}")
    rows = ((name, seconds, seconds / account.delivered) for name, seconds in _shares(account))
    for name, seconds, share in rows:
        print(
            f"  {name:<58}{seconds:>8.1f} s{share:>6.0%}{seconds / shards * 1e3:>9.2f} ms a shard"
        )


def medians(accounts: Sequence[Account]) -> list[tuple[str, float]]:
    """The shares of several archives, each at its median."""
    shares = [_shares(account) for account in accounts]
    return [
        (same[0][0], median(seconds for _, seconds in same)) for same in zip(*shares, strict=True)
    ]


def _shares(account: Account) -> list[tuple[str, float]]:
    """Each second from upload to delivery, once."""
    steps = account.steps
    before = [account.noticed, *(step.ended for step in steps)]
    asked = sum(max(0.0, step.asked - end) for step, end in zip(steps, before, strict=False))
    queued = sum(step.launched - step.asked for step in steps)
    starting = sum(step.started - step.launched for step in steps)
    shares = [
        ("noticing (S3 to queue to sensor)", account.noticed),
        ("asking (the dispatch sensor sees that a step is needed)", asked),
        ("queueing (the request becomes a run, planned events, run queue)", queued),
        ("starting (the process of the run)", starting),
    ]
    working = [(f"working: {step.name}", step.ended - step.started) for step in steps]
    return [*shares, *working]
