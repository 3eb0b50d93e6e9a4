"""Asset checks: what is judged, and what a judgement looks like in the UI.

Dagster documentation: "Asset checks".
"""

from rwt_assets.orchestration.checks.checks import (
    QUARANTINE_WITHIN_TOLERANCE,
    RECONCILED,
    delivery_check_specs,
    delivery_results,
    document_evaluations,
    evaluation_of,
    feed_is_fresh_check,
    freshness_evaluation,
    nothing_forgotten_check,
    standing_evaluation,
    take_freshness,
)
from rwt_assets.orchestration.checks.completeness_checks import (
    CopyRows,
    completeness_check_specs,
    completeness_evaluations,
    completeness_results,
    find_unexpected,
    refuse_incomplete,
)
from rwt_assets.orchestration.checks.deliveries_intact import (
    DELIVERIES_INTACT,
    intact_check,
    intact_job,
    intact_schedule,
)
from rwt_assets.orchestration.checks.encoding_check import (
    encoding_check_result,
    encoding_check_spec,
)
from rwt_assets.orchestration.checks.schema_check import schema_check_result, schema_check_spec
from rwt_assets.orchestration.checks.volume_check import volume_check_spec, volume_result

__all__ = [
    "DELIVERIES_INTACT",
    "QUARANTINE_WITHIN_TOLERANCE",
    "RECONCILED",
    "CopyRows",
    "completeness_check_specs",
    "completeness_evaluations",
    "completeness_results",
    "delivery_check_specs",
    "delivery_results",
    "document_evaluations",
    "encoding_check_result",
    "encoding_check_spec",
    "evaluation_of",
    "feed_is_fresh_check",
    "find_unexpected",
    "freshness_evaluation",
    "intact_check",
    "intact_job",
    "intact_schedule",
    "nothing_forgotten_check",
    "refuse_incomplete",
    "schema_check_result",
    "schema_check_spec",
    "standing_evaluation",
    "take_freshness",
    "volume_check_spec",
    "volume_result",
]
