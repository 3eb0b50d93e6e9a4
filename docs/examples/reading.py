"""Reading by what `delivery.json` names, without rwt_assets; `docs/reading.md` explains it."""

import json
from collections.abc import Iterator
from typing import Any
from urllib.parse import quote

import boto3
import duckdb
import pandas as pd
import polars as pl
import pyarrow as pa
import pyarrow.compute as pc
import pyarrow.dataset as ds
import pyarrow.parquet as pq
from pyarrow import fs

LONGEST_NAME = 200  # longer names of folders are cut


def delivered(bucket: str, prefix: str, member: str, archive: str = "") -> list[str]:
    """The objects of one member: of one archive, or of all archives of a feed."""
    return [
        f"s3://{bucket}/{one['key']}"
        for delivery in deliveries(bucket, prefix, archive)
        for one in delivery["objects"]
        if one["member"] == member
    ]


def deliveries(bucket: str, prefix: str, archive: str = "") -> Iterator[dict[str, Any]]:
    """The document of one archive, or of every archive that has one."""
    s3 = boto3.client("s3")
    below, name = f"{prefix}/deliveries/", quote(archive, safe="")
    if archive and len(name) <= LONGEST_NAME:
        yield _document(s3, bucket, f"{below}archive={name}/delivery.json")
        return
    for page in s3.get_paginator("list_objects_v2").paginate(Bucket=bucket, Prefix=below):
        for found in page.get("Contents", []):
            folder, _, file = found["Key"].removeprefix(below).partition("/")
            if file != "delivery.json" or not folder.startswith("archive="):
                continue
            try:
                delivery = _document(s3, bucket, found["Key"])
            except s3.exceptions.NoSuchKey:  # retired since it was listed
                continue
            if archive in ("", delivery["key"]):
                yield delivery


def _document(s3: Any, bucket: str, key: str) -> dict[str, Any]:
    return dict(json.loads(s3.get_object(Bucket=bucket, Key=key)["Body"].read()))


def by_pyarrow(uris: list[str], s3: fs.FileSystem | None = None) -> ds.Dataset:
    paths, files = [uri.removeprefix("s3://") for uri in uris], s3 or fs.S3FileSystem()
    schema = _unified([pq.read_schema(path, filesystem=files) for path in paths])
    found = ds.dataset(paths, schema, "parquet", filesystem=files, partitioning=None)
    same: dict[bytes, list[str]] = {}
    for name in schema.names:
        same.setdefault(_key(name), []).append(name)
    if len(same) == len(schema.names):
        return found
    columns = {names[0]: pc.coalesce(*map(pc.field, names)) for names in same.values()}
    return ds.dataset(found.to_table(columns=columns))


def _unified(schemas: list[pa.Schema]) -> pa.Schema:
    """Every column of any object; text, where no other type holds the values of all."""
    fields = {field.name: _key(field.name) for schema in schemas for field in schema}
    types: dict[bytes, pa.DataType] = {}
    for field in (field for schema in schemas for field in schema):
        pair = [types.get(_key(field.name), field.type), field.type]
        try:
            one = pa.unify_schemas([pa.schema({"": t}) for t in pair], promote_options="permissive")
            types[_key(field.name)] = one.types[0]
        except pa.ArrowTypeError:
            types[_key(field.name)] = pa.string()
    return pa.schema({name: types[key] for name, key in fields.items()})


def _key(name: str) -> bytes:
    """What names have in common that SQL does not tell apart: the case of ASCII letters."""
    return name.encode().lower()


def by_pandas(uris: list[str], s3: fs.FileSystem | None = None) -> pd.DataFrame:
    return by_pyarrow(uris, s3).to_table().to_pandas(types_mapper=pd.ArrowDtype)


def by_polars(uris: list[str]) -> pl.LazyFrame:
    names: dict[bytes, str] = {}
    files: list[pl.LazyFrame] = []
    for uri in uris:
        file = pl.scan_parquet(uri, hive_partitioning=False, glob=False)
        own = file.collect_schema().names()
        files.append(file.rename({name: names.setdefault(_key(name), name) for name in own}))
    return pl.concat(files, how="diagonal_relaxed")


def by_duckdb(uris: list[str], connection: duckdb.DuckDBPyConnection) -> duckdb.DuckDBPyRelation:
    return connection.read_parquet(uris, union_by_name=True, hive_partitioning=False)


def by_duckdb_over_arrow(
    sql: str, uris: list[str], s3: fs.FileSystem | None = None
) -> list[tuple[Any, ...]]:
    with duckdb.connect() as connection:
        connection.register("delivered", by_pyarrow(uris, s3))
        return connection.sql(sql).fetchall()


def list_for_athena(uris: list[str], bucket: str, key: str) -> None:
    boto3.client("s3").put_object(Bucket=bucket, Key=key, Body="\n".join(uris).encode())
