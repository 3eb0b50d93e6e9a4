"""DuckDB: COPY with PARTITION_BY into a local folder, each file then put up by boto3.

Its own S3 client (httpfs) is an extension that it fetches when it is first used, which not
every machine can do. COPY with PARTITION_BY does not keep the order of rows.
"""

import tempfile
import zlib
from collections.abc import Callable
from pathlib import Path
from typing import Any

import duckdb
import numpy as np
import pyarrow as pa

from rwt_assets_tests.benchmarks.contenders.endpoint import ARCHIVE, KEY, SPLIT, Script


def with_shards() -> Callable[[], int]:
    return lambda: _run("duckdb_kept", keep_shards=True)


def direct() -> Callable[[], int]:
    return lambda: _run("duckdb_direct", keep_shards=False)


def _run(name: str, *, keep_shards: bool) -> int:
    rows = 0
    with (
        tempfile.TemporaryDirectory() as folder,
        Script(name) as script,
        duckdb.connect(config={"temp_directory": f"{folder}/spill"}) as database,
    ):
        database.create_function("crc32", _crc32, ["VARCHAR"], "UINTEGER", type="arrow")
        database.execute("SET partitioned_write_max_open_files = 1000")
        for member, text in script.members():
            source = Path(folder) / member
            source.write_bytes(text)
            del text
            lines = f"read_csv('{source}', header=true, all_varchar=true)"
            enriched = f"""
                SELECT *, crc32({KEY}) AS crc32, '{ARCHIVE}' AS _archive,
                    '{member}' AS _member, row_number() OVER () AS _row
                FROM {lines}"""
            rows += _copy(database, enriched, f"{folder}/enriched", script, member)
            if keep_shards:
                _copy(database, f"SELECT * FROM {lines}", f"{folder}/shards", script, member)
            source.unlink()
    return rows


def _copy(database: Any, select: str, to: str, script: Script, member: str) -> int:
    kind = Path(to).name
    how = "csv" if kind == "shards" else "parquet, COMPRESSION zstd, COMPRESSION_LEVEL 1"
    options = f"FORMAT {how}, PARTITION_BY ({SPLIT}), WRITE_PARTITION_COLUMNS true"
    answer = database.execute(f"COPY ({select}) TO '{to}' ({options}, OVERWRITE true)").fetchone()
    for file in Path(to).glob("*/*"):
        value = file.parent.name.partition("=")[2]
        part = file.stem.rpartition("_")[2]
        script.put(kind, member, value if part == "0" else f"{value}-{part}", file.read_bytes())
    return int(answer[0])


def _crc32(keys: Any) -> Any:
    values = keys.cast(pa.binary()).to_pylist()
    return pa.array(np.fromiter(map(zlib.crc32, values), np.uint32, len(values)))
