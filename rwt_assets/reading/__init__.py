"""Read a delivery as a table: pandas, Arrow or DuckDB.

This is what a consumer imports.
"""

from rwt_assets.reading.delivered import (
    QUERY_MEMORY_MB,
    QUERY_SECONDS,
    delivered_by,
    open_delivery,
    query,
    read_delivery,
)

__all__ = [
    "QUERY_MEMORY_MB",
    "QUERY_SECONDS",
    "delivered_by",
    "open_delivery",
    "query",
    "read_delivery",
]
