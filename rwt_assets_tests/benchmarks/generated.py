"""The archives of the benchmarks, made once and kept in a folder outside of the project.

What belongs here: their sizes and contents. What does not: who reads them.

Every row has 101 bytes on average: ticket (text, nearly all different), station (the split
column), sold_at, price, quantity, channel and note. The same sizes give the same bytes.
"""

import tempfile
import zipfile
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa
from pyarrow import csv as arrow_csv

SEED = 20261124
BLOCK_ROWS = 375_000
CHANNELS = pa.array(["web", "app", "counter", "machine"])
CACHE = Path(tempfile.gettempdir()) / "rwt-bench"


@dataclass(frozen=True, slots=True)
class Archive:
    """An archive by its figures."""

    members: int
    rows: int  # of each member
    values: int = 50

    @property
    def name(self) -> str:
        return f"sales-{self.members}x{self.rows}-{self.values}.zip"


SMALL = Archive(4, 375_000)  # 150 MB of CSV
MEDIUM = Archive(4, 3_750_000)  # 1.5 GB
LARGE = Archive(4, 15_000_000)  # 6 GB
SHOWN = {"small": "150 MB of CSV", "medium": "1.5 GB of CSV", "large": "6 GB of CSV"}
SIZES = {"small": SMALL, "medium": MEDIUM, "large": LARGE}


def archive_file(archive: Archive, cache: Path = CACHE) -> Path:
    """The archive as a file, made if it is not in the cache."""
    path = cache / archive.name
    if not path.exists():
        cache.mkdir(parents=True, exist_ok=True)
        unfinished = path.with_suffix(".unfinished")
        _write(archive, unfinished)
        unfinished.rename(path)
    return path


def _write(archive: Archive, path: Path) -> None:
    random = np.random.default_rng(SEED)
    options = arrow_csv.WriteOptions(quoting_style="none")  # as pandas and Excel write it
    with zipfile.ZipFile(path, "w", zipfile.ZIP_DEFLATED) as written:
        for number in range(archive.members):
            entry = zipfile.ZipInfo(f"sales_{number}.csv")
            entry.compress_type = zipfile.ZIP_DEFLATED
            with (
                written.open(entry, "w", force_zip64=True) as member,
                arrow_csv.CSVWriter(
                    member, _block(random, 0, 1).schema, write_options=options
                ) as w,
            ):
                for start in range(0, archive.rows, BLOCK_ROWS):
                    rows = min(BLOCK_ROWS, archive.rows - start)
                    w.write_table(_block(random, rows, archive.values))


def _block(random: np.random.Generator, rows: int, values: int) -> pa.Table:
    seconds = np.sort(random.integers(1_700_000_000, 1_730_000_000, rows))
    cents = random.integers(100, 20_000, rows)
    notes = random.integers(0, 2**62, rows)
    width = max(3, len(str(values - 1)))
    prices = pa.array([f"{n / 100:.2f}" for n in range(20_000)])
    return pa.table(
        {
            "ticket": _numbers(random.integers(0, 375 * 10**9, rows), 12, 10, b"T"),
            "station": _numbers(random.integers(0, values, rows), width, 10, b"station-"),
            "sold_at": pa.array(
                np.datetime_as_string(seconds.astype("datetime64[s]")), pa.string()
            ),
            "price": prices.take(pa.array(cents)),
            "quantity": _numbers(random.integers(1, 9, rows), 1, 10, b""),
            "channel": CHANNELS.take(pa.array(random.integers(0, 4, rows))),
            "note": _numbers(notes, 44, 16, b""),
        }
    )


def _numbers(numbers: np.ndarray, width: int, base: int, prefix: bytes) -> Any:
    """Each number as text with leading zeros; formatting millions one by one takes minutes."""
    digits = np.frombuffer(b"0123456789abcdef", np.uint8)
    length = len(prefix) + width
    text = np.full((len(numbers), length), digits[0], np.uint8)
    text[:, : len(prefix)] = np.frombuffer(prefix, np.uint8)
    left = numbers.copy()
    for place in range(length - 1, len(prefix) - 1, -1):
        if not left.any():
            break
        left, digit = np.divmod(left, base)
        text[:, place] = digits[digit]
    offsets = np.arange(0, (len(numbers) + 1) * length, length, dtype=np.int32)
    buffers = [None, pa.py_buffer(offsets), pa.py_buffer(text.tobytes())]
    return pa.Array.from_buffers(pa.string(), len(numbers), buffers)
