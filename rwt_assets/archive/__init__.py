"""An archive as its members: its directory, its encryption, its compression and its limits.

Nothing here knows that a member is a CSV file.
"""

from rwt_assets.archive.feed_choice import (
    count_taken,
    feed_for_archive,
    feed_for_key,
    nothing_reads,
)
from rwt_assets.archive.kinds import SUFFIXES
from rwt_assets.archive.members import Member
from rwt_assets.archive.nesting import CONTROL, NO_RULE, Found, open_archive
from rwt_assets.archive.zip_names import shown

__all__ = [
    "CONTROL",
    "NO_RULE",
    "SUFFIXES",
    "Found",
    "Member",
    "count_taken",
    "feed_for_archive",
    "feed_for_key",
    "nothing_reads",
    "open_archive",
    "shown",
]
