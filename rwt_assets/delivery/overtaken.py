"""What took the place of an upload: of one that is waited for, it may be that it never comes.

What belongs here: seeing that, in the bucket and in what is delivered. What does not: waiting and
telling (`main.py`).
"""

from rwt_assets.delivery.consumption import read_delivery
from rwt_assets.feed import Feed
from rwt_assets.runtime import ArchiveMissingError
from rwt_assets.storage import ObjectStore


def what_overtook(store: ObjectStore, feed: Feed, key: str, revision: str) -> str:
    """What lies in the bucket in the place of an upload that is not the newest on record.

    Content is read only while it is what lies in the bucket. So an upload that another has
    replaced there, and that is not the newest on record, is not processed any more.

    Args:
        store: where archives lie.
        feed: that reads the upload.
        key: of the upload.
        revision: its ETag.

    Returns:
        What happened to it; "" while it lies there.
    """
    try:
        now = store.head(feed.source.bucket, key)
    except ArchiveMissingError:
        return "it was removed from the bucket before it was processed"
    return "" if now.etag == revision else "a newer upload of this name took its place"


def delivered_instead(store: ObjectStore, feed: Feed, key: str, revision: str) -> str:
    """What is delivered in the place of an upload that is delivered by the catalog.

    Args:
        store: where deliveries lie.
        feed: that reads the upload.
        key: of the upload.
        revision: its ETag.

    Returns:
        What is delivered; "" if it is the upload.
    """
    try:
        found = read_delivery(store, feed.target, key).revision
    except ArchiveMissingError:
        return "its archive was retired"
    return "" if found == revision else f"delivered is revision {found}: a person rolled back to it"
