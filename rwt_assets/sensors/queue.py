"""Sensor `<feed>_queue`: messages of the queue become recorded archives.

It asks for no run; `dispatch` does, from what is on record. Dagster documentation:
"Sensors"; what a sensor returns is stored only after it returns, so everything is recorded
before a message is deleted, and nothing is left to the return value.
"""

import dagster as dg

from rwt_assets.catalog import FeedCatalog
from rwt_assets.feed import Feed
from rwt_assets.feed_graph import FeedGraph
from rwt_assets.intake import IntakeReport, take_messages
from rwt_assets.resources.queue import QueueResource

BUDGET_SECONDS = 20.0
LONG_POLL_SECONDS = 10
INTERVAL_SECONDS = 1


def queue_sensor(feed: Feed) -> dg.SensorDefinition:
    """Long polling, several receive calls a tick within a time budget."""

    @dg.sensor(
        name=f"{feed.name}_queue",
        target=dg.AssetSelection.assets(FeedGraph(feed.name).archive_manifest),
        minimum_interval_seconds=INTERVAL_SECONDS,
        default_status=dg.DefaultSensorStatus.RUNNING,
        description=f"Records archives announced on the queue {feed.source.queue}.",
    )
    def queue(context: dg.SensorEvaluationContext, queue_client: QueueResource) -> dg.SkipReason:
        report = take_messages(
            FeedCatalog(context.instance, feed),
            queue_client.queue(),
            budget_seconds=BUDGET_SECONDS,
            wait_seconds=LONG_POLL_SECONDS,
        )
        for sentence in report.refused:
            context.log.warning(sentence)
        return dg.SkipReason(summarize(report))

    return queue


def summarize(report: IntakeReport) -> str:
    """One line on what an intake did."""
    return (
        f"{report.received} messages: {len(report.recorded)} archives recorded"
        f"{_sample(report.recorded)}, {len(report.unchanged)} known, "
        f"{len(report.ignored)} other events ignored, {len(report.refused)} refused"
    )


def _sample(keys: list[str]) -> str:
    return f" ({', '.join(keys[:3])}{', ...' if len(keys) > 3 else ''})" if keys else ""  # noqa: PLR2004
