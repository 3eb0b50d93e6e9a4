"""ZIP archives from S3 and SQS to enriched Parquet, as Dagster software-defined assets."""

import os

# Parquet and IPC take memory from the pool that Arrow chooses when it is first imported, not from
# the one set later; see memory.py. Whoever has set another keeps it.
os.environ.setdefault("ARROW_DEFAULT_MEMORY_POOL", "system")
