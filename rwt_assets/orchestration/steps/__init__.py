"""What every step shares: its failures, its fence, its columns, its IO manager.

Dagster documentation: "I/O managers", "Declarative automation".
"""

from rwt_assets.orchestration.steps.automation import code_changed, reported_again_or_code_changed
from rwt_assets.orchestration.steps.columns import csv_schema, enriched_schema
from rwt_assets.orchestration.steps.enriched import EnrichedShard, EnrichedShards, shards_type
from rwt_assets.orchestration.steps.failures import explained, fit_errors
from rwt_assets.orchestration.steps.fence import fenced, refuse_retired, refuse_superseded
from rwt_assets.orchestration.steps.formats import IO_MANAGER
from rwt_assets.orchestration.steps.frames import check_frame, member_frame_type, to_frame
from rwt_assets.orchestration.steps.freshness import Freshness
from rwt_assets.orchestration.steps.lineage import lineage_only
from rwt_assets.orchestration.steps.parquet_io_manager import (
    IO_MANAGER_KEY,
    EnrichedShardIOManager,
    EnrichedShardStore,
    ShardMetadata,
    ShardPlace,
    Written,
)

__all__ = [
    "IO_MANAGER",
    "IO_MANAGER_KEY",
    "EnrichedShard",
    "EnrichedShardIOManager",
    "EnrichedShardStore",
    "EnrichedShards",
    "Freshness",
    "ShardMetadata",
    "ShardPlace",
    "Written",
    "check_frame",
    "code_changed",
    "csv_schema",
    "enriched_schema",
    "explained",
    "fenced",
    "fit_errors",
    "lineage_only",
    "member_frame_type",
    "refuse_retired",
    "refuse_superseded",
    "reported_again_or_code_changed",
    "shards_type",
    "to_frame",
]
