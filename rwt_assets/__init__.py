"""ZIP archives from S3 and SQS to enriched Parquet, as Dagster software-defined assets."""
