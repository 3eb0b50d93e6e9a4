"""The event log of the stack on this machine: Dagster's SQLite storage with its connections kept.

What belongs here: how connections are opened, and batches of events in one transaction. What
does not: what is stored, which is all Dagster's. Dagster documentation: "dagster.yaml reference"
(`event_log_storage`), "Environment variables" (`DAGSTER_EVENT_BATCH_SIZE`). SQLite documentation:
"Write-Ahead Logging" and "PRAGMA synchronous".

Dagster's own storage opens its databases again for each event and waits for the disk at each
commit; with some thousand shards that is most of what an archive takes. Here a connection is
kept for the index and for the runs used last, and commits wait for the disk at checkpoints
only. No process that dies loses an event by that; a computer that loses power may lose the
last ones, and the sweep and dispatch then find the archives that they were about.

Dagster hands over the events of one output, and those planned for one run, as batches; its own
SQLite storage stores them one by one. Here a batch is one transaction in the run's database and
one in the index, so it is seen whole or not at all. The index, from which everything is decided,
is committed first: if the process dies between the two, the run's own log is all that lacks them.

The base class has no public name, as little as in `dagster.yaml`, where its own documentation
names this module. Files and tables are the same, so either storage reads what the other wrote.
"""

import os
import threading
from collections import OrderedDict
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from itertools import groupby
from typing import Any, Final

import dagster as dg
import sqlalchemy as sa
from sqlalchemy.pool import StaticPool

from rwt_assets.dagster_internals.storage import ConfigurableClassData, SqliteEventLogStorage
from rwt_assets.embedded.event_batches import EVENTS, can_be_batched, insert_into_index

EVENTS_FOLDER: Final = "history/runs"  # where Dagster keeps them if nothing else is said
KEPT: Final = 8
BUSY_TIMEOUT_SECONDS: Final = 60


class PooledSqliteEventLogStorage(SqliteEventLogStorage):
    """Dagster's SQLite event log with a bounded number of connections kept open."""

    def __init__(self, base_dir: str, inst_data: ConfigurableClassData | None = None) -> None:
        self._engines: OrderedDict[str, sa.Engine] = OrderedDict()
        self._process = os.getpid()
        self._tables: set[str] = set()
        self._own_lock = threading.RLock()  # a batch has two databases open
        super().__init__(base_dir, inst_data)

    @classmethod
    def from_config_value(
        cls, inst_data: ConfigurableClassData | None, config_value: Mapping[str, Any]
    ) -> "PooledSqliteEventLogStorage":
        """Made by Dagster from `dagster.yaml`."""
        return cls(config_value["base_dir"], inst_data)

    @contextmanager
    def _connect(self, shard: str) -> Iterator[sa.Connection]:
        with self._own_lock:
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

    def store_event_batch(self, events: Sequence[dg.EventLogEntry]) -> None:
        """Store events that came together: all of them, or none if this raises."""
        if not can_be_batched(events):
            super().store_event_batch(events)
            return
        for run_id, of_run in groupby(events, key=lambda one: one.run_id):
            together = list(of_run)
            rows = [self._event_to_row(event) for event in together]
            with self.run_connection(run_id) as run:
                run.execute(EVENTS.insert(), rows)
                with self.index_connection() as index:
                    insert_into_index(self, index, together, rows)

    def has_table(self, table_name: str) -> bool:
        """Whether there is a table. None is ever removed, so it is asked for once."""
        if table_name not in self._tables and super().has_table(table_name):
            self._tables.add(table_name)
        return table_name in self._tables

    def wipe(self) -> None:
        """Remove everything; the files must not be open then."""
        with self._own_lock:
            self._close()
        super().wipe()

    def dispose(self) -> None:
        """Close what is kept open."""
        self._close()
        super().dispose()

    def _close(self) -> None:
        while self._engines:
            self._engines.popitem()[1].dispose()


def _relax(connection: Any, _record: object) -> None:
    connection.execute("PRAGMA synchronous=NORMAL")
