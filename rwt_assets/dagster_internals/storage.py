"""Private parts of Dagster's storages: tables, and the classes that an own storage begins with.

- `AssetDaemonAssetEvaluationsTable`: removes the evaluations that name a removed partition, which
  the UI cannot show; the public method removes all before a time.
- `SqlScheduleStorage`: whether the evaluations are in that table.
- `DynamicPartitionsTable`: removes thousands of partitions in one statement; the public method
  takes one.
- `SqlEventLogStorage`: whether the partitions are in that table, and how a batch of events is
  indexed.
- `SqlEventLogStorageTable`: a batch of events in one transaction.
- `SqliteEventLogStorage`: the SQLite event log, to keep its connections.
- `ConfigurableClassData`: how Dagster makes a storage that a `dagster.yaml` names.
"""

from dagster._core.storage.event_log import SqlEventLogStorage, SqliteEventLogStorage
from dagster._core.storage.event_log.schema import (
    DynamicPartitionsTable,
    SqlEventLogStorageTable,
)
from dagster._core.storage.schedules.schema import AssetDaemonAssetEvaluationsTable
from dagster._core.storage.schedules.sql_schedule_storage import SqlScheduleStorage
from dagster._serdes import ConfigurableClassData

__all__ = [
    "AssetDaemonAssetEvaluationsTable",
    "ConfigurableClassData",
    "DynamicPartitionsTable",
    "SqlEventLogStorage",
    "SqlEventLogStorageTable",
    "SqlScheduleStorage",
    "SqliteEventLogStorage",
]
