"""The format in which a declared feed's enriched shards are kept.

What belongs here: which IO manager is used. What does not: IO managers. Another format, or one
beside Parquet, is an `EnrichedShardIOManager` in a module of its own, named here; the folder of its
objects stands in `FOLDERS` (`documents/layout.py`).
"""

from typing import Final

from rwt_assets.orchestration.steps.parquet_io_manager import S3ParquetIOManager

IO_MANAGER: Final = S3ParquetIOManager
