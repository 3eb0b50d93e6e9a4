"""pyarrow alone: its CSV reader, one sorting take a member, Parquet, puts in threads."""

import io
import zlib
from collections.abc import Callable

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
from pyarrow import csv as arrow_csv

from rwt_assets_tests.benchmarks.contenders.endpoint import ARCHIVE, KEY, SPLIT, Script


def direct() -> Callable[[], int]:
    return _run


def _run() -> int:
    rows = 0
    with Script("pyarrow_direct") as script:
        for member, text in script.members():
            table = _enriched(_parsed(text), member).combine_chunks()
            del text
            coded = table.column(SPLIT).combine_chunks().dictionary_encode()
            codes = np.asarray(coded.indices)
            table = table.take(pa.array(np.argsort(codes, kind="stable")))
            bounds = np.concatenate([[0], np.cumsum(np.bincount(codes))])
            for code, value in enumerate(coded.dictionary.to_pylist()):
                shard = table.slice(bounds[code], bounds[code + 1] - bounds[code])
                out = io.BytesIO()
                pq.write_table(shard, out, compression="zstd")
                script.put("enriched", member, value, out.getbuffer())
                rows += shard.num_rows
    return rows


def _parsed(text: bytes) -> pa.Table:
    with arrow_csv.open_csv(io.BytesIO(text)) as reader:
        names = reader.schema.names
    types = dict.fromkeys(names, pa.string())
    return arrow_csv.read_csv(
        pa.BufferReader(text), convert_options=arrow_csv.ConvertOptions(column_types=types)
    )


def _enriched(table: pa.Table, member: str) -> pa.Table:
    count = table.num_rows
    keys = table.column(KEY).cast(pa.binary()).to_pylist()
    hashes = np.fromiter(map(zlib.crc32, keys), np.uint32, count)
    table = table.append_column("crc32", pa.array(hashes))
    for name, text in (("_archive", ARCHIVE), ("_member", member)):
        same = pa.DictionaryArray.from_arrays(np.zeros(count, np.int32), pa.array([text]))
        table = table.append_column(name, same)
    return table.append_column("_row", pa.array(np.arange(1, count + 1)))
