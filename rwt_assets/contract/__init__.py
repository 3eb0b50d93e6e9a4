"""Records as typed rows: the contract of a member's columns, and the enrichments that add columns.

A row that the contract refuses is given back with its reason.
"""

from rwt_assets.contract.contract import (
    QUARANTINE_SCHEMA,
    TEXT_BYTES,
    QuarantineEntry,
    ShardContract,
    check_columns,
    fitting,
    new_columns,
    quarantine_table,
)
from rwt_assets.contract.enrichment import ENRICHMENT_VERSION, NAME_TYPE, crc32_of, enrich
from rwt_assets.contract.enrichment_chain import EnrichmentChain

__all__ = [
    "ENRICHMENT_VERSION",
    "NAME_TYPE",
    "QUARANTINE_SCHEMA",
    "TEXT_BYTES",
    "EnrichmentChain",
    "QuarantineEntry",
    "ShardContract",
    "check_columns",
    "crc32_of",
    "enrich",
    "fitting",
    "new_columns",
    "quarantine_table",
]
