"""ZIP archives from S3 and SQS to enriched Parquet, as Dagster software-defined assets."""

from rwt_assets.beta import accept_beta_features

accept_beta_features()

from rwt_assets.component import ZipFeed  # noqa: E402 - what it uses is accepted above
from rwt_assets.feed import Feed  # noqa: E402

__all__ = ["Feed", "ZipFeed"]
