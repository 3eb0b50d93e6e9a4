"""A small feed with everything in memory; every step's outcome is asserted."""

from collections.abc import Iterator
from pathlib import Path

import dagster as dg
import pytest

from rwt_assets.catalog.standing import take_standing
from rwt_assets.component import build_feed_definitions
from rwt_assets.feed.feed import Feed
from rwt_assets.resources.secrets import SecretsResource
from rwt_assets.testing import InMemoryFeed

FEED = Feed.model_validate(
    {
        "name": "shop",
        "source": {"bucket": "incoming", "queue": "shop", "prefix": "shop/"},
        "target": {"bucket": "results", "prefix": "rwt/shop"},
        "members": [
            {
                "include": ["sales*.csv"],
                "split_by": "day",
                "key_column": "item",
                "columns": {
                    "item": {"nullable": False},
                    "day": {"type": "date", "nullable": False},
                    "price": {"type": "number", "minimum": 0},
                },
            },
            {"include": ["*.csv"]},
        ],
    }
)


class Shop(InMemoryFeed):
    """The feed in memory, with what only this project's tests ask."""

    def __init__(
        self,
        instance: dg.DagsterInstance | None = None,
        feed: Feed = FEED,
        *,
        secrets: SecretsResource | None = None,
    ) -> None:
        super().__init__(feed, instance=instance, secrets=secrets)

    def drop(self, name: str, body: bytes) -> str:
        """Put an archive into the bucket without a notification; its object key."""
        key = f"{self.feed.source.prefix}{name}"
        self.objects.put(self.feed.source.bucket, key, body)
        return key

    def counts(self) -> tuple[int, int, int, int]:
        """Done, waiting, failed, forgotten."""
        standing = take_standing(self.catalog)
        return (
            len(standing.done),
            len(standing.waiting),
            len(standing.failed),
            len(standing.forgotten),
        )


@pytest.fixture
def shop() -> Iterator[Shop]:
    with Shop() as shop:
        yield shop


def stored_shop(instance: dg.DagsterInstance | None = None, feed: Feed = FEED) -> Shop:
    """A shop with the real Parquet IO manager over the in-memory object store."""
    return with_parquet(Shop(instance, feed))


def with_parquet(shop: Shop) -> Shop:
    """Give a shop the real Parquet IO manager over the in-memory object store."""
    shop.definitions = build_feed_definitions(
        shop.feed, object_store=shop.store, queue_client=shop.client
    )
    return shop


@pytest.fixture
def deployment(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[dg.DagsterInstance]:
    """What commands find by DAGSTER_HOME; the working folder is Dagster's home."""
    (tmp_path / "dagster.yaml").write_text("telemetry: {enabled: false}\n")
    monkeypatch.setenv("DAGSTER_HOME", str(tmp_path))
    monkeypatch.chdir(tmp_path)
    with dg.DagsterInstance.get() as instance:
        yield instance


@pytest.fixture
def stored() -> Iterator[Shop]:
    with stored_shop() as shop:
        yield shop


SALES = """item,day,price
pen,2026-01-01,1.50
ink,2026-01-02,7
pen,2026-01-02,1.60
"""
