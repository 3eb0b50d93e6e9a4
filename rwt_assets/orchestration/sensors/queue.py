"""Sensor `<feeds>_queue`: messages of a queue become recorded archives.

It asks for no run; `dispatch` does, from what is on record. Dagster documentation:
"Sensors"; what a sensor returns is stored only after it returns, so everything is recorded
before a message is deleted, and nothing of that is left to the return value.
"""

from collections.abc import Sequence
from dataclasses import asdict
from datetime import datetime
from time import time
from typing import Any

import dagster as dg
from pydantic import BaseModel

from rwt_assets.catalog import (
    Budget,
    CatalogMemory,
    FeedCatalog,
    Figures,
    IntakeReport,
    available_capacity,
    figures_observation,
    take_figures,
    take_messages,
)
from rwt_assets.feed import Feed
from rwt_assets.graph import FeedGraph
from rwt_assets.orchestration.steps import fit_errors
from rwt_assets.resources import QueueResource
from rwt_assets.storage import Queue
from rwt_assets.text import visible

BUDGET_SECONDS = 20.0
LONG_POLL_SECONDS = 10
INTERVAL_SECONDS = 1
FIGURES_SECONDS = 60.0


class QueueCursor(BaseModel):
    """What the sensor remembers: when it last observed, what, and how far it had come."""

    observed_at: float = 0.0
    figures: dict[str, dict[str, int]] = {}
    newest_sent_at: datetime | None = None


def queue_sensor(feeds: Sequence[Feed], memory: CatalogMemory | None = None) -> dg.SensorDefinition:
    """Long polling, several receive calls a tick within a time budget.

    Args:
        feeds: those that share one queue, told apart by bucket and prefix.
        memory: of the code location; an empty one for each tick if None.
    """

    @dg.sensor(
        name=queue_sensor_name([feed.name for feed in feeds]),
        target=_leads_to(feeds),
        minimum_interval_seconds=INTERVAL_SECONDS,
        default_status=dg.DefaultSensorStatus.RUNNING,
        description=(
            f"Records archives announced on the queue {feeds[0].source.queue}; observes how full "
            "it is."
        ),
    )
    @fit_errors()
    def queue(context: dg.SensorEvaluationContext, queue_client: QueueResource) -> dg.SensorResult:
        catalogs = [FeedCatalog(context.instance, feed, memory) for feed in feeds]
        client = queue_client.queue()
        cursor = QueueCursor.model_validate_json(context.cursor or "{}")
        budget = Budget(archives=min(map(available_capacity, catalogs)), seconds=BUDGET_SECONDS)
        report = take_messages(catalogs, client, budget, wait_seconds=LONG_POLL_SECONDS)
        for sentence in report.refused:
            context.log.warning(visible(sentence))
        cursor.newest_sent_at = report.newest_sent_at or cursor.newest_sent_at
        return dg.SensorResult(
            skip_reason=dg.SkipReason(visible(summarize(report))),
            asset_events=_observe(catalogs, client, cursor),
            cursor=cursor.model_dump_json(),
        )

    return queue


def queue_sensor_name(feeds: Sequence[str]) -> str:
    """The name of the sensor of the queue that these feeds share."""
    return f"{'_and_'.join(feeds)}_queue"


def _leads_to(feeds: Sequence[Feed]) -> dg.AssetSelection | None:
    """Where the UI shows the sensor; nothing for several feeds.

    The assets of a target must share a partition set, and each feed has its own. The sensor asks
    for no run, so it needs no target.
    """
    if len(feeds) > 1:
        return None
    return dg.AssetSelection.assets(FeedGraph(feeds[0].name).archive_manifest)


def summarize(report: IntakeReport) -> str:
    """One line on what an intake did."""
    full = "; as many archives as may be are in work, the rest waits in the queue"
    return (
        f"{report.received} messages: {len(report.recorded)} archives recorded"
        f"{_sample(report.recorded)}, {report.unchanged} known, "
        f"{report.ignored.total()} other events ignored, {len(report.refused)} refused"
        f"{full if report.full else ''}"
    )


def _observe(catalogs: Sequence[FeedCatalog], client: Queue, cursor: QueueCursor) -> list[Any]:
    """Observations of the feeds whose figures have changed, at most one a minute."""
    if time() - cursor.observed_at < FIGURES_SECONDS:
        return []
    cursor.observed_at = time()
    observations: list[Any] = []
    for catalog in catalogs:
        figures: Figures = take_figures(catalog, client, newest_sent_at=cursor.newest_sent_at)
        if cursor.figures.get(catalog.feed.name) != asdict(figures):
            cursor.figures[catalog.feed.name] = asdict(figures)
            observations.append(figures_observation(catalog, figures))
    return observations


def _sample(keys: list[str]) -> str:
    return f" ({', '.join(keys[:3])}{', ...' if len(keys) > 3 else ''})" if keys else ""  # noqa: PLR2004
