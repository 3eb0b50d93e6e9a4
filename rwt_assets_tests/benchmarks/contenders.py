"""Ours and two pandas scripts that do the same work; each runs in a process of its own.

    python -m rwt_assets_tests.benchmarks.contenders NAME

reads `s3://incoming/bench/archive.zip` and writes below `s3://results/NAME/`. It prints its
wall and CPU seconds and its peak memory, imports not counted, as JSON.
"""

import io
import json
import os
import re
import sys
import time
import zipfile
import zlib
from collections.abc import Callable
from pathlib import Path

SOURCE, TARGET, ARCHIVE = "incoming", "results", "bench/archive.zip"
SPLIT, KEY = "station", "ticket"


def ours() -> Callable[[], int]:
    """Archive to shards to enriched Parquet, by the modules that the assets call."""
    from dagster_aws.s3 import S3Resource

    from rwt_assets.concurrency import map_ahead
    from rwt_assets.enriched import EnrichedShard
    from rwt_assets.feed import Feed
    from rwt_assets.frames import member_frame_type
    from rwt_assets.notifications import ArchiveRevision
    from rwt_assets.processing import shard_runs, write_manifest
    from rwt_assets.resources.object_store import S3ObjectStoreResource
    from rwt_assets.resources.parquet_io_manager import AHEAD, WORKERS, S3ParquetIOManager
    from rwt_assets.unpacking import unpack_archive

    feed = Feed.model_validate(
        {
            "name": "bench",
            "source": {"bucket": SOURCE, "queue": "bench", "prefix": "bench/"},
            "target": {"bucket": TARGET, "prefix": "ours"},
            "members": [{"include": ["*.csv"], "split_by": SPLIT, "key_column": KEY}],
        }
    )
    resource_ = S3ObjectStoreResource(s3=S3Resource(max_attempts=5))
    manager = S3ParquetIOManager(bucket=TARGET, prefix="ours", object_store=resource_)
    kind = member_frame_type("BenchRows", feed.members[0])

    def work() -> int:
        store = resource_.objects()
        head = store.head(SOURCE, ARCHIVE)
        revision = ArchiveRevision(SOURCE, ARCHIVE, head.etag, head.size)
        manifest = unpack_archive(store, feed, revision)
        write_manifest(store, feed.target, manifest)
        runs = shard_runs(store, feed, [shard.partition_key for shard in manifest.shards])
        shards = (EnrichedShard(run, kind) for run in runs)
        return sum(w.rows for w in map_ahead(manager.write, shards, workers=WORKERS, ahead=AHEAD))

    return work


def pandas_with_shards() -> Callable[[], int]:
    """zipfile, read_csv, groupby, each group to CSV on S3; each read back, hashed, to Parquet."""
    import boto3
    import pandas as pd

    s3 = boto3.client("s3")

    def work() -> int:
        body = s3.get_object(Bucket=SOURCE, Key=ARCHIVE)["Body"].read()
        keys = []
        with zipfile.ZipFile(io.BytesIO(body)) as archive:
            for name in archive.namelist():
                with archive.open(name) as member:
                    frame = pd.read_csv(member, dtype=str, keep_default_na=False)
                for value, group in frame.groupby(SPLIT, sort=False):
                    key = f"pandas_with_shards/shards/{name}/{value}.csv"
                    text = group.to_csv(index=False).encode()
                    s3.put_object(Bucket=TARGET, Key=key, Body=text)
                    keys.append(key)
        rows = 0
        for key in keys:
            text = s3.get_object(Bucket=TARGET, Key=key)["Body"].read()
            frame = pd.read_csv(io.BytesIO(text), dtype=str, keep_default_na=False)
            frame["crc32"] = frame[KEY].apply(lambda value: zlib.crc32(value.encode()))
            out = io.BytesIO()
            frame.to_parquet(out, index=False, compression="zstd")
            name = key.replace("/shards/", "/enriched/").replace(".csv", ".parquet")
            s3.put_object(Bucket=TARGET, Key=name, Body=out.getvalue())
            rows += len(frame)
        return rows

    return work


def pandas_direct() -> Callable[[], int]:
    """zipfile, read_csv, hashed, groupby, each group straight to Parquet: no shards are kept."""
    import boto3
    import pandas as pd

    s3 = boto3.client("s3")

    def work() -> int:
        body = s3.get_object(Bucket=SOURCE, Key=ARCHIVE)["Body"].read()
        rows = 0
        with zipfile.ZipFile(io.BytesIO(body)) as archive:
            for name in archive.namelist():
                with archive.open(name) as member:
                    frame = pd.read_csv(member, dtype=str, keep_default_na=False)
                frame["crc32"] = frame[KEY].apply(lambda value: zlib.crc32(value.encode()))
                for value, group in frame.groupby(SPLIT, sort=False):
                    out = io.BytesIO()
                    group.to_parquet(out, index=False, compression="zstd")
                    key = f"pandas_direct/enriched/{name}/{value}.parquet"
                    s3.put_object(Bucket=TARGET, Key=key, Body=out.getvalue())
                    rows += len(group)
        return rows

    return work


CONTENDERS = {
    "ours": ours,
    "pandas_with_shards": pandas_with_shards,
    "pandas_direct": pandas_direct,
}


def _peak_mb() -> float:
    # getrusage would give the peak of the process that started this one, if that is larger.
    status = Path("/proc/self/status").read_text()
    found = re.search(r"VmHWM:\s+(\d+) kB", status)
    assert found is not None
    return int(found[1]) / 1024


def main(name: str) -> None:
    """Run one contender and print what it took."""
    work = CONTENDERS[name]()
    wall, cpu = time.perf_counter(), time.process_time()
    rows = work()
    taken = {
        "rows": rows,
        "wall": time.perf_counter() - wall,
        "cpu": time.process_time() - cpu,
        "peak_mb": _peak_mb(),
    }
    print(json.dumps(taken), flush=True)
    os._exit(0)  # nothing of the interpreter's end is measured or of interest


if __name__ == "__main__":
    main(sys.argv[1])
