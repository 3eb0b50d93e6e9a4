"""What the tests do to Dagster's instances in memory changes their speed alone."""

from concurrent.futures import ThreadPoolExecutor

import dagster as dg
import pytest

ASSET = dg.AssetKey("a")


def report(instance, partition):
    instance.report_runless_asset_event(dg.AssetMaterialization(ASSET, partition=partition))


def partitions(instance):
    return [one.partition_key for one in instance.fetch_materializations(ASSET, 500).records]


def test_a_storage_keeps_one_connection():
    with dg.DagsterInstance.ephemeral() as instance:
        storage = instance.event_log_storage
        with storage.index_connection() as first:
            pass
        with storage.index_connection() as second:
            assert second is first


def test_what_several_threads_report_is_all_there_and_in_its_own_storage():
    with dg.DagsterInstance.ephemeral() as instance, dg.DagsterInstance.ephemeral() as other:
        names = [str(number) for number in range(200)]
        with ThreadPoolExecutor(8) as pool:
            list(pool.map(lambda name: report(instance, name), names))
        report(other, "another")
        assert sorted(partitions(instance)) == sorted(names)
        assert partitions(other) == ["another"]


def delete_and_fail(instance):
    with instance.event_log_storage.index_connection() as connection:
        connection.exec_driver_sql("DELETE FROM event_logs")
        raise ZeroDivisionError


def test_what_fails_amid_a_query_is_undone():
    with dg.DagsterInstance.ephemeral() as instance:
        report(instance, "1")
        with pytest.raises(ZeroDivisionError):
            delete_and_fail(instance)
        assert partitions(instance) == ["1"]
