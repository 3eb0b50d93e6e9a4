"""Dagster's PostgreSQL event log, with every batch of events in one transaction.

What belongs here: batches and connections. What does not: what is stored, which is all
Dagster's. Dagster documentation: "Deploying Dagster with PostgreSQL", "Environment variables"
(`DAGSTER_EVENT_BATCH_SIZE`).

dagster-postgres stores a batch of materializations as such, its events in one transaction and
their index in another; events planned for the partitions of a run it stores one by one, each
over a connection of its own. Here both are one transaction, so a batch is there whole or not at
all. Needs the packages of the extra `postgresql`; the tables are Dagster's own.
"""

from collections.abc import Mapping, Sequence
from typing import Any

import dagster as dg

from rwt_assets.dagster_internals.storage import ConfigurableClassData
from rwt_assets.embedded.event_batches import can_be_batched, insert_into_index
from rwt_assets.runtime import from_extra

with from_extra("postgresql", "the event log in PostgreSQL"):
    from dagster_postgres import PostgresEventLogStorage


class BatchingPostgresEventLogStorage(PostgresEventLogStorage):
    """Dagster's PostgreSQL event log whose batches are whole."""

    @classmethod
    def from_config_value(
        cls, inst_data: ConfigurableClassData | None, config_value: Mapping[str, Any]
    ) -> "BatchingPostgresEventLogStorage":
        """Made by Dagster from `dagster.yaml`."""
        return cls(config_value["postgres_url"], inst_data=inst_data)

    def store_event_batch(self, events: Sequence[dg.EventLogEntry]) -> None:
        """Store events that came together: all of them, or none if this raises."""
        if not can_be_batched(events):
            super().store_event_batch(events)
            return
        rows = [self._event_to_row(event) for event in events]
        with self.index_transaction() as connection:
            insert_into_index(self, connection, events, rows)
