"""The Dagster component that turns the declaration of a feed into its definitions.

What belongs here: `ZipFeed`, and the assembly of one feed. What does not: the declaration's
rules (`feed.py`) and the assembly of the project (`definitions.py`). Dagster documentation:
"Creating and registering a component", "Adding component definitions".
"""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any, Self

import dagster as dg
from dagster_aws.s3 import S3Resource
from pydantic import BaseModel, ValidationError

from rwt_assets.catalog import CatalogMemory
from rwt_assets.feed import Feed, has_template, line_of, may_be_one_queue
from rwt_assets.graph import FeedGraph
from rwt_assets.orchestration.assets import (
    archive_manifest_asset,
    csv_shard_spec,
    delivery_asset,
    enriched_shard_asset,
    zip_archive_spec,
)
from rwt_assets.orchestration.checks import (
    feed_is_fresh_check,
    intact_check,
    intact_job,
    intact_schedule,
    nothing_forgotten_check,
)
from rwt_assets.orchestration.schedules import (
    collection_job,
    collection_schedule,
    retirement_job,
    retirement_schedule,
)
from rwt_assets.orchestration.sensors import (
    dispatch_sensor,
    queue_sensor,
    queue_sensor_name,
    step_jobs,
    sweep_sensor,
)
from rwt_assets.orchestration.steps import (
    IO_MANAGER,
    IO_MANAGER_KEY,
    EnrichedShardIOManager,
)
from rwt_assets.resources import (
    EnvironmentSecretsResource,
    ObjectStoreResource,
    QueueResource,
    S3ObjectStoreResource,
    SecretsResource,
    SqsQueueResource,
)
from rwt_assets.runtime import FeedError, configure_process, current_project
from rwt_assets.scaffolding import ZipFeedScaffolder

AUTOMATION_INTERVAL_SECONDS = 30
# Nobody asks again for a run of automation: Dagster repeats it once, unless it is in vain.
AUTOMATION_TAGS = {"dagster/max_retries": "1"}
DECLARATIONS = ("defs.yaml", "component.yaml")
# Feeds share these: definitions can only be merged where equal keys are the same object.
S3_OBJECT_STORE = S3ObjectStoreResource(s3=S3Resource(max_attempts=5))
S3_ENRICHED_SHARDS = IO_MANAGER(object_store=S3_OBJECT_STORE)
SQS_QUEUE = SqsQueueResource()
ENVIRONMENT_SECRETS = EnvironmentSecretsResource()


@dg.scaffold_with(ZipFeedScaffolder)
@dataclass(frozen=True)
class ZipFeed(dg.Component):
    """One feed: ZIP archives announced on SQS, split into shards, kept as enriched Parquet.

    The attributes in `defs.yaml` are those of `rwt_assets.feed.feed.Feed`, where each is explained.
    """

    feed: Feed

    @classmethod
    def get_model_cls(cls) -> type[BaseModel]:
        """Dagster checks `defs.yaml` against this, and names the line that breaks it."""
        return Feed

    @classmethod
    def load(cls, attributes: BaseModel | None, context: dg.ComponentLoadContext) -> Self:
        """Fill the templates in the checked attributes, then check the values they gave.

        Raises:
            FeedError: a template, usually of the environment, gave a value that cannot be.
        """
        if attributes is None:
            raise FeedError("the feed has no attributes", where=str(context.path))
        filled = _filled(
            attributes.model_dump(mode="json", exclude_unset=True), context.resolution_context
        )
        try:
            return cls(Feed.model_validate(filled))
        except ValidationError as error:
            raise FeedError(
                f"a value filled into the feed's declaration is wrong: {error}",
                where=_place(context, str(filled.get("name", "")), error.errors()[0]["loc"]),
                effect="No definitions of this feed were made.",
                fix="Check the environment variables that the declaration names.",
            ) from error

    def build_defs(self, context: dg.ComponentLoadContext) -> dg.Definitions:
        """The assets, checks, sensors and IO manager of this feed.

        Raises:
            FeedError: another feed of the project reads or writes the same objects, or reads
                what this one writes.
        """
        declared = context.component_tree.get_all_components(of_type=ZipFeed)
        others = [one.feed for one in declared if one.feed.name != self.feed.name]
        _refuse_overlap(self.feed, others, context)
        _refuse_one_name(self.feed, others, context)
        _refuse_two_ways(self.feed, others, context)
        return build_feed_definitions(self.feed, others=others)


def declared_feeds() -> tuple[Feed, ...]:
    """The feeds of the current project, for commands that work beside Dagster.

    Raises:
        FeedError: there is no project here.
    """
    tree = dg.ComponentTree.for_project(current_project().folder)
    return tuple(component.feed for component in tree.get_all_components(of_type=ZipFeed))


def _filled(value: Any, context: dg.ResolutionContext) -> Any:
    """Attributes with their templates filled; a text without one stays the text that it is."""
    if isinstance(value, dict):
        return {key: _filled(one, context.at_path(key)) for key, one in value.items()}
    if isinstance(value, list):
        return [_filled(one, context.at_path(place)) for place, one in enumerate(value)]
    if isinstance(value, str) and not has_template(value):
        return value
    return context.resolve_value(value)


def _refuse_overlap(feed: Feed, others: Sequence[Feed], context: dg.ComponentLoadContext) -> None:
    """Raise if another feed reads what this one reads, or reads or writes where it writes."""
    target, source = feed.target, feed.source
    for other in others:
        both = f"the feeds {feed.name} and {other.name}"
        if feed.shares_archives_with(other):
            what = f"{both} read the same objects"
            setting, prefixes = "source", (source.prefix, other.source.prefix)
        elif target.overlaps(other.target):
            what = f"{both} write the same objects"
            setting, prefixes = "target", (target.prefix, other.target.prefix)
        elif target.lies_in(other.source):
            what = f"the feed {feed.name} writes what the feed {other.name} reads as archives"
            setting, prefixes = "target", (target.prefix, other.source.prefix)
        elif target.holds(other.source):
            what = f"the feed {other.name} reads archives from where the feed {feed.name} writes"
            setting, prefixes = "target", (target.prefix, other.source.prefix)
        else:
            continue
        bucket = source.bucket if setting == "source" else target.bucket
        raise FeedError(
            f"{what}: prefix {prefixes[0]!r} and prefix {prefixes[1]!r} of bucket {bucket}",
            where=_place(context, feed.name, (setting, "prefix")),
            effect="No definitions of this feed were made.",
            fix="Give each a prefix that does not begin with the other's.",
        )


def _refuse_one_name(feed: Feed, others: Sequence[Feed], context: dg.ComponentLoadContext) -> None:
    """Raise if the sensor of this feed's queue would be named as that of another queue.

    Feeds on one queue share a sensor that is named after all of them, so the feeds `a` and `b` have
    the sensor that a feed `a_and_b` would have.
    """
    queues: dict[str, list[str]] = {}
    for one in sorted([feed, *others], key=lambda one: one.name):
        queues.setdefault(one.source.queue, []).append(one.name)
    own = queues.pop(feed.source.queue)
    for queue, names in queues.items():
        if queue_sensor_name(names) == queue_sensor_name(own):
            raise FeedError(
                f"two queues would have one sensor, {queue_sensor_name(own)}: {feed.source.queue} "
                f"(of {', '.join(own)}) and {queue} (of {', '.join(names)})",
                where=_place(context, feed.name, ("name",)),
                effect="No definitions of this feed were made.",
                fix="Give one of these feeds another name.",
            )


def _refuse_two_ways(feed: Feed, others: Sequence[Feed], context: dg.ComponentLoadContext) -> None:
    """Raise if two feeds may name one queue differently: each would take the other's messages."""
    for other in others:
        one, two = feed.source.queue, other.source.queue
        if one != two and may_be_one_queue(one, two):
            raise FeedError(
                f"the feeds {feed.name} and {other.name} may mean one queue by {one} and {two}",
                where=_place(context, feed.name, ("source", "queue")),
                effect="No definitions of this feed were made.",
                fix="Name it in the same way; or name each by its ARN, if they are two.",
            )


def _place(context: dg.ComponentLoadContext, feed: str, setting: Sequence[str | int]) -> str:
    """The file that declares a feed and the line of a setting in it, as far as they are known."""
    files = [context.path, *(context.path / name for name in DECLARATIONS)]
    file = next((one for one in files if one.is_file() and one.suffix == ".yaml"), None)
    if file is None:
        return str(context.path)
    line = line_of(file.read_text(encoding="utf-8"), feed, setting)
    return f"{file}:{line}" if line else str(file)


def build_feed_definitions(  # noqa: PLR0913 - one argument for each resource
    feed: Feed,
    *,
    others: Sequence[Feed] = (),
    object_store: ObjectStoreResource | None = None,
    queue_client: QueueResource | None = None,
    io_manager: EnrichedShardIOManager | None = None,
    secrets: SecretsResource | None = None,
) -> dg.Definitions:
    """All definitions of one feed; tests put other resources in the place of S3 and SQS.

    Args:
        feed: the declaration.
        others: the other feeds of the project. Those on the same queue have one sensor for it
            together, which the first of them by name brings.
        object_store: where archives and results lie.
        queue_client: where messages come from.
        io_manager: where enriched shards are kept. Feeds with an own `object_store` whose
            definitions are merged share an own one of these, too.
        secrets: where the password of encrypted archives is read.

    Returns:
        Definitions with their resources bound, so that feeds can differ in them.
    """
    configure_process()
    own = None if object_store is None else IO_MANAGER(object_store=object_store)
    resources = {
        "object_store": object_store or S3_OBJECT_STORE,
        "queue_client": queue_client or SQS_QUEUE,
        "secrets": secrets or ENVIRONMENT_SECRETS,
        IO_MANAGER_KEY: io_manager or own or S3_ENRICHED_SHARDS,
    }
    jobs, memory = step_jobs(feed), CatalogMemory()
    retirement = [] if feed.retire is None else [retirement_job(feed, feed.retire)]
    collection, verification = collection_job(feed), intact_job(feed)
    on_queue = [one for one in others if one.source.queue == feed.source.queue]
    on_queue = sorted([feed, *on_queue], key=lambda one: one.name)
    return dg.Definitions(
        assets=[
            zip_archive_spec(feed),
            archive_manifest_asset(feed),
            csv_shard_spec(feed),
            enriched_shard_asset(feed),
            delivery_asset(feed),
        ],
        asset_checks=[
            nothing_forgotten_check(feed),
            intact_check(feed),
            *([feed_is_fresh_check(feed)] if feed.expected_every_hours is not None else []),
        ],
        jobs=[*jobs, *retirement, collection, verification],
        schedules=[
            *(retirement_schedule(feed, job) for job in retirement),
            collection_schedule(feed, collection),
            intact_schedule(feed, verification),
        ],
        sensors=[
            *([queue_sensor(on_queue, memory)] if on_queue[0] is feed else []),
            dispatch_sensor(feed, jobs, memory),
            sweep_sensor(feed, memory),
            *automation_sensors(feed),
        ],
        resources=resources,
    )


def automation_sensors(feed: Feed) -> list[dg.AutomationConditionSensorDefinition]:
    """One for each partition set, so that a fault in one never takes the other's work with it."""
    graph = FeedGraph(feed.name)
    targets = {
        "archive_automation": dg.AssetSelection.assets(graph.archive_manifest, graph.delivery),
        "shard_automation": dg.AssetSelection.assets(graph.enriched_shard),
    }
    return [
        dg.AutomationConditionSensorDefinition(
            name=f"{feed.name}_{name}",
            target=target,
            default_status=dg.DefaultSensorStatus.RUNNING,
            minimum_interval_seconds=AUTOMATION_INTERVAL_SECONDS,
            run_tags=AUTOMATION_TAGS,
        )
        for name, target in targets.items()
    ]
