"""Figures of an installation in the words of Prometheus.

What belongs here: the names, and making them from a reading. What does not: taking the reading
(`readings.py`) and serving it (`server.py`). Prometheus documentation: "Metric and label
naming", "Histograms and summaries", "Writing exporters" (times, not ages; counters end in
`_total`).

No label has an archive's key, a shard or a reason: those have no end, and `rwt status` and `rwt
trace` tell them.
"""

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from itertools import accumulate
from typing import TYPE_CHECKING, Final, Literal, get_args

from rwt_assets.catalog import CountedStage, CountedWait, ShardState
from rwt_assets.monitoring.readings import BUCKETS, DeliveryTally, FeedReading, Reading
from rwt_assets.runtime import from_extra
from rwt_assets.status import Problem, ProblemKind

if TYPE_CHECKING:
    from prometheus_client.core import HistogramMetricFamily, Metric


@dataclass(frozen=True, slots=True)
class Figure:
    """One metric: its name, what kind it is, its labels and what it says."""

    name: str
    kind: Literal["gauge", "counter", "histogram"]
    labels: tuple[str, ...]
    told: str


Sample = tuple[Sequence[str], float]
FIGURES: Final = (
    Figure(
        "rwt_archives",
        "gauge",
        ("feed", "stage"),
        f"Archives in the catalog, by stage: {', '.join(get_args(CountedStage))}.",
    ),
    Figure(
        "rwt_archives_waiting",
        "gauge",
        ("feed", "waits_for"),
        f"Archives in work, by what they wait for: {', '.join(get_args(CountedWait))}.",
    ),
    Figure(
        "rwt_shards",
        "gauge",
        ("feed", "state"),
        f"Shards in the catalog, by state: {', '.join(get_args(ShardState))}.",
    ),
    Figure(
        "rwt_deliveries_total",
        "counter",
        ("feed",),
        "Deliveries on record, those that were replaced since included.",
    ),
    Figure("rwt_rows_delivered_total", "counter", ("feed",), "Rows of all deliveries."),
    Figure("rwt_rows_quarantined_total", "counter", ("feed",), "Rows that deliveries quarantined."),
    Figure("rwt_bytes_delivered_total", "counter", ("feed",), "Bytes of Parquet of deliveries."),
    Figure(
        "rwt_delivery_seconds",
        "histogram",
        ("feed",),
        "Seconds from the upload of an archive, as its message tells it, to its delivery.",
    ),
    Figure(
        "rwt_newest_delivery_timestamp_seconds",
        "gauge",
        ("feed",),
        "When the newest delivery was put on record; missing if there is none.",
    ),
    Figure(
        "rwt_newest_arrival_timestamp_seconds",
        "gauge",
        ("feed",),
        "When the newest archive was put on record; missing if there is none.",
    ),
    Figure(
        "rwt_expected_every_seconds",
        "gauge",
        ("feed",),
        "How often the feed expects an archive (`expected_every_hours`); missing if not set.",
    ),
    Figure("rwt_messages_waiting", "gauge", ("feed",), "Messages in the feed's queue."),
    Figure("rwt_messages_in_flight", "gauge", ("feed",), "Messages received and not yet deleted."),
    Figure(
        "rwt_oldest_message_seconds",
        "gauge",
        ("feed",),
        "Age of the message that was taken last when others wait, as the queue sensor saw it.",
    ),
    Figure("rwt_dead_letters", "gauge", ("feed",), "Messages in the dead-letter queue."),
    Figure("rwt_runs", "gauge", ("status",), "Runs of the whole instance, by Dagster's status."),
    Figure(
        "rwt_oldest_queued_run_seconds",
        "gauge",
        (),
        "How long the oldest run in the run queue has waited; 0 if it is empty.",
    ),
    Figure(
        "rwt_daemon_heartbeat_timestamp_seconds",
        "gauge",
        ("daemon",),
        "The latest heartbeat of each daemon that the instance needs; missing if there was none.",
    ),
    Figure("rwt_daemon_errors", "gauge", ("daemon",), "Errors that the daemon's heartbeat tells."),
    Figure("rwt_healthy", "gauge", (), "1 if `/healthz` answers 200, else 0."),
    Figure(
        "rwt_problems",
        "gauge",
        ("kind",),
        f"What `/healthz` complains of, by kind: {', '.join(get_args(ProblemKind))}.",
    ),
    Figure(
        "rwt_reading_timestamp_seconds",
        "gauge",
        (),
        "When these figures were taken; they are kept.",
    ),
    Figure("rwt_reading_seconds", "gauge", (), "How long taking them took."),
)
LATENCY: Final = "rwt_delivery_seconds"


def families(reading: Reading | None, problems: Sequence[Problem]) -> Iterator["Metric"]:
    """All metrics, for a collector of prometheus_client.

    Args:
        reading: the latest one; None if there is none yet, which leaves its metrics out.
        problems: of the reading, and those that were found since.

    Raises:
        MissingExtraError: prometheus_client is not installed.
    """
    with from_extra("metrics", "a page of metrics"):
        from prometheus_client.core import (  # noqa: PLC0415 - of an extra
            CounterMetricFamily,
            GaugeMetricFamily,
        )

    samples = _health(problems, healthy=reading is not None and not problems) | (
        {} if reading is None else _samples(reading)
    )
    for figure in FIGURES:
        if figure.name not in samples:
            continue
        family: CounterMetricFamily | GaugeMetricFamily
        if figure.kind == "counter":
            family = CounterMetricFamily(
                figure.name.removesuffix("_total"), figure.told, labels=figure.labels
            )
        else:
            family = GaugeMetricFamily(figure.name, figure.told, labels=figure.labels)
        for labels, value in samples[figure.name]:
            family.add_metric(labels, value)
        yield family
    if reading is not None:
        yield _latency({name: feed.deliveries for name, feed in reading.feeds.items()})


def _health(problems: Sequence[Problem], *, healthy: bool) -> dict[str, list[Sample]]:
    kinds = [problem.kind for problem in problems]
    return {
        "rwt_healthy": [((), float(healthy))],
        "rwt_problems": [((kind,), kinds.count(kind)) for kind in get_args(ProblemKind)],
    }


def _samples(reading: Reading) -> dict[str, list[Sample]]:
    samples: dict[str, list[Sample]] = {
        "rwt_runs": [((status,), count) for status, count in reading.runs.items()],
        "rwt_oldest_queued_run_seconds": [((), reading.oldest_queued_run_seconds)],
        "rwt_daemon_heartbeat_timestamp_seconds": [
            ((name,), one.at) for name, one in reading.heartbeats.items() if one.at is not None
        ],
        "rwt_daemon_errors": [((name,), one.errors) for name, one in reading.heartbeats.items()],
        "rwt_reading_timestamp_seconds": [((), reading.at)],
        "rwt_reading_seconds": [((), reading.seconds)],
    }
    for feed, found in reading.feeds.items():
        for name, labels, value in _of_feed(found):
            samples.setdefault(name, []).append(((feed, *labels), value))
    return samples


def _of_feed(found: FeedReading) -> Iterator[tuple[str, tuple[str, ...], float]]:
    for stage in get_args(CountedStage):
        yield "rwt_archives", (stage,), found.counts.archives[stage]
    for kind in get_args(CountedWait):
        yield "rwt_archives_waiting", (kind,), found.counts.waits[kind]
    for state in get_args(ShardState):
        yield "rwt_shards", (state,), found.counts.shards[state]
    tally, queue = found.deliveries, found.queue
    yield "rwt_deliveries_total", (), tally.deliveries
    yield "rwt_rows_delivered_total", (), tally.rows
    yield "rwt_rows_quarantined_total", (), tally.rows_quarantined
    yield "rwt_bytes_delivered_total", (), tally.bytes
    if tally.newest is not None:
        yield "rwt_newest_delivery_timestamp_seconds", (), tally.newest
    if found.newest_arrival is not None:
        yield "rwt_newest_arrival_timestamp_seconds", (), found.newest_arrival
    if found.expected_every_hours is not None:
        yield "rwt_expected_every_seconds", (), found.expected_every_hours * 3_600
    if queue is not None:
        yield "rwt_messages_waiting", (), queue.messages_waiting
        yield "rwt_messages_in_flight", (), queue.messages_in_flight
        yield "rwt_oldest_message_seconds", (), queue.oldest_message_seconds
        yield "rwt_dead_letters", (), queue.dead_letters


def _latency(tallies: dict[str, DeliveryTally]) -> "HistogramMetricFamily":
    from prometheus_client.core import HistogramMetricFamily  # noqa: PLC0415 - of an extra

    (figure,) = (one for one in FIGURES if one.name == LATENCY)
    family = HistogramMetricFamily(figure.name, figure.told, labels=figure.labels)
    bounds = [*(str(float(bound)) for bound in BUCKETS), "+Inf"]
    for feed, tally in tallies.items():
        counts = accumulate(tally.seconds)
        family.add_metric([feed], list(zip(bounds, counts, strict=True)), tally.seconds_sum)
    return family
