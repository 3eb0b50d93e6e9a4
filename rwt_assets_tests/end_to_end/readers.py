"""Consumers that read one archive all the time while it is sent and processed again and again.

What belongs here: what happens to the archive (`make readers`), the three readers, and what they
may see. What does not: the stack (`running_stack.py`), and kills and failing requests (`soak.py`).

A project of its own declares the feed, with `tolerance: {rows: 0}`, so that a content with one bad
row is refused. In each round the archive is uploaded, processed again, uploaded twice in a row,
processed again under a declaration that refuses its rows, and uploaded with a bad row. Every read
must give exactly the rows of one upload that was acceptable, and none older than the delivery
that stood when the read began. At the end every object that a delivery ever named has the bytes
that it had.
"""

import argparse
import hashlib
import shutil
import signal
import sys
import tempfile
from collections import Counter
from collections.abc import Callable, Iterable, Iterator, Mapping
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass, field
from functools import partial
from io import BytesIO
from pathlib import Path
from random import Random
from threading import Event, Lock
from time import monotonic
from typing import Any

import pyarrow.parquet as pq
from rich.console import Console
from rich.table import Table

from rwt_assets import read_delivery
from rwt_assets.catalog.standing import ArchiveProgress, archive_progress
from rwt_assets.delivery.consumption import read_delivery as read_document
from rwt_assets.delivery.reconciliation import FOOTER_REVISION
from rwt_assets.documents.layout import Layout
from rwt_assets.documents.partitions import archive_partition_key
from rwt_assets.feed.feed import Feed
from rwt_assets.resources.s3_objects import S3Objects
from rwt_assets.runtime.errors import ArchiveMissingError
from rwt_assets_tests.archives import make_zip
from rwt_assets_tests.documented_examples import load_example
from rwt_assets_tests.end_to_end.own_project import OwnProject
from rwt_assets_tests.end_to_end.running_stack import RunningStack

NAME, KEY = "reread.zip", "reread/reread.zip"
ITEMS, PLACES = "items.csv", "places.csv"
COLUMNS = {ITEMS: ("upload", "kind", "item", "price"), PLACES: ("upload", "place")}
WAIT_SECONDS = 240
PAUSE_SECONDS = 0.2  # readers leave the processors to the work
PROBLEMS_SHOWN = 20
Rows = Mapping[str, "Counter[tuple[Any, ...]]"]


def declaration(*, strict: bool = False) -> dict[str, Any]:
    """The feed. The strict one refuses some rows of every content."""
    price = {"type": "number", "minimum": 0, "maximum": 1 if strict else 1_000_000}
    number = {"type": "integer", "nullable": False}
    return {
        "name": "reread",
        "source": {"bucket": "rwt-incoming", "prefix": "reread/", "queue": "rwt-reread"},
        "target": {"bucket": "rwt-results", "prefix": "rwt/reread"},
        "tolerance": {"rows": 0},
        "members": [
            {
                "include": [ITEMS],
                "split_by": "kind",
                "key_column": "item",
                "columns": {"upload": number, "kind": number, "item": {}, "price": price},
            },
            {
                "include": [PLACES],
                "key_column": "place",
                "columns": {"upload": number, "place": {}},
            },
        ],
    }


@dataclass(frozen=True, slots=True)
class Content:
    """One content of the archive; its rows carry its number."""

    number: int
    body: bytes
    rows: Rows
    refused: bool


def make_content(number: int, *, refused: bool = False) -> Content:
    """A content that differs from all others in its rows and in its size."""
    random = Random(number)  # noqa: S311 - no secret
    items = [
        (number, kind, f"I{number}.{kind}.{item}", float(item))
        for kind in range(random.randint(1, 6))
        for item in range(random.randint(3, 40))
    ]
    if refused:
        items.append((number, 0, f"I{number}.bad", -1.0))
    places = [(number, f"P{number}.{place}") for place in range(random.randint(1, 20))]
    rows: Rows = {ITEMS: Counter(items), PLACES: Counter(places)}
    members = {
        member: "\n".join(
            [",".join(COLUMNS[member]), *(",".join(map(str, row)) for row in rows[member])]
        )
        for member in rows
    }
    return Content(number, make_zip(members), rows, refused)


@dataclass(slots=True)
class ReaderReport:
    """What was done, what was read, and what was wrong with it."""

    rounds: int
    uploads: int = 0
    replays: int = 0
    refusals: int = 0
    reads: "Counter[str]" = field(default_factory=Counter)
    contents: dict[str, set[int]] = field(default_factory=dict)
    objects: int = 0
    seconds: float = 0.0
    problems: "Counter[str]" = field(default_factory=Counter)

    @property
    def passed(self) -> bool:
        return not self.problems

    def lines(self) -> Iterator[tuple[str, str]]:
        yield "rounds", str(self.rounds)
        yield "done", f"{self.uploads} uploads, {self.replays} replays, {self.refusals} refusals"
        for name, count in sorted(self.reads.items()):
            yield f"reads by {name}", f"{count:,}, of {len(self.contents[name])} contents"
        yield "objects named", f"{self.objects:,}"
        yield "seconds", f"{self.seconds:.0f}"
        for problem, count in self.problems.most_common(PROBLEMS_SHOWN):
            yield "PROBLEM", f"{count} x {problem}"
        yield "verdict", "every read was one delivery" if self.passed else "FAILED"


def run_readers(
    rounds: int, folder: Path, tell: Callable[[str], None] = print, *, seed: int = 1
) -> ReaderReport:
    """Send the archive through `rounds` rounds while three readers read it.

    Args:
        rounds: of five things that happen to the archive.
        folder: for the project, the stack's state and all logs; must be empty.
        tell: gets a line for each thing that happened.
        seed: of the order of things within a round.

    Returns:
        The report. It has problems if a read was no delivery, or what a delivery named changed.
    """
    project = OwnProject(folder / "project", declaration())
    state = folder.resolve() / "state"
    state.mkdir(parents=True)
    feed = Feed.model_validate(declaration())
    stack = RunningStack(state, feed=feed, variables=project.variables)
    try:
        stack.start()
        with project.entered(stack.record.endpoint_url):
            return _Rereading(rounds, project, stack, tell, seed).run()
    finally:
        stack.end()


class _Rereading:
    def __init__(
        self,
        rounds: int,
        project: OwnProject,
        stack: RunningStack,
        tell: Callable[[str], None],
        seed: int,
    ) -> None:
        self._project = project
        self._stack = stack
        self._tell = tell
        self._random = Random(seed)  # noqa: S311 - no secret
        self._feed = stack.feed
        self._partition_key = archive_partition_key(KEY)
        self._document_key = Layout(self._feed.target.prefix).delivery(KEY)
        self._s3 = stack.s3()
        self._objects = S3Objects(self._s3)
        self._reading = load_example("reading")
        self._report = ReaderReport(rounds)
        self._contents: dict[int, Content] = {}
        self._delivered = 0  # number of the newest content that was seen delivered
        self._named: dict[str, str] = {}  # objects that a delivery named, with their digests
        self._readers: dict[str, Callable[[], Rows]] = {
            "document and objects": self._read_what_the_document_names,
            "read_delivery": self._read_by_the_package,
            "recipe for Polars": self._read_by_the_recipe,
        }
        self._report.contents = {name: set() for name in self._readers}
        self._lock = Lock()
        self._over = Event()

    def run(self) -> ReaderReport:
        began = monotonic()
        self._upload()  # readers begin when there is something to read
        with ThreadPoolExecutor(len(self._readers), "reader") as pool:
            try:
                readers = [pool.submit(self._poll, name) for name in self._readers]
                for number in range(self._report.rounds):
                    self._round(number)
            finally:
                self._over.set()
        for reader in readers:
            reader.result()
        self._compare_what_was_named()
        self._report.objects = len(self._named)
        self._report.seconds = monotonic() - began
        return self._report

    # What happens to the archive -------------------------------------------------------------

    def _round(self, number: int) -> None:
        steps = [
            self._upload,
            self._upload_twice,
            self._replay,
            self._replay_that_is_refused,
            self._upload_that_is_refused,
        ]
        self._random.shuffle(steps)
        for step in steps:
            began = monotonic()
            step()
            self._wait_for_readers()
            name = step.__name__.strip("_").replace("_", " ")
            self._tell(
                f"round {number + 1}: {name}, {monotonic() - began:.0f} s, "
                f"{self._report.reads.total()} reads, {self._report.problems.total()} problems"
            )

    def _upload(self) -> None:
        self._wait_for_delivery(*self._put())

    def _upload_twice(self) -> None:
        self._put()
        self._wait_for_delivery(*self._put())

    def _upload_that_is_refused(self) -> None:
        before = self._document()
        _, etag = self._put(refused=True)
        self._wait_for_refusal(etag, before)

    def _replay(self) -> None:
        if not self._newest_is_delivered():
            self._upload()
        revision = self._settled_at(self._ask_replay()).revision
        assert read_document(self._objects, self._feed.target, KEY).revision == revision
        self._report.replays += 1

    def _replay_that_is_refused(self) -> None:
        if not self._newest_is_delivered():
            self._upload()
        before = self._document()
        self._project.declare(declaration(strict=True))
        try:
            self._wait_for_refusal(self._ask_replay(), before)
        finally:
            self._project.declare(declaration())

    def _put(self, *, refused: bool = False) -> tuple[int, str]:
        """Upload a new content; its number and its ETag."""
        content = make_content(len(self._contents) + 1, refused=refused)
        self._contents[content.number] = content
        self._report.uploads += 1
        return content.number, self._stack.upload(NAME, content.body)

    def _newest_is_delivered(self) -> bool:
        return self._delivered == len(self._contents) and self._progress().stage == "delivered"

    def _ask_replay(self) -> str:
        """Have the newest revision processed again; the revision."""
        revision = self._progress().revision
        assert revision is not None
        self._stack.ask(lambda catalog: catalog.ask_replay(self._partition_key, revision))
        return revision

    def _wait_for_delivery(self, number: int, etag: str) -> None:
        progress = self._settled_at(etag)
        assert progress.stage == "delivered", progress
        assert read_document(self._objects, self._feed.target, KEY).revision == etag
        self._delivered = number

    def _wait_for_refusal(self, etag: str, before: bytes) -> None:
        """Until the revision has failed; the delivery that stood must be as it was."""
        progress = self._settled_at(etag)
        assert progress.stage == "failed", progress
        assert "tolerance" in progress.reason or "quarantined" in progress.reason, progress.reason
        if self._document() != before:
            self._problem("a refusal changed delivery.json")
        self._report.refusals += 1

    def _settled_at(self, etag: str) -> ArchiveProgress:
        """Wait until this revision is delivered or has failed for good."""

        def settled() -> bool:
            progress = self._progress()
            return progress.revision == etag and progress.stage in ("delivered", "failed")

        self._stack.wait_for(settled, WAIT_SECONDS)
        return self._progress()

    def _progress(self) -> ArchiveProgress:
        return self._stack.ask(lambda catalog: archive_progress(catalog, self._partition_key))

    def _document(self) -> bytes:
        return self._objects.read(self._feed.target.bucket, self._document_key)

    def _wait_for_readers(self) -> None:
        """Until each reader has made a read that began after now."""
        wanted = {name: self._report.reads[name] + 2 for name in self._readers}
        self._stack.wait_for(
            lambda: all(self._report.reads[name] >= count for name, count in wanted.items()),
            WAIT_SECONDS,
            pause_seconds=PAUSE_SECONDS,
        )

    # The readers -----------------------------------------------------------------------------

    def _poll(self, name: str) -> None:
        """Read again and again; each read must be one acceptable content, never an older one."""
        newest = 0
        while not self._over.is_set():
            newest = max(newest, self._delivered)
            try:
                rows = self._readers[name]()
            except Exception as error:  # noqa: BLE001 - no read may fail, whatever the reason
                self._problem(f"{name}: {type(error).__name__}: {_first_line(error)}")
            else:
                newest = max(newest, self._judge(name, rows, newest))
            self._report.reads[name] += 1
            self._over.wait(PAUSE_SECONDS)

    def _judge(self, name: str, rows: Rows, newest: int) -> int:
        """Compare a read with what was uploaded; the number of the content that it was."""
        numbers = {row[0] for found in rows.values() for row in found}
        if len(numbers) != 1:
            what = "no rows" if not numbers else f"rows of {len(numbers)} contents"
            self._problem(f"{name}: {what}")
            return 0
        (number,) = numbers
        content = self._contents.get(number)
        if content is None:
            self._problem(f"{name}: rows of content {number}, which was never uploaded")
            return 0
        if content.refused:
            self._problem(f"{name}: a refused content")
            return 0
        for member, found in rows.items():
            lost, more = content.rows[member] - found, found - content.rows[member]
            if lost or more:
                self._problem(f"{name}: {member} with rows lost or strange")
                return 0
        if number < newest:
            self._problem(f"{name}: an older content after a newer one")
        self._report.contents[name].add(number)
        return int(number)

    def _read_what_the_document_names(self) -> Rows:
        """Everything that the document names, each object held to what is said of it."""
        document = read_document(self._objects, self._feed.target, KEY)
        rows: dict[str, Counter[tuple[Any, ...]]] = {ITEMS: Counter(), PLACES: Counter()}
        count = 0
        for one in document.objects:
            body = self._objects.read(self._feed.target.bucket, one.key)
            self._remember(one.key, body)
            footer = pq.read_metadata(BytesIO(body))
            if (footer.metadata or {}).get(FOOTER_REVISION) != document.revision.encode():
                self._problem("an object is of another revision than its delivery")
            if (footer.num_rows, len(body)) != (one.rows, one.bytes):
                self._problem("an object has other rows or bytes than its delivery says")
            table = pq.read_table(BytesIO(body))
            rows[one.member] += _counted(one.member, table.to_pylist())
            count += table.num_rows
        if count != document.rows_enriched:
            self._problem("the objects of a delivery have other rows than it says")
        return rows

    def _read_by_the_package(self) -> Rows:
        frame = read_delivery(KEY, ITEMS, feed=self._feed.name)
        return {ITEMS: _counted(ITEMS, frame.to_dict("records"))}

    def _read_by_the_recipe(self) -> Rows:
        target = self._feed.target
        uris = self._reading.delivered(target.bucket, target.prefix, ITEMS, KEY)
        return {ITEMS: _counted(ITEMS, self._reading.by_polars(uris).collect().to_dicts())}

    # What a delivery named -------------------------------------------------------------------

    def _remember(self, key: str, body: bytes) -> None:
        """An object that a delivery names has the bytes that it had when it was first read."""
        digest = hashlib.sha256(body).hexdigest()
        with self._lock:
            if self._named.setdefault(key, digest) != digest:
                self._problem("an object that a delivery names was changed")

    def _compare_what_was_named(self) -> None:
        """Also what former deliveries named is there and unchanged, within the grace period."""
        for key in sorted(self._named):
            try:
                self._remember(key, self._objects.read(self._feed.target.bucket, key))
            except ArchiveMissingError:
                self._problem("an object of a former delivery is gone within the grace period")

    def _problem(self, what: str) -> None:
        self._report.problems[what] += 1


def _counted(member: str, rows: Iterable[Mapping[Any, Any]]) -> "Counter[tuple[Any, ...]]":
    return Counter(tuple(row[column] for column in COLUMNS[member]) for row in rows)


def _first_line(error: Exception) -> str:
    return str(error).partition("\n")[0][:200]


def main() -> int:
    """The command; status 0 only if every read was one delivery."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--rounds", type=int, default=50)
    parser.add_argument("--seed", type=int, default=1)
    parser.add_argument("--keep", action="store_true", help="the folder, also if all is well")
    given = parser.parse_args()
    for number in (signal.SIGTERM, signal.SIGHUP):
        signal.signal(number, lambda *_: sys.exit(1))  # so that nothing is left running
    folder = Path(tempfile.mkdtemp(prefix="rwt-readers-"))
    print(f"Everything lies in {folder}", flush=True)
    report = run_readers(given.rounds, folder, partial(print, flush=True), seed=given.seed)
    table = Table(show_header=False)
    for name, value in report.lines():
        table.add_row(name, value)
    Console(width=120, highlight=False, markup=False).print(table)
    if report.passed and not given.keep:
        shutil.rmtree(folder)
    return 0 if report.passed else 1


if __name__ == "__main__":
    sys.exit(main())
