"""Events that came together, in the tables of an event log.

What belongs here: what the stack's event logs (`event_storage.py`, `postgresql_events.py`) do
with a batch inside a transaction. What does not: connections and transactions. Dagster
documentation: "Environment variables" (`DAGSTER_EVENT_BATCH_SIZE`).

Which columns and rows an event has is Dagster's: its methods for that have no public names.
"""

from collections.abc import Sequence
from typing import Any, Final

import dagster as dg
import sqlalchemy as sa

from rwt_assets.dagster_internals.storage import SqlEventLogStorage, SqlEventLogStorageTable

EVENTS: Final[sa.Table] = SqlEventLogStorageTable
BATCHED: Final = {
    dg.DagsterEventType.ASSET_MATERIALIZATION,
    dg.DagsterEventType.ASSET_OBSERVATION,
    dg.DagsterEventType.ASSET_MATERIALIZATION_PLANNED,
}


def can_be_batched(events: Sequence[dg.EventLogEntry]) -> bool:
    """Whether all of these are of assets and nothing else follows from one of them."""
    return all(event.is_dagster_event and event.dagster_event_type in BATCHED for event in events)


def insert_into_index(
    storage: SqlEventLogStorage,
    connection: sa.Connection,
    events: Sequence[dg.EventLogEntry],
    rows: Sequence[dict[str, Any]],
) -> None:
    """Insert events, their tags and what the assets' own rows show, in the order of the events.

    Args:
        storage: whose tables these are.
        connection: in a transaction.
        events: which.
        rows: the same as rows of the table of events.
    """
    insert = EVENTS.insert().returning(EVENTS.c.id, sort_by_parameter_order=True)
    ids = list(connection.execute(insert, rows).scalars())
    storage._store_asset_event_tags(connection, events, ids)  # noqa: SLF001
    # An asset's own row shows its newest event of each kind and no other.
    newest = {
        (row["asset_key"], row["dagster_event_type"]): (event, number)
        for row, event, number in zip(rows, events, ids, strict=True)
    }
    for event, number in newest.values():
        storage._store_asset_event(connection, event, number)  # noqa: SLF001
