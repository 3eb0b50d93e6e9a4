"""The soak test: many archives while things are killed and requests fail (`make soak`).

What belongs here: the uploaders, the kills, the changes of the declaration, the replays, and the
comparison at the end. What does not: contents and declarations (`soak_feed.py`), what is seen of
the deliveries meanwhile (`delivery_watch.py`), the failing endpoint (`faulty_proxy.py`) and the
stack (`running_stack.py`).

Some archives are uploaded again, with other content, with the same bytes, or with a content that
no declaration accepts. Now and then another declaration stands for a while. The code location is
not reloaded, so declarative automation sees none of that: what is to be processed again, a person
asks for. When nothing moves any more, what has failed is retried. When everything has settled under
the last declaration, what is not as it says is processed again, and a few of the others get a
content that is refused.

Nothing is asserted about time. At the end the rows of every archive are read from the objects
that its delivery names and compared, as a multiset, with those of its newest acceptable upload.
"""

import argparse
import hashlib
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
from pathlib import Path
from random import Random
from threading import Event
from time import monotonic, sleep
from typing import Any

import boto3
import dagster as dg
from botocore.config import Config
from botocore.exceptions import BotoCoreError, ClientError
from rich.console import Console
from rich.table import Table

from rwt_assets.aws.provisioning import provision
from rwt_assets.catalog.catalog import FeedCatalog
from rwt_assets.catalog.standing import Standing, failed_archives, take_standing
from rwt_assets.delivery.consumption import read_delivery
from rwt_assets.documents.manifest import Delivery
from rwt_assets.documents.partitions import archive_partition_key
from rwt_assets.embedded.server import REGION, EmbeddedServer
from rwt_assets.resources.s3_objects import S3Objects
from rwt_assets.runtime.errors import RwtError
from rwt_assets.runtime.run_tags import INTERRUPTED_TAG, REASON_TAG
from rwt_assets_tests.end_to_end.delivery_watch import DeliveryWatch
from rwt_assets_tests.end_to_end.faulty_proxy import FAULTS, UNREACHABLE, FaultyProxy
from rwt_assets_tests.end_to_end.own_project import OwnProject
from rwt_assets_tests.end_to_end.running_stack import RunningStack
from rwt_assets_tests.end_to_end.soak_feed import (
    PLAIN,
    REFUSING,
    RICHER,
    STRICTER,
    Content,
    Declaration,
    Row,
    make_content,
    make_contents,
    read_rows,
)

UPLOADERS = 4
BACKLOG_SHARE = 0.25  # of the archives may wait for delivery before uploaders take a rest,
REST_SECONDS = 20.0  # which has an end, because what was never announced waits for a sweep
TRIES = 20
TRY_SECONDS = 2.0
DAEMON_SECONDS = 60
STALL_SECONDS = 45
PROGRESS_SECONDS = 10
LOOK_SECONDS = 1.0
REASONS_SHOWN = 10
REASON_CHARACTERS = 160
WINDOW_SHARE = 0.05  # of the archives are delivered meanwhile,
WINDOW_SECONDS = 120.0  # unless that takes longer; some must have been made by it in any case
REPLAYS_SHARE = 0.05  # of the archives are processed again for no reason
REFUSED_LAST = 3  # archives whose last content is refused


@dataclass(frozen=True, slots=True)
class Plan:
    """How much of everything. Kills are spread evenly over the archives' deliveries.

    Each of `windows` is declared for a while, then PLAIN again.
    """

    archives: int = 500
    daemon_kills: int = 5
    server_kills: int = 2
    error_share: float = 0.05
    seconds_at_most: float = 7_200
    seed: int = 1
    shards: tuple[int, int] = (2, 6)
    down_seconds: tuple[float, float] = (1.0, 5.0)
    windows: tuple[Declaration, ...] = (STRICTER, REFUSING, RICHER)


@dataclass(frozen=True, slots=True)
class Act:
    """Something that is done while archives are in work.

    Attributes:
        share: of the archives that are delivered before.
        do: what is done.
        ready: whether it can be done already.
    """

    share: float
    do: Callable[[], None]
    ready: Callable[[], bool] = lambda: True


@dataclass(slots=True)
class SoakReport:
    """What was done, and what was wrong with what came of it."""

    plan: Plan
    uploads: "Counter[str]" = field(default_factory=Counter)
    declared: list[str] = field(default_factory=list)
    replays: int = 0
    by_command: int = 0
    asked_at_the_end: int = 0
    deliveries: int = 0
    objects: int = 0
    refused_archives: int = 0
    verified: str = ""
    daemon_kills: int = 0
    server_kills: int = 0
    requests: int = 0
    faults: dict[str, int] = field(default_factory=dict)
    while_down: int = 0
    swept: int = 0
    retried: int = 0
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
        yield "uploads", f"{self.uploads.total()} ({_counted(self.uploads)})"
        yield "declarations", f"{len(self.declared)}: {', '.join(self.declared)}"
        yield (
            "replays",
            (
                f"{self.replays} meanwhile; at the end {self.by_command} by a command, "
                f"{self.asked_at_the_end} others"
            ),
        )
        yield "kills", f"{self.daemon_kills} of the daemon, {self.server_kills} of the server"
        yield "requests", f"{self.requests:,}, {self.while_down} of them while the server was down"
        yield "injected errors", f"{injected:,} ({_counted(self.faults)})"
        yield "found by sweeps", f"{self.swept} archives"
        yield "rwt retry", f"{self.retried} archives tried again"
        yield "runs", f"{sum(self.runs.values()):,} ({_counted(self.runs)})"
        for reason, count in self.reasons.most_common(REASONS_SHOWN):
            yield "  failed run", f"{count} x {reason[:REASON_CHARACTERS]}"
        yield "deliveries seen", f"{self.deliveries:,}, which named {self.objects:,} objects"
        yield "refused at the end", f"{self.refused_archives} archives"
        yield "rows compared", f"{self.rows:,}"
        yield "rwt verify --deep", self.verified
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
        project = OwnProject(folder / "project", PLAIN.attributes())
        stack = RunningStack(state, proxy.url, feed=PLAIN.feed(), variables=project.variables)
        running.callback(stack.end)
        stack.start()
        return _Soak(plan, server, proxy, project, stack, tell).run()


class _Soak:
    def __init__(
        self,
        plan: Plan,
        server: EmbeddedServer,
        proxy: FaultyProxy,
        project: OwnProject,
        stack: RunningStack,
        tell: Callable[[str], None],
    ) -> None:
        self._plan = plan
        self._server = server
        self._proxy = proxy
        self._project = project
        self._stack = stack
        self._tell = tell
        self._feed = stack.feed
        self._report = SoakReport(plan)
        self._random = Random(plan.seed)  # noqa: S311 - no secret
        self._contents = make_contents(plan.archives, plan.shards, plan.seed)
        self._by_etag: dict[str, Content] = {}
        self._sent: dict[str, list[str]] = {}  # ETags of the uploads of each key, also under way
        self._uploaded: dict[str, tuple[str, Content]] = {}  # the newest of each object key
        self._acceptable: dict[str, tuple[str, Content]] = {}  # the newest of each object key
        self._declared_at = 0.0
        self._watch = DeliveryWatch(
            S3Objects(make_client("s3", server.endpoint_url)),
            self._feed,
            uploads=lambda key: list(self._sent.get(key, ())),
            judge=self._judge,
        )
        self._delivered = 0
        self._over = Event()
        self._began = self._told = self._moved = monotonic()

    def run(self) -> SoakReport:
        with ThreadPoolExecutor(UPLOADERS + 1, "soak") as pool:
            watching = pool.submit(self._watch.run)
            try:
                uploaders = [pool.submit(self._upload, number) for number in range(UPLOADERS)]
                self._work(self._acts(), uploaders)
                self._over.set()
                for uploader in uploaders:
                    uploader.result()
                self._finish()
            finally:
                self._over.set()
                self._watch.end()
        watching.result()
        self._conclude()
        self._report.seconds = monotonic() - self._began
        return self._report

    def _acts(self) -> list[Act]:
        """Kills, declarations and replays, each spread evenly over the archives' deliveries."""
        kills = [self._kill_daemon] * self._plan.daemon_kills
        kills += [self._kill_server] * self._plan.server_kills
        self._random.shuffle(kills)
        acts = _spread(kills)
        replays = round(self._plan.archives * REPLAYS_SHARE)
        acts += _spread([partial(self._replay, "any")] * replays)
        for number, declaration in enumerate(self._plan.windows, 1):
            # Around the share of the kills, where there are as many.
            share = number / (len(self._plan.windows) + 1) - WINDOW_SHARE / 2
            acts += [
                Act(share, partial(self._open_window, declaration)),
                Act(
                    share + WINDOW_SHARE,
                    self._close_window,
                    partial(self._may_close, declaration),
                ),
            ]
        return sorted(acts, key=lambda act: act.share)

    # While archives are on their way ---------------------------------------------------------

    def _work(self, acts: list[Act], uploaders: "Sequence[Future[None]]") -> None:
        """Until everything is uploaded and every act is done; each act at its share of work."""
        done = 0
        while done < len(acts) or not all(one.done() for one in uploaders):
            self._look("uploading" if not all(one.done() for one in uploaders) else "working")
            if done < len(acts) and self._is_due(acts[done]):
                acts[done].do()
                done += 1
            elif monotonic() - self._moved > STALL_SECONDS:
                self._sweep()  # what a killed server forgot to announce holds the rest up
                self._retry()  # and so does what failed while another declaration stood
            if monotonic() - self._began > self._plan.seconds_at_most:
                self._report.problems.append(f"{len(acts) - done} acts were not reached in time")
                return
            self._over.wait(LOOK_SECONDS)

    def _is_due(self, act: Act) -> bool:
        share = self._delivered >= self._plan.archives * act.share
        late = 0 < self._declared_at < monotonic() - WINDOW_SECONDS
        return (share or late) and act.ready()

    def _open_window(self, declaration: Declaration) -> None:
        """Another declaration, and an archive that is processed by it for certain."""
        self._project.declare(declaration.attributes())
        self._declared_at = monotonic()
        self._report.declared.append(declaration.name)
        self._say(f"declared: {declaration.name}")
        self._replay("large")

    def _may_close(self, declaration: Declaration) -> bool:
        """Whether something was delivered by the declaration, and something refused if it does."""
        if not self._watch.seen[declaration.enrichment]:
            return False
        failed = self._stack.ask(failed_archives) if declaration is REFUSING else set()
        return declaration is not REFUSING or any(
            archive_partition_key(f"{self._feed.source.prefix}{name}") in failed
            for name, contents in self._contents.items()
            if not any(content.refused for content in contents)
        )

    def _close_window(self) -> None:
        """Back to the plain declaration."""
        self._project.declare(PLAIN.attributes())
        self._declared_at = 0.0
        self._say(f"declared: {PLAIN.name}")

    def _replay(self, which: str) -> None:
        """Have an archive processed again, in work or not; with "large", a delivered one."""
        arrivals = self._stack.ask(lambda catalog: catalog.arrivals())
        keys = sorted(arrivals)
        if which == "large":
            delivered = {
                archive_partition_key(key): len(delivery.objects)
                for key in list(self._uploaded)
                if (delivery := self._watch.newest(key)) is not None
            }
            most = max(delivered.values(), default=0)
            keys = [key for key in keys if delivered.get(key, 0) == most]
        key = self._random.choice(keys)
        self._stack.ask(lambda catalog: catalog.ask_replay(key, arrivals[key].revision))
        self._report.replays += 1

    def _upload(self, number: int) -> None:
        """One of the uploaders: its share of the archives, some of them twice."""
        random = Random(self._plan.seed + number)  # noqa: S311 - no secret
        order: list[tuple[float, str, int]] = []
        for name in sorted(self._contents)[number::UPLOADERS]:
            when = random.random()
            for revision in range(len(self._contents[name])):
                order.append((when, name, revision))
                when = random.uniform(when, 1.2)
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
        etag = hashlib.md5(content.body, usedforsecurity=False).hexdigest()
        self._by_etag[etag] = content
        sent = self._sent.setdefault(key, [])
        kind = "refused" if content.refused else "same bytes" if etag in sent[-1:] else "contents"
        sent.append(etag)
        for left in reversed(range(TRIES)):
            try:
                answer = client.put_object(
                    Bucket=self._feed.source.bucket, Key=key, Body=content.body
                )
            except (ClientError, BotoCoreError):
                if not left:
                    raise
                sleep(TRY_SECONDS)
            else:
                assert answer["ETag"].strip('"') == etag
                self._uploaded[key] = etag, content
                self._report.uploads[kind] += 1
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
        self._moved = monotonic()
        lines = self._rwt("sweep").splitlines()
        recorded = sum(line.endswith(" recorded") for line in lines)
        self._report.swept += recorded
        self._say(f"rwt sweep: {recorded} archives recorded")

    def _retry(self) -> None:
        """As an operator does who sees that archives have failed, and why."""
        if self._declared_at:
            return  # they would fail again
        retried = self._rwt("retry").splitlines()
        self._report.retried += len(retried)
        self._say(f"rwt retry: {len(retried)} archives are tried again")

    def _rwt(self, *command: str) -> str:
        """As an operator does: a command, again if the endpoint refused; what it printed."""
        for _ in range(TRIES):
            answer = self._stack.rwt(*command)
            if answer.returncode == 0:
                return answer.stdout
            self._say(f"rwt {' '.join(command)} ended with {answer.returncode}: {answer.stderr}")
        self._report.problems.append(f"`rwt {' '.join(command)}` failed {TRIES} times")
        return ""

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
            f"{self._told - self._began:6.0f} s  {what}: {self._report.uploads.total()} uploads, "
            f"{self._delivered} of {self._plan.archives} archives delivered, "
            f"{self._proxy.injected} of {self._proxy.requests} requests failed"
        )

    # At the end ------------------------------------------------------------------------------

    def _finish(self) -> None:
        """Everything as the last declaration says, and contents that it refuses after others."""
        self._sweep()
        self._settle()
        lines = self._rwt("quarantine", "replay").splitlines()
        asked = {line.partition(": ")[0] for line in lines if "is processed again" in line}
        wanted = self._not_up_to_date()
        left = {key: etag for key, etag in wanted.items() if key not in asked}
        for key, revision in left.items():
            self._stack.ask(partial(FeedCatalog.ask_replay, partition_key=key, revision=revision))
        self._report.by_command, self._report.asked_at_the_end = len(asked), len(left)
        self._say(
            f"rwt quarantine replay: {len(asked)} archives; {len(left)} others are not as declared"
        )
        self._acceptable = dict(self._uploaded)
        client = make_client("s3", self._proxy.url)
        again = asked | wanted.keys()
        done = [key for key in sorted(self._uploaded) if archive_partition_key(key) not in again]
        for key in self._random.sample(done, REFUSED_LAST):
            shards = self._uploaded[key][1].shards
            self._put(client, key, make_content(f"{key}.last", shards, 5, refused=True))
        self._settle()

    def _not_up_to_date(self) -> dict[str, str]:
        """Archives (partition keys, with the newest revision) that are not as declared now."""
        self._watch.look()
        failed = self._stack.ask(failed_archives)
        wanted: dict[str, str] = {}
        for key, (etag, _) in sorted(self._uploaded.items()):
            delivery, partition_key = self._watch.newest(key), archive_partition_key(key)
            if (
                delivery is None
                or delivery.revision != etag
                or not delivery.generation.endswith(f"-{PLAIN.enrichment}")
                or partition_key in failed
            ):
                wanted[partition_key] = etag
        return wanted

    def _conclude(self) -> None:
        self._compare()
        self._account()
        self._watch.look()
        self._watch.compare()
        self._report.problems += self._watch.problems
        self._report.deliveries = self._watch.seen.total()
        self._report.objects = len(self._watch.named)
        self._verify()

    def _verify(self) -> None:
        """`rwt verify --deep`; no request fails meanwhile."""
        self._proxy.error_share = 0.0
        answer = self._stack.rwt("verify", "--deep")
        self._report.verified = "clean" if answer.returncode == 0 else "not clean"
        if answer.returncode:
            told = f"{answer.stdout[-1_000:]}{answer.stderr[-1_000:]}"
            self._report.problems.append(f"rwt verify --deep: {answer.returncode}: {told}")

    def _judge(self, delivery: Delivery) -> str:
        """What is wrong with a delivery, by the content and the declaration that it is of."""
        content = self._by_etag.get(delivery.revision)
        if content is None:
            return ""  # the watch says so
        if content.refused:
            return "a content was delivered that every declaration refuses"
        made_by = delivery.generation.rpartition("-")[2]
        by = next((one for one in (PLAIN, *self._plan.windows) if one.enrichment == made_by), None)
        if by is None:
            return f"generation {delivery.generation} is of no declaration"
        wanted = by.rows(content).total()
        rows = delivery.rows_enriched, delivery.rows_quarantined
        if rows != (wanted, content.rows.total() - wanted):
            return f"{rows[0]} rows and {rows[1]} quarantined, by a declaration with {wanted} rows"
        return ""

    def _settle(self) -> None:
        """Wait until nothing is waiting any more."""
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
            sleep(LOOK_SECONDS)

    def _settled(self) -> bool:
        arrivals = self._stack.ask(lambda catalog: catalog.arrivals())
        newest = {key: event.revision for key, event in arrivals.items()}
        if any(newest.get(k) != etag for k, etag in self._expected().items()):
            return False
        return not self._stack.ask(take_standing).waiting

    def _refused_last(self) -> list[str]:
        return [key for key, (_, content) in self._uploaded.items() if content.refused]

    def _expected(self) -> dict[str, str]:
        return {archive_partition_key(key): etag for key, (etag, _) in self._uploaded.items()}

    def _compare(self) -> None:
        """The rows that the deliveries lead to with those of the newest acceptable uploads."""
        store = S3Objects(make_client("s3", self._server.endpoint_url))
        for key, (etag, content) in sorted(self._acceptable.items()):
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
            wanted = PLAIN.rows(content)
            lost, more = wanted - rows, rows - wanted
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
        refused = {archive_partition_key(key) for key in self._refused_last()}
        failed = {one.partition_key for one in standing.failed if one.asset == "zip_archive"}
        report.refused_archives = len(failed & refused)
        if failed != refused:
            report.problems += [
                f"failed: {one.partition_key}: {one.reason}"
                for one in standing.failed
                if one.partition_key not in refused
            ]
            report.problems += [f"{key}: was not refused" for key in sorted(refused - failed)]
        for verdict in ("waiting", "forgotten"):
            report.problems += [
                f"{verdict}: {entry.asset} {entry.partition_key}: {entry.reason}"
                for entry in getattr(standing, verdict)
            ]
        archives = {entry.partition_key for entry in standing.done if entry.asset == "zip_archive"}
        if archives | refused != set(self._expected()):
            report.problems.append(
                f"archives done that were not uploaded, or the reverse: "
                f"{sorted((archives | refused) ^ set(self._expected()))[:REASONS_SHOWN]}"
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


def _spread(doing: Sequence[Callable[[], None]]) -> list[Act]:
    return [Act(number / (len(doing) + 1), do) for number, do in enumerate(doing, 1)]


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
