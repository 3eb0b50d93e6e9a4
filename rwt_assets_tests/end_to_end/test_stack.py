"""What people rely on, with the real daemon, webserver, S3 and SQS."""

import json
import re
import urllib.request
import zipfile
from collections import Counter
from io import BytesIO

import dagster as dg
import psutil
import pytest
from prometheus_client.parser import text_string_to_metric_families

from rwt_assets.catalog.standing import Standing, archive_progress, take_standing
from rwt_assets.delivery.consumption import read_delivery, read_result
from rwt_assets.documents.layout import Layout
from rwt_assets.documents.partitions import archive_partition_key
from rwt_assets.embedded.run_launcher import PROCESS_TAG
from rwt_assets.shard.processing import read_manifest
from rwt_assets_tests.archives import CAIRNS, make_zip, timetable

pytestmark = [pytest.mark.end_to_end, pytest.mark.timeout(900)]

WAIT_SECONDS = 420
STOPS, TRIPS = 8, 25
BEGUN = (dg.DagsterRunStatus.STARTED, dg.DagsterRunStatus.SUCCESS)


def settled(stack, archives):
    """A function that says whether these archives are delivered and nothing is left to do."""

    def holds():
        standing: Standing = stack.ask(take_standing)
        done = {entry.partition_key for entry in standing.done if entry.asset == "zip_archive"}
        return not standing.waiting and set(archives) <= done

    return holds


def materializations(stack, asset):
    with stack.instance() as instance:
        records = instance.fetch_materializations(asset, limit=5_000).records
    return [record.asset_materialization for record in records]


@pytest.mark.long
def test_twenty_archives_at_once_are_all_delivered_and_none_twice(stack):
    graph = stack.ask(lambda catalog: catalog.graph)
    uploads = [
        (f"city-{n}.zip", timetable(trips=TRIPS, stops=STOPS, name=f"T{n}-")) for n in range(18)
    ]
    uploads += [
        ("twice.zip", timetable(trips=TRIPS, stops=STOPS + 2, name="old")),
        ("twice.zip", timetable(trips=TRIPS, stops=STOPS, name="new")),
    ]
    newest = {f"gtfs/{name}": stack.upload(name, body) for name, body in uploads}
    assert len(uploads) == 20
    assert len(newest) == 19

    stack.wait_for(settled(stack, newest), WAIT_SECONDS)

    deliveries = Counter(
        (event.partition, event.metadata["revision"].value)
        for event in materializations(stack, graph.delivery)
    )
    assert set(deliveries.values()) == {1}, "something was delivered twice"
    for key, revision in newest.items():
        assert (archive_partition_key(key), revision) in deliveries
        result = read_result(stack.objects(), stack.feed.target, key)
        assert result.delivery.revision == revision
        assert result.reconciled
        rows = {member.member: member.rows_enriched for member in result.members}
        assert rows == {"stop_times.txt": TRIPS * STOPS, "stops.txt": STOPS}

    standing = stack.ask(take_standing)
    assert not standing.failed
    assert not standing.forgotten
    shards = [entry.partition_key for entry in standing.done if entry.asset == "csv_shard"]
    assert len(shards) == len(newest) * (STOPS + 1), "shards of the old revision are still there"
    enriched = Counter(event.partition for event in materializations(stack, graph.enriched_shard))
    once = {key for key in shards if not key.startswith("gtfs/twice.zip")}
    assert {enriched[key] for key in once} == {1}, "a shard was enriched twice"


def test_bad_archives_fail_with_a_reason_and_stop_nobody(stack):
    stack.upload("broken.zip", b"this is no ZIP")
    stack.upload("good.zip", timetable(trips=2, stops=2))

    stack.wait_for(settled(stack, ["gtfs/good.zip"]), WAIT_SECONDS)

    standing = stack.ask(take_standing)
    reasons = {entry.partition_key: entry.reason for entry in standing.failed}
    assert set(reasons) == {"gtfs/broken.zip"}
    assert "s3://rwt-incoming/gtfs/broken.zip" in reasons["gtfs/broken.zip"]
    assert not standing.forgotten


@pytest.mark.extended
def test_a_shard_that_fails_each_time_is_tried_so_often_and_then_shown(stack):
    """Its CSV is taken away between splitting and enriching, while the daemon holds still.

    So a split is asked for again, by itself; and the archive was taken away, too.
    """
    archive = "gtfs/robbed.zip"
    runs = dg.RunsFilter(tags={"rwt/archive": archive})

    def asked():
        with stack.instance() as instance:
            return len(instance.get_runs(runs))

    def splitting():
        with stack.instance() as instance:
            return any(run.status in BEGUN for run in instance.get_runs(runs))

    stack.upload("robbed.zip", timetable(trips=50, stops=30))
    stack.wait_for(splitting, WAIT_SECONDS, pause_seconds=0.05)
    daemon = stack.daemon()
    daemon.suspend()
    try:
        graph = stack.ask(lambda catalog: catalog.graph)
        stack.wait_for(
            lambda: any(
                e.partition == archive for e in materializations(stack, graph.archive_manifest)
            ),
            WAIT_SECONDS,
        )
        manifest = read_manifest(stack.objects(), stack.feed.target, archive)
        robbed = manifest.shards[7]
        stack.objects().delete(stack.feed.target.bucket, [part.key for part in robbed.parts])
        stack.objects().delete(stack.feed.source.bucket, [archive])
    finally:
        daemon.resume()

    def failed():
        standing = stack.ask(take_standing)
        return {e.partition_key: e.reason for e in standing.failed if e.asset == "csv_shard"}

    stack.wait_for(lambda: archive in failed().get(robbed.partition_key, ""), WAIT_SECONDS)
    with stack.instance() as instance:
        reasons = [run.tags.get("rwt/reason", "") for run in instance.get_runs(runs)]
    assert sum(robbed.parts[0].key in reason for reason in reasons) == 1
    assert asked() == 2 + stack.feed.attempts
    stack.upload("bystander.zip", timetable(trips=2, stops=2))
    stack.wait_for(settled(stack, ["gtfs/bystander.zip"]), WAIT_SECONDS)
    assert asked() == 2 + stack.feed.attempts, "it is asked for for ever"

    retried = stack.rwt("retry", archive)  # it fails again, and again a bounded number of times
    assert f"{archive}: is tried again" in retried.stdout
    stack.wait_for(lambda: asked() == 2 + 2 * stack.feed.attempts, WAIT_SECONDS)
    stack.upload("robbed.zip", timetable(trips=50, stops=30, name="new"))
    stack.wait_for(settled(stack, [archive]), WAIT_SECONDS)


@pytest.mark.extended
def test_a_worker_that_was_taken_for_lost_and_goes_on_changes_nothing_newer(stack):
    """SIGSTOP while it writes shards; its run is marked as failed, as by run monitoring; SIGCONT.

    Of one member, so that all of the archive has been read by then.
    """
    archive, stops, target = "gtfs/late.zip", 300, stack.feed.target
    splitting = dg.RunsFilter(tags={"rwt/archive": archive, "rwt/step": "split"})
    shards = Layout(target.prefix).folders(archive)[2]
    with zipfile.ZipFile(BytesIO(timetable(trips=2_000, stops=stops, name="old"))) as whole:
        times = whole.read("stop_times.txt")
    lost = stack.upload("late.zip", make_zip({"stop_times.txt": times}))
    stack.wait_for(
        lambda: next(stack.objects().list(target.bucket, shards), None) is not None,
        WAIT_SECONDS,
        pause_seconds=0.02,
    )
    with stack.instance() as instance:
        (run,) = instance.get_runs(splitting)
        worker = psutil.Process(int(run.tags[PROCESS_TAG].split()[0]))
        worker.suspend()
        assert not instance.get_run_by_id(run.run_id).is_finished, "it was too quick"
        instance.report_run_failed(run, "its worker was taken for lost")
    newest = stack.upload("late.zip", timetable(trips=3, stops=stops - 1, name="new"))
    stack.wait_for(settled(stack, [archive]), WAIT_SECONDS)
    delivered = read_delivery(stack.objects(), target, archive)
    assert delivered.revision == newest

    worker.resume()
    worker.wait(WAIT_SECONDS)
    stack.wait_for(settled(stack, [archive]), WAIT_SECONDS)
    with stack.instance() as instance:
        late = instance.get_run_by_id(run.run_id)
    assert f"revision {newest} of the archive has arrived meanwhile" in late.tags["rwt/reason"]
    assert read_delivery(stack.objects(), target, archive) == delivered
    assert read_manifest(stack.objects(), target, archive).revision == newest != lost
    known = stack.ask(lambda catalog: catalog.shards_of(archive))
    assert set(known) == {one.partition_key for one in delivered.objects}
    assert len(known) == stops  # a shard for each stop, and stops.txt
    result = read_result(stack.objects(), target, archive)
    assert result.reconciled
    assert result.delivery.rows_read == 3 * (stops - 1) + stops - 1
    standing = stack.ask(take_standing)
    assert not [
        one for one in (*standing.failed, *standing.forgotten) if archive in one.partition_key
    ]


def test_a_killed_daemon_is_replaced_and_the_archive_is_delivered(stack):
    stack.upload("interrupted.zip", CAIRNS.read_bytes())
    stack.wait_for(
        lambda: (
            stack.ask(lambda c: archive_progress(c, "gtfs/interrupted.zip")).stage
            in ("splitting", "enriching")
        ),
        WAIT_SECONDS,
    )
    stack.kill_daemon()

    stack.wait_for(settled(stack, ["gtfs/interrupted.zip"]), WAIT_SECONDS)

    result = read_result(stack.objects(), stack.feed.target, "gtfs/interrupted.zip")
    assert result.reconciled
    assert result.delivery.rows_read == 62_365
    assert "The daemon ended; it is started again" in stack.log()


BACKFILL = """
mutation Backfill($params: LaunchBackfillParams!) {
  launchPartitionBackfill(backfillParams: $params) {
    __typename
    ... on LaunchBackfillSuccess { backfillId }
    ... on PythonError { message }
  }
}
"""


@pytest.mark.extended
def test_a_backfill_from_the_ui_takes_many_shards_in_one_run(stack):
    archive = "gtfs/backfill.zip"
    stack.upload("backfill.zip", timetable(trips=3, stops=6))
    stack.wait_for(settled(stack, [archive]), WAIT_SECONDS)
    graph = stack.ask(lambda catalog: catalog.graph)
    shards = stack.ask(lambda catalog: catalog.shards_of(archive))
    before = len(materializations(stack, graph.delivery))

    answer = stack.graphql(
        BACKFILL,
        params={
            "assetSelection": [{"path": list(graph.enriched_shard.path)}],
            "partitionNames": shards,
        },
    )["launchPartitionBackfill"]
    assert answer["__typename"] == "LaunchBackfillSuccess", answer

    tags = {"dagster/backfill": answer["backfillId"]}

    def finished():
        with stack.instance() as instance:
            runs = instance.get_runs(dg.RunsFilter(tags=tags))
        return bool(runs) and all(run.is_finished for run in runs)

    stack.wait_for(finished, WAIT_SECONDS)
    with stack.instance() as instance:
        runs = instance.get_runs(dg.RunsFilter(tags=tags))
    assert [run.status for run in runs] == [dg.DagsterRunStatus.SUCCESS]
    stack.wait_for(lambda: len(materializations(stack, graph.delivery)) == before + 1, WAIT_SECONDS)
    assert read_result(stack.objects(), stack.feed.target, archive).reconciled


@pytest.mark.long
def test_a_shard_that_is_reported_again_is_enriched_again_by_automation(stack):
    archive = "gtfs/automation.zip"
    stack.upload("automation.zip", timetable(trips=2, stops=2))
    stack.wait_for(settled(stack, [archive]), WAIT_SECONDS)
    graph = stack.ask(lambda catalog: catalog.graph)
    shard = stack.ask(lambda catalog: catalog.shards_of(archive))[0]

    stack.wait_for_automation(WAIT_SECONDS)  # since the delivery: its conditions see changes
    with stack.instance() as instance:
        instance.report_runless_asset_event(
            dg.AssetMaterialization(graph.csv_shard, partition=shard)
        )
    enriched = Counter(event.partition for event in materializations(stack, graph.enriched_shard))
    stack.wait_for(
        lambda: (
            Counter(event.partition for event in materializations(stack, graph.enriched_shard))[
                shard
            ]
            == enriched[shard] + 1
        ),
        WAIT_SECONDS,
    )
    with stack.instance() as instance:
        latest = instance.get_latest_materialization_event(graph.enriched_shard)
        run = instance.get_run_by_id(latest.run_id)
    assert run.tags["dagster/from_automation_condition"] == "true"


def test_the_command_line_works_on_the_running_stack(stack, tmp_path):
    good, bad = tmp_path / "command.zip", tmp_path / "bad.zip"
    good.write_bytes(timetable(trips=2, stops=3))
    bad.write_bytes(b"no zip")

    submitted = stack.rwt("submit", str(good), "--wait")
    assert submitted.returncode == 0, submitted.stderr
    assert "delivered, 4 of 4 shards" in submitted.stdout

    refused = stack.rwt("submit", str(bad), "--feed", "gtfs", "--wait")
    assert refused.returncode == 1
    assert "bad.zip was not delivered: the object is no readable ZIP" in refused.stderr

    status = stack.rwt("status", "--json")
    assert status.returncode == 0, status.stderr
    standing = json.loads(status.stdout)["gtfs"]
    assert "gtfs/command.zip" in {entry["partition"] for entry in standing["done"]}
    assert "gtfs/bad.zip" in {entry["partition"] for entry in standing["failed"]}


@pytest.mark.extended
def test_what_is_there_is_not_made_again_by_any_command(stack, tmp_path):
    (tmp_path / "bad.zip").write_bytes(b"no zip")
    unknown = stack.rwt("submit", str(tmp_path / "bad.zip"))
    assert unknown.returncode == 1
    assert "Name it: --feed gtfs or --feed sec_filings or --feed web_shop." in " ".join(
        unknown.stderr.split()
    )
    assert "0 archives recorded" in stack.rwt("sweep").stdout
    assert "nothing was missing" in stack.rwt("aws", "setup").stdout

    second = stack.rwt("up")
    assert second.returncode == 1
    assert f"a stack already runs at {stack.record.ui_url}" in second.stderr.replace("\n", " ")


@pytest.mark.extended
def test_metrics_and_health_of_the_running_stack_are_served_until_sigterm(stack):
    stack.upload("watched.zip", timetable(trips=2, stops=2))
    found = {}
    with stack.begin("metrics", "--port", "0", "--every", "2") as served:
        try:
            (url,) = re.findall(r"http://\S+/metrics", served.stdout.readline())

            def scrape():
                with urllib.request.urlopen(url, timeout=60) as answer:
                    text = answer.read().decode()
                for family in text_string_to_metric_families(text):
                    for sample in family.samples:
                        found[sample.name, *sample.labels.values()] = sample.value
                return found.get(("rwt_delivery_seconds_count", "gtfs"), 0) > 0

            stack.wait_for(scrape, WAIT_SECONDS)
            with urllib.request.urlopen(url.replace("metrics", "healthz"), timeout=60) as answer:
                assert answer.status == 200  # the webserver says that the code location loads
        finally:
            served.terminate()
        assert served.wait(60) == 0
    assert found["rwt_archives", "gtfs", "delivered"] > 0
    assert found["rwt_healthy",] == 1


def test_the_ui_shows_the_graph_the_check_and_the_automation(stack):
    data = stack.graphql(
        """{ assetNodes { assetKey { path } isPartitioned computeKind
             hasMaterializePermission automationCondition { label } } }"""
    )
    nodes = {tuple(node["assetKey"]["path"]): node for node in data["assetNodes"]}
    names = ["zip_archive", "archive_manifest", "csv_shard", "enriched_shard", "delivery"]
    assert set(nodes) == {
        (feed, name) for feed in ("gtfs", "sec_filings", "web_shop") for name in names
    }
    assert all(node["isPartitioned"] for node in nodes.values())
    labels = {path[1]: node["automationCondition"] for path, node in nodes.items()}
    assert labels["enriched_shard"] == {"label": "reported again or code changed"}
    assert labels["archive_manifest"] == {"label": "code changed"}


@pytest.mark.extended
def test_everything_comes_back_after_everything_was_killed(tmp_path_factory, stack):
    """Declared last: it kills the stack of this module and starts it again."""
    trips, stops = 2_000, 300
    stack.upload("survivor.zip", timetable(trips=trips, stops=stops))
    runs = dg.RunsFilter(
        tags={"rwt/archive": "gtfs/survivor.zip", "rwt/step": "enrich"},
        statuses=[dg.DagsterRunStatus.STARTED],
    )

    def enriching():
        with stack.instance() as instance:
            return bool(instance.get_runs(runs))

    stack.wait_for(enriching, WAIT_SECONDS, pause_seconds=0.1)
    stack.kill_everything()
    before = len(stack.ask(lambda catalog: catalog.archives()))

    stack.start()
    stack.wait_for(settled(stack, ["gtfs/survivor.zip"]), WAIT_SECONDS)

    assert len(stack.ask(lambda catalog: catalog.archives())) == before
    result = read_result(stack.objects(), stack.feed.target, "gtfs/survivor.zip")
    assert result.reconciled
    assert result.delivery.rows_enriched == trips * stops + stops
    assert "1 runs were interrupted; their steps are asked for again." in stack.log()
    stack.upload("after.zip", timetable(trips=2, stops=2))
    stack.wait_for(settled(stack, ["gtfs/after.zip"]), WAIT_SECONDS)


@pytest.mark.extended
def test_status_counts_nothing_forgotten(stack):
    standing = stack.ask(take_standing)
    assert json.dumps([entry.reason for entry in standing.forgotten]) == "[]"
