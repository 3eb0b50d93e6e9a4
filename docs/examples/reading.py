"""Ways to read what was delivered; `docs/reading.md` explains them, an endpoint test runs them."""

import pandas as pd
import pyarrow as pa
import pyarrow.dataset as ds

from rwt_assets import open_delivery, read_delivery


def trips_and_stops() -> tuple[pd.DataFrame, pa.Table]:
    stops = read_delivery("gtfs/a.zip", "stops.txt")  # a DataFrame
    times = open_delivery("gtfs/a.zip", "stop_times.txt")  # a pyarrow dataset
    return stops, times.to_table(columns=["trip_id", "stop_id"])


FOLDERS = ds.partitioning(
    pa.schema([("archive", pa.string()), ("revision", pa.string()), ("stop_sequence", pa.int64())]),
    flavor="hive",
)


def second_stops(enriched: str, filesystem: object = None) -> pd.DataFrame:
    return pd.read_parquet(
        f"{enriched}/member=stop_times.txt",
        filesystem=filesystem,
        partitioning=FOLDERS,
        filters=[("archive", "=", "gtfs/a.zip"), ("stop_sequence", "=", 1)],
    )
