"""The stack's event log: the same files as Dagster's own, with connections kept."""

import os
from itertools import pairwise

import dagster as dg
import pytest

from rwt_assets.embedded.event_storage import EVENTS_FOLDER, KEPT, PooledSqliteEventLogStorage

KEPT_OPEN = (
    "event_log_storage: {{module: rwt_assets.embedded.event_storage, class: {}, config: {}}}"
)


def instance(home, *, kept_open=True):
    config = f"{{base_dir: {home / EVENTS_FOLDER}}}"
    text = KEPT_OPEN.format(PooledSqliteEventLogStorage.__name__, config) if kept_open else ""
    (home / "dagster.yaml").write_text(text)
    return dg.DagsterInstance.from_config(str(home))


def report(one, *partitions):
    for partition in partitions:
        one.report_runless_asset_event(dg.AssetMaterialization("a", partition=partition))


def reported(one):
    return sorted(one.get_materialized_partitions(dg.AssetKey("a")))


@pytest.mark.parametrize("order", [(True, False, True), (False, True, False)])
def test_either_storage_reads_and_goes_on_with_what_the_other_wrote(tmp_path, order):
    for number, kept_open in enumerate(order):
        with instance(tmp_path, kept_open=kept_open) as one:
            report(one, str(number))
            assert reported(one) == [str(earlier) for earlier in range(number + 1)]


def test_connections_are_kept_and_bounded(tmp_path):
    @dg.job
    def nothing():
        pass

    with instance(tmp_path) as one:
        runs = [nothing.execute_in_process(instance=one).run_id for _ in range(KEPT + 3)]
        for run in runs:
            assert one.all_logs(run)
        found = one.event_log_storage
        assert isinstance(found, PooledSqliteEventLogStorage)
        assert len(found._engines) == KEPT
        found.dispose()
        assert not found._engines
        assert one.all_logs(runs[0]), "it is opened again"


def test_a_process_that_is_forked_opens_connections_of_its_own(tmp_path):
    with instance(tmp_path) as one:
        report(one, "before")
        child = os.fork()
        if child == 0:
            report(one, "child")
            os._exit(0 if reported(one) == ["before", "child"] else 1)
        _, status = os.waitpid(child, 0)
        assert os.waitstatus_to_exitcode(status) == 0
        report(one, "parent")
        assert reported(one) == ["before", "child", "parent"]


def test_events_of_several_processes_are_all_there_and_in_order(tmp_path):
    with instance(tmp_path) as one:
        children = []
        for name in "xyz":
            child = os.fork()
            if child == 0:
                report(one, *(f"{name}{number}" for number in range(30)))
                os._exit(0)
            children.append(child)
        assert [os.waitpid(child, 0)[1] for child in children] == [0, 0, 0]
        assert len(reported(one)) == 90
        records = one.fetch_materializations(dg.AssetKey("a"), limit=100).records
        ids = [record.storage_id for record in records]
        assert len(ids) == 90
        assert all(newer > older for newer, older in pairwise(ids))
