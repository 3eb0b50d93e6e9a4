"""From an archive to its shards, and from a shard to its Parquet.

Splitting, one pass over small archives and making a lost shard again are here.
"""

from rwt_assets.shard.member_rows import MemberRows
from rwt_assets.shard.processing import (
    OnePassRun,
    manifest_etag,
    read_manifest,
    read_tagged_manifest,
    shard_runs,
    table_without_rows,
    write_manifest,
)
from rwt_assets.shard.remaking import remade_runs
from rwt_assets.shard.unpacking import OnePassWriter, unpack_archive

__all__ = [
    "MemberRows",
    "OnePassRun",
    "OnePassWriter",
    "manifest_etag",
    "read_manifest",
    "read_tagged_manifest",
    "remade_runs",
    "shard_runs",
    "table_without_rows",
    "unpack_archive",
    "write_manifest",
]
