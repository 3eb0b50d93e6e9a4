"""Another format beside Parquet, as CONTRIBUTING.md says it is added: kept and removed with it."""

from datetime import UTC, datetime, timedelta
from io import BytesIO

import pyarrow.csv as pa_csv
import pyarrow.parquet as pq
import pytest

from rwt_assets import component
from rwt_assets.delivery.history import delivery_history
from rwt_assets.documents.layout import FOLDERS, Folder, Layout
from rwt_assets.documents.partitions import ShardKey
from rwt_assets.operations.rollback import make_current_again
from rwt_assets.orchestration.steps.parquet_io_manager import ParquetShards, S3ParquetIOManager
from rwt_assets.retention.retirement import find_old, retire
from rwt_assets_tests.assets.conftest import stored_shop
from rwt_assets_tests.assets.test_deliveries import (
    IN_TWO_DAYS,
    KEY,
    NOW,
    REVISIONS,
    collected,
    deliver,
    replay,
    results,
)


class CsvBesideParquet(ParquetShards):
    """Parquet, and the same rows as CSV."""

    def write(self, shard):
        """Keep the Parquet, then read it back: the tables of a shard can be consumed once."""
        written = super().write(shard)
        key = written.uri.removeprefix(f"s3://{self.target.bucket}/")
        rows = BytesIO()
        pa_csv.write_csv(pq.read_table(BytesIO(self.objects.read(self.target.bucket, key))), rows)
        folder = Layout(self.target.prefix).shard_folder(
            "csv", shard.generation, ShardKey.parse(shard.partition_key)
        )
        self.objects.put(self.target.bucket, f"{folder}rows.csv", rows.getvalue())
        return written


class CsvIOManager(S3ParquetIOManager):
    """Keeps both."""

    def of(self, place):
        """The same places as those of the Parquet."""
        found = super().of(place)
        return CsvBesideParquet(found.objects, found.target, found.enrichment_version)


@pytest.fixture
def both(monkeypatch):
    monkeypatch.setitem(FOLDERS, "csv", Folder(enriched=True, named=False))
    monkeypatch.setattr(component, "IO_MANAGER", CsvIOManager)
    with stored_shop() as shop:
        yield shop


def of_kind(shop, kind):
    return {key.rpartition("/")[0].split("/", 3)[3] for key in results(shop) if f"/{kind}/" in key}


def generations(shop):
    return {one.split("/")[2] for one in of_kind(shop, "csv")}


def test_it_is_there_and_gone_with_the_parquet_of_its_generation(both):
    deliver(both, *REVISIONS[:2])
    replay(both)
    assert len(generations(both)) == 3
    assert of_kind(both, "csv") == of_kind(both, "enriched")
    collected(both, now=IN_TWO_DAYS)
    assert len(generations(both)) == 1
    assert of_kind(both, "csv") == of_kind(both, "enriched")


def test_it_stays_for_a_former_delivery_and_for_one_that_is_current_again(both):
    deliver(both, *REVISIONS[:2])
    both.objects.modified = {
        place: NOW - timedelta(hours=3 if "/former/" in place[1] else 72)
        for place in both.objects.modified
    }
    collected(both, now=NOW)
    assert len(generations(both)) == 2
    (_, former) = delivery_history(both.objects, both.feed, KEY)
    make_current_again(both.catalog, both.objects, KEY, to=former.generation, now=NOW)
    collected(both, now=IN_TWO_DAYS)
    assert f"rwt_generation={former.generation}" in generations(both)
    assert of_kind(both, "csv") == of_kind(both, "enriched")


def test_it_is_removed_with_an_archive_that_is_retired(both):
    deliver(both, REVISIONS[0])
    assert of_kind(both, "csv")
    old = find_old(both.catalog, timedelta(0), now=datetime.now(UTC) + timedelta(minutes=1))
    assert [one.left for one in retire(both.catalog, both.objects, old, keep_data=False)] == [""]
    assert of_kind(both, "csv") == set()
