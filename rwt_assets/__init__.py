"""ZIP archives from S3 and SQS to enriched Parquet, as Dagster software-defined assets."""

from importlib import import_module
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from rwt_assets.component import ZipFeed
    from rwt_assets.feed import Feed
    from rwt_assets.reading import open_delivery, read_delivery

__all__ = ["Feed", "ZipFeed", "open_delivery", "read_delivery"]

# Where the public names are. They are imported when they are asked for (PEP 562): the pure
# modules of this package load without Dagster. Importing any of them changes nothing in the process
# (`rwt_assets.runtime.configure_process` does).
_HOMES = {
    "Feed": "rwt_assets.feed.feed",
    "ZipFeed": "rwt_assets.component",
    "open_delivery": "rwt_assets.reading.delivered",
    "read_delivery": "rwt_assets.reading.delivered",
}


def __getattr__(name: str) -> object:
    if name not in _HOMES:
        msg = f"module {__name__!r} has no attribute {name!r}"
        raise AttributeError(msg)
    return getattr(import_module(_HOMES[name]), name)


def __dir__() -> list[str]:
    # Dagster finds components by the names that a module lists.
    return sorted({*globals(), *__all__})
