"""pandas over pyarrow: its CSV reader and writer, frames of Arrow types, uploads in threads.

`read_csv(engine="pyarrow", dtype=...)` is no use here: it guesses types first, so that 197.90
becomes 197.9 before it is made text again. So pyarrow reads, and pandas takes its table over.
"""

import io
import zlib
from collections.abc import Callable

import numpy as np
import pandas as pd
import pyarrow as pa
from pyarrow import csv as arrow_csv

from rwt_assets_tests.benchmarks.contenders.endpoint import ARCHIVE, KEY, SPLIT, Script


def with_shards() -> Callable[[], int]:
    return lambda: _run("pandas_arrow_kept", keep_shards=True)


def direct() -> Callable[[], int]:
    return lambda: _run("pandas_arrow_direct", keep_shards=False)


def _run(name: str, *, keep_shards: bool) -> int:
    rows = 0
    plain = arrow_csv.WriteOptions(quoting_style="needed")
    with Script(name) as script:
        for member, text in script.members():
            frame = _parsed(text)
            del text
            columns = list(frame.columns)
            keys = pa.array(frame[KEY]).cast(pa.binary()).to_pylist()
            frame["crc32"] = np.fromiter(map(zlib.crc32, keys), np.uint32, len(keys))
            frame["_archive"] = pd.Series([ARCHIVE], dtype="category").repeat(len(frame)).array
            frame["_member"] = pd.Series([member], dtype="category").repeat(len(frame)).array
            frame["_row"] = np.arange(1, len(frame) + 1)
            for value, group in frame.groupby(SPLIT, sort=False):
                if keep_shards:
                    shard = io.BytesIO()
                    table = pa.Table.from_pandas(group[columns], preserve_index=False)
                    arrow_csv.write_csv(table, shard, plain)
                    script.put("shards", member, str(value), shard.getbuffer())
                out = io.BytesIO()
                group.to_parquet(out, index=False, compression="zstd")
                script.put("enriched", member, str(value), out.getbuffer())
                rows += len(group)
    return rows


def _parsed(text: bytes) -> pd.DataFrame:
    with arrow_csv.open_csv(io.BytesIO(text)) as reader:
        types = dict.fromkeys(reader.schema.names, pa.string())
    table = arrow_csv.read_csv(
        pa.BufferReader(text), convert_options=arrow_csv.ConvertOptions(column_types=types)
    )
    frame: pd.DataFrame = table.to_pandas(types_mapper=pd.ArrowDtype)
    return frame
