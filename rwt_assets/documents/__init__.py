"""The documents of an archive and where they lie: manifest, delivery, schemas, row numbers.

Keys of objects and of partitions are made and read here alone.
"""

from rwt_assets.documents.control_file import AT_MOST_BYTES, joined, read_control_file
from rwt_assets.documents.documents import remove_document, write_document
from rwt_assets.documents.footers import (
    READ_BYTES,
    Footer,
    before_footer,
    crc32_of_file,
    read_footer,
    seal_footer,
)
from rwt_assets.documents.generations import (
    enrichment_version,
    generation_of,
    split_id,
    splitting_version,
)
from rwt_assets.documents.layout import Generation, Layout, Place, digest
from rwt_assets.documents.manifest import (
    ArchiveManifest,
    Claim,
    ControlReport,
    Delivery,
    EnrichedObject,
    FormerDelivery,
    LineCounts,
    MemberReport,
    Part,
    Shard,
)
from rwt_assets.documents.partitions import (
    ShardKey,
    archive_of_shard,
    archive_partition_key,
    parse_archive_partition_key,
    shard_partition_prefix,
)
from rwt_assets.documents.row_numbers import (
    OBJECT_BYTES,
    ROW_NUMBER,
    RowNumbers,
    RowNumberWriter,
    consecutive,
    damaged,
)
from rwt_assets.documents.schema_history import (
    KindFinding,
    SchemaChange,
    forget_archive,
    record_schemas,
)
from rwt_assets.documents.schemas import differences_sentence, differences_table, kind_of
from rwt_assets.documents.trailers import stated_in_trailers

__all__ = [
    "AT_MOST_BYTES",
    "OBJECT_BYTES",
    "READ_BYTES",
    "ROW_NUMBER",
    "ArchiveManifest",
    "Claim",
    "ControlReport",
    "Delivery",
    "EnrichedObject",
    "Footer",
    "FormerDelivery",
    "Generation",
    "KindFinding",
    "Layout",
    "LineCounts",
    "MemberReport",
    "Part",
    "Place",
    "RowNumberWriter",
    "RowNumbers",
    "SchemaChange",
    "Shard",
    "ShardKey",
    "archive_of_shard",
    "archive_partition_key",
    "before_footer",
    "consecutive",
    "crc32_of_file",
    "damaged",
    "differences_sentence",
    "differences_table",
    "digest",
    "enrichment_version",
    "forget_archive",
    "generation_of",
    "joined",
    "kind_of",
    "parse_archive_partition_key",
    "read_control_file",
    "read_footer",
    "record_schemas",
    "remove_document",
    "seal_footer",
    "shard_partition_prefix",
    "split_id",
    "splitting_version",
    "stated_in_trailers",
    "write_document",
]
