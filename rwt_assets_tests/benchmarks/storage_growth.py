"""What one archive leaves behind in Dagster's storage, by table, and what retirement gives back.

What belongs here: archives of two sizes through `rwt up`, and the storage before and after; two
sizes tell apart what an archive adds and what a shard adds. What does not: time
(`orchestration.py`). PostgreSQL documentation: "Database Object Size Functions"
(`pg_total_relation_size`: a table with its indexes and what is stored apart).
"""

import tempfile
import time
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path

import dagster as dg
from sqlalchemy import create_engine, text

from rwt_assets.embedded.stack import dagster_home
from rwt_assets.graph.feed_graph import FeedGraph
from rwt_assets_tests.archives import timetable
from rwt_assets_tests.benchmarks.databases import database
from rwt_assets_tests.end_to_end.running_stack import RunningStack

SHARDS = (20, 200)
ARCHIVES = 4
TRIPS = 3
SETTLE_SECONDS = 20
PATIENCE_SECONDS = 1_800
MONTH_ARCHIVES, MONTH_SHARDS = 1_000_000, 200
GROUPS = ("runs.db", "index.db", "schedules.db", "a file for each run", "output of runs")


@dataclass(frozen=True, slots=True)
class Size:
    """Rows and bytes of one table, or files and their bytes."""

    rows: float = 0
    bytes: float = 0

    def __add__(self, other: "Size") -> "Size":
        return Size(self.rows + other.rows, self.bytes + other.bytes)

    def __sub__(self, other: "Size") -> "Size":
        return Size(self.rows - other.rows, self.bytes - other.bytes)

    def __truediv__(self, number: float) -> "Size":
        return Size(self.rows / number, self.bytes / number)

    def __mul__(self, number: float) -> "Size":
        return Size(self.rows * number, self.bytes * number)


Sizes = Mapping[str, Size]


def separate(small: Size, large: Size, shards: tuple[int, int] = SHARDS) -> tuple[Size, Size]:
    """What an archive adds and what each of its shards adds, from archives of two sizes.

    The first pages of a table come with the first archives, and are more than a small table grows
    by later: where the larger ones seem to add less, shards add nothing and an archive the mean.
    """
    each = (large - small) / (shards[1] - shards[0])
    if each.bytes < 0:
        return (small + large) / 2, Size()
    return small - each * shards[0], each


def in_a_month(archive: Size, shard: Size, archives: int, shards: int) -> Size:
    """What so many archives of so many shards add."""
    return Size(
        archives * (archive.rows + shards * shard.rows),
        archives * (archive.bytes + shards * shard.bytes),
    )


def measure_growth(*storages: str) -> None:
    """Print it for PostgreSQL and for SQLite."""
    for storage in storages or ("postgresql", "sqlite"):
        with tempfile.TemporaryDirectory() as folder, database(storage) as url:
            state = Path(folder).resolve() / "state"
            state.mkdir()
            stack = RunningStack(state, storage=url)
            print(f"\n{storage}: {ARCHIVES} archives of {SHARDS[0]} and of {SHARDS[1]} shards")
            _measure(stack, url)


def _measure(stack: RunningStack, url: str) -> None:
    added: list[Sizes] = []
    for number in SHARDS:
        with _running(stack):
            time.sleep(SETTLE_SECONDS)
            before = _sizes(stack, url)
            began = time.monotonic()
            for one in range(ARCHIVES):
                stack.upload(f"{number}-{one}.zip", timetable(trips=TRIPS, stops=number - 1))
            wanted = ARCHIVES * (len(added) + 1)
            stack.wait_for(lambda wanted=wanted: _delivered(stack) >= wanted, PATIENCE_SECONDS)
            hours = (time.monotonic() - began) / 3_600
            after = _sizes(stack, url)
        growth = {name: after[name] - before.get(name, Size()) for name in after}
        if "job_ticks" in growth:
            ticks = growth.pop("job_ticks")
            print(f"  job_ticks, whatever is done: {ticks.rows / hours:,.0f} rows an hour")
        added.append({name: one / ARCHIVES for name, one in growth.items()})
    print(f"  {'':<24}{'an archive':>22}{'a shard':>22}{'1,000,000 of 200 a month':>32}")
    for name in sorted(added[1], key=lambda one: -added[1][one].bytes):
        archive, shard = separate(added[0].get(name, Size()), added[1][name])
        month = in_a_month(archive, shard, MONTH_ARCHIVES, MONTH_SHARDS)
        if not added[1][name].bytes and not added[1][name].rows:
            continue
        print(
            f"  {name:<24}{archive.rows:>8,.1f} {archive.bytes:>10,.0f} B{shard.rows:>9.2f} "
            f"{shard.bytes:>9,.0f} B{month.rows / 1e6:>14,.1f} M {month.bytes / 1e9:>10,.1f} GB"
        )
    full = _sizes(stack, url, rewritten=True)
    print(f"  all, rewritten by VACUUM: {_sum(full)}")
    retired = stack.rwt("retire", "--older-than", "0h", "--keep-data")
    assert retired.returncode == 0, retired.stdout + retired.stderr
    print(f"  after rwt retire: {_sum(_sizes(stack, url, rewritten=True))}")
    with stack.instance() as instance:
        for run in instance.get_runs():
            instance.delete_run(run.run_id)
    left = _sizes(stack, url, rewritten=True)
    print(f"  after the runs were deleted, too: {_sum(left)}")
    for name, size in sorted(left.items(), key=lambda one: -one[1].bytes)[:4]:
        print(f"    {name}: {size.rows:,.0f} rows, {size.bytes:,.0f} B")


@contextmanager
def _running(stack: RunningStack) -> Iterator[None]:
    stack.start()
    try:
        yield
    finally:
        stack.stop()


def _delivered(stack: RunningStack) -> int:
    """Deliveries so far."""
    with stack.instance() as instance:
        kind = dg.DagsterEventType.ASSET_MATERIALIZATION
        key = FeedGraph(stack.feed.name).delivery
        return len(instance.get_latest_storage_id_by_partition(key, kind))


def _sum(sizes: Sizes) -> str:
    rows = sum(one.rows for one in sizes.values())
    return f"{rows:,.0f} rows or files, {sum(one.bytes for one in sizes.values()):,.0f} B"


def _sizes(stack: RunningStack, url: str, *, rewritten: bool = False) -> Sizes:
    return _of_postgresql(url, rewritten) if url else _of_sqlite(stack, rewritten)


def _of_postgresql(url: str, rewritten: bool) -> Sizes:  # noqa: FBT001 - private
    engine = create_engine(
        url.replace("postgresql://", "postgresql+psycopg2://"), isolation_level="AUTOCOMMIT"
    )
    sizes: dict[str, Size] = {}
    with engine.connect() as connection:
        connection.execute(text("VACUUM FULL" if rewritten else "VACUUM"))
        tables = text("SELECT relname FROM pg_stat_user_tables")
        for (table,) in connection.execute(tables).fetchall():
            asked = text(
                f"SELECT (SELECT count(*) FROM {table}), pg_total_relation_size('{table}')"
            )
            rows, size = connection.execute(asked).one()
            sizes[str(table)] = Size(rows, size)
    engine.dispose()
    return sizes


def _of_sqlite(stack: RunningStack, rewritten: bool) -> Sizes:  # noqa: FBT001 - private
    """Files by what is in them; rows are files."""
    sizes = dict.fromkeys(GROUPS, Size())
    home = dagster_home(stack.state)
    for path in home.rglob("*"):
        if not path.is_file() or path.suffix in (".yaml", ".json"):
            continue
        if rewritten and path.suffix == ".db":
            engine = create_engine(f"sqlite:///{path}", isolation_level="AUTOCOMMIT")
            with engine.connect() as connection:
                connection.execute(text("PRAGMA wal_checkpoint(TRUNCATE)"))
                connection.execute(text("VACUUM"))
            engine.dispose()
        name = path.name.split("-wal")[0].split("-shm")[0]
        if "history/runs/" in str(path) and name != "index.db":
            name = "a file for each run"
        elif name not in GROUPS:
            name = "output of runs"
        more = Size(int(path.suffix == ".db" or name == "output of runs"), path.stat().st_size)
        sizes[name] += more
    return sizes
