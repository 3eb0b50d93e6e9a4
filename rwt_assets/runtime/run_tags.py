"""Tags of runs, ours and those of Dagster that we set or read.

Dagster documentation: "Tags", "Run configuration" (system tags).
"""

FEED_TAG = "rwt/feed"
ARCHIVE_TAG = "rwt/archive"
STEP_TAG = "rwt/step"
CAUSE_TAG = "rwt/cause"
ATTEMPT_TAG = "rwt/attempt"
REASON_TAG = "rwt/reason"
TERMINAL_TAG = "rwt/terminal"
INTERRUPTED_TAG = "rwt/interrupted"
OUTAGE_TAG = "rwt/outage"
DAMAGE_TAG = "rwt/damage"
RETRIED_TAG = "rwt/retried"
POOL_TAG = "rwt/pool"
PRIORITY_TAG = "dagster/priority"
CELERY_PRIORITY_TAG = "dagster-celery/run_priority"
RANGE_START_TAG = "dagster/asset_partition_range_start"
RANGE_END_TAG = "dagster/asset_partition_range_end"
PARTITION_TAG = "dagster/partition"
RETRY_FAILURE_TAG = "dagster/retry_on_asset_or_op_failure"  # whether Dagster repeats such a run
PARENT_RUN_TAG = "dagster/parent_run_id"  # of the run that this one tries again
