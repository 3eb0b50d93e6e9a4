"""A ZIP archive as its members: its directory, its encryption, its compression and its limits.

Nothing here knows that a member is a CSV file.
"""

from rwt_assets.archive.archive import Member, read_member
from rwt_assets.archive.feed_choice import (
    count_taken,
    feed_for_archive,
    feed_for_key,
    nothing_reads,
)
from rwt_assets.archive.nesting import CONTROL, NO_RULE, Found, Walk
from rwt_assets.archive.zip_names import shown

__all__ = [
    "CONTROL",
    "NO_RULE",
    "Found",
    "Member",
    "Walk",
    "count_taken",
    "feed_for_archive",
    "feed_for_key",
    "nothing_reads",
    "read_member",
    "shown",
]
