"""What Dagster's instance knows of a feed's archives and shards, and what is written to it.

Arrivals, attempts, reports, and the status of every archive come from here.
"""

from rwt_assets.catalog.catalog import AS_OF, Attempts, FeedCatalog
from rwt_assets.catalog.catalog_events import archive_page
from rwt_assets.catalog.figures import (
    Figures,
    figures_now,
    figures_observation,
    latest_figures,
    take_figures,
)
from rwt_assets.catalog.intake import (
    Budget,
    IntakeReport,
    is_beside_archives,
    refusal,
    sweep,
    take_messages,
)
from rwt_assets.catalog.memory import CatalogMemory
from rwt_assets.catalog.missing_deliveries import look_for_documents, other_on_record
from rwt_assets.catalog.standing import (
    ArchiveProgress,
    CountedStage,
    CountedWait,
    ShardState,
    StageCounts,
    StageName,
    Standing,
    StandingCounts,
    Verdict,
    archive_progress,
    archive_status,
    archives_progress,
    available_capacity,
    count_stages,
    count_standing,
    due_steps,
    is_failed,
    left_out_since,
    needs_something_else,
    retry_failed,
    take_standing,
)

__all__ = [
    "AS_OF",
    "ArchiveProgress",
    "Attempts",
    "Budget",
    "CatalogMemory",
    "CountedStage",
    "CountedWait",
    "FeedCatalog",
    "Figures",
    "IntakeReport",
    "ShardState",
    "StageCounts",
    "StageName",
    "Standing",
    "StandingCounts",
    "Verdict",
    "archive_page",
    "archive_progress",
    "archive_status",
    "archives_progress",
    "available_capacity",
    "count_stages",
    "count_standing",
    "due_steps",
    "figures_now",
    "figures_observation",
    "is_beside_archives",
    "is_failed",
    "latest_figures",
    "left_out_since",
    "look_for_documents",
    "needs_something_else",
    "other_on_record",
    "refusal",
    "retry_failed",
    "sweep",
    "take_figures",
    "take_messages",
    "take_standing",
]
