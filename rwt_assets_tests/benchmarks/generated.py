"""The archive of the benchmark: 4 members, 1.5 million rows, 50 split values, 150 MB of CSV."""

import io
import zipfile

import numpy as np
import pyarrow as pa
from pyarrow import csv as arrow_csv

MEMBERS, ROWS, VALUES, SEED = 4, 375_000, 50, 20261124


def make_archive(members: int = MEMBERS, rows: int = ROWS, values: int = VALUES) -> bytes:
    """The same bytes at every call.

    Columns: ticket (text, half as many values as rows), station (the split column), sold_at,
    price, quantity, channel and note.
    """
    random = np.random.default_rng(SEED)
    body = io.BytesIO()
    with zipfile.ZipFile(body, "w", zipfile.ZIP_DEFLATED, compresslevel=6) as archive:
        for number in range(members):
            text = io.BytesIO()
            options = arrow_csv.WriteOptions(quoting_style="none")  # as pandas and Excel write it
            arrow_csv.write_csv(_table(random, rows, values), text, options)
            archive.writestr(zipfile.ZipInfo(f"sales_{number}.csv"), text.getvalue(), 8)
    return body.getvalue()


def _table(random: np.random.Generator, rows: int, values: int) -> pa.Table:
    seconds = np.sort(random.integers(1_700_000_000, 1_730_000_000, rows))
    channels = np.array(["web", "app", "counter", "machine"])
    return pa.table(
        {
            "ticket": [f"T{n:012d}" for n in random.integers(0, rows * 10**6, rows)],
            "station": [f"station-{n:03d}" for n in random.integers(0, values, rows)],
            "sold_at": np.datetime_as_string(seconds.astype("datetime64[s]")),
            "price": [f"{n / 100:.2f}" for n in random.integers(100, 20_000, rows)],
            "quantity": random.integers(1, 9, rows).astype(str),
            "channel": channels[random.integers(0, 4, rows)],
            "note": [f"{n:044x}" for n in random.integers(0, 2**62, rows)],
        }
    )
