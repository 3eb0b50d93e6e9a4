"""What one version of the package and of Dagster makes of a deployment, in a process of its own.

    python one_version.py process [--one-step] | look | automation FILE

What belongs here: what every version of the package can do, earlier ones too; so it imports
nothing else of the tests. What does not: which version does what (`upgrade.py`). The deployment
is that of the environment: `DAGSTER_HOME` and the endpoint of S3 and SQS. It prints one JSON
object. Dagster documentation: "Asset versioning and caching" (the tag `dagster/code_version`).
"""

import argparse
import json
import warnings
from collections import Counter
from datetime import UTC, datetime, timedelta
from importlib import import_module
from pathlib import Path
from typing import Any

import dagster as dg
from dagster._serdes import deserialize_value, serialize_value

from rwt_assets.catalog import FeedCatalog
from rwt_assets.definitions import declared_feeds, defs
from rwt_assets.resources.object_store import connect_objects


def moved(name: str, here: str, before: str) -> Any:
    """What stands in a room of this version, and in a module beside the others in earlier ones."""
    try:
        return getattr(import_module(before), name)
    except ModuleNotFoundError:
        return getattr(import_module(here), name)


ArchiveMissingError = moved("ArchiveMissingError", "rwt_assets.runtime", "rwt_assets.errors")
plan = moved("plan", "rwt_assets.orchestration.sensors.dispatch", "rwt_assets.sensors.dispatch")
read_delivery = moved("read_delivery", "rwt_assets.delivery", "rwt_assets.consumption")
read_manifest = moved("read_manifest", "rwt_assets.shard", "rwt_assets.processing")
sweep = moved("sweep", "rwt_assets.catalog", "rwt_assets.intake")
take_standing = moved("take_standing", "rwt_assets.catalog", "rwt_assets.standing")

ROUNDS = 20
TICKS = 4


def process(catalog: FeedCatalog, *, one_step: bool) -> None:
    """Take in what lies in the bucket, and carry out what dispatch asks for."""
    sweep(catalog, connect_objects())
    definitions = defs()
    for _ in range(1 if one_step else ROUNDS):
        for request in plan(catalog):
            definitions.resolve_job_def(str(request.job_name)).execute_in_process(
                instance=catalog.instance,
                partition_key=request.partition_key,
                tags=dict(request.tags),
                raise_on_error=False,
            )


def look(catalog: FeedCatalog) -> dict[str, Any]:
    """Everything that must survive, and what is asked for next."""
    graph, instance = catalog.graph, catalog.instance
    names = ("zip_archive", "archive_manifest", "csv_shard", "enriched_shard", "delivery")
    kind = dg.DagsterEventType.ASSET_MATERIALIZATION
    events = {
        name: dict(instance.get_latest_storage_id_by_partition(getattr(graph, name), kind))
        for name in names
    }
    standing = take_standing(catalog)
    specs = [one for one in defs().resolve_all_asset_specs() if one.key.path[0] == graph.feed]
    versions = {spec.key.path[-1]: spec.code_version for spec in specs}
    return {
        "dagster": dg.__version__,
        "archives": list(catalog.archives()),
        "shards": list(catalog.shards()),
        "events": events,
        "code_version": {name: versions[name] for name in names},
        "made_by": {name: _made_by(instance, getattr(graph, name)) for name in names},
        "documents_refused": _refused(catalog),
        "runs": [run.status.value for run in instance.get_runs()],
        "standing": {name: len(getattr(standing, name)) for name in ("done", "waiting", "failed")}
        | {"forgotten": len(standing.forgotten)},
        "reasons": sorted({entry.reason for entry in standing.failed}),
        "asked": sorted({(str(one.job_name), one.tags["rwt/archive"]) for one in plan(catalog)}),
    }


def _refused(catalog: FeedCatalog) -> list[str]:
    """The archives whose manifest or delivery this version cannot read."""
    store, refused = connect_objects(), []
    for archive in catalog.archives():
        try:
            read_manifest(store, catalog.feed.target, archive)
            read_delivery(store, catalog.feed.target, archive)
        except ArchiveMissingError:
            continue
        except ValueError:
            refused.append(archive)
    return refused


def _made_by(instance: dg.DagsterInstance, key: dg.AssetKey) -> dict[str, int]:
    """How many partitions of an asset each code version made last."""
    found: dict[str, str] = {}
    for record in instance.fetch_materializations(key, limit=10_000).records:
        event = record.asset_materialization
        if event is not None and event.partition is not None:
            tags = event.tags or {}
            found.setdefault(event.partition, tags.get("dagster/code_version", ""))
    return dict(Counter(found.values()))


def automation(catalog: FeedCatalog, file: Path) -> dict[str, list[int]]:
    """How many partitions declarative automation asks for in some ticks; its cursor is kept."""
    cursor = deserialize_value(file.read_text()) if file.exists() else None
    asked: dict[str, list[int]] = {}
    for tick in range(TICKS):
        result = dg.evaluate_automation_conditions(
            defs=defs(),
            instance=catalog.instance,
            cursor=cursor,
            evaluation_time=datetime.now(UTC) + timedelta(seconds=30 * tick),
        )
        cursor = result.cursor
        for name in ("archive_manifest", "enriched_shard", "delivery"):
            count = result.get_num_requested(getattr(catalog.graph, name))
            asked.setdefault(name, []).append(count)
    file.write_text(serialize_value(cursor))
    return asked


def main() -> None:
    warnings.simplefilter("ignore")
    parser = argparse.ArgumentParser()
    parser.add_argument("what", choices=["process", "look", "automation"])
    parser.add_argument("file", nargs="?", type=Path)
    parser.add_argument("--one-step", action="store_true")
    arguments = parser.parse_args()
    feed = next(feed for feed in declared_feeds() if feed.name == "gtfs")
    with dg.DagsterInstance.get() as instance:
        catalog = FeedCatalog(instance, feed)
        answer: Any
        if arguments.what == "automation":
            answer = automation(catalog, arguments.file)
        else:
            if arguments.what == "process":
                process(catalog, one_step=arguments.one_step)
            answer = look(catalog)
    print(json.dumps(answer))


if __name__ == "__main__":
    main()
