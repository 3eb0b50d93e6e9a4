"""Rows leave group by group, in their order, whether they were held in memory or on the disk."""

import tempfile
from pathlib import Path

import numpy as np
import pyarrow as pa
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from rwt_assets.shard import grouping
from rwt_assets.shard.grouping import GroupedRows


def grouped(batches: list[list[int]], held_bytes: int) -> dict:
    """Every group's rows, each given by its ordinal and a text."""
    number = 0
    rows = GroupedRows()
    for groups in batches:
        ordinals = np.arange(number, number + len(groups))
        number += len(groups)
        table = pa.table({"row": ordinals, "text": [f"{n}:" + "x" * (n % 7) for n in ordinals]})
        rows.add(np.array(groups, np.int64), table)
        if rows.held_bytes >= held_bytes:
            rows.spill()
    rows.finish()
    count = max((max(groups) for groups in batches if groups), default=-1) + 1
    found = {g: [r for t in rows.tables(g) for r in t.to_pylist()] for g in range(count)}
    assert {g: rows.rows(g) for g in range(count)} == {g: len(r) for g, r in found.items()}
    return found


@given(
    st.lists(st.lists(st.integers(0, 30), max_size=40), max_size=12),
    st.sampled_from([1, 300, 2_000, 1 << 20]),
)
@settings(deadline=None)
def test_each_group_has_its_rows_in_their_order(batches: list[list[int]], held: int) -> None:
    flat = [group for batch in batches for group in batch]

    found = grouped(batches, held)

    for group, rows in found.items():
        assert [row["row"] for row in rows] == [n for n, g in enumerate(flat) if g == group]
        assert all(row["text"] == f"{row['row']}:" + "x" * (row["row"] % 7) for row in rows)


def test_what_was_spilled_is_read_in_pieces_of_bounded_size(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr(grouping, "PACKED_BYTES", 100)
    monkeypatch.setattr(grouping, "CHUNK_BYTES", 1_000)
    monkeypatch.setattr(grouping, "AT_ONCE_BYTES", 500)
    rows = GroupedRows()
    for start in range(0, 10_000, 100):
        groups = np.arange(start, start + 100) % 50 // 49
        rows.add(groups, pa.table({"row": np.arange(start, start + 100)}))
        if start % 1_300 == 0:
            rows.spill()
    rows.finish()
    pieces = list(rows.tables(0))
    assert rows.spilled
    assert max(piece.nbytes for piece in pieces) <= 1_000
    expected = [n for n in range(10_000) if n % 50 != 49]
    assert [n for piece in pieces for n in piece["row"].to_pylist()] == expected


def test_nothing_is_left_on_the_disk(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(tempfile, "tempdir", str(tmp_path))
    open_before = len(list(Path("/proc/self/fd").iterdir()))
    rows = GroupedRows()
    rows.add(np.zeros(100, np.int64), pa.table({"row": np.arange(100)}))
    rows.spill()
    rows.finish()
    left = rows.tables(0)
    assert rows.spilled
    assert not list(tmp_path.iterdir())
    del rows
    assert sum(table.num_rows for table in left) == 100
    del left
    assert len(list(Path("/proc/self/fd").iterdir())) == open_before


def test_rows_that_fit_stay_in_memory() -> None:
    rows = GroupedRows()
    rows.add(np.arange(10), pa.table({"row": np.arange(10)}))
    rows.finish()
    assert not rows.spilled
