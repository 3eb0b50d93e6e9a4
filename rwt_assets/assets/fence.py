"""Whether a run still works on the newest revision: one that was taken for lost may end late."""

from rwt_assets.catalog import FeedCatalog
from rwt_assets.errors import SupersededError


def refuse_superseded(catalog: FeedCatalog, archive: str, revision: str) -> None:
    """Give up if a newer revision of an archive is on record.

    Args:
        catalog: of the feed.
        archive: object key.
        revision: that the run has worked on.

    Raises:
        SupersededError: another revision is the newest on record.
    """
    newest = catalog.latest_revision(archive)
    if newest is not None and newest.revision != revision:
        raise SupersededError(
            f"revision {newest.revision} of the archive has arrived meanwhile",
            where=f"s3://{newest.bucket}/{archive}, revision {revision}",
            fate="This run gave up without effect; what was delivered is as it was.",
            remedy="Nothing to do: the newer revision is processed by itself.",
        )
