"""What the cluster loses when a part of it fails: nothing (`make cluster ARGS=failures`).

What belongs here: the faults, when they strike, and what is compared afterwards. What does not:
how a part is ended or cut off (`running_cluster.py`, `network.py`, `servers.py`).

Each fault strikes while ranges of shards are being enriched. Afterwards the rows of every archive
are read from the objects that its delivery names and compared, as a multiset, with those that
were uploaded. Nothing is asserted about time.
"""

from collections import Counter
from collections.abc import Callable
from dataclasses import dataclass, field
from time import monotonic, sleep

import dagster as dg

from rwt_assets.catalog.standing import take_standing
from rwt_assets.delivery.consumption import read_delivery
from rwt_assets.documents.layout import Layout
from rwt_assets.documents.partitions import archive_partition_key
from rwt_assets.runtime.errors import ArchiveMissingError
from rwt_assets.runtime.run_tags import ARCHIVE_TAG, REASON_TAG, STEP_TAG
from rwt_assets_tests.cluster.network import NamespaceNetwork
from rwt_assets_tests.cluster.running_cluster import RunningCluster
from rwt_assets_tests.end_to_end.soak_feed import Content, Row, make_content, read_rows

PATIENCE_SECONDS = 900.0
LOOK_SECONDS = 0.2
AWAY_SECONDS = 10.0
CUT_SECONDS = 60.0
ERROR_SECONDS = 30.0


@dataclass(frozen=True, slots=True)
class Load:
    """What is in work while a fault strikes."""

    archives: int = 3
    shards: int = 600
    trips: int = 8


@dataclass(slots=True)
class Outcome:
    """What became of the archives."""

    fault: str
    seconds: float = 0.0
    runs: "Counter[str]" = field(default_factory=Counter)
    reasons: "Counter[str]" = field(default_factory=Counter)
    rows: int = 0
    shards: int = 0
    kept_before: int = 0
    problems: list[str] = field(default_factory=list)


def kill_a_worker(cluster: RunningCluster, worker: int) -> None:
    """A worker and its run are gone; the others go on without it."""
    cluster.kill_worker(worker)


def restart_the_broker(cluster: RunningCluster, _: int) -> None:
    """RabbitMQ ends in order and is away for a while."""
    cluster.broker.stop()
    sleep(AWAY_SECONDS)
    cluster.broker.start()


def restart_the_database(cluster: RunningCluster, _: int) -> None:
    """PostgreSQL ends every connection and is away for a while."""
    cluster.postgresql.stop()
    sleep(AWAY_SECONDS)
    cluster.postgresql.start()


def kill_the_daemon(cluster: RunningCluster, _: int) -> None:
    """The daemon is gone for a while; runs go on meanwhile."""
    cluster.daemon.kill()
    sleep(AWAY_SECONDS)
    cluster.daemon.start()


def fail_every_request(cluster: RunningCluster, _: int) -> None:
    """S3 and SQS fail, for everybody, in four ways (`faulty_proxy.py`)."""
    assert cluster.proxy is not None
    cluster.proxy.error_share = 1.0
    sleep(ERROR_SECONDS)
    cluster.proxy.error_share = 0.0


def cut_a_worker_off(cluster: RunningCluster, worker: int) -> None:
    """A worker reaches the broker and PostgreSQL, but not S3: its packets are lost."""
    assert isinstance(cluster.network, NamespaceNetwork)
    cluster.network.cut_off(worker)
    sleep(CUT_SECONDS)
    cluster.network.reconnect(worker)


KILLED_WORKER = "a worker is killed (SIGKILL) in the middle of a range"
FAULTS: dict[str, Callable[[RunningCluster, int], None]] = {
    KILLED_WORKER: kill_a_worker,
    f"RabbitMQ is restarted, away for {AWAY_SECONDS:.0f} s": restart_the_broker,
    f"PostgreSQL is restarted, away for {AWAY_SECONDS:.0f} s": restart_the_database,
    f"the daemon is killed, away for {AWAY_SECONDS:.0f} s": kill_the_daemon,
    f"S3 and SQS fail every request for {ERROR_SECONDS:.0f} s": fail_every_request,
    f"a worker is cut off from S3 for {CUT_SECONDS:.0f} s": cut_a_worker_off,
}


def strike(cluster: RunningCluster, fault: str, load: Load, *, name: str) -> Outcome:
    """Upload archives, let a fault strike in the middle of their ranges, and compare.

    Args:
        cluster: runs; workers that were killed before are started again.
        fault: one of FAULTS; empty for none.
        load: how much is in work.
        name: of the archives, which nothing else has.
    """
    for number, worker in cluster.workers.items():
        if not worker.alive:
            cluster.start_worker(number)
    contents = {
        f"{name}-{number}.zip": make_content(f"{name}{number}", load.shards, load.trips)
        for number in range(load.archives)
    }
    outcome = Outcome(fault)
    began = monotonic()
    for archive, content in contents.items():
        cluster.upload(archive, content.body)
    if fault:
        FAULTS[fault](cluster, _wait_for_the_middle(cluster, list(contents), load))
    cluster.wait_for(lambda: _settled(cluster, list(contents)), PATIENCE_SECONDS)
    outcome.seconds = monotonic() - began
    for archive, content in contents.items():
        _compare(cluster, outcome, _key(cluster, archive), content)
    _account(cluster, outcome, name)
    return outcome


def _key(cluster: RunningCluster, archive: str) -> str:
    return f"{cluster.feed.source.prefix}{archive}"


def _wait_for_the_middle(cluster: RunningCluster, archives: list[str], load: Load) -> int:
    """Wait until an archive has some of its Parquet, but not all; the worker that is at it."""
    deadline = monotonic() + PATIENCE_SECONDS
    whole: set[str] = set()
    while len(whole) < len(archives):
        for archive in archives:
            written = _parquet(cluster, archive)
            if written >= load.shards - 1:
                whole.add(archive)
            elif written and (worker := _worker_at(cluster, archive)):
                return worker
        assert monotonic() < deadline, "nothing was enriched"
        sleep(LOOK_SECONDS)
    raise AssertionError("everything was enriched before the fault could strike")


def _worker_at(cluster: RunningCluster, archive: str) -> int:
    """The worker that has a run of this archive; 0 if none has."""
    tags = {ARCHIVE_TAG: archive_partition_key(_key(cluster, archive))}
    with cluster.instance() as instance:
        runs = instance.get_runs(dg.RunsFilter(tags=tags, statuses=[dg.DagsterRunStatus.STARTED]))
    found = (cluster.worker_of(run.run_id) for run in runs)
    return next((worker for worker in found if worker), 0)


def _parquet(cluster: RunningCluster, archive: str) -> int:
    """Enriched shards of the stop times, of which there is one less than of all."""
    target = cluster.feed.target
    folders = Layout(target.prefix).folders(_key(cluster, archive))
    return sum(
        "/rwt_member=stop_times.txt/" in head.key
        for folder in folders
        if "/enriched/" in folder
        for head in cluster.objects.list(target.bucket, folder)
    )


def _settled(cluster: RunningCluster, archives: list[str]) -> bool:
    """Every archive is delivered, or has failed for good."""
    keys = {archive_partition_key(_key(cluster, archive)) for archive in archives}
    standing = cluster.ask(take_standing)
    waiting = {entry.partition_key for entry in (*standing.waiting, *standing.forgotten)}
    known = cluster.ask(lambda catalog: set(catalog.arrivals()))
    return keys <= known and not keys & waiting


def _compare(cluster: RunningCluster, outcome: Outcome, key: str, content: Content) -> None:
    """The rows that a delivery leads to with the rows that were uploaded."""
    target = cluster.feed.target
    try:
        delivery = read_delivery(cluster.objects, target, key)
    except ArchiveMissingError as error:
        outcome.problems.append(f"{key}: {error}")
        return
    rows: Counter[Row] = Counter()
    for one in delivery.objects:
        rows += read_rows(cluster.objects.read(target.bucket, one.key), one.member, key)
    outcome.rows += rows.total()
    outcome.shards += len(delivery.objects)
    lost, more = content.rows - rows, rows - content.rows
    found = {
        f"{lost.total()} rows lost": lost,
        f"{more.total()} rows doubled or strange": more,
        f"{len(delivery.objects)} shards, not {content.shards}": (
            len(delivery.objects) != content.shards
        ),
    }
    outcome.problems += [f"{key}: {what}" for what, wrong in found.items() if wrong]


def _account(cluster: RunningCluster, outcome: Outcome, name: str) -> None:
    """The runs of these archives, and the shards that a second attempt found in place."""
    with cluster.instance() as instance:
        own = [
            run
            for run in instance.get_runs()
            if f"{cluster.feed.source.prefix}{name}-" in run.tags.get(ARCHIVE_TAG, "")
        ]
        events = instance.fetch_materializations(
            dg.AssetRecordsFilter(
                asset_key=dg.AssetKey([cluster.feed.name, "enriched_shard"]),
            ),
            limit=5_000,
        ).records
    for run in own:
        outcome.runs[f"{run.tags[STEP_TAG]} {run.status.value.lower()}"] += 1
        if run.status is dg.DagsterRunStatus.FAILURE:
            outcome.reasons[_reason(cluster, run)] += 1
        if not run.is_finished:
            outcome.problems.append(f"run {run.run_id} is {run.status.value}")
    outcome.kept_before = sum(
        "kept_by" in event.asset_materialization.metadata
        for event in events
        if event.asset_materialization is not None and f"/{name}-" in str(event.partition_key)
    )


def _reason(cluster: RunningCluster, run: dg.DagsterRun) -> str:
    """Why a run failed, by our code or else by Dagster."""
    if REASON_TAG in run.tags:
        return run.tags[REASON_TAG]
    with cluster.instance() as instance:
        logs = instance.all_logs(run.run_id, of_type=dg.DagsterEventType.RUN_FAILURE)
    return next((str(entry.dagster_event.message) for entry in logs if entry.dagster_event), "")
