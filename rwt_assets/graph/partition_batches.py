"""Many dynamic partitions added to the catalog or taken out of it in few transactions.

What belongs here: adding and removing keys. What does not: which ones (`catalog.py`). Dagster
documentation: "Partitioning assets" (dynamic partitions), `DagsterInstance`, whose
`delete_dynamic_partition` takes one key at a time, each with a transaction of its own and, on
PostgreSQL, a connection: 15 ms a key, two and a half minutes for an archive of 10,000 shards.

Removing is one statement for some hundred keys, the same as that method's, on the same table. The
imports are private because no method takes several keys. Another storage than Dagster's in SQL
is asked one by one.

Dagster adds the keys that it did not find, in one transaction. Of two processes that add the same
key at the same time, as the queue sensor and `rwt sweep` do, one violates the table's uniqueness
and adds nothing. That was seen; it adds again and finds the key in place.
"""

from collections.abc import Iterable, Sequence
from itertools import islice

import dagster as dg
from sqlalchemy.exc import IntegrityError

from rwt_assets.dagster_internals.storage import DynamicPartitionsTable, SqlEventLogStorage

BATCH = 500
ADDED_TOGETHER = 5_000
ADDING_TRIES = 5


def add_partitions(instance: dg.DagsterInstance, name: str, keys: Iterable[str]) -> None:
    """Add keys to a set of dynamic partitions; one that is there already is no error.

    All are durable when this returns. If it fails, some may be in; repeating it does no harm.
    """
    remaining = iter(keys)
    while batch := list(islice(remaining, ADDED_TOGETHER)):
        for left in reversed(range(ADDING_TRIES)):
            try:
                instance.add_dynamic_partitions(name, batch)
                break
            except IntegrityError:
                if not left:
                    raise


def remove_partitions(instance: dg.DagsterInstance, name: str, keys: Iterable[str]) -> None:
    """Take keys out of a set of dynamic partitions; one that is not there is no error.

    If it fails, some may be out; repeating it does no harm.
    """
    remaining = iter(keys)
    while batch := list(islice(remaining, BATCH)):
        _remove_batch(instance, name, batch)


def _remove_batch(instance: dg.DagsterInstance, name: str, keys: Sequence[str]) -> None:
    storage = instance.event_log_storage
    if not isinstance(storage, SqlEventLogStorage):
        for key in keys:
            instance.delete_dynamic_partition(name, key)
        return
    columns = DynamicPartitionsTable.c
    statement = DynamicPartitionsTable.delete().where(
        columns.partitions_def_name == name, columns.partition.in_(keys)
    )
    with storage.index_connection() as connection:
        connection.execute(statement)
