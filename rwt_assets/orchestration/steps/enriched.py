"""The value of asset `enriched_shard`: one shard or thousands, computed as they are consumed.

What belongs here: the value that passes from the asset to its IO manager, and its Dagster
type. What does not: computing (`processing.py`) and storing (`parquet_io_manager.py`). Dagster
documentation: "Dagster types", "I/O managers".

A run over a range of partitions has one output. A mapping of all its frames would fill the
memory, so the value is an iterable of shards whose frames are made when they are asked for.
"""

from collections.abc import Callable, Iterable, Iterator, Mapping
from contextlib import AbstractContextManager, nullcontext
from typing import Any, Protocol

import dagster as dg
import pandas as pd
import pyarrow as pa

from rwt_assets.contract import EnrichmentChain
from rwt_assets.documents import Generation
from rwt_assets.feed import MemberRule
from rwt_assets.orchestration.steps.frames import check_frame, to_frame

Describe = Callable[[str, Mapping[str, Any]], None]


class ShardTables(Protocol):
    """A shard on its way: `processing.ShardRun` and `processing.OnePassRun`."""

    rule: MemberRule
    rows_quarantined: int
    rows_by_rule: dict[str, int]
    quarantine_key: str | None

    @property
    def partition_key(self) -> str: ...  # noqa: D102
    @property
    def generation(self) -> Generation: ...  # noqa: D102
    @property
    def checksum(self) -> str: ...  # noqa: D102
    def tables(self) -> Iterator[pa.Table]: ...  # noqa: D102


class EnrichedShard:
    """One shard; `tables` or `frames` may be consumed once, by one thread.

    Args:
        run: makes the tables.
        frame_type: what each is checked against before the named enrichments; None if both were
            done before.
        version: of the enrichment; what is kept says so.
        tried_before: an earlier attempt may have kept it; if so it is not made again.
    """

    def __init__(
        self,
        run: ShardTables,
        frame_type: dg.DagsterType | None,
        *,
        version: str = "",
        tried_before: bool = False,
    ) -> None:
        self.version = version
        self.tried_before = tried_before
        self.at_hand = frame_type is None  # nothing is fetched; to encode it is all there is
        self.partition_key = run.partition_key
        self.generation = run.generation
        self.rule = run.rule
        self._run = run
        self._frame_type = frame_type

    def tables(self) -> Iterator[pa.Table]:
        """The shard's tables in order, each checked against the feed's DataFrame type.

        Raises:
            DagsterTypeCheckDidNotPass: a table breaks a constraint of its type.
            EnrichmentError: an enrichment that the feed names fails.
        """
        if self._frame_type is None:
            yield from self._run.tables()
            return
        named = EnrichmentChain(self._run.rule.enrichments, where=self.partition_key)
        for table in self._run.tables():
            check_frame(self._frame_type, to_frame(table))
            yield named.apply(table)

    def frames(self) -> Iterator[pd.DataFrame]:
        """The same as DataFrames over the same memory."""
        return map(to_frame, self.tables())

    @property
    def checksum(self) -> str:
        """Of the shard's content as CSV."""
        return self._run.checksum

    @property
    def rows_quarantined(self) -> int:
        """Rows that broke the contract; right after the tables were consumed."""
        return self._run.rows_quarantined

    @property
    def rows_by_rule(self) -> dict[str, int]:
        """The same rows by the rule that they broke."""
        return self._run.rows_by_rule

    @property
    def quarantine_key(self) -> str | None:
        """The object in which they are kept, if there are any."""
        return self._run.quarantine_key


class EnrichedShards:
    """The shards of one run, made as they are consumed, which may be once.

    Args:
        shards: in any order.
        count: how many they are.
        describe: attaches metadata to the event of a partition.
        failures_explained: is entered while they are consumed.
    """

    def __init__(
        self,
        shards: Iterable[EnrichedShard],
        count: int,
        describe: Describe,
        failures_explained: Callable[[], AbstractContextManager[None]] = nullcontext,
    ) -> None:
        self._shards = shards
        self._count = count
        self._describe = describe
        self.failures_explained = failures_explained

    def __iter__(self) -> Iterator[EnrichedShard]:
        return iter(self._shards)

    def __len__(self) -> int:
        return self._count

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
