"""Sensor `<feed>_dispatch`: asks for the next step of every archive that needs one.

What belongs here: acting on what `progress.locate` says. It is the only one that asks for
the steps of a new revision, so none is asked for twice; it looks at levels, so none is lost;
it counts what it asked, so nothing is asked for ever. Dagster documentation: "Sensors", "Run
requests" (run keys), "Partitions" (a run over a range), "Customizing run queue priority".
"""

from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass, replace
from hashlib import sha256
from time import monotonic, sleep, time
from typing import Any

import dagster as dg

from rwt_assets.catalog import Attempts, FeedCatalog, count_standing, needs_something_else
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
    ArchiveFacts,
    Need,
    Position,
    Step,
    celery_priority,
    contiguous_ranges,
    locate,
    places_for,
    run_priority,
)
from rwt_assets.text import visible

WATCH_SECONDS = 4.0
LOOK_SECONDS = 0.5
PAUSE_TO_LOOK = 4
REST_SECONDS = 20.0  # a tick may take a minute
INTERVAL_SECONDS = 1
RUNS_UNDER_WAY = 20  # asked for and not ended; more would only wait in the run queue
OUTAGE_PAUSES_SECONDS = (10.0, 300.0)
AUTOMATION_PATIENCE_SECONDS = 600.0  # a request of automation takes up to four minutes


def dispatch_sensor(feed: Feed, jobs: Sequence[Any]) -> dg.SensorDefinition:
    """Watches the catalog for some seconds a tick, so that a step follows the last at once."""

    @dg.sensor(
        name=f"{feed.name}_dispatch",
        jobs=jobs,
        minimum_interval_seconds=INTERVAL_SECONDS,
        default_status=dg.DefaultSensorStatus.RUNNING,
        description="Asks for the next step of every archive: split, enrich, deliver.",
    )
    @fit_errors()
    def dispatch(context: dg.SensorEvaluationContext) -> dg.SensorResult:
        catalog = FeedCatalog(context.instance, feed)
        requests = watch(lambda: plan(catalog), seconds=WATCH_SECONDS)
        if requests:
            # What is asked for need not wait for the account of everything.
            return dg.SensorResult(run_requests=requests, cursor=context.cursor)
        counted = count_standing(catalog)
        counts, told = str(counted), _Told.parse(context.cursor or "")
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
class _Told:
    """What the standing checks were last told, as the sensor's cursor keeps it."""

    counts: str
    freshness: str

    @classmethod
    def parse(cls, cursor: str) -> "_Told":
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
    look: Callable[[], list[dg.RunRequest]],
    *,
    seconds: float = WATCH_SECONDS,
    pause: float = LOOK_SECONDS,
) -> list[dg.RunRequest]:
    """Look again and again until there is something to ask for or the time is up.

    A look at many shards takes long, at the cost of the run that works on them: so the pause is
    some times as long as the look, also before the next tick, which the daemon begins at once.
    """
    deadline = monotonic() + seconds
    while True:
        began = monotonic()
        requests = look()
        ended = monotonic()
        rest = min(PAUSE_TO_LOOK * (ended - began), REST_SECONDS)
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
    facts = catalog.open_facts()
    taken = [_priority(archive) for archive in facts if archive.running is not None]
    requests: list[dg.RunRequest] = []
    smallest: int | None = None
    for archive in sorted(facts, key=_arrival):
        if len(taken) >= at_most:
            break
        position = locate(archive)
        need = position.need or _overdue(catalog, position)
        if need is None:
            continue
        priority = _priority(archive)
        if sum(one <= priority for one in taken) >= places_for(priority, at_most):
            continue
        if smallest is None:  # it is asked only if there is something to ask for
            smallest = catalog.held_back()
        if priority > smallest:
            continue
        attempts = catalog.attempts(archive.partition_key, need)
        if attempts.exhausted(catalog.feed.attempts) or _rests(attempts):
            continue
        # Another look is dear: only what would be asked for once more is looked at again.
        if attempts.count and needs_something_else(catalog, archive, need):
            continue
        requests += _requests(catalog, archive, need, attempts.count + 1)
        taken.append(priority)
    return requests


def _priority(archive: ArchiveFacts) -> int:
    return run_priority(archive.arrived.bytes if archive.arrived is not None else 0)


def _rests(attempts: Attempts) -> bool:
    """Whether an endpoint that failed is given time: from ten seconds to five minutes."""
    pause = min(OUTAGE_PAUSES_SECONDS[0] * 2**attempts.outages / 2, OUTAGE_PAUSES_SECONDS[1])
    return attempts.outage_at > 0 and time() - attempts.outage_at < pause


def _arrival(archive: ArchiveFacts) -> int:
    return archive.arrived.storage_id if archive.arrived is not None else 0


def _overdue(catalog: FeedCatalog, position: Position) -> Need | None:
    """What was left to declarative automation and did not happen."""
    need = position.left_to_automation
    return need if need and catalog.age_of(need) > AUTOMATION_PATIENCE_SECONDS else None


def _requests(
    catalog: FeedCatalog, facts: ArchiveFacts, need: Need, attempt: int
) -> Iterator[dg.RunRequest]:
    """The runs of one step: one, or one for each range of shards."""
    job_name = _job_name(catalog.feed, need.step)
    archive, priority = facts.partition_key, _priority(facts)
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
