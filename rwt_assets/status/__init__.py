"""Where an archive stands and which step it needs, from facts alone.

No Dagster and no store: what is known is passed in.
"""

from rwt_assets.status.archive_status import (
    RUNS_UNDER_WAY,
    ArchiveStatus,
    Capacity,
    WaitKind,
    WaitsFor,
    arrival_of,
    priority_of,
    status_of,
)
from rwt_assets.status.health import Heartbeat, Problem, ProblemKind, silent_daemons, stale_reading
from rwt_assets.status.priority import celery_priority, patience_seconds, places_for, run_priority
from rwt_assets.status.progress import (
    ArchiveFacts,
    Event,
    Need,
    Position,
    ShardFacts,
    Stage,
    Step,
    contiguous_ranges,
    locate,
)

__all__ = [
    "RUNS_UNDER_WAY",
    "ArchiveFacts",
    "ArchiveStatus",
    "Capacity",
    "Event",
    "Heartbeat",
    "Need",
    "Position",
    "Problem",
    "ProblemKind",
    "ShardFacts",
    "Stage",
    "Step",
    "WaitKind",
    "WaitsFor",
    "arrival_of",
    "celery_priority",
    "contiguous_ranges",
    "locate",
    "patience_seconds",
    "places_for",
    "priority_of",
    "run_priority",
    "silent_daemons",
    "stale_reading",
    "status_of",
]
