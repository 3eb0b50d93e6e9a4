"""A small feed with everything in memory, and a dispatcher that carries out what is asked."""

from collections.abc import Iterator
from dataclasses import dataclass, field
from functools import cached_property

import dagster as dg
import pytest

from rwt_assets.catalog import FeedCatalog
from rwt_assets.component import build_feed_definitions
from rwt_assets.feed import Feed
from rwt_assets.intake import sweep
from rwt_assets.sensors.dispatch import plan
from rwt_assets.standing import take_standing
from rwt_assets_tests.stand_ins import (
    InMemoryIOManager,
    InMemoryObjects,
    InMemoryObjectStore,
    InMemoryQueue,
    InMemoryQueueClient,
    run_request,
)

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


@dataclass
class Shop:
    """The feed, its catalog and its stores."""

    instance: dg.DagsterInstance
    feed: Feed = FEED
    store: InMemoryObjectStore = field(default_factory=InMemoryObjectStore)
    client: InMemoryQueueClient = field(default_factory=InMemoryQueueClient)
    frames: InMemoryIOManager = field(default_factory=InMemoryIOManager)

    @cached_property
    def definitions(self) -> dg.Definitions:
        return build_feed_definitions(
            self.feed,
            object_store=self.store,
            queue_client=self.client,
            io_manager=self.frames,
        )

    @property
    def catalog(self) -> FeedCatalog:
        return FeedCatalog(self.instance, self.feed)

    @property
    def objects(self) -> InMemoryObjects:
        return self.store.objects()

    @property
    def queue(self) -> InMemoryQueue:
        return self.client.queue()

    def drop(self, name: str, body: bytes) -> str:
        """Put an archive into the bucket; its object key."""
        key = f"{self.feed.source.prefix}{name}"
        self.objects.put(self.feed.source.bucket, key, body)
        return key

    def dispatch(self, rounds: int = 10) -> list[dg.ExecuteInProcessResult]:
        """Carry out what is asked for until nothing is; all results."""
        results = []
        for _ in range(rounds):
            requests = plan(self.catalog)
            if not requests:
                return results
            results += [run_request(self.definitions, self.instance, one) for one in requests]
        pytest.fail(f"there is no end: {plan(self.catalog)}")

    def deliver(self, name: str, body: bytes) -> str:
        """Take an archive all the way; its object key."""
        key = self.drop(name, body)
        sweep(self.catalog, self.objects)
        self.dispatch()
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
    with dg.DagsterInstance.ephemeral() as instance:
        yield Shop(instance)


SALES = """item,day,price
pen,2026-01-01,1.50
ink,2026-01-02,7
pen,2026-01-02,1.60
"""
