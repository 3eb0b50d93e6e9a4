"""Every way to read a delivery that docs/reading.md shows, and a partner whose archives are read.

What belongs here: the page's own code, run as it stands there. What does not: what must be read
(the tests).
"""

import re
from types import ModuleType
from typing import Any

import duckdb
import pyarrow as pa
from fsspec.implementations.arrow import ArrowFSWrapper
from pyarrow import fs

from rwt_assets import read_delivery
from rwt_assets.catalog.catalog import FeedCatalog
from rwt_assets.catalog.intake import sweep
from rwt_assets.catalog.standing import archive_progress
from rwt_assets.component import build_feed_definitions
from rwt_assets.documents.partitions import archive_partition_key
from rwt_assets.orchestration.steps.frames import to_table
from rwt_assets.reading.delivered import delivered_by, query
from rwt_assets.resources.object_store import connect_objects
from rwt_assets.testing import carry_out
from rwt_assets.text.tables import full_table_name, quoted
from rwt_assets_tests.documented_examples import EXAMPLES

PAGE = EXAMPLES.parent / "reading.md"
RECIPES = ["pyarrow", "pandas", "polars", "duckdb", "duckdb over arrow"]


def code_of_the_page() -> ModuleType:
    """The page's own code without rwt_assets; imports and constants are those of its example."""
    module = ModuleType("reading")
    head, _, _ = (EXAMPLES / "reading.py").read_text(encoding="utf-8").partition("\n\n\ndef ")
    _, _, page = PAGE.read_text(encoding="utf-8").partition("## Without rwt_assets")
    blocks = re.findall(r"^```python\n(.*?)^```$", page, re.MULTILINE | re.DOTALL)
    exec("\n\n".join([head, *blocks]), module.__dict__)  # noqa: S102 - this project's page
    return module


reading: Any = code_of_the_page()


class ArrowS3(ArrowFSWrapper):  # type: ignore[misc]
    """DuckDB's own S3 client is an extension that it would download; here it reads by Arrow's."""

    protocol = "s3"


class Recipes:
    """Reads objects by each recipe of the page.

    Args:
        endpoint: where S3 is; credentials are those of the environment.
    """

    def __init__(self, endpoint: str) -> None:
        self._files = fs.S3FileSystem(endpoint_override=endpoint)

    def rows(self, recipe: str, uris: list[str]) -> list[dict[str, Any]]:
        """The rows of some objects."""
        if recipe == "pyarrow":
            return reading.by_pyarrow(uris, self._files).to_table().to_pylist()
        if recipe == "pandas":
            return pa.Table.from_pandas(reading.by_pandas(uris, self._files)).to_pylist()
        if recipe == "polars":
            return reading.by_polars(uris).collect().to_dicts()
        if recipe == "duckdb":
            with duckdb.connect() as connection:
                connection.register_filesystem(ArrowS3(self._files))
                return reading.by_duckdb(uris, connection).to_arrow_table().to_pylist()
        columns = reading.by_pyarrow(uris, self._files).schema.names
        found = reading.by_duckdb_over_arrow("from delivered", uris, self._files)
        return [dict(zip(columns, row, strict=True)) for row in found]


class Partner:
    """Uploads archives of a feed and has them processed."""

    def __init__(self, instance, feed, s3):
        self.instance = instance
        self.feed = feed
        self.s3 = s3

    @property
    def catalog(self):
        return FeedCatalog(self.instance, self.feed)

    def upload(self, key, body):
        self.s3.put_object(Bucket=self.feed.source.bucket, Key=key, Body=body)
        sweep(self.catalog, connect_objects())
        self.process()
        progress = archive_progress(self.catalog, archive_partition_key(key))
        assert progress.stage == "delivered", progress

    def process(self, *, expect_failure=False):
        definitions = build_feed_definitions(self.feed)
        carry_out(self.catalog, definitions, expect_failure=expect_failure)

    def objects(self, member, key=""):
        return reading.delivered(self.feed.target.bucket, self.feed.target.prefix, member, key)

    def document(self, key):
        (found,) = reading.deliveries(self.feed.target.bucket, self.feed.target.prefix, key)
        return found

    def rows_by_package(self, member, keys):
        """What `rwt query` and `read_delivery` give; the latter reads one archive at a time."""
        tables = delivered_by(connect_objects(), [(self.feed, keys)])
        with query(tables, f"from {quoted(full_table_name(member))}") as found:
            queried = [row for batch in found.batches() for row in batch.to_pylist()]
        frames = [read_delivery(key, member, feed=self.feed.name) for key in keys]
        return {
            "rwt query": queried,
            "read_delivery": [row for one in frames for row in to_table(one).to_pylist()],
        }
