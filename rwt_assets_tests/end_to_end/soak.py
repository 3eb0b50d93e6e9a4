"""The soak test: many archives while things are killed and requests fail (`make soak`).

What belongs here: the archives, the uploaders, the kills, and the comparison at the end. What
does not: the failing endpoint (`faulty_proxy.py`) and the stack (`running_stack.py`).

Nothing is asserted about time. At the end the rows of every archive are read from the objects
that its delivery names and compared, as a multiset, with the rows that were uploaded last.
"""

import argparse
import json
import shutil
import signal
import sys
import tempfile
from collections import Counter
from collections.abc import Callable, Iterator, Sequence
from concurrent.futures import Future, ThreadPoolExecutor
from contextlib import ExitStack, suppress
from dataclasses import dataclass, field
from functools import partial
from io import BytesIO
from pathlib import Path
from random import Random
from threading import Event
from time import monotonic
from typing import Any

import boto3
import dagster as dg
import pyarrow.parquet as pq
from botocore.config import Config
from botocore.exceptions import BotoCoreError, ClientError
from rich.console import Console
from rich.table import Table

from rwt_assets.added_columns import ARCHIVE, MEMBER
from rwt_assets.catalog import FeedCatalog
from rwt_assets.consumption import read_delivery
from rwt_assets.embedded.server import REGION, EmbeddedServer
from rwt_assets.errors import RwtError
from rwt_assets.feed_graph import INTERRUPTED_TAG, REASON_TAG
from rwt_assets.partitions import archive_partition_key
from rwt_assets.provisioning import provision
from rwt_assets.resources.s3_objects import S3Objects
from rwt_assets.standing import Standing, take_standing
from rwt_assets_tests.archives import TIMES, make_zip
from rwt_assets_tests.end_to_end.faulty_proxy import FAULTS, UNREACHABLE, FaultyProxy
from rwt_assets_tests.end_to_end.running_stack import RunningStack

UPLOADERS = 4
TWICE_SHARE = 0.2  # of the archives are uploaded again with another content
PLACES = ["stop_id", "stop_name", "stop_lat", "stop_lon"]
HEADERS = {"stop_times.txt": TIMES, "stops.txt": PLACES}
BACKLOG_SHARE = 0.25  # of the archives may wait for delivery before uploaders take a rest,
REST_SECONDS = 20.0  # which has an end, because what was never announced waits for a sweep
TRIES = 20
TRY_SECONDS = 2.0
DAEMON_SECONDS = 60
STALL_SECONDS = 45
PROGRESS_SECONDS = 10
LOOK_SECONDS = 1.0
REASONS_SHOWN = 10
Row = tuple[str, ...]


@dataclass(frozen=True, slots=True)
class Plan:
    """How much of everything. Kills are spread evenly over the archives' deliveries."""

    archives: int = 500
    daemon_kills: int = 5
    server_kills: int = 2
    error_share: float = 0.05
    seconds_at_most: float = 7_200
    seed: int = 1
    shards: tuple[int, int] = (2, 6)
    down_seconds: tuple[float, float] = (1.0, 5.0)


@dataclass(frozen=True, slots=True)
class Content:
    """One content of an archive and what must come of it."""

    body: bytes
    shards: int
    rows: "Counter[Row]"


@dataclass(slots=True)
class SoakReport:
    """What was done, and what was wrong with what came of it."""

    plan: Plan
    uploads: int = 0
    daemon_kills: int = 0
    server_kills: int = 0
    requests: int = 0
    faults: dict[str, int] = field(default_factory=dict)
    while_down: int = 0
    swept: int = 0
    runs: dict[str, int] = field(default_factory=dict)
    reasons: "Counter[str]" = field(default_factory=Counter)
    rows: int = 0
    seconds: float = 0.0
    problems: list[str] = field(default_factory=list)

    @property
    def passed(self) -> bool:
        return not self.problems

    def lines(self) -> Iterator[tuple[str, str]]:
        injected = sum(self.faults.values())
        yield "archives", str(self.plan.archives)
        yield "uploads", str(self.uploads)
        yield "kills", f"{self.daemon_kills} of the daemon, {self.server_kills} of the server"
        yield "requests", f"{self.requests:,}, {self.while_down} of them while the server was down"
        yield "injected errors", f"{injected:,} ({_counted(self.faults)})"
        yield "found by sweeps", f"{self.swept} archives"
        yield "runs", f"{sum(self.runs.values()):,} ({_counted(self.runs)})"
        for reason, count in self.reasons.most_common(REASONS_SHOWN):
            yield "  failed run", f"{count} x {reason}"
        yield "rows compared", f"{self.rows:,}"
        yield "seconds", f"{self.seconds:.0f}"
        for problem in self.problems:
            yield "PROBLEM", problem
        yield "verdict", "nothing lost, nothing doubled" if self.passed else "FAILED"


def run_soak(plan: Plan, folder: Path, tell: Callable[[str], None] = print) -> SoakReport:
    """Send the archives through, kill what the plan kills, and compare.

    Args:
        plan: how much of everything.
        folder: for the server's objects, the stack's state and all logs; must be empty.
        tell: gets a line every ten seconds.

    Returns:
        The report. It has problems if anything was lost, doubled, failed or forgotten.
    """
    state = folder.resolve() / "state"
    state.mkdir(parents=True)
    server = EmbeddedServer(log=folder / "server.log", state=folder / "server")
    with ExitStack() as running:
        running.enter_context(server)
        proxy = running.enter_context(
            FaultyProxy(server.port, error_share=plan.error_share, seed=plan.seed)
        )
        stack = RunningStack(state, proxy.url)
        running.callback(stack.end)
        stack.start()
        return _Soak(plan, server, proxy, stack, tell).run()


class _Soak:
    def __init__(
        self,
        plan: Plan,
        server: EmbeddedServer,
        proxy: FaultyProxy,
        stack: RunningStack,
        tell: Callable[[str], None],
    ) -> None:
        self._plan = plan
        self._server = server
        self._proxy = proxy
        self._stack = stack
        self._tell = tell
        self._feed = stack.feed
        self._report = SoakReport(plan)
        self._random = Random(plan.seed)  # noqa: S311 - no secret
        self._contents = make_contents(plan)
        self._uploaded: dict[str, tuple[str, Content]] = {}  # the newest of each object key
        self._delivered = 0
        self._over = Event()
        self._began = self._told = self._moved = monotonic()

    def run(self) -> SoakReport:
        kills: list[Callable[[], None]] = [self._kill_daemon] * self._plan.daemon_kills
        kills += [self._kill_server] * self._plan.server_kills
        self._random.shuffle(kills)
        with ThreadPoolExecutor(UPLOADERS, "uploader") as pool:
            try:
                uploaders = [pool.submit(self._upload, number) for number in range(UPLOADERS)]
                self._work(kills, uploaders)
            finally:
                self._over.set()
        for uploader in uploaders:
            uploader.result()
        self._settle()
        self._compare()
        self._account()
        self._report.seconds = monotonic() - self._began
        return self._report

    # While archives are on their way ---------------------------------------------------------

    def _work(self, kills: list[Callable[[], None]], uploaders: "Sequence[Future[None]]") -> None:
        """Until everything is uploaded and every kill is done; each kill at its share of work."""
        done = 0
        while done < len(kills) or not all(one.done() for one in uploaders):
            self._look("uploading" if not all(one.done() for one in uploaders) else "working")
            due = self._plan.archives * (done + 1) / (len(kills) + 1)
            if done < len(kills) and self._delivered >= due:
                kills[done]()
                done += 1
            elif monotonic() - self._moved > STALL_SECONDS:
                self._sweep()  # what a killed server forgot to announce holds the rest up
            if monotonic() - self._began > self._plan.seconds_at_most:
                self._report.problems.append(f"{len(kills) - done} kills were not reached in time")
                return
            self._over.wait(LOOK_SECONDS)

    def _upload(self, number: int) -> None:
        """One of the uploaders: its share of the archives, some of them twice."""
        random = Random(self._plan.seed + number)  # noqa: S311 - no secret
        own = sorted(self._contents)[number::UPLOADERS]
        order = [(random.random(), name, 0) for name in own]
        order += [
            (random.uniform(first, 1.2), name, 1)
            for first, name, _ in order
            if len(self._contents[name]) > 1
        ]
        client = make_client("s3", self._proxy.url)
        backlog = max(8, self._plan.archives * BACKLOG_SHARE)
        for _, name, revision in sorted(order):
            rested = monotonic()
            while (
                len(self._uploaded) - self._delivered > backlog
                and monotonic() - rested < REST_SECONDS
                and not self._over.wait(LOOK_SECONDS)
            ):
                pass
            if self._over.is_set():
                return
            self._put(client, f"{self._feed.source.prefix}{name}", self._contents[name][revision])

    def _put(self, client: Any, key: str, content: Content) -> None:
        """As a partner does: try until it is taken."""
        for left in reversed(range(TRIES)):
            try:
                answer = client.put_object(
                    Bucket=self._feed.source.bucket, Key=key, Body=content.body
                )
            except (ClientError, BotoCoreError):
                if not left:
                    raise
                self._over.wait(TRY_SECONDS)
            else:
                self._uploaded[key] = answer["ETag"].strip('"'), content
                self._report.uploads += 1
                return

    def _kill_daemon(self) -> None:
        self._stack.wait_for(self._killed_daemon, DAEMON_SECONDS, pause_seconds=0.2)
        self._report.daemon_kills += 1
        self._say("killed the daemon")

    def _killed_daemon(self) -> bool:
        with suppress(AssertionError):  # it is just being started again
            self._stack.kill_daemon()
            return True
        return False

    def _kill_server(self) -> None:
        """What an operator does then: start it again, and make what it has forgotten."""
        self._server.process.kill()
        killed = monotonic()
        self._over.wait(self._random.uniform(*self._plan.down_seconds))
        self._server.start()
        url = self._server.endpoint_url
        done = provision(self._feed, s3=make_client("s3", url), sqs=make_client("sqs", url))
        self._report.server_kills += 1
        self._say(
            f"killed the S3 and SQS server, which was down for {monotonic() - killed:.0f} s and "
            f"had forgotten {len(done.made)} settings"
        )

    def _sweep(self) -> None:
        """As an operator does: `rwt sweep`, again if the endpoint refused."""
        self._moved = monotonic()
        for _ in range(TRIES):
            answer = self._stack.rwt("sweep")
            if answer.returncode == 0:
                recorded = sum(line.endswith(" recorded") for line in answer.stdout.splitlines())
                self._report.swept += recorded
                self._say(f"rwt sweep: {recorded} archives recorded")
                return
            self._say(f"rwt sweep ended with {answer.returncode}: {answer.stderr.strip()}")
        self._report.problems.append(f"`rwt sweep` failed {TRIES} times")

    def _look(self, doing: str) -> None:
        """Count the deliveries, and say so from time to time."""
        with self._stack.instance() as instance:
            graph = FeedCatalog(instance, self._feed).graph
            delivered = len(instance.get_materialized_partitions(graph.delivery))
        if delivered != self._delivered:
            self._delivered, self._moved = delivered, monotonic()
        if monotonic() - self._told >= PROGRESS_SECONDS:
            self._say(doing)

    def _say(self, what: str) -> None:
        self._told = monotonic()
        self._tell(
            f"{self._told - self._began:6.0f} s  {what}: {self._report.uploads} uploads, "
            f"{self._delivered} of {self._plan.archives} archives delivered, "
            f"{self._proxy.injected} of {self._proxy.requests} requests failed"
        )

    # At the end ------------------------------------------------------------------------------

    def _settle(self) -> None:
        """Sweep, and wait until nothing is waiting any more."""
        self._sweep()
        deadline = self._began + self._plan.seconds_at_most
        while not self._settled():
            self._look("settling")
            if monotonic() > deadline:
                standing = self._stack.ask(take_standing)
                self._report.problems.append(
                    f"not settled within {self._plan.seconds_at_most:.0f} s: "
                    f"{[entry.partition_key for entry in standing.waiting][:REASONS_SHOWN]} wait"
                )
                return
            self._over.clear()
            self._over.wait(LOOK_SECONDS)

    def _settled(self) -> bool:
        arrivals = self._stack.ask(lambda catalog: catalog.arrivals())
        newest = {key: event.revision for key, event in arrivals.items()}
        if any(newest.get(k) != etag for k, etag in self._expected().items()):
            return False
        return not self._stack.ask(take_standing).waiting

    def _expected(self) -> dict[str, str]:
        return {archive_partition_key(key): etag for key, (etag, _) in self._uploaded.items()}

    def _compare(self) -> None:
        """The rows that the deliveries lead to with the rows that were uploaded last."""
        store = S3Objects(make_client("s3", self._server.endpoint_url))
        for key, (etag, content) in sorted(self._uploaded.items()):
            try:
                delivery = read_delivery(store, self._feed.target, key)
                rows: Counter[Row] = Counter()
                for one in delivery.objects:
                    body = store.read(self._feed.target.bucket, one.key)
                    rows += read_rows(body, one.member, key)
            except RwtError as error:
                self._report.problems.append(f"{key}: {error}")
                continue
            self._report.rows += rows.total()
            lost, more = content.rows - rows, rows - content.rows
            found = {
                f"revision {delivery.revision} and not {etag}": delivery.revision != etag,
                f"{lost.total()} rows lost, as {next(iter(lost), None)}": lost,
                f"{more.total()} rows doubled or strange, as {next(iter(more), None)}": more,
                f"{delivery.rows_quarantined} rows quarantined": delivery.rows_quarantined,
                f"{len(delivery.objects)} shards and not {content.shards}": (
                    len(delivery.objects) != content.shards
                ),
            }
            self._report.problems += [f"{key}: {what}" for what, wrong in found.items() if wrong]

    def _account(self) -> None:
        """Every partition, every run and every request."""
        report = self._report
        standing: Standing = self._stack.ask(take_standing)
        for verdict in ("waiting", "failed", "forgotten"):
            report.problems += [
                f"{verdict}: {entry.asset} {entry.partition_key}: {entry.reason}"
                for entry in getattr(standing, verdict)
            ]
        archives = {entry.partition_key for entry in standing.done if entry.asset == "zip_archive"}
        if archives != set(self._expected()):
            report.problems.append(
                f"archives done that were not uploaded, or the reverse: "
                f"{sorted(archives ^ set(self._expected()))[:REASONS_SHOWN]}"
            )
        shards = sum(entry.asset == "csv_shard" for entry in standing.done)
        expected = sum(content.shards for _, content in self._uploaded.values())
        if shards != expected:
            report.problems.append(f"{shards} shards in the catalog and not {expected}")
        with self._stack.instance() as instance:
            runs = instance.get_runs()
        report.runs = dict(Counter(run.status.value.lower() for run in runs))
        report.reasons = Counter(
            _reason(run) for run in runs if run.status is dg.DagsterRunStatus.FAILURE
        )
        report.requests = self._proxy.requests
        report.faults = {fault: self._proxy.counts[fault] for fault in FAULTS}
        report.while_down = self._proxy.counts[UNREACHABLE]


def make_contents(plan: Plan) -> dict[str, list[Content]]:
    """The contents of each archive by name: one, or two that follow one another."""
    random = Random(plan.seed)  # noqa: S311 - no secret
    return {
        f"soak-{number:04d}.zip": [
            make_content(
                f"A{number}.{revision}", random.randint(*plan.shards), random.randint(3, 9)
            )
            for revision in range(2 if random.random() < TWICE_SHARE else 1)
        ]
        for number in range(plan.archives)
    }


def make_content(name: str, shards: int, trips: int) -> Content:
    """An archive of which no row is in any other; one shard is that of `stops.txt`."""
    stops = range(shards - 1)
    minutes = [f"{8 + stop // 60:02d}:{stop % 60:02d}" for stop in stops]
    times = [
        (f"{name}.{trip}", f"{minutes[stop]}:00", f"{minutes[stop]}:30", f"S{stop}", str(stop))
        for trip in range(trips)
        for stop in stops
    ]
    places = [(f"S{stop}", f"Stop {stop} of {name}", f"-16.{stop}5", "145.5") for stop in stops]
    members = {"stop_times.txt": times, "stops.txt": places}
    body = make_zip(
        {
            member: "".join(f"{','.join(row)}\n" for row in [HEADERS[member], *rows])
            for member, rows in members.items()
        }
    )
    rows = Counter((member, *row) for member, rows in members.items() for row in rows)
    return Content(body, shards, rows)


def read_rows(body: bytes, member: str, archive: str) -> "Counter[Row]":
    """The rows of a Parquet object as they stood in their member, and where they came from."""
    return Counter(
        (
            row[MEMBER] if row[ARCHIVE] == archive else f"{row[MEMBER]} of {row[ARCHIVE]}",
            *(str(row[column]) for column in HEADERS[member]),
        )
        for row in pq.read_table(BytesIO(body)).to_pylist()
    )


def make_client(service: str, endpoint: str) -> Any:
    """A client as partners and operators have it."""
    return boto3.session.Session().client(
        service,
        endpoint_url=endpoint,
        region_name=REGION,
        aws_access_key_id="soak",
        aws_secret_access_key="soak",  # noqa: S106 - the local server accepts any
        config=Config(retries={"max_attempts": 5, "mode": "standard"}),
    )


def _reason(run: dg.DagsterRun) -> str:
    if INTERRUPTED_TAG in run.tags:
        return "interrupted"
    return run.tags.get(REASON_TAG, f"{run.job_name} {run.run_id}: no reason in its tags")


def _counted(counts: dict[str, int]) -> str:
    return ", ".join(f"{count:,} {name}" for name, count in sorted(counts.items()))


def main() -> int:
    """The command; status 0 only if nothing was lost and nothing doubled."""
    standard = Plan()
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--archives", type=int, default=standard.archives)
    parser.add_argument("--daemon-kills", type=int, default=standard.daemon_kills)
    parser.add_argument("--server-kills", type=int, default=standard.server_kills)
    parser.add_argument("--errors", type=float, default=standard.error_share, metavar="SHARE")
    parser.add_argument("--seconds", type=float, default=standard.seconds_at_most)
    parser.add_argument("--down", type=float, default=max(standard.down_seconds), metavar="SECONDS")
    parser.add_argument("--keep", action="store_true", help="the folder, also if all is well")
    parser.add_argument("--seed", type=int, default=standard.seed)
    given = parser.parse_args()
    plan = Plan(
        archives=given.archives,
        daemon_kills=given.daemon_kills,
        server_kills=given.server_kills,
        error_share=given.errors,
        seconds_at_most=given.seconds,
        seed=given.seed,
        down_seconds=(given.down / 5, given.down),
    )
    for number in (signal.SIGTERM, signal.SIGHUP):
        signal.signal(number, lambda *_: sys.exit(1))  # so that nothing is left running
    folder = Path(tempfile.mkdtemp(prefix="rwt-soak-"))
    print(f"Everything lies in {folder}", flush=True)
    report = run_soak(plan, folder, partial(print, flush=True))
    table = Table(show_header=False)
    for name, value in report.lines():
        table.add_row(name, value)
    Console(width=120, highlight=False, markup=False).print(table)
    (folder / "report.json").write_text(json.dumps(dict(report.lines()), indent=1))
    if report.passed and not given.keep:
        shutil.rmtree(folder)
    return 0 if report.passed else 1


if __name__ == "__main__":
    sys.exit(main())
