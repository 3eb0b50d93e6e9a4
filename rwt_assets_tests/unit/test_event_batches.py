"""Events that came together: one transaction, in SQLite and in PostgreSQL."""

import multiprocessing
import os
from itertools import pairwise

import dagster as dg
import pytest
from dagster._core.definitions.asset_checks.asset_check_evaluation import (
    AssetCheckEvaluationPlanned,
)
from dagster._core.events import AssetMaterializationPlannedData

from rwt_assets.embedded.storage import storage_settings, write_url
from rwt_assets.graph.reporting import REPORTED_TOGETHER, report_materializations
from rwt_assets_tests.benchmarks.databases import database

pytestmark = pytest.mark.mostly_long(one_in=1)

ASSET = dg.AssetKey("a")
DEFINITION = dg.StaticPartitionsDefinition([str(number) for number in range(10)])
MATERIALIZATION = dg.DagsterEventType.ASSET_MATERIALIZATION


@pytest.fixture(scope="module", params=["sqlite", "postgresql"])
def url(request):
    with database(request.param) as found:
        yield found


@pytest.fixture
def home(tmp_path, url):
    (tmp_path / "dagster.yaml").write_text(storage_settings(url, tmp_path))
    write_url(url, tmp_path)
    with opened(tmp_path) as instance:
        instance.wipe()
    return tmp_path


@pytest.fixture
def instance(home):
    with opened(home) as one:
        yield one


@pytest.fixture(autouse=True)
def batches(monkeypatch):
    monkeypatch.setenv("DAGSTER_EVENT_BATCH_SIZE", "1000")


def opened(home):
    return dg.DagsterInstance.from_config(str(home))


def materializations(numbers, asset=ASSET, **metadata):
    return [
        dg.AssetMaterialization(
            asset,
            partition=str(number),
            metadata={"number": number, **metadata},
            tags={"dagster/data_version": f"v{number}"},
        )
        for number in numbers
    ]


def entry(kind, data, run_id=""):
    event = dg.DagsterEvent(kind.value, "job", event_specific_data=data)
    return dg.EventLogEntry(None, 20, "", run_id, 1.0, job_name="job", dagster_event=event)


def ids(instance, asset=ASSET):
    return instance.get_latest_storage_id_by_partition(asset, MATERIALIZATION)


def test_all_that_is_reported_is_there_in_its_order_with_its_metadata_and_version(instance):
    numbers = range(REPORTED_TOGETHER + 7)
    report_materializations(instance, materializations(numbers))
    found = ids(instance)
    assert sorted(found, key=found.__getitem__) == [str(number) for number in numbers]
    records = instance.fetch_materializations(
        dg.AssetRecordsFilter(ASSET, asset_partitions=["3", "1003"]), limit=5
    ).records
    assert [one.asset_materialization.metadata["number"].value for one in records] == [1003, 3]
    assert [one.asset_materialization.tags["dagster/data_version"] for one in records] == [
        "v1003",
        "v3",
    ]
    tags = instance.event_log_storage.get_latest_tags_by_partition(
        ASSET, MATERIALIZATION, ["dagster/data_version"]
    )
    assert {key: value["dagster/data_version"] for key, value in tags.items()} == {
        str(number): f"v{number}" for number in numbers
    }


def test_the_newest_of_a_batch_is_the_assets_latest_and_of_its_partition(instance):
    report_materializations(instance, materializations([1, 2, 1], round=1))
    report_materializations(instance, materializations([2, 1], round=2))
    latest = instance.get_latest_materialization_event(ASSET)
    assert latest.asset_materialization.partition == "1"
    assert latest.asset_materialization.metadata["round"].value == 2
    found = ids(instance)
    assert found["1"] > found["2"]
    assert instance.get_materialized_partitions(ASSET) == {"1", "2"}


def test_nothing_reported_is_nothing_stored(instance):
    report_materializations(instance, [])
    assert not ids(instance)


def test_a_batch_of_two_assets_is_the_latest_of_both(instance):
    other = dg.AssetKey("b")
    report_materializations(
        instance, [*materializations([1, 2]), *materializations([3], other), *materializations([4])]
    )
    for asset, partition in ((ASSET, "4"), (other, "3")):
        latest = instance.get_latest_materialization_event(asset)
        assert latest.asset_materialization.partition == partition


def test_a_run_over_a_range_has_its_events_in_its_own_log_and_in_the_index(instance):
    @dg.asset(key=ASSET, partitions_def=DEFINITION, backfill_policy=dg.BackfillPolicy.single_run())
    def many(context: dg.AssetExecutionContext) -> None:
        for key in context.partition_keys:
            context.add_asset_metadata({"of": key}, partition_key=key)

    job = dg.define_asset_job("job", [many], executor_def=dg.in_process_executor)
    definitions = dg.Definitions([many], jobs=[job])
    tags = {
        "dagster/asset_partition_range_start": "2",
        "dagster/asset_partition_range_end": "6",
    }
    result = definitions.resolve_job_def("job").execute_in_process(instance=instance, tags=tags)
    assert result.success
    kinds = [one.dagster_event_type for one in instance.all_logs(result.run_id)]
    assert kinds.count(MATERIALIZATION) == 5
    assert kinds.count(dg.DagsterEventType.ASSET_MATERIALIZATION_PLANNED) == 5
    assert sorted(ids(instance)) == ["2", "3", "4", "5", "6"]
    planned = instance.get_latest_storage_id_by_partition(
        ASSET, dg.DagsterEventType.ASSET_MATERIALIZATION_PLANNED
    )
    assert max(planned.values()) < min(ids(instance).values())
    record = instance.fetch_materializations(
        dg.AssetRecordsFilter(ASSET, asset_partitions=["4"]), limit=1
    ).records[0]
    assert record.asset_materialization.metadata["of"].value == "4"
    assert record.run_id == result.run_id
    status = instance.get_status_by_partition(ASSET, ["2", "7"], DEFINITION)
    assert status == {"2": dg.AssetPartitionStatus.MATERIALIZED, "7": None}


def test_planned_partitions_of_a_run_are_in_progress_until_they_are_materialized(instance):
    run = instance.create_run_for_job(dg.JobDefinition(graph_def=empty(), name="job"))
    planned = dg.DagsterEventType.ASSET_MATERIALIZATION_PLANNED
    batch = [
        entry(planned, AssetMaterializationPlannedData(ASSET, partition=str(one)), run.run_id)
        for one in range(3)
    ]
    instance.event_log_storage.store_event_batch(batch)
    instance.report_dagster_event(
        dg.DagsterEvent(dg.DagsterEventType.RUN_START.value, "job"), run.run_id
    )
    status = instance.get_status_by_partition(ASSET, ["0", "2", "3"], DEFINITION)
    assert status == {
        "0": dg.AssetPartitionStatus.IN_PROGRESS,
        "2": dg.AssetPartitionStatus.IN_PROGRESS,
        "3": None,
    }
    assert len(instance.all_logs(run.run_id, of_type=planned)) == 3


def empty():
    return dg.GraphDefinition("nothing")


def test_a_batch_that_fails_leaves_nothing_behind(instance, monkeypatch):
    report_materializations(instance, materializations([1]))
    storage = instance.event_log_storage

    def fails(*arguments):
        raise OSError("the disk is full")

    with monkeypatch.context() as broken:
        broken.setattr(type(storage), "_store_asset_event", fails)
        with pytest.raises(OSError, match="full"):
            report_materializations(instance, materializations([1, 2, 3]))
    assert sorted(ids(instance)) == ["1"]
    assert len(storage.get_records_for_run("").records) == 1
    report_materializations(instance, materializations([1, 2, 3]))
    assert sorted(ids(instance)) == ["1", "2", "3"]


@pytest.mark.extended
def test_a_process_killed_amid_a_batch_leaves_all_of_it_or_nothing(home):
    process = multiprocessing.get_context("spawn").Process(target=report_and_die, args=(home,))
    process.start()
    process.join()
    assert process.exitcode == 9
    with opened(home) as instance:
        assert sorted(ids(instance)) == ["before"]
        report_materializations(instance, materializations(["after"]))
        assert sorted(ids(instance)) == ["after", "before"]


def report_and_die(home):
    with opened(home) as instance:
        report_materializations(instance, materializations(["before"]))
        kind = type(instance.event_log_storage)
        kind._store_asset_event = lambda *arguments: os._exit(9)
        report_materializations(instance, materializations(range(50)))


@pytest.mark.extended
def test_batches_of_two_processes_are_whole_and_not_mixed(home):
    context = multiprocessing.get_context("spawn")
    processes = [context.Process(target=report_some, args=(home, name)) for name in "xy"]
    for process in processes:
        process.start()
    for process in processes:
        process.join()
        assert process.exitcode == 0
    with opened(home) as instance:
        found = ids(instance)
        assert len(found) == 2 * 5 * 20
        ordered = sorted(found, key=found.__getitem__)
        batches = [ordered[start : start + 20] for start in range(0, len(ordered), 20)]
        assert len(set(found.values())) == len(found)
        for name in "xy":
            own = [found[key] for key in ordered if key.startswith(name)]
            assert all(newer > older for older, newer in pairwise(own))
        if not instance.event_log_storage.is_run_sharded:
            return  # PostgreSQL gives out ids as it goes, so those of two batches may mix
        for batch in batches:
            assert len({key.split("-")[0] for key in batch}) == 1, batch


def report_some(home, name):
    with opened(home) as instance:
        for batch in range(5):
            keys = [f"{name}{batch}-{number}" for number in range(20)]
            report_materializations(instance, materializations(keys))


def test_a_batch_with_a_planned_check_is_stored_with_what_follows_from_it(instance):
    run = instance.create_run_for_job(dg.JobDefinition(graph_def=empty(), name="job"))
    check = dg.DagsterEventType.ASSET_CHECK_EVALUATION_PLANNED
    planned = dg.DagsterEventType.ASSET_MATERIALIZATION_PLANNED
    batch = [
        entry(planned, AssetMaterializationPlannedData(ASSET, partition="1"), run.run_id),
        entry(check, AssetCheckEvaluationPlanned(asset_key=ASSET, check_name="fine"), run.run_id),
    ]
    instance.event_log_storage.store_event_batch(batch)
    assert len(instance.all_logs(run.run_id, of_type={planned, check})) == 2
    executions = instance.event_log_storage.get_asset_check_execution_history(
        dg.AssetCheckKey(ASSET, "fine"), limit=5
    )
    assert [one.run_id for one in executions] == [run.run_id]
