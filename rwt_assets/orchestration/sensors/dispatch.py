"""Sensor `<feed>_dispatch`: requests the next step of every archive that needs one.

What belongs here: acting on what `status.status_of` says. Nothing else requests the steps of a new
revision, so no step is requested twice. It polls states, not events, so no step is lost. It counts
its requests, so that it does not repeat one for ever. Dagster documentation: "Sensors", "Run
requests" (run keys), "Partitions" (a run over a range), "Customizing run queue priority".
"""

from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass, replace
from hashlib import sha256
from time import monotonic, sleep
from typing import Any

import dagster as dg

from rwt_assets.catalog import CatalogMemory, FeedCatalog, count_standing, due_steps
from rwt_assets.feed import Feed
from rwt_assets.graph import FeedGraph
from rwt_assets.orchestration.checks import (
    DELIVERIES_INTACT,
    freshness_evaluation,
    standing_evaluation,
    take_freshness,
)
from rwt_assets.orchestration.steps import Freshness, fit_errors
from rwt_assets.runtime import (
    ARCHIVE_TAG,
    ATTEMPT_TAG,
    CAUSE_TAG,
    CELERY_PRIORITY_TAG,
    FEED_TAG,
    POOL_TAG,
    PRIORITY_TAG,
    RANGE_END_TAG,
    RANGE_START_TAG,
    STEP_TAG,
)
from rwt_assets.status import (
    RUNS_UNDER_WAY,
    ArchiveFacts,
    Need,
    Step,
    celery_priority,
    contiguous_ranges,
    priority_of,
)
from rwt_assets.text import visible

WATCH_SECONDS = 4.0
POLL_SECONDS = 0.5
PAUSE_TO_POLL = 4
REST_SECONDS = 20.0  # a tick may take a minute
INTERVAL_SECONDS = 1


def dispatch_sensor(
    feed: Feed, jobs: Sequence[Any], memory: CatalogMemory | None = None
) -> dg.SensorDefinition:
    """Watches the catalog for some seconds a tick, so that a step follows the last at once.

    Args:
        feed: the declaration.
        jobs: of its steps.
        memory: of the code location; an empty one for each tick if None.
    """

    @dg.sensor(
        name=f"{feed.name}_dispatch",
        jobs=jobs,
        minimum_interval_seconds=INTERVAL_SECONDS,
        default_status=dg.DefaultSensorStatus.RUNNING,
        description="Asks for the next step of every archive: split, enrich, deliver.",
    )
    @fit_errors()
    def dispatch(context: dg.SensorEvaluationContext) -> dg.SensorResult:
        catalog = FeedCatalog(context.instance, feed, memory)
        requests = watch(lambda: plan(catalog), seconds=WATCH_SECONDS)
        if requests:
            # What is asked for need not wait for the account of everything.
            return dg.SensorResult(run_requests=requests, cursor=context.cursor)
        counted = count_standing(catalog)
        counts, told = str(counted), _LastReported.parse(context.cursor or "")
        evaluations: list[dg.AssetCheckEvaluation] = []
        if counts != told.counts:
            evaluations.append(standing_evaluation(feed, counted))
            told = replace(told, counts=counts)
        freshness = take_freshness(catalog)
        if freshness is not None and told.freshness != _word(freshness):
            evaluations.append(freshness_evaluation(feed, freshness))
            told = replace(told, freshness=_word(freshness))
        return dg.SensorResult(
            skip_reason=visible(f"nothing to ask for: {counts}"),
            asset_events=evaluations,
            cursor=str(told),
        )

    return dispatch


@dataclass(frozen=True, slots=True)
class _LastReported:
    """What the standing checks were last told, as the sensor's cursor keeps it."""

    counts: str
    freshness: str

    @classmethod
    def parse(cls, cursor: str) -> "_LastReported":
        counts, _, freshness = cursor.partition("\n")
        return cls(counts, freshness)

    def __str__(self) -> str:
        return f"{self.counts}\n{self.freshness}" if self.freshness else self.counts


def _word(freshness: Freshness) -> str:
    return "fresh" if freshness.fresh else "overdue"


def step_jobs(feed: Feed) -> list[Any]:
    """One job for each step, since a job's assets must share their partition set."""
    graph = FeedGraph(feed.name)
    steps = {
        Step.SPLIT: (graph.archive_manifest, "Unpack and split archives."),
        Step.ENRICH: (graph.enriched_shard, "Enrich shards, a range of them in one run."),
        Step.DELIVER: (graph.delivery, "Reconcile archives and name their Parquet."),
    }
    # What looks at deliveries in general has a schedule of its own.
    standing = dg.AssetSelection.checks(dg.AssetCheckKey(graph.delivery, DELIVERIES_INTACT))
    return [
        dg.define_asset_job(
            name=_job_name(feed, step),
            selection=dg.AssetSelection.assets(asset) - standing,
            description=description,
            executor_def=dg.in_process_executor,
        )
        for step, (asset, description) in steps.items()
    ]


def _job_name(feed: Feed, step: Step) -> str:
    return f"{feed.name}_{step.value}"


def watch(
    poll: Callable[[], list[dg.RunRequest]],
    *,
    seconds: float = WATCH_SECONDS,
    pause: float = POLL_SECONDS,
) -> list[dg.RunRequest]:
    """Poll until there is something to request or the time is up.

    A poll of many shards takes long, at the cost of the run that works on them. So the pause is
    some times as long as the poll, also before the next tick, which the daemon begins at once.
    """
    deadline = monotonic() + seconds
    while True:
        began = monotonic()
        requests = poll()
        ended = monotonic()
        rest = min(PAUSE_TO_POLL * (ended - began), REST_SECONDS)
        last = ended + max(pause, rest) >= deadline
        if requests or (last and rest <= pause):
            return requests
        sleep(max(pause, rest))
        if last:
            return requests


def plan(catalog: FeedCatalog, *, at_most: int = RUNS_UNDER_WAY) -> list[dg.RunRequest]:
    """The runs to ask for now: archives in the order in which they arrived.

    None is asked for while `at_most` archives of the feed have a run under way or waiting, fewer
    for larger ones, and none that is smaller than one that has waited too long (`priority.py`).
    """
    return [
        request
        for facts, need, attempt in due_steps(catalog, at_most=at_most)
        for request in _requests(catalog, facts, need, attempt)
    ]


def _requests(
    catalog: FeedCatalog, facts: ArchiveFacts, need: Need, attempt: int
) -> Iterator[dg.RunRequest]:
    """The runs of one step: one, or one for each range of shards."""
    job_name = _job_name(catalog.feed, need.step)
    archive, priority = facts.partition_key, priority_of(facts)
    tags = {
        FEED_TAG: catalog.feed.name,
        ARCHIVE_TAG: archive,
        STEP_TAG: need.step.value,
        CAUSE_TAG: str(need.cause),
        ATTEMPT_TAG: str(attempt),
        POOL_TAG: catalog.feed.pool,
        PRIORITY_TAG: str(priority),
        CELERY_PRIORITY_TAG: str(celery_priority(priority)),
    }
    # A run key is looked up by equality; a hash keeps it short whatever the object key is.
    name = sha256(archive.encode("utf-8", "surrogatepass")).hexdigest()[:16]
    run_key = f"{need.step.value}:{name}:{need.cause}:{attempt}"
    if need.step is Step.ENRICH:
        ranges = contiguous_ranges(need.shards, catalog.shards(), catalog.feed.shards_per_run)
        for number, keys in enumerate(ranges):
            yield dg.RunRequest(
                run_key=f"{run_key}:{number}",
                job_name=job_name,
                tags={**tags, RANGE_START_TAG: keys[0], RANGE_END_TAG: keys[-1]},
            )
        return
    yield dg.RunRequest(run_key=run_key, job_name=job_name, partition_key=archive, tags=tags)
