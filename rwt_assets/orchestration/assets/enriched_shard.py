"""Asset `enriched_shard`: from CSV shards to enriched Parquet, many partitions a run."""

from collections.abc import Iterable, Iterator, Mapping
from contextlib import contextmanager
from functools import partial
from typing import Any

import dagster as dg

from rwt_assets.catalog import FeedCatalog
from rwt_assets.documents import ShardKey, enrichment_version
from rwt_assets.feed import Feed, accesses
from rwt_assets.graph import FeedGraph, range_in_work
from rwt_assets.orchestration.assets.one_pass import batch_check
from rwt_assets.orchestration.steps import (
    IO_MANAGER_KEY,
    EnrichedShard,
    EnrichedShards,
    ShardPlace,
    enriched_schema,
    explained,
    fenced,
    fit_errors,
    member_frame_type,
    reported_again_or_code_changed,
    shards_type,
)
from rwt_assets.resources import ObjectStoreResource, SecretsResource
from rwt_assets.runtime import ATTEMPT_TAG, PARENT_RUN_TAG, configure_process
from rwt_assets.shard import remade_runs, shard_runs


def enriched_shard_asset(feed: Feed) -> dg.AssetsDefinition:
    """Holds shards to the feed's contract, enriches them and keeps them by the IO manager."""
    graph = FeedGraph(feed.name)
    frame_types = {
        rule.patterns: member_frame_type(f"{_title(feed.name)}Rows{number}", rule)
        for number, rule in enumerate(feed.members, 1)
    }

    @dg.asset(
        key=graph.enriched_shard,
        deps=[graph.csv_shard],
        partitions_def=graph.csv_shards,
        backfill_policy=dg.BackfillPolicy.single_run(),
        dagster_type=shards_type(f"{_title(feed.name)}EnrichedShards", frame_types),
        io_manager_key=IO_MANAGER_KEY,
        group_name=feed.name,
        owners=[*feed.owners],
        tags=feed.tags,
        pool=feed.pool,
        kinds={"s3", "parquet"},
        metadata={
            "dagster/column_schema": enriched_schema(feed),
            **ShardPlace.of_feed(feed).metadata(),
        },
        code_version=enrichment_version(feed),
        automation_condition=reported_again_or_code_changed(),
        description=(
            "A shard's rows with their types, the CRC-32 of the key column and where each row "
            "came from, as Parquet. Rows that break the contract are quarantined with the reason."
        ),
    )
    @fit_errors()
    def enriched_shard(
        context: dg.AssetExecutionContext,
        object_store: ObjectStoreResource,
        secrets: SecretsResource,
    ) -> EnrichedShards:
        keys, store = context.partition_keys, object_store.objects_at(accesses(feed))
        catalog = FeedCatalog(context.instance, feed)
        configure_process()

        def describe(partition_key: str, metadata: Mapping[str, Any]) -> None:
            with range_in_work(keys):
                context.add_asset_metadata(metadata, partition_key=partition_key)

        @contextmanager
        def guarded() -> Iterator[None]:
            archives = dict.fromkeys(ShardKey.parse(key).archive for key in keys)
            with explained(context, catalog), fenced(catalog, store, archives):
                yield

        enriched = partial(
            EnrichedShard,
            version=enrichment_version(feed),
            tried_before=tried_before(context.run.tags),
        )
        shards: Iterable[EnrichedShard]
        if feed.keep_shards:
            with explained(context, catalog):
                runs = list(shard_runs(store, feed, keys))
            shards = [enriched(run, frame_types[run.rule.patterns]) for run in runs]
        else:
            password = secrets.read(feed.source.password_variable)
            remade = remade_runs(store, feed, keys, check=batch_check(feed), password=password)
            shards = (enriched(run, frame_type=None) for run in remade)
        return EnrichedShards(
            shards,
            len(keys),
            describe=describe,
            failures_explained=guarded,
        )

    return enriched_shard


def tried_before(tags: Mapping[str, str]) -> bool:
    """Whether a run is another attempt, so that a part of its range may have been kept."""
    return tags.get(ATTEMPT_TAG, "1") != "1" or PARENT_RUN_TAG in tags


def _title(name: str) -> str:
    return "".join(word.capitalize() for word in name.split("_"))
