"""Documents of which only one may be in its place: written if nobody else has written meanwhile.

What belongs here: the conditional write and removal. What does not: what is in the documents
(`manifest.py`).
Rules: Amazon S3 User Guide, "How to prevent object overwrites with conditional writes", "How to
perform conditional deletes".
"""

from rwt_assets.runtime import ArchiveMissingError
from rwt_assets.storage import ObjectStore


def write_document(store: ObjectStore, bucket: str, key: str, body: bytes, *, replaces: str) -> str:
    """Write a document in the place of the one with this ETag ("" if there was none).

    Returns:
        The ETag of this content in its place, also where an earlier try wrote it and its answer
        was lost; "" if another content has taken the place.
    """
    if etag := store.put_if(bucket, key, body, etag=replaces):
        return etag
    try:
        found, etag = store.read_tagged(bucket, key)
    except ArchiveMissingError:
        return ""
    return etag if found == body else ""


def remove_document(store: ObjectStore, bucket: str, key: str, *, etag: str) -> bool:
    """Remove the document with this ETag.

    Returns:
        Whether none is in the place now, also where an earlier try removed it and its answer was
        lost; false if another content has taken the place.
    """
    if store.delete_if(bucket, key, etag=etag):
        return True
    try:
        store.head(bucket, key)
    except ArchiveMissingError:
        return True
    return False
