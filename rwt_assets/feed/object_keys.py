"""Keys of objects that not every client of S3 sends as they are.

What belongs here: which keys are safe with which client, and which prefixes a feed may declare.
What does not: the clients (`resources/`) and the names of what is written (`layout.py`). Rules:
documentation of Rust's `object_store`, "Path" (a slash at either end is dropped, empty segments,
`.`, `..` and control characters are refused), which obstore is built on; Arrow's `S3FileSystem`
refuses empty segments, too, and takes a key that ends in a slash for a folder; Amazon S3 User
Guide, "Naming Amazon S3 objects" (S3 itself takes any UTF-8).
"""

import re
from typing import Final

CONTROL: Final = re.compile(r"[\x00-\x1f\x7f]")
_NO_SEGMENTS: Final = frozenset({"", ".", ".."})


def is_plain_path(key: str) -> bool:
    """Whether every client sends this key as it is; boto3 does that with any key."""
    return _NO_SEGMENTS.isdisjoint(key.split("/")) and CONTROL.search(key) is None


def check_target_prefix(prefix: str) -> str:
    """A prefix below which every client finds what is written.

    Raises:
        ValueError: some would write or look elsewhere, or refuse.
    """
    if is_plain_path(prefix):
        return prefix
    plain = "/".join(one for one in prefix.split("/") if one not in _NO_SEGMENTS)
    plain = CONTROL.sub("", plain)
    instead = f"; write {plain!r}" if plain else ""
    msg = (
        f"{prefix!r} has a slash at its beginning or end, an empty segment, '.', '..' or a control "
        f"character, which some clients of S3 drop or refuse{instead}"
    )
    raise ValueError(msg)


def check_source_prefix(prefix: str) -> str:
    """A prefix that a bucket's notification can have; slashes and dots are part of it.

    Raises:
        ValueError: it has a control character, which XML cannot have.
    """
    if CONTROL.search(prefix):
        msg = f"{prefix!r} has a control character, which the notification of a bucket cannot have"
        raise ValueError(msg)
    return prefix
