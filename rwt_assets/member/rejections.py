"""Rows that are none: how many, by which rule, and the rows themselves, in bounded memory.

What belongs here: holding them back until their member was read as a whole. What does not: why a
row is none (`member_rows.py`, `split_values.py`) and where it is kept (`unpacking.py`). Apache
Arrow documentation: "Streaming, Serialization, and IPC".
"""

from collections import Counter
from collections.abc import Iterator
from dataclasses import dataclass
from typing import IO, Any, Final

import pyarrow as pa

from rwt_assets.runtime import unnamed_file

HELD_BYTES: Final = 4 << 20
SLICE_ROWS: Final = 8 << 10  # that many are looked at together
REJECTED_ROWS: Final = pa.schema(
    [
        ("line", pa.int64()),
        ("row", pa.int64()),
        ("rows", pa.int64()),
        ("lines", pa.int64()),
        ("rule", pa.string()),
        ("reason", pa.string()),
        ("text", pa.string()),
    ]
)


@dataclass(frozen=True, slots=True)
class RejectedRow:
    """A record that is no row: its physical line (header = 1), its ordinal, and why.

    `lines` is how many physical lines it has, `rows` for how many rows it counts.
    """

    line: int | None
    row: int | None
    rows: int
    rule: str
    reason: str
    text: str
    lines: int | None = 1


class Rejections:
    """Rejected rows of one member, in the order in which they were added.

    What is more than a few MiB goes to a file without a name, where Python's `tempfile` makes
    them; it is gone with this object.
    """

    def __init__(self) -> None:
        self.by_rule: Counter[str] = Counter()
        self.rows = 0
        self._held: list[pa.Table] = []
        self._held_bytes = 0
        self._records = 0
        self._file: IO[bytes] | None = None
        self._writer: Any = None

    def __len__(self) -> int:
        return self._records

    def add(self, table: pa.Table) -> None:
        """Take rejected rows, a table of `REJECTED_ROWS`."""
        if table.num_rows == 0:
            return
        counts = table.group_by("rule", use_threads=False).aggregate([("rows", "sum")])
        for one in counts.to_pylist():
            self.by_rule[one["rule"]] += one["rows_sum"]
            self.rows += one["rows_sum"]
        self._records += table.num_rows
        self._held.append(table)
        self._held_bytes += table.nbytes
        if self._held_bytes >= HELD_BYTES:
            self._spill()

    def tables(self) -> Iterator[pa.Table]:
        """The rows, table by table, as often as wanted. Nothing can be added afterwards."""
        if self._file is not None:
            if self._writer is not None:
                self._spill()
                self._writer.close()
                self._writer = None
            self._file.seek(0)
            with pa.ipc.open_stream(self._file) as reader:
                for batch in reader:
                    yield pa.Table.from_batches([batch])
        yield from self._held

    def __iter__(self) -> Iterator[RejectedRow]:
        for table in self.tables():
            for row in table.to_pylist():
                yield RejectedRow(**row)

    def _spill(self) -> None:
        if self._file is None:
            self._file = unnamed_file(self)
            options = pa.ipc.IpcWriteOptions(compression="lz4")
            self._writer = pa.ipc.new_stream(self._file, REJECTED_ROWS, options=options)
        for table in self._held:
            self._writer.write_table(table.combine_chunks())
        self._held, self._held_bytes = [], 0
