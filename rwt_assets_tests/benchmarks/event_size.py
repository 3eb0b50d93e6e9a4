"""What the event of one enriched shard has in bytes, and what it takes to make its text.

What belongs here: an event with the columns and their lineage and one without, as
`ShardMetadata` tells them. What does not: storing it (`storage_growth.py`).
"""

import time

import dagster as dg
import pyarrow as pa
from dagster._core.events import StepMaterializationData
from dagster._serdes import serialize_value

from rwt_assets.definitions import declared_feeds
from rwt_assets.graph.feed_graph import FeedGraph
from rwt_assets.orchestration.steps.parquet_io_manager import ShardMetadata, Written
from rwt_assets_tests.archives import TIMES

TIMES_MADE = 300
ROUNDS = 3
WORD = pa.dictionary(pa.int32(), pa.string())


def measure_event() -> None:
    """Print it for the first shard of a kind and for those after it."""
    first, later = (min(_made(repeated) for _ in range(ROUNDS)) for repeated in (False, True))
    for told, (seconds, size) in (("with columns and lineage", first), ("without", later)):
        print(f"an enriched event {told}: {size:,} B, {seconds * 1_000:.2f} ms of a processor")


def _made(repeated: bool) -> tuple[float, int]:  # noqa: FBT001 - private
    """Processor seconds and bytes of an event."""
    feed = declared_feeds()[0]
    key = FeedGraph(feed.name).enriched_shard
    written = _written()
    metadata = ShardMetadata(key, last="")
    if repeated:
        metadata.of(written)
    began = time.process_time()
    for _ in range(TIMES_MADE):
        said = (metadata if repeated else ShardMetadata(key, last="")).of(written)
        event = dg.DagsterEvent(
            event_type_value=dg.DagsterEventType.ASSET_MATERIALIZATION.value,
            event_specific_data=StepMaterializationData(
                dg.AssetMaterialization(key, partition=written.partition_key, metadata=said)
            ),
            job_name="gtfs_enrich",
        )
        text = serialize_value(
            dg.EventLogEntry(
                error_info=None,
                level=10,
                user_message="",
                run_id="",
                timestamp=0.0,
                dagster_event=event,
            )
        )
    return (time.process_time() - began) / TIMES_MADE, len(text)


def _written() -> Written:
    """A shard of the timetable that is shipped, with its seven columns and four added ones."""
    names = [*TIMES, "pickup_type", "drop_off_type"]
    added = [("crc32", pa.uint32()), ("_archive", WORD), ("_member", WORD), ("_row", pa.int64())]
    shard = "member=stop_times.txt/archive=gtfs%2Fcairns_gtfs.zip/revision=0f0f/stop_sequence=7"
    return Written(
        partition_key="gtfs/cairns_gtfs.zip|stop_times.txt|stop_sequence=7",
        revision="f491009ceb317c5f7e0770eda78bb1d8",
        uri=f"s3://rwt-results/rwt/gtfs/enriched/{shard}/rows.parquet",
        rows=1_339,
        bytes=9_000,
        rows_quarantined=0,
        schema=pa.schema([*((name, pa.string()) for name in names), *added]),
        rule=declared_feeds()[0].members[0],
        head="| T1 | 08:00:00 | 08:00:30 | S1 | 1 |\n" * 7,
        seconds=0.1,
    )
