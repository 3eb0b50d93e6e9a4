"""Polars: its partitioned sink straight to S3, and partition_by with puts in threads.

The sink's own checksum would be CRC-64/NVME, which the local server computes in Python, 28 ms
for each object; with SHA-256 the server costs it nothing.
"""

import io
import os
import zlib
from collections.abc import Callable
from typing import Any

import polars as pl

from rwt_assets_tests.benchmarks.contenders.endpoint import ARCHIVE, KEY, SPLIT, TARGET, Script

STORAGE: Any = {
    "aws_endpoint_url": os.environ.get("AWS_ENDPOINT_URL", ""),
    "aws_allow_http": "true",
    "aws_checksum_algorithm": "sha256",
}


def with_shards() -> Callable[[], int]:
    return lambda: _partition_by("polars_kept", keep_shards=True)


def partition_by() -> Callable[[], int]:
    return lambda: _partition_by("polars_partition_by", keep_shards=False)


def sink() -> Callable[[], int]:
    def work() -> int:
        rows = 0
        with Script("polars_sink") as script:
            for member, text in script.members():
                lines = pl.scan_csv(text, infer_schema=False, row_index_name="_row",
                                    row_index_offset=1)  # fmt: skip
                to = pl.PartitionBy(
                    f"s3://{TARGET}/polars_sink/enriched/{member}/",
                    key=SPLIT,
                    include_key=True,
                    approximate_bytes_per_file=None,
                )
                _enriched(lines, member).sink_parquet(
                    to, compression="zstd", compression_level=1, storage_options=STORAGE
                )
                rows += text.count(b"\n") - 1
        return rows

    return work


def _enriched(lines: pl.LazyFrame, member: str) -> pl.LazyFrame:
    return lines.with_columns(
        pl.col("_row").cast(pl.Int64),
        pl.col(KEY).map_batches(_crc32, return_dtype=pl.UInt32, is_elementwise=True).alias("crc32"),
        pl.lit(ARCHIVE).alias("_archive"),
        pl.lit(member).alias("_member"),
    )


def _crc32(keys: pl.Series) -> pl.Series:
    return pl.Series(list(map(zlib.crc32, keys.cast(pl.Binary).to_list())), dtype=pl.UInt32)


def _partition_by(name: str, *, keep_shards: bool) -> int:
    rows = 0
    with Script(name) as script:
        for member, text in script.members():
            lines = pl.scan_csv(text, infer_schema=False, row_index_name="_row",
                                row_index_offset=1)  # fmt: skip
            columns = [column for column in lines.collect_schema().names() if column != "_row"]
            frame = _enriched(lines, member).collect()
            for group in frame.partition_by(SPLIT, maintain_order=True):
                value = group.item(0, SPLIT)
                if keep_shards:
                    shard = io.BytesIO()
                    group.select(columns).write_csv(shard)
                    script.put("shards", member, value, shard.getbuffer())
                out = io.BytesIO()
                group.write_parquet(out, compression="zstd", compression_level=1)
                script.put("enriched", member, value, out.getbuffer())
                rows += group.height
    return rows
