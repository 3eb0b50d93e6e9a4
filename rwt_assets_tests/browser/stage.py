"""What the browser looks at: a real stack and the archives that were sent to it.

What belongs here: the archives, and what is on record about them. What does not: how the stack
is started (`end_to_end/running_stack.py`).
"""

import re
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path

import dagster as dg

from rwt_assets.catalog.standing import Standing, take_standing
from rwt_assets.documents.partitions import archive_partition_key
from rwt_assets.embedded.processes import leftovers
from rwt_assets.graph.feed_graph import FeedGraph
from rwt_assets.runtime.run_tags import ARCHIVE_TAG
from rwt_assets_tests.archives import CAIRNS, TIMES, make_zip, timetable
from rwt_assets_tests.end_to_end.running_stack import RunningStack
from rwt_assets_tests.hostile import HTML, IMAGE, MARKUP, SENT, hostile_messages, quoted

WAIT_SECONDS = 300
BAD_TIMES = "\n".join(
    [
        ",".join(TIMES),
        "T1,08:00:00,08:00:30,S1,1",
        "T2,late,08:00:30,S1,1",
        ",08:01:00,08:01:30,S2,2",
        "T1,08:01:00,08:01:30,S2,2",
    ]
)

# What makes a browser call out, or a script run, if a page takes it for Markdown or HTML.
HOSTILE_HEAD = ",".join([*TIMES, quoted(f"n{HTML}{IMAGE}{MARKUP}")])
HOSTILE_TIMES = [f"{quoted(cell)},{quoted(cell)},08:00:30,S1,1,{quoted(cell)}" for cell in SENT]
HOSTILE_TIMES += [f"T1,08:00:00,08:00:30,{quoted(cell)},1,x" for cell in SENT]
HOSTILE_TIMES += [f"T1,08:00:00,08:00:30,S1,{quoted(cell)},x" for cell in SENT]
SQS_REFUSES = re.compile("[\x00-\x08\x0b\x0c\x0e-\x1f]")
HOSTILE_NAME = f"{IMAGE}{HTML}{MARKUP}".replace("/", "-")


def _hostile_archive() -> bytes:
    """Cells, names of columns, and names of members, of which one is taken as a table."""
    table = "\n".join([HOSTILE_HEAD, *HOSTILE_TIMES]) + "\n"
    return make_zip(
        {"stop_times.txt": table, f"{HOSTILE_NAME}.txt": table, IMAGE: "", HTML: "", "\x1b]0;x": ""}
    )


def _archives() -> dict[str, bytes]:
    return {
        "cairns.zip": CAIRNS.read_bytes(),
        "generated.zip": timetable(trips=800, stops=25),
        "no-zip.zip": b"this is no ZIP",
        "bad-rows.zip": make_zip({"stop_times.txt": BAD_TIMES + "\n"}),
        "hostile.zip": _hostile_archive(),
        f"{IMAGE}{HTML}{MARKUP}.zip": b"this is no ZIP",
    }


class Stage:
    """A stack on which two archives were delivered whole, two with bad rows, and one failed."""

    def __init__(self, stack: RunningStack) -> None:
        self.stack = stack
        self.graph = FeedGraph(stack.feed.name)
        self.whole = [self._key("cairns.zip"), self._key("generated.zip")]
        self.with_bad_rows = self._key("bad-rows.zip")
        self.failed = self._key("no-zip.zip")
        self.hostile = self._key("hostile.zip")
        self.hostile_name = self._key(f"{IMAGE}{HTML}{MARKUP}.zip")

    def _key(self, name: str) -> str:
        return archive_partition_key(f"{self.stack.feed.source.prefix}{name}")

    def send(self) -> None:
        """Send the archives and wait until nothing is left to do."""
        for name, body in _archives().items():
            self.stack.upload(name, body)
        for body in hostile_messages():
            if SQS_REFUSES.search(body) is None:
                self.stack.tell_queue(body)
        self.stack.wait_for(self._settled, WAIT_SECONDS)
        sent = {*self.whole, self.with_bad_rows, self.failed, self.hostile, self.hostile_name}
        found = set(self.stack.ask(lambda catalog: catalog.archives()))
        assert found == sent, "a stack that started at the same moment took the same ports"

    def _settled(self) -> bool:
        standing: Standing = self.stack.ask(take_standing)
        done = {entry.partition_key for entry in standing.done if entry.asset == "zip_archive"}
        failed = {entry.partition_key for entry in standing.failed}
        return {*self.whole, self.with_bad_rows, self.hostile} <= done and self._failing() <= failed

    def _failing(self) -> set[str]:
        return {self.failed, self.hostile_name}

    def shard(self) -> str:
        """A shard of the real archive."""
        shards = self.stack.ask(lambda catalog: catalog.shards_of(self.whole[0]))
        return next(key for key in shards if key.endswith("stop_sequence=7"))

    def metadata(self, asset: dg.AssetKey, partition: str) -> dict[str, object]:
        """Numbers and texts on record of the newest materialization of a partition."""
        newest = dg.AssetRecordsFilter(asset_key=asset, asset_partitions=[partition])
        with self.stack.instance() as instance:
            (record,) = instance.fetch_materializations(newest, limit=1).records
        event = record.asset_materialization
        assert event is not None
        plain = (dg.IntMetadataValue, dg.FloatMetadataValue, dg.TextMetadataValue)
        return {k: v.value for k, v in event.metadata.items() if isinstance(v, plain)}

    def failed_run(self, archive: str = "") -> dg.DagsterRun:
        tags = {ARCHIVE_TAG: archive or self.failed}
        with self.stack.instance() as instance:
            (run,) = instance.get_runs(dg.RunsFilter(tags=tags))
        return run

    def wait_for_backfill(self, backfill: str) -> Sequence[dg.DagsterRun]:
        """The runs of a backfill of two partitions, when all have ended."""
        runs: list[dg.DagsterRun] = []

        def ended() -> bool:
            tags = dg.RunsFilter(tags={"dagster/backfill": backfill})
            with self.stack.instance() as instance:
                runs[:] = instance.get_runs(tags)
            return len(runs) == len(self.whole) and all(run.is_finished for run in runs)

        self.stack.wait_for(ended, WAIT_SECONDS)
        return runs


@contextmanager
def staged(folder: Path) -> Iterator[Stage]:
    """A stack with its archives, in this folder, until the end of the block."""
    state = (folder / "state").resolve()
    state.mkdir()
    stack = RunningStack(state)
    try:
        stack.start()
        stage = Stage(stack)
        stage.send()
        yield stage
    finally:
        status = stack.stop()
    assert status == 0
    assert leftovers(state) == [], "Ctrl-C left processes behind"
