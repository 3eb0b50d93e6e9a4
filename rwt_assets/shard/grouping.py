"""The rows of a member grouped by the value that they share, in bounded memory.

What belongs here: holding rows back, sorting them by group, and putting them on the local disk
when there are too many. What does not: what the rows and the groups are (`splitting.py`,
`one_pass.py`). Apache Arrow documentation: "Streaming, Serialization, and IPC".

Rows come in batches in the order of the member and leave group by group, in that order within
each. Nothing leaves before the last row has come. Each batch is sorted by itself, while the
processor's cache has it; batches are merged where groups are small, and before they go to the
disk, so that ten thousand groups cost little more than ten.
"""

from collections.abc import Iterator
from dataclasses import dataclass
from threading import Lock
from typing import IO, Any, Final

import numpy as np
import pyarrow as pa

from rwt_assets.runtime import unnamed_file

PACKED_BYTES: Final = 256 << 10  # small groups lie together on the disk, up to this
CHUNK_BYTES: Final = 8 << 20  # of one group, what is read at a time
SMALL_PIECE_ROWS: Final = 64  # of a group in a batch; below, batches are merged
AT_ONCE_BYTES: Final = 4 << 20  # a group up to this size is read as a whole


@dataclass(frozen=True, slots=True)
class _Run:
    """Rows sorted by group, in memory or on the disk.

    Group `g` has the rows from `bounds[g]` to `bounds[g + 1]`. Those on the disk are in batches;
    batch `first_batch + i` begins at row `starts[i]`, and `table` has none of them.
    """

    bounds: np.ndarray
    row_bytes: float
    table: pa.Table
    starts: np.ndarray | None = None
    first_batch: int = 0

    def __len__(self) -> int:
        return int(self.bounds[-1])


class GroupedRows:
    """Rows by group.

    What goes to the disk is a file without a name, where Python's `tempfile` makes them
    (`TMPDIR`). It is gone with this object and whatever is still to be read of it, and with the
    process, however that ends.

    `held_bytes` are in memory; anyone who adds rows says when they go to the disk.
    """

    def __init__(self) -> None:
        self.held_bytes = 0
        self._held: list[_Run] = []
        self._runs: list[_Run] = []
        self._file: IO[bytes] | None = None
        self._writer: Any = None
        self._reader: Any = None
        self._written = 0
        self._last_read: dict[int, pa.Table] = {}  # of small groups, one a run
        self._lock = Lock()
        self.schema: pa.Schema | None = None

    @property
    def spilled(self) -> bool:
        """Whether something went to the disk."""
        return self._file is not None

    def add(self, groups: np.ndarray, table: pa.Table) -> None:
        """Take rows.

        Args:
            groups: the number of each row's group, from 0.
            table: the rows; every batch has the same columns.
        """
        self.schema = self.schema or table.schema
        if table.num_rows == 0:
            return
        run = _sorted(groups, table)
        self._held.append(run)
        self.held_bytes += table.nbytes

    def finish(self) -> None:
        """Say that no more rows come."""
        if self._held and self.spilled:
            self.spill()
        elif self._held:
            rows = sum(len(run) for run in self._held)
            groups = max(len(run.bounds) for run in self._held)
            if len(self._held) > 1 and rows < groups * len(self._held) * SMALL_PIECE_ROWS:
                self.spill()
            else:
                self._runs, self._held = self._held, []
        if self._writer is not None:
            self._writer.close()
            self._writer = None
            self._reader = pa.ipc.open_file(self._file)

    def tables(self, group: int) -> Iterator[pa.Table]:
        """The rows of a group, some MiB at a time.

        Groups are best asked for in rising order, by one thread; what comes back may be
        consumed by another.
        """
        chunks = (chunk for run in self._runs for chunk in self._chunks(run, group))
        # A small group shares what is read with its neighbours, so it is read here and now.
        return iter([*chunks]) if self.bytes(group) <= AT_ONCE_BYTES else chunks

    def rows(self, group: int) -> int:
        """How many rows a group has."""
        return sum(_count(run, group) for run in self._runs)

    def bytes(self, group: int) -> int:
        """About how many bytes the rows of a group take in memory."""
        return int(sum(_count(run, group) * run.row_bytes for run in self._runs))

    def spill(self) -> None:
        """Put what is held on the disk, the rows of each group together."""
        if not self._held:
            return
        held, self._held, self.held_bytes = self._held, [], 0
        if self._file is None:
            self._file = unnamed_file(self)
            self._writer = pa.ipc.new_file(self._file, held[0].table.schema)
        counts = np.zeros(max(len(run.bounds) for run in held) - 1, np.int64)
        for run in held:
            counts[: len(run.bounds) - 1] += np.diff(run.bounds)
        bounds = np.concatenate([[0], np.cumsum(counts)])
        row_bytes = sum(run.row_bytes * len(run) for run in held) / int(bounds[-1])
        starts: list[int] = []
        start = 0
        for first, last in _packs(bounds, row_bytes):
            for table in _together(held, first, last, row_bytes):
                self._writer.write_batch(table.combine_chunks().to_batches()[0])
                starts.append(start)
                start += table.num_rows
        empty = held[0].table.schema.empty_table()
        self._runs.append(_Run(bounds, row_bytes, empty, np.array(starts), self._written))
        self._written += len(starts)

    def _chunks(self, run: _Run, group: int) -> Iterator[pa.Table]:
        if _count(run, group) == 0:
            return
        start, end = int(run.bounds[group]), int(run.bounds[group + 1])
        if run.starts is None:
            step = max(1, int(CHUNK_BYTES / max(run.row_bytes, 1)))
            for begin in range(start, end, step):
                yield run.table.slice(begin, min(step, end - begin))
            return
        first = int(np.searchsorted(run.starts, start, side="right")) - 1
        last = int(np.searchsorted(run.starts, end, side="left"))
        for number in range(first, last):
            batch, begin = self._read(run.first_batch + number), int(run.starts[number])
            from_, to = max(start, begin), min(end, begin + batch.num_rows)
            yield batch.slice(from_ - begin, to - from_)

    def _read(self, number: int) -> pa.Table:
        with self._lock:
            if number not in self._last_read:
                batch = pa.Table.from_batches([self._reader.get_batch(number)])
                if batch.nbytes > 2 * PACKED_BYTES:
                    return batch
                while len(self._last_read) >= len(self._runs):
                    self._last_read.pop(next(iter(self._last_read)))
                self._last_read[number] = batch
            return self._last_read[number]


def _count(run: _Run, group: int) -> int:
    if group + 1 >= len(run.bounds):
        return 0
    return int(run.bounds[group + 1] - run.bounds[group])


def _sorted(groups: np.ndarray, table: pa.Table) -> _Run:
    """Rows sorted by group. Columns of several chunks are put together one by one."""
    highest = int(groups.max())
    bounds = np.concatenate([[0], np.cumsum(np.bincount(groups, minlength=highest + 1))])
    row_bytes = table.nbytes / len(groups)
    if highest == 0:
        return _Run(bounds, row_bytes, table.combine_chunks())
    # NumPy sorts integers of 16 bits by radix, several times faster than wider ones.
    order = np.argsort(groups.astype(np.min_scalar_type(highest)), kind="stable")
    indices = pa.array(order.astype(np.int32))
    columns = [column.combine_chunks().take(indices) for column in table.columns]
    return _Run(bounds, row_bytes, pa.Table.from_arrays(columns, schema=table.schema))


def _packs(bounds: np.ndarray, row_bytes: float) -> Iterator[tuple[int, int]]:
    """From which group to which rows lie together: a large one alone, small ones with others."""
    packed = max(1, int(PACKED_BYTES / max(row_bytes, 1)))
    first = 0
    for group in range(len(bounds) - 1):
        if bounds[group + 1] - bounds[group] >= packed:
            if bounds[first] < bounds[group]:
                yield first, group
            yield group, group + 1
            first = group + 1
        elif bounds[group + 1] - bounds[first] >= packed:
            yield first, group + 1
            first = group + 1
    if bounds[first] < bounds[-1]:
        yield first, len(bounds) - 1


def _together(runs: list[_Run], first: int, last: int, row_bytes: float) -> Iterator[pa.Table]:
    """The rows of some groups from several runs: of one group in pieces, else sorted."""
    slices, groups = list[pa.Table](), list[np.ndarray]()
    for run in runs:
        ends = run.bounds[np.minimum(np.arange(first, last + 1), len(run.bounds) - 1)]
        if ends[0] < ends[-1]:
            slices.append(run.table.slice(ends[0], ends[-1] - ends[0]))
            groups.append(np.repeat(np.arange(last - first), np.diff(ends)))
    if last - first > 1:
        yield _sorted(np.concatenate(groups), pa.concat_tables(slices)).table
        return
    rows = max(1, int(CHUNK_BYTES / max(row_bytes, 1)))
    whole = pa.concat_tables(slices)
    for start in range(0, whole.num_rows, rows):
        yield whole.slice(start, rows)
