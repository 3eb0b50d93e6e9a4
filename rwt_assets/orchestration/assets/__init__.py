"""The assets of a feed: thin, each calls one function of the rooms below.

Dagster documentation: "Defining assets", "External assets", "Partitioning assets".
"""

from rwt_assets.orchestration.assets.archive_manifest import (
    archive_manifest_asset,
    csv_shard_spec,
    zip_archive_spec,
)
from rwt_assets.orchestration.assets.delivery import (
    DELIVERED_AT,
    data_version,
    delivery_asset,
    document_metadata,
)
from rwt_assets.orchestration.assets.enriched_shard import enriched_shard_asset

__all__ = [
    "DELIVERED_AT",
    "archive_manifest_asset",
    "csv_shard_spec",
    "data_version",
    "delivery_asset",
    "document_metadata",
    "enriched_shard_asset",
    "zip_archive_spec",
]
