"""The rows of a member grouped by the value that they share, in bounded memory.

What belongs here: holding rows back, sorting them by group, and putting them on the local disk
when there are too many. What does not: what the rows and the groups are (`splitting.py`,
`one_pass.py`). Apache Arrow documentation: "Streaming, Serialization, and IPC".

Rows come in batches in the order of the member and leave group by group, in that order within
each. Nothing leaves before the last row has come. What is held is sorted as a whole, so that a
batch costs the same for ten groups and for ten thousand.
"""

from collections.abc import Iterator
from dataclasses import dataclass, field
from tempfile import TemporaryFile
from threading import Lock
from typing import IO, Any, Final
from weakref import finalize

import numpy as np
import pyarrow as pa

PACKED_BYTES: Final = 256 << 10  # small groups lie together on the disk, up to this
CHUNK_BYTES: Final = 8 << 20  # of one group, what is read at a time
AT_ONCE_BYTES: Final = 4 << 20  # a group up to this size is read as a whole


@dataclass(frozen=True, slots=True)
class _Run:
    """Rows sorted by group, in memory or on the disk.

    Group `g` has the rows from `bounds[g]` to `bounds[g + 1]`. Batch `i` of those on the disk
    begins at row `starts[i]`.
    """

    bounds: np.ndarray
    row_bytes: float
    table: pa.Table | None = None
    starts: np.ndarray = field(default_factory=lambda: np.zeros(0, np.int64))
    first_batch: int = 0


class GroupedRows:
    """Rows by group.

    What goes to the disk is a file without a name, where Python's `tempfile` makes them
    (`TMPDIR`). It is gone with this object and whatever is still to be read of it, and with the
    process, however that ends.

    Args:
        held_bytes: what is held in memory before it goes to the disk.
    """

    def __init__(self, held_bytes: int) -> None:
        self._held_bytes = held_bytes
        self._tables: list[pa.Table] = []
        self._groups: list[np.ndarray] = []
        self._bytes = 0
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
        self._tables.append(table)
        self._groups.append(groups)
        self._bytes += table.nbytes
        if self._bytes >= self._held_bytes:
            self._spill()

    def finish(self) -> None:
        """Say that no more rows come."""
        if self._tables and not self.spilled:
            table, bounds, row_bytes = self._sorted()
            self._runs.append(_Run(bounds, row_bytes, table))
        elif self._tables:
            self._spill()
        if self._writer is not None:
            self._writer.close()
            self._writer = None
            self._reader = pa.ipc.open_file(self._file)

    def tables(self, group: int) -> Iterator[pa.Table]:
        """The rows of a group, some MiB at a time.

        Groups are best asked for in rising order, by one thread; what comes back may be
        consumed by another.
        """
        size = sum(_count(run, group) * run.row_bytes for run in self._runs)
        chunks = (chunk for run in self._runs for chunk in self._chunks(run, group))
        # A small group shares what is read with its neighbours, so it is read here and now.
        return iter([*chunks]) if size <= AT_ONCE_BYTES else chunks

    def rows(self, group: int) -> int:
        """How many rows a group has."""
        return sum(_count(run, group) for run in self._runs)

    def _sorted(self) -> tuple[pa.Table, np.ndarray, float]:
        """What is held, sorted by group; afterwards nothing is held."""
        groups = np.concatenate(self._groups)
        highest = int(groups.max())
        # NumPy sorts integers of 16 bits by radix, several times faster than wider ones.
        order = np.argsort(groups.astype(np.min_scalar_type(highest)), kind="stable")
        counts = np.bincount(groups, minlength=highest + 1)
        whole = pa.concat_tables(self._tables)
        size = self._bytes
        self._tables, self._groups, self._bytes = [], [], 0
        indices = None if highest == 0 else pa.array(order.astype(np.int32))
        columns: list[Any] = []
        for position in range(whole.num_columns):  # one at a time, so that few are there twice
            column = whole.column(position).combine_chunks()
            columns.append(column if indices is None else column.take(indices))
        table = pa.Table.from_arrays(columns, schema=whole.schema)
        bounds = np.concatenate([[0], np.cumsum(counts)])
        return table, bounds, size / len(groups)

    def _spill(self) -> None:
        table, bounds, row_bytes = self._sorted()
        if self._file is None:
            self._file = TemporaryFile()  # noqa: SIM115 - closed with this object
            finalize(self, self._file.close)
            self._writer = pa.ipc.new_file(self._file, table.schema)
        starts: list[int] = []
        for start, end in _packs(bounds, row_bytes):
            starts.append(start)
            self._writer.write_batch(table.slice(start, end - start).to_batches()[0])
        self._runs.append(
            _Run(bounds, row_bytes, starts=np.array(starts), first_batch=self._written)
        )
        self._written += len(starts)

    def _chunks(self, run: _Run, group: int) -> Iterator[pa.Table]:
        if _count(run, group) == 0:
            return
        start, end = int(run.bounds[group]), int(run.bounds[group + 1])
        if run.table is not None:
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


def _packs(bounds: np.ndarray, row_bytes: float) -> Iterator[tuple[int, int]]:
    """Cut sorted rows: small groups together, a large one by itself and in several pieces."""
    packed = max(1, int(PACKED_BYTES / max(row_bytes, 1)))
    step = max(1, int(CHUNK_BYTES / max(row_bytes, 1)))
    start = 0
    for end in bounds[1:].tolist():
        if end - start >= packed:
            for begin in range(start, end, step):
                yield begin, min(begin + step, end)
            start = end
    if start < bounds[-1]:
        yield start, int(bounds[-1])
