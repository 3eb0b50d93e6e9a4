"""The storages of a stack in PostgreSQL, which read the database's URL in a file of its owner's.

What belongs here: where the URL comes from. What does not: what is stored, which is all
Dagster's. Dagster documentation: "dagster.yaml reference", "Deploying Dagster with PostgreSQL".

The UI shows the settings of each storage as `dagster.yaml` has them, to everybody who opens it; so
the URL, which may have a password, does not stand there.
"""

from collections.abc import Mapping
from pathlib import Path
from typing import Any, Final

from rwt_assets.dagster_internals.storage import ConfigurableClassData
from rwt_assets.embedded.postgresql_events import BatchingPostgresEventLogStorage
from rwt_assets.runtime import from_extra

with from_extra("postgresql", "Dagster's storage in PostgreSQL"):
    from dagster_postgres import PostgresRunStorage, PostgresScheduleStorage

CONFIG: Final = {"url_file": str}


def _url(config_value: Mapping[str, Any]) -> str:
    return Path(config_value["url_file"]).read_text(encoding="utf-8").strip()


class StackRunStorage(PostgresRunStorage):
    """Dagster's run storage."""

    @classmethod
    def config_type(cls) -> Mapping[str, Any]:
        """What `dagster.yaml` says: the file that has the URL."""
        return CONFIG

    @classmethod
    def from_config_value(
        cls, inst_data: ConfigurableClassData | None, config_value: Mapping[str, Any]
    ) -> "StackRunStorage":
        """Made by Dagster from `dagster.yaml`."""
        return cls(_url(config_value), inst_data=inst_data)


class StackEventLogStorage(BatchingPostgresEventLogStorage):
    """The event log whose batches are whole."""

    @classmethod
    def config_type(cls) -> Mapping[str, Any]:
        """What `dagster.yaml` says: the file that has the URL."""
        return CONFIG

    @classmethod
    def from_config_value(
        cls, inst_data: ConfigurableClassData | None, config_value: Mapping[str, Any]
    ) -> "StackEventLogStorage":
        """Made by Dagster from `dagster.yaml`."""
        return cls(_url(config_value), inst_data=inst_data)


class StackScheduleStorage(PostgresScheduleStorage):
    """Dagster's storage of schedules and sensors."""

    @classmethod
    def config_type(cls) -> Mapping[str, Any]:
        """What `dagster.yaml` says: the file that has the URL."""
        return CONFIG

    @classmethod
    def from_config_value(
        cls, inst_data: ConfigurableClassData | None, config_value: Mapping[str, Any]
    ) -> "StackScheduleStorage":
        """Made by Dagster from `dagster.yaml`."""
        return cls(_url(config_value), inst_data=inst_data)
