"""The value of asset `enriched_shard`: one shard or thousands, computed as they are consumed.

What belongs here: the value that passes from the asset to its IO manager, and its Dagster
type. What does not: computing (`processing.py`) and storing (`resources/`). Dagster
documentation: "Dagster types", "I/O managers".

A run over a range of partitions has one output. A mapping of all its frames would fill the
memory, so the value is an iterable of shards whose frames are made when they are asked for.
"""

from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import AbstractContextManager, nullcontext
from typing import Any

import dagster as dg
import pandas as pd

from rwt_assets.frames import check_frame, to_frame
from rwt_assets.processing import ShardRun

Describe = Callable[[str, Mapping[str, Any]], None]


class EnrichedShard:
    """One shard; `frames` may be consumed once, by one thread."""

    def __init__(self, run: ShardRun, frame_type: dg.DagsterType) -> None:
        self.partition_key = run.shard.partition_key
        self.revision = run.manifest.revision
        self.checksum = run.shard.checksum
        self._run = run
        self._frame_type = frame_type

    def frames(self) -> Iterator[pd.DataFrame]:
        """The shard's frames in order, each checked against the feed's DataFrame type.

        Raises:
            DagsterTypeCheckDidNotPass: a frame breaks a constraint of its type.
        """
        for table in self._run.tables():
            frame = to_frame(table)
            check_frame(self._frame_type, frame)
            yield frame

    @property
    def rows_quarantined(self) -> int:
        """Rows that broke the contract; right after `frames` was consumed."""
        return self._run.rows_quarantined

    @property
    def rows_by_rule(self) -> dict[str, int]:
        """The same rows by the rule that they broke."""
        return self._run.rows_by_rule


class EnrichedShards:
    """The shards of one run, in the order of its partitions."""

    def __init__(
        self,
        shards: Sequence[EnrichedShard],
        describe: Describe,
        failures_explained: Callable[[], AbstractContextManager[None]] = nullcontext,
    ) -> None:
        self._shards = shards
        self._describe = describe
        self.failures_explained = failures_explained

    def __iter__(self) -> Iterator[EnrichedShard]:
        return iter(self._shards)

    def __len__(self) -> int:
        return len(self._shards)

    def describe(self, partition_key: str, metadata: Mapping[str, Any]) -> None:
        """Attach metadata to the materialization of one partition."""
        self._describe(partition_key, metadata)


def shards_type(name: str, frame_types: Mapping[str, dg.DagsterType]) -> dg.DagsterType:
    """The type of the asset's value: shards whose frames are of these types, by member pattern."""
    listed = "\n\n".join(
        f"**{pattern}**: {kind.description or kind.display_name}"
        for pattern, kind in frame_types.items()
    )
    return dg.DagsterType(
        name=name,
        type_check_fn=lambda _, value: isinstance(value, EnrichedShards),
        typing_type=EnrichedShards,
        description=f"Enriched shards; each frame is checked as it is written.\n\n{listed}",
    )
