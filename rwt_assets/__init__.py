"""ZIP archives from S3 and SQS to enriched Parquet, as Dagster software-defined assets."""

from rwt_assets.component import ZipFeed as ZipFeed
from rwt_assets.feed import Feed as Feed

__all__ = ["Feed", "ZipFeed"]
