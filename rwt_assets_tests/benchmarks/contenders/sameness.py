"""That a contender's results are those of ours, so that none is compared that does less.

What belongs here: the comparison of what lies on the store. What does not: seconds.
"""

import io
from collections.abc import Iterator
from typing import TYPE_CHECKING, Any

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
from pyarrow import csv as arrow_csv

from rwt_assets.values.added_columns import ADDED, MEMBER, ROW
from rwt_assets_tests.benchmarks.contenders import KEPT, Contender
from rwt_assets_tests.benchmarks.contenders.endpoint import SPLIT, TARGET

if TYPE_CHECKING:
    from mypy_boto3_s3 import S3Client

Shards = dict[tuple[str, str], str]


def hold_to_ours(s3: "S3Client", contender: Contender, ours: str) -> None:
    """Compare results by member and value.

    Raises:
        AssertionError: a file more or less, other columns, rows, types or CRCs, rows in
            another order where the contender claims that of the member, or no shards kept.
    """
    expected = _enriched(s3, f"{ours}/enriched/")
    found = _enriched(s3, f"{contender.name}/enriched/")
    name = contender.name
    assert found.keys() == expected.keys(), f"{name}: {sorted(found.keys() ^ expected.keys())[:5]}"
    # Those of ours have their own layout and checksums; the tests hold them to each other.
    keeps = contender.form == KEPT and not name.startswith(ours)
    shards = _shards(s3, f"{name}/shards/") if keeps else {}
    assert not keeps or shards.keys() == expected.keys(), f"{name}: {len(shards)} shards"
    for place, key in expected.items():
        right, table = _parquet(s3, key), _parquet(s3, found[place])
        assert sorted(table.column_names) == sorted(right.column_names), f"{name}: {place}"
        rising = bool(np.all(np.diff(table.column(ROW).to_numpy()) > 0))
        assert rising or not contender.ordered, f"{name}: rows of {place} are not in order"
        table = table.select(right.column_names).sort_by(ROW)
        assert table.equals(right), f"{name}: {place} differs\n{table.schema}\n{right.schema}"
        if keeps:
            rows = _csv(s3, shards[place])
            columns = [column for column in right.column_names if column not in ADDED]
            by = [(column, "ascending") for column in columns]
            same = right.select(columns)
            if not contender.ordered:
                rows, same = rows.sort_by(by), same.sort_by(by)
            assert rows.select(columns).equals(same), f"{name}: the shard of {place} differs"


def keys_below(s3: "S3Client", prefix: str) -> Iterator[str]:
    """The keys of all objects below a prefix."""
    for page in s3.get_paginator("list_objects_v2").paginate(Bucket=TARGET, Prefix=prefix):
        for entry in page.get("Contents", ()):
            yield entry["Key"]


def remove_below(s3: "S3Client", prefix: str) -> None:
    """Remove all objects below a prefix."""
    keys = list(keys_below(s3, prefix))
    for start in range(0, len(keys), 1_000):
        batch = [{"Key": key} for key in keys[start : start + 1_000]]
        s3.delete_objects(Bucket=TARGET, Delete={"Objects": batch, "Quiet": True})  # type: ignore[typeddict-item]


def _enriched(s3: "S3Client", prefix: str) -> Shards:
    """The key of the one Parquet of each member and value."""
    found: Shards = {}
    for key in keys_below(s3, prefix):
        places = set(
            zip(*(_parquet(s3, key, [name])[name].to_pylist() for name in (MEMBER, SPLIT)),
                strict=True)
        )  # fmt: skip
        assert len(places) == 1, f"{key} has {len(places)} members and values"
        place = places.pop()
        assert place not in found, f"{place} has two files, {key} and {found[place]}"
        found[place] = key
    return found


def _shards(s3: "S3Client", prefix: str) -> Shards:
    keys = (key.removeprefix(prefix).removesuffix(".csv").split("/") for key in
            keys_below(s3, prefix))  # fmt: skip
    return {(member, value): f"{prefix}{member}/{value}.csv" for member, value in keys}


def _parquet(s3: "S3Client", key: str, columns: list[str] | None = None) -> pa.Table:
    body = s3.get_object(Bucket=TARGET, Key=key)["Body"].read()
    table = pq.read_table(io.BytesIO(body), columns=columns)
    # How texts are kept is each tool's own affair; that CRC is uint32 and row int64 is not.
    return table.cast(
        pa.schema([(field.name, _plain(field.type)) for field in table.schema])
    ).replace_schema_metadata(None)


def _plain(kind: pa.DataType) -> Any:
    if pa.types.is_dictionary(kind):
        kind = kind.value_type
    text = pa.types.is_large_string(kind) or pa.types.is_string_view(kind)
    return pa.string() if text else kind


def _csv(s3: "S3Client", key: str) -> pa.Table:
    body = s3.get_object(Bucket=TARGET, Key=key)["Body"].read()
    with arrow_csv.open_csv(io.BytesIO(body)) as reader:
        types = dict.fromkeys(reader.schema.names, pa.string())
    return arrow_csv.read_csv(
        io.BytesIO(body), convert_options=arrow_csv.ConvertOptions(column_types=types)
    )
