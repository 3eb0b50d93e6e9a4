"""A new archive in an empty catalog, and in one that is full of delivered ones.

What belongs here: what the new archive takes, what a tick takes, and how long the UI's pages
take. What does not: how the catalog is filled (`full_catalog.py`). Dagster documentation:
"GraphQL API".
"""

import tempfile
import time
from collections import defaultdict
from collections.abc import Sequence
from pathlib import Path
from statistics import median

from rwt_assets.documents.layout import Layout
from rwt_assets.runtime.errors import ArchiveMissingError
from rwt_assets_tests.archives import timetable
from rwt_assets_tests.benchmarks.full_catalog import fill
from rwt_assets_tests.end_to_end.running_stack import RunningStack

PATIENCE_SECONDS = 900
SETTLE_SECONDS = 60
ROUNDS = 5
STOPS, TRIPS = 200, 50
ASSETS = ("zip_archive", "archive_manifest", "csv_shard", "enriched_shard", "delivery")
PARTITIONS = """query($key: AssetKeyInput!) { assetNodeOrError(assetKey: $key) { ... on AssetNode {
  partitionStats { numMaterialized numPartitions numFailed numMaterializing }
  assetPartitionStatuses { __typename ... on DefaultPartitionStatuses {
    materializedPartitions failedPartitions materializingPartitions unmaterializedPartitions } }
} } }"""
EVENTS = """query($key: AssetKeyInput!) { assetOrError(assetKey: $key) { ... on Asset {
  assetMaterializations(limit: 100) { partition timestamp metadataEntries { label } } } } }"""
CATALOG = """{ assetNodes { assetKey { path } groupName kinds description
  latestMaterialization: assetMaterializations(limit: 1) { timestamp } } }"""


def measure_scale(archives: int, shards: int) -> None:
    """Print how much longer a delivery takes, and what ticks and pages take."""
    with tempfile.TemporaryDirectory() as folder:
        state = Path(folder).resolve() / "state"
        state.mkdir()
        stack = RunningStack(state)
        empty = _measure(stack, "empty")
        with stack.instance() as instance:
            seconds = fill(instance, stack.feed, archives, shards)
        print(f"\nfilled with {archives:,} archives, {shards:,} shards in {seconds:.0f} s")
        full = _measure(stack, "full")
        print(f"\ndelivery in the full catalog takes {full / empty:.2f} times as long")


def _measure(stack: RunningStack, name: str) -> float:
    """Seconds from upload to delivery, at the median."""
    stack.start()
    try:
        time.sleep(SETTLE_SECONDS)
        began = time.time()
        taken = [_deliver(stack, f"{name}-{number}.zip") for number in range(ROUNDS)]
        told = ", ".join(f"{seconds:.1f}" for seconds in sorted(taken))
        print(f"\n{name} catalog, {STOPS + 1} shards an archive: {told} s")
        _print_ticks(stack, began)
        _print_pages(stack)
    finally:
        stack.stop()
    return median(taken)


def _deliver(stack: RunningStack, name: str) -> float:
    body = timetable(trips=TRIPS, stops=STOPS)
    key = Layout(stack.feed.target.prefix).delivery(f"{stack.feed.source.prefix}{name}")
    store = stack.objects()

    def delivered() -> bool:
        try:
            store.head(stack.feed.target.bucket, key)
        except ArchiveMissingError:
            return False
        return True

    began = time.monotonic()
    stack.upload(name, body)
    stack.wait_for(delivered, PATIENCE_SECONDS, pause_seconds=0.2)
    return time.monotonic() - began


def _print_ticks(stack: RunningStack, since: float) -> None:
    """How long the ticks of each sensor took; some wait on purpose, for messages or for work."""
    ticks: dict[str, list[float]] = defaultdict(list)
    with stack.instance() as instance:
        for state in instance.all_instigator_state():
            for tick in instance.get_ticks(
                state.instigator_origin_id, state.selector_id, after=since
            ):
                if tick.end_timestamp is not None:
                    ticks[state.instigator_name].append(tick.end_timestamp - tick.timestamp)
    for name, seconds in sorted(ticks.items()):
        print(f"  {name:<28}{len(seconds):>4} ticks, {_spread(seconds)}")


def _print_pages(stack: RunningStack) -> None:
    for page, query in (("partitions", PARTITIONS), ("events", EVENTS)):
        seconds = [
            _asked(stack, query, {"key": {"path": [stack.feed.name, asset]}}) for asset in ASSETS
        ]
        print(f"  UI, {page} of an asset: {_spread(seconds)}")
    print(f"  UI, catalog: {_spread([_asked(stack, CATALOG, {}) for _ in range(3)])}")


def _asked(stack: RunningStack, query: str, variables: dict[str, object]) -> float:
    began = time.monotonic()
    stack.graphql(query, **variables)
    return time.monotonic() - began


def _spread(seconds: Sequence[float]) -> str:
    return f"median {median(seconds):.2f} s, at most {max(seconds):.2f} s"
