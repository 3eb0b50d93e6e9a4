"""Private parts that a code server, a run and a command load.

- `StepMaterializationData`: puts a batch of reported materializations on record in one
  transaction; the public method takes one event.
- `BulkActionsFilter`: the filter of `get_backfills`, which has no public name.
- `BulkActionStatus`: whether a backfill is under way; has no public name.
"""

from dagster._core.events import StepMaterializationData
from dagster._core.execution.backfill import BulkActionsFilter, BulkActionStatus

__all__ = ["BulkActionStatus", "BulkActionsFilter", "StepMaterializationData"]
