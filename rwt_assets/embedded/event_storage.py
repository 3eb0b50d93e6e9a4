"""The event log of the stack on this machine: Dagster's SQLite storage with its connections kept.

What belongs here: how connections are opened. What does not: what is stored, which is all
Dagster's. Dagster documentation: "dagster.yaml reference" (`event_log_storage`). SQLite
documentation: "Write-Ahead Logging" and "PRAGMA synchronous".

Dagster's own storage opens its databases anew for each event and waits for the disk at each
commit; with some thousand shards that is most of what an archive takes. Here a connection is
kept for the index and for the runs used last, and commits wait for the disk at checkpoints
only. No process that dies loses an event by that; a computer that loses power may lose the
last ones, and the sweep and dispatch then find the archives that they were about.

The base class has no public name, as little as in `dagster.yaml`, where its own documentation
names this module. Files and tables are the same, so either storage reads what the other wrote.
"""

import os
from collections import OrderedDict
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from typing import Any, Final

import sqlalchemy as sa
from dagster._core.events import ASSET_EVENTS
from dagster._core.events.log import EventLogEntry
from dagster._core.storage.event_log import SqlEventLogStorageTable, SqliteEventLogStorage
from dagster._serdes import ConfigurableClassData
from sqlalchemy.pool import StaticPool

EVENTS_FOLDER: Final = "history/runs"  # where Dagster keeps them if nothing else is said
KEPT: Final = 8
BUSY_TIMEOUT_SECONDS: Final = 60


class PooledSqliteEventLogStorage(SqliteEventLogStorage):
    """Dagster's SQLite event log with a bounded number of connections kept open."""

    def __init__(self, base_dir: str, inst_data: ConfigurableClassData | None = None) -> None:
        self._engines: OrderedDict[str, sa.Engine] = OrderedDict()
        self._process = os.getpid()
        super().__init__(base_dir, inst_data)

    @classmethod
    def from_config_value(
        cls, inst_data: ConfigurableClassData | None, config_value: Mapping[str, Any]
    ) -> "PooledSqliteEventLogStorage":
        """Made by Dagster from `dagster.yaml`."""
        return cls(config_value["base_dir"], inst_data)

    @contextmanager
    def _connect(self, shard: str) -> Iterator[sa.Connection]:
        with self._db_lock:
            engine = self._engine(shard)
            with engine.connect() as connection, connection.begin():
                yield connection

    def _engine(self, shard: str) -> sa.Engine:
        if self._process != os.getpid():
            # A connection must not be used in a process that was forked since (SQLite
            # documentation: "How To Corrupt An SQLite Database File", 2.6).
            for engine in self._engines.values():
                engine.dispose(close=False)
            self._engines.clear()
            self._process = os.getpid()
        if shard not in self._engines:
            while len(self._engines) >= KEPT:
                self._engines.popitem(last=False)[1].dispose()
            self._engines[shard] = self._opened(shard)
        self._engines.move_to_end(shard)
        return self._engines[shard]

    def _opened(self, shard: str) -> sa.Engine:
        engine = sa.create_engine(
            self.conn_string_for_shard(shard),
            # One connection, which the lock hands from thread to thread.
            poolclass=StaticPool,
            connect_args={"timeout": BUSY_TIMEOUT_SECONDS, "check_same_thread": False},
        )
        sa.event.listen(engine, "connect", _relax)
        if shard not in self._initialized_dbs:
            self._initdb(engine)
            self._initialized_dbs.add(shard)
        return engine

    def store_event_batch(self, events: Sequence[EventLogEntry]) -> None:
        """Store events of assets in one transaction for each database: all of them or none.

        The base class stores them one by one, with a transaction or two for each. What an event
        comes to in the tables is as there; of the row that an asset has for its newest event,
        only the last state is written.
        """
        if not all(_is_asset_event(event) for event in events):
            super().store_event_batch(events)
            return
        rows = [self._event_to_row(event) for event in events]
        by_run: dict[str, list[dict[str, Any]]] = {}
        for event, row in zip(events, rows, strict=True):
            by_run.setdefault(event.run_id, []).append(row)
        for run_id, own in by_run.items():
            with self.run_connection(run_id) as connection:
                connection.execute(SqlEventLogStorageTable.insert(), own)
        newest = {
            (row["asset_key"], row["dagster_event_type"]): place for place, row in enumerate(rows)
        }
        with self.index_transaction() as connection:
            connection.execute(SqlEventLogStorageTable.insert(), rows)
            # The transaction has the only writer: what it inserted has the last ids, in order.
            last = connection.execute(sa.select(sa.func.max(SqlEventLogStorageTable.c.id))).scalar()
            ids = range(int(last or 0) - len(rows) + 1, int(last or 0) + 1)
            self._store_asset_event_tags(connection, events, ids)
            for place in sorted(newest.values()):
                self._store_asset_event(connection, events[place], ids[place])

    def wipe(self) -> None:
        """Remove everything; the files must not be open then."""
        with self._db_lock:
            self._close()
        super().wipe()

    def dispose(self) -> None:
        """Close what is kept open."""
        self._close()
        super().dispose()

    def _close(self) -> None:
        while self._engines:
            self._engines.popitem()[1].dispose()


def _is_asset_event(event: EventLogEntry) -> bool:
    return (
        event.dagster_event is not None
        and event.dagster_event.asset_key is not None
        and event.dagster_event_type in ASSET_EVENTS
    )


def _relax(connection: Any, _record: object) -> None:
    connection.execute("PRAGMA synchronous=NORMAL")
