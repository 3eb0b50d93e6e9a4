"""Archives for tests, made in memory."""

import io
import zipfile
from collections.abc import Mapping
from pathlib import Path

from rwt_assets.embedded import server

SAMPLES = Path(server.__file__).parent / "samples"
CAIRNS = SAMPLES / "cairns_gtfs.zip"
TIMES = ["trip_id", "arrival_time", "departure_time", "stop_id", "stop_sequence"]


def make_zip(members: Mapping[str, str | bytes], method: int = zipfile.ZIP_DEFLATED) -> bytes:
    body = io.BytesIO()
    with zipfile.ZipFile(body, "w", method) as archive:
        for name, content in members.items():
            archive.writestr(zipfile.ZipInfo(name), content, method)
    return body.getvalue()


def timetable(*, trips: int, stops: int, name: str = "T") -> bytes:
    """A small GTFS archive: `trips * stops` stop times, which split into `stops` shards."""
    minutes = [f"{8 + stop // 60:02d}:{stop % 60:02d}" for stop in range(stops)]
    lines = [",".join(TIMES)]
    lines += [
        f"{name}{trip},{minute}:00,{minute}:30,S{stop},{stop}"
        for trip in range(trips)
        for stop, minute in enumerate(minutes)
    ]
    places = ["stop_id,stop_name,stop_lat,stop_lon"]
    places += [f"S{stop},Stop {stop},-16.{stop},145.{stop}" for stop in range(stops)]
    return make_zip({"stop_times.txt": "\n".join(lines) + "\n", "stops.txt": "\n".join(places)})
