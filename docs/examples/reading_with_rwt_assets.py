"""Reading a delivery by rwt_assets; `docs/reading.md` explains it, an endpoint test runs it."""

import pandas as pd
import pyarrow as pa

from rwt_assets import open_delivery, read_delivery


def stops_and_times() -> tuple[pd.DataFrame, pa.Table]:
    stops = read_delivery("gtfs/a.zip", "stops.txt")  # a DataFrame
    times = open_delivery("gtfs/a.zip", "stop_times.txt")  # a pyarrow dataset
    return stops, times.to_table(columns=["trip_id", "stop_id"])
