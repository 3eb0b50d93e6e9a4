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


class _UrlInFile:
    """A storage whose setting in `dagster.yaml` is the file that has the URL."""

    @classmethod
    def config_type(cls) -> Any:
        """What `dagster.yaml` says."""
        return CONFIG

    @classmethod
    def from_config_value(
        cls, inst_data: ConfigurableClassData | None, config_value: Mapping[str, Any]
    ) -> Any:
        """Made by Dagster from `dagster.yaml`."""
        make: Any = cls
        url = Path(config_value["url_file"]).read_text(encoding="utf-8").strip()
        return make(url, inst_data=inst_data)


class StackRunStorage(_UrlInFile, PostgresRunStorage):
    """Dagster's run storage."""


class StackEventLogStorage(_UrlInFile, BatchingPostgresEventLogStorage):
    """The event log whose batches are whole."""


class StackScheduleStorage(_UrlInFile, PostgresScheduleStorage):
    """Dagster's storage of schedules and sensors."""
