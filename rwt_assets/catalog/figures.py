"""Figures that people watch: how full the queue is, and how much is in work.

What belongs here: taking the figures of one feed, and keeping them as observations of
`zip_archive`, whose numbers the UI plots. What does not: who is told (`queue.py`,
`main.py`). Dagster documentation: "Asset observations", "Asset metadata". On AWS the same
figures are CloudWatch metrics (Amazon SQS Developer Guide: "Available CloudWatch metrics for
Amazon SQS").
"""

from collections.abc import Mapping
from dataclasses import asdict, dataclass, replace
from datetime import UTC, datetime
from typing import TYPE_CHECKING, Any

import dagster as dg

from rwt_assets.catalog.standing import count_archives

if TYPE_CHECKING:
    from rwt_assets.catalog.catalog import FeedCatalog
    from rwt_assets.storage import Queue


@dataclass(frozen=True, slots=True)
class Figures:
    """The figures of a feed at one time.

    `oldest_message_seconds` is the age that the message taken last had when it was sent, as
    long as the queue is not empty: the messages behind it are about as old or younger.
    """

    messages_waiting: int
    messages_in_flight: int
    oldest_message_seconds: int
    dead_letters: int
    archives_in_work: int
    archives_failed: int


def take_figures(
    catalog: "FeedCatalog", queue: "Queue", *, newest_sent_at: datetime | None
) -> Figures:
    """Read the queue and the catalog.

    Args:
        catalog: of the feed.
        queue: its queue and dead-letter queue.
        newest_sent_at: when the message was sent that was taken last; None if unknown.
    """
    source = catalog.feed.source
    depth, dead = queue.depth(source.queue), queue.depth(source.dead_letter_queue)
    age = 0.0
    if newest_sent_at is not None and depth.waiting:
        age = (datetime.now(UTC) - newest_sent_at).total_seconds()
    counts = count_archives(catalog)
    return Figures(
        messages_waiting=depth.waiting,
        messages_in_flight=depth.in_flight,
        oldest_message_seconds=max(0, round(age)),
        dead_letters=dead.waiting + dead.in_flight,
        archives_in_work=counts["waiting"],
        archives_failed=counts["failed"],
    )


def figures_now(catalog: "FeedCatalog", queue: "Queue") -> Figures:
    """Read them without receiving a message; the age is the one that the sensor observed last."""
    figures = take_figures(catalog, queue, newest_sent_at=None)
    if not figures.messages_waiting:
        return figures
    observed = latest_figures(catalog).get("oldest_message_seconds", 0)
    return replace(figures, oldest_message_seconds=int(observed))


def figures_observation(catalog: "FeedCatalog", figures: Figures) -> dg.AssetObservation:
    """The figures as an observation, which the UI plots over time."""
    return dg.AssetObservation(catalog.graph.zip_archive, metadata=asdict(figures))


def latest_figures(catalog: "FeedCatalog") -> Mapping[str, Any]:
    """What was observed last, by the names of `Figures`; empty if nothing was."""
    found = catalog.instance.fetch_observations(catalog.graph.zip_archive, limit=1).records
    observation = found[0].asset_observation if found else None
    if observation is None:
        return {}
    return {name: value.value for name, value in observation.metadata.items()}
