"""pandas as people write it: read_csv, apply, groupby, to_csv, to_parquet, one put at a time."""

import io
import zipfile
import zlib
from collections.abc import Callable

import boto3
import numpy as np
import pandas as pd

from rwt_assets_tests.benchmarks.contenders.endpoint import ARCHIVE, KEY, SOURCE, SPLIT, TARGET


def with_shards() -> Callable[[], int]:
    return lambda: _run("pandas_kept", keep_shards=True)


def direct() -> Callable[[], int]:
    return lambda: _run("pandas_direct", keep_shards=False)


def _run(prefix: str, *, keep_shards: bool) -> int:
    s3 = boto3.client("s3")
    body = s3.get_object(Bucket=SOURCE, Key=ARCHIVE)["Body"].read()
    rows = 0
    with zipfile.ZipFile(io.BytesIO(body)) as archive:
        for name in archive.namelist():
            with archive.open(name) as member:
                frame = pd.read_csv(member, dtype=str, keep_default_na=False)
            columns = list(frame.columns)
            frame["crc32"] = (
                frame[KEY].apply(lambda value: zlib.crc32(value.encode())).astype("uint32")
            )
            frame["_archive"] = ARCHIVE
            frame["_member"] = name
            frame["_row"] = np.arange(1, len(frame) + 1)
            for value, group in frame.groupby(SPLIT, sort=False):
                if keep_shards:
                    text = group[columns].to_csv(index=False).encode()
                    key = f"{prefix}/shards/{name}/{value}.csv"
                    s3.put_object(Bucket=TARGET, Key=key, Body=text)
                out = io.BytesIO()
                group.to_parquet(out, index=False, compression="zstd")
                key = f"{prefix}/enriched/{name}/{value}.parquet"
                s3.put_object(Bucket=TARGET, Key=key, Body=out.getvalue())
                rows += len(group)
    return rows
