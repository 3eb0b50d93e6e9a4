"""Ours and scripts that do the same work; each runs in a process of its own.

What belongs here: who there is. Each script is written as one who knows its tool would write
it in an hour. All do the same: get `s3://incoming/bench/archive.zip`, unpack it, split each
member by `station`, add the CRC-32 of `ticket` and the provenance `_archive`, `_member` and
`_row`, and write one zstd Parquet for each member and value below `s3://results/NAME/`. In the
form "shards kept" the rows of each member and value are put there as CSV, too; the scripts write
both from the rows that they hold and read no shard back. Zstandard's level is 1 for all.
"""

from collections.abc import Callable
from dataclasses import dataclass
from importlib import import_module
from importlib.util import find_spec
from typing import Literal

Form = Literal["shards kept", "direct"]


@dataclass(frozen=True, slots=True)
class Contender:
    """`function` of `module` makes ready and gives the work, which returns the rows it wrote."""

    name: str
    label: str
    form: Form
    module: str
    function: str
    ordered: bool = True  # rows of a Parquet are in the order of the member
    needs: tuple[str, ...] = ()

    def prepare(self) -> Callable[[], int]:
        """Import what it needs; the work that is to be timed."""
        found = getattr(import_module(f"{__name__}.{self.module}"), self.function)
        work: Callable[[], int] = found()
        return work


KEPT: Form = "shards kept"
DIRECT: Form = "direct"
_ALL = (
    Contender("ours", "rwt_assets, one pass", KEPT, "ours", "with_shards"),
    Contender("ours_by_shards", "rwt_assets, by shards", KEPT, "ours", "by_shards"),
    Contender("pandas_kept", "pandas", KEPT, "pandas_script", "with_shards"),
    Contender("pandas_arrow_kept", "pandas, pyarrow", KEPT, "pandas_arrow_script", "with_shards"),
    Contender("polars_kept", "Polars", KEPT, "polars_script", "with_shards", needs=("polars",)),
    Contender(
        "duckdb_kept", "DuckDB", KEPT, "duckdb_script", "with_shards", ordered=False,
        needs=("duckdb",),
    ),
    Contender("ours_direct", "rwt_assets", DIRECT, "ours", "direct"),
    Contender("pandas_direct", "pandas", DIRECT, "pandas_script", "direct"),
    Contender("pandas_arrow_direct", "pandas, pyarrow", DIRECT, "pandas_arrow_script", "direct"),
    Contender("polars_sink", "Polars, sink", DIRECT, "polars_script", "sink", needs=("polars",)),
    Contender(
        "polars_partition_by", "Polars, partition_by", DIRECT, "polars_script", "partition_by",
        needs=("polars",),
    ),
    Contender(
        "duckdb_direct", "DuckDB", DIRECT, "duckdb_script", "direct", ordered=False,
        needs=("duckdb",),
    ),
    Contender("pyarrow_direct", "pyarrow", DIRECT, "pyarrow_script", "direct"),
)  # fmt: skip


def contenders() -> dict[str, Contender]:
    """Those whose packages are there, by name."""
    return {one.name: one for one in _ALL if all(find_spec(package) for package in one.needs)}
