"""Enriched shards as other tools find them: folders as partitions, of which few are read.

The recipes of docs/reading.md, against a real endpoint. DuckDB's own S3 client is an extension
that it would download; here it reads by Arrow's.
"""

import os
from importlib.util import module_from_spec, spec_from_file_location
from pathlib import Path

import duckdb
import polars as pl
import pyarrow.dataset as ds
import pytest
from fsspec.implementations.arrow import ArrowFSWrapper
from pyarrow import fs

from rwt_assets_tests.endpoint.delivered_archive import KEY, delivered

pytestmark = [
    pytest.mark.endpoint,
    # boto3 keeps connections open for the next call and has no moment to close them.
    pytest.mark.filterwarnings("ignore:unclosed <socket:ResourceWarning"),
]
ENRICHED = "rwt-results/rwt/gtfs/enriched"
MEMBER = f"{ENRICHED}/member=stop_times.txt"
EXAMPLE = Path(__file__).parents[2] / "docs" / "examples" / "reading.py"
__all__ = ["delivered"]


class ArrowS3(ArrowFSWrapper):
    protocol = "s3"


@pytest.fixture(scope="module")
def reading():
    """The example of the documentation."""
    spec = spec_from_file_location("reading", EXAMPLE)
    module = module_from_spec(spec)
    spec.loader.exec_module(module)
    return module


@pytest.fixture
def s3_files():
    return fs.S3FileSystem(
        access_key=os.environ["AWS_ACCESS_KEY_ID"],
        secret_key=os.environ["AWS_SECRET_ACCESS_KEY"],
        region=os.environ.get("AWS_DEFAULT_REGION", "us-east-1"),
        endpoint_override=os.environ["AWS_ENDPOINT_URL"],
    )


def test_pandas_reads_only_the_folders_of_a_value(delivered, s3_files, reading):
    found = reading.second_stops(ENRICHED, s3_files)
    assert found["trip_id"].tolist() == ["T0", "T1", "T2"]
    dataset = ds.dataset(MEMBER, filesystem=s3_files, partitioning=reading.FOLDERS)
    read = list(dataset.get_fragments(ds.field("stop_sequence") == 1))
    assert [fragment.path.split("/")[-2] for fragment in read] == ["stop_sequence=1"]


def test_polars_reads_only_the_folders_of_a_value(delivered):
    found = pl.scan_parquet(
        f"s3://{MEMBER}/**/*.parquet",
        hive_partitioning=True,
        storage_options={
            "aws_endpoint_url": os.environ["AWS_ENDPOINT_URL"],
            "aws_access_key_id": os.environ["AWS_ACCESS_KEY_ID"],
            "aws_secret_access_key": os.environ["AWS_SECRET_ACCESS_KEY"],
            "aws_region": os.environ.get("AWS_DEFAULT_REGION", "us-east-1"),
            "aws_allow_http": "true",
        },
    ).filter(pl.col("archive") == KEY, pl.col("stop_sequence") == 1)
    assert found.explain().count("/rows.parquet") == 1
    assert found.collect()["trip_id"].to_list() == ["T0", "T1", "T2"]


def test_duckdb_reads_only_the_folders_of_a_value(delivered, s3_files):
    connection = duckdb.connect()
    connection.register_filesystem(ArrowS3(s3_files))
    found = connection.sql(
        f"select trip_id from read_parquet('s3://{MEMBER}/**/*.parquet', hive_partitioning=true) "  # noqa: S608 - the test's own strings
        f"where archive = '{KEY}' and stop_sequence = 1 order by trip_id"
    )
    assert "Scanning Files: 1/2" in found.explain()
    assert found.fetchall() == [("T0",), ("T1",), ("T2",)]


def test_the_examples_of_the_documentation_read_a_delivery(delivered, reading):
    stops, times = reading.trips_and_stops()
    assert len(stops) == 2
    assert times.column_names == ["trip_id", "stop_id"]
    assert times.num_rows == 6
