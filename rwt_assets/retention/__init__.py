"""What is removed: archives that have expired, and objects that no delivery names any more.

Nothing else deletes an object.
"""

from rwt_assets.retention.collection import YOUNG_AT_LEAST, collect
from rwt_assets.retention.retirement import find_begun, find_old, parse_age, remove_late, retire

__all__ = [
    "YOUNG_AT_LEAST",
    "collect",
    "find_begun",
    "find_old",
    "parse_age",
    "remove_late",
    "retire",
]
