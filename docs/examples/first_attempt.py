"""The first attempt in ops, jobs and sensors, as `docs/from-ops-to-assets.md` tells it.

What belongs here: the way that one takes who knows Airflow and reads Dagster's concepts one after
the other, in as few lines as it takes. What does not: anything that `rwt_assets` uses. S3 is a
folder. Dagster documentation: "Ops", "Op jobs", "Sensors", "Asset sensors".

    dagster dev -f docs/examples/first_attempt.py
"""

import zipfile
from collections.abc import Iterator
from pathlib import Path
from zlib import crc32

import dagster as dg
import pandas as pd


# 1. Two assets.
@dg.asset
def location_ids() -> list[str]:
    """The ids of some locations."""
    return ["market", "bridge", "castle"]


@dg.asset
def locations(location_ids: list[str]) -> dg.MaterializeResult[pd.DataFrame]:
    """A table made of them, with metadata on the output."""
    table = pd.DataFrame({"location": location_ids})
    preview = dg.MetadataValue.md(f"```\n{table.head()}\n```")
    return dg.MaterializeResult(value=table, metadata={"records": len(table), "preview": preview})


# 2. Three ops in a job.
class Bucket(dg.ConfigurableResource):  # type: ignore[type-arg]
    """What stands for S3: a folder with a folder for each bucket."""

    folder: str

    def path(self, bucket: str, key: str) -> Path:
        """Where an object lies."""
        return Path(self.folder) / bucket / key


class S3Object(dg.Config):
    """What an op must be told: where its object is."""

    s3_bucket: str
    s3_key: str


@dg.op
def download(config: S3Object, s3: Bucket) -> Path:
    """Get the ZIP."""
    return s3.path(config.s3_bucket, config.s3_key)


@dg.op
def unpack(archive: Path) -> list[Path]:
    """Unpack it beside itself."""
    with zipfile.ZipFile(archive) as opened:
        opened.extractall(archive.parent)
        return [archive.parent / name for name in opened.namelist()]


@dg.op
def find_relevant_items(context: dg.OpExecutionContext, s3: Bucket, files: list[Path]) -> None:
    """Log one materialization for each CSV, since their number is not known before."""
    for file in files:
        if file.suffix == ".csv":
            bucket, *key = file.relative_to(s3.folder).parts
            metadata = {"s3_bucket": bucket, "s3_key": "/".join(key)}
            context.log_event(dg.AssetMaterialization("csv_file", metadata=metadata))


@dg.job
def process_zip_file() -> None:
    """From a ZIP to its CSVs."""
    find_relevant_items(files=unpack(download()))


# 3. A sensor that starts the job, and so has to know what its first op wants.
@dg.sensor(job=process_zip_file)
def check_for_zip_file(s3: Bucket) -> Iterator[dg.RunRequest]:
    """Ask for a run for each ZIP in the folder."""
    for file in sorted(Path(s3.folder).glob("incoming/*.zip")):
        wanted = S3Object(s3_bucket="incoming", s3_key=file.name)
        yield dg.RunRequest(run_key=file.name, run_config=dg.RunConfig(ops={"download": wanted}))


# 4. A second job.
@dg.op
def load(config: S3Object, s3: Bucket) -> pd.DataFrame:
    """Read a CSV."""
    return pd.read_csv(s3.path(config.s3_bucket, config.s3_key))


@dg.op
def handle(table: pd.DataFrame) -> pd.DataFrame:
    """Add the CRC-32 of the location's UTF-8 bytes."""
    return table.assign(crc32=[crc32(name.encode()) for name in table["location"]])


@dg.op
def save(config: S3Object, s3: Bucket, table: pd.DataFrame) -> None:
    """Write it."""
    target = s3.path(config.s3_bucket, config.s3_key)
    target.parent.mkdir(parents=True, exist_ok=True)
    table.to_csv(target, index=False)


@dg.job
def process_csv_file() -> None:
    """One CSV."""
    save(table=handle(load()))


# 5. A sensor on the events of the first job starts the second.
@dg.asset_sensor(asset_key=dg.AssetKey("csv_file"), job=process_csv_file)
def check_for_csv_file(
    context: dg.SensorEvaluationContext, asset_event: dg.EventLogEntry
) -> dg.RunRequest:
    """Ask for a run for the CSV of this event."""
    materialization = asset_event.asset_materialization
    if materialization is None:
        raise TypeError("an asset sensor is given materializations only")
    # Metadata is wrapped when it is stored, so `.value`.
    bucket = materialization.metadata["s3_bucket"].value
    key = materialization.metadata["s3_key"].value
    ops = {
        "load": S3Object(s3_bucket=str(bucket), s3_key=str(key)),
        "save": S3Object(s3_bucket="results", s3_key=str(key)),
    }
    return dg.RunRequest(run_key=context.cursor, run_config=dg.RunConfig(ops=ops))


defs = dg.Definitions(
    assets=[location_ids, locations],
    jobs=[process_zip_file, process_csv_file],
    sensors=[check_for_zip_file, check_for_csv_file],
    resources={"s3": Bucket(folder=dg.EnvVar("FIRST_ATTEMPT_FOLDER"))},
)
