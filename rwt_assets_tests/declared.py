"""The feeds that are shipped, by name."""

from rwt_assets.definitions import declared_feeds
from rwt_assets.feed.feed import Feed


def declared_feed(name: str = "gtfs") -> Feed:
    """A feed as its `defs.yaml` and the environment have it."""
    return next(feed for feed in declared_feeds() if feed.name == name)
