"""What is asked of an object store and of a queue, ranges of bytes, and messages about new objects.

The clients that talk to S3 and SQS are in `resources`.
"""

from rwt_assets.storage.byte_ranges import FILE_CHUNK_BYTES, ByteRanges, FileRanges, Section
from rwt_assets.storage.notifications import ArchiveRevision, parse_notification
from rwt_assets.storage.object_store import ObjectHead, ObjectRanges, ObjectStore, replaced
from rwt_assets.storage.queue import Message, Queue, QueueDepth

__all__ = [
    "FILE_CHUNK_BYTES",
    "ArchiveRevision",
    "ByteRanges",
    "FileRanges",
    "Message",
    "ObjectHead",
    "ObjectRanges",
    "ObjectStore",
    "Queue",
    "QueueDepth",
    "Section",
    "parse_notification",
    "replaced",
]
