"""What a sweep costs: 20,000 objects on the embedded server, all of them on record or none."""

import tempfile
import time
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import boto3
import dagster as dg

from rwt_assets.catalog.catalog import FeedCatalog
from rwt_assets.catalog.intake import Budget, sweep
from rwt_assets.embedded.server import REGION, EmbeddedServer
from rwt_assets.resources.s3_objects import S3Objects
from rwt_assets_tests.declared import declared_feed

OBJECTS = 20_000
UPLOADERS = 8


def measure_sweep(objects: int = OBJECTS) -> None:
    """Print seconds an object for a first sweep and for the ones after it, beside a listing."""
    feed = declared_feed()
    with (
        tempfile.TemporaryDirectory() as folder,
        EmbeddedServer(log=Path(folder) / "log") as server,
    ):
        s3 = boto3.client(
            "s3",
            endpoint_url=server.endpoint_url,
            region_name=REGION,
            aws_access_key_id="bench",
            aws_secret_access_key="bench",
        )
        bucket, prefix = feed.source.bucket, feed.source.prefix
        s3.create_bucket(Bucket=bucket)
        with ThreadPoolExecutor(UPLOADERS) as pool:
            keys = (f"{prefix}{number:06d}.zip" for number in range(objects))
            list(pool.map(lambda key: s3.put_object(Bucket=bucket, Key=key, Body=b"x"), keys))
        (Path(folder) / "dagster.yaml").write_text("telemetry: {enabled: false}\n")
        with dg.DagsterInstance.from_config(folder) as instance:
            catalog, store = FeedCatalog(instance, feed), S3Objects(s3)
            first = _seconds(lambda: len(sweep(catalog, store).recorded))
            listing = _seconds(lambda: sum(1 for _ in store.list(bucket, prefix)))
            again = _seconds(lambda: sweep(catalog, store).unchanged)
            ticks = _ticks(catalog, store, objects)
    print(
        f"\na sweep of {objects:,} objects\n"
        f"  none on record: {first:.1f} s, {first / objects * 1000:.1f} ms an object "
        "(an event each)\n"
        f"  all on record:  {again:.1f} s, {again / objects * 1000:.2f} ms an object, "
        f"{again / listing:.1f} times a listing alone ({listing:.1f} s)\n"
        f"  the same in ticks of a second: {ticks} ticks, each from the cursor of the one before"
    )


def _seconds(work: Callable[[], object]) -> float:
    began = time.perf_counter()
    work()
    return time.perf_counter() - began


def _ticks(catalog: FeedCatalog, store: S3Objects, objects: int) -> int:
    after, ticks, seen = "", 0, 0
    while ticks == 0 or after:
        report = sweep(catalog, store, Budget(seconds=1), start_after=after)
        after, ticks, seen = report.next_after, ticks + 1, seen + report.unchanged
    assert seen == objects
    return ticks
