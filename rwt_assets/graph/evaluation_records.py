"""What declarative automation keeps of its evaluations, where a partition in it was removed.

What belongs here: removing such records. What does not: which partitions go (`catalog.py`).
Dagster documentation: "Declarative automation" (the evaluations of an asset are shown on its
Automation tab).

Dagster keeps the dynamic partitions that a condition was true for as ranges of keys, and looks up
both ends when the tab is opened: one end that is no partition any more, and the tab of the asset
answers HTTP 500 for as long as the record is among those it shows. The import is private because
no method removes single records.
"""

import json
from collections.abc import Collection, Iterator, Sequence
from os.path import commonprefix
from typing import Any

import dagster as dg

from rwt_assets.dagster_internals.storage import (
    AssetDaemonAssetEvaluationsTable,
    SqlScheduleStorage,
)

RANGE = "PartitionKeyRange"


def forget_evaluations(
    instance: dg.DagsterInstance, assets: Sequence[dg.AssetKey], removed: Collection[str]
) -> int:
    """Remove the evaluations of assets that name a removed partition as an end of a range.

    Args:
        instance: whose records.
        assets: of the partition set.
        removed: partition keys, usually of one archive: what they begin with is looked for.

    Returns:
        How many were removed. Nothing is done in a storage that is not one of Dagster's in SQL.
    """
    storage = instance.schedule_storage
    if not removed or not isinstance(storage, SqlScheduleStorage):
        return 0
    columns, gone = AssetDaemonAssetEvaluationsTable.c, {*removed}
    begins = json.dumps(commonprefix(sorted(gone)))[1:-1]  # noqa: RUF071 - not a path
    candidates = (
        AssetDaemonAssetEvaluationsTable.select()
        .with_only_columns(columns.id, columns.asset_evaluation_body)
        .where(
            columns.asset_key.in_([key.to_string() for key in assets]),
            columns.asset_evaluation_body.contains(begins, autoescape=True),
        )
    )
    with storage.connect() as connection:
        numbers = [
            number
            for number, body in connection.execute(candidates)
            if not gone.isdisjoint(_ends(json.loads(body)))
        ]
        if numbers:
            connection.execute(
                AssetDaemonAssetEvaluationsTable.delete().where(columns.id.in_(numbers))
            )
    return len(numbers)


def _ends(value: Any) -> Iterator[str]:
    """The first and last keys of all ranges in a serialized evaluation."""
    if isinstance(value, dict):
        if value.get("__class__") == RANGE:
            yield from (value["start"], value["end"])
        for inner in value.values():
            yield from _ends(inner)
    elif isinstance(value, list):
        for inner in value:
            yield from _ends(inner)
