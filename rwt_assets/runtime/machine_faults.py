"""What says that a machine ran short, and nothing about the data.

What belongs here: telling such an error from others, however it is wrapped. What does not: what
becomes of the run (`failures.py`). Rules: POSIX.1-2017, `<errno.h>`; Python documentation,
"errno", "MemoryError", `tempfile.gettempdir` (FileNotFoundError where it can write to no folder).
"""

import errno
from collections.abc import Iterator
from typing import Final

SHORTAGES: Final = frozenset(
    {
        errno.ENOSPC,
        errno.EDQUOT,
        errno.EROFS,
        errno.EMFILE,
        errno.ENFILE,
        errno.ENOMEM,
        errno.EIO,
    }
)
# Libraries in C tell an errno by its text alone; SQLite and DuckDB have words of their own.
SAYS: Final = (
    "No space left on device",
    "Disk quota exceeded",
    "Read-only file system",
    "Too many open files",
    "Cannot allocate memory",
    "No usable temporary directory",
    "database or disk is full",
    "max_temp_directory_size",
)
_LIBRARIES: Final = frozenset({"duckdb", "_duckdb", "sqlite3", "sqlalchemy", "pyarrow"})


def is_shortage(error: BaseException) -> bool:
    """Whether an error, or what it was raised from, is that of a machine without room or memory."""
    return any(_is_one(one) for one in _chain(error))


def says_shortage(text: str) -> bool:
    """The same of the text of an error that happened in another process."""
    return any(one in text for one in SAYS)


def _is_one(error: BaseException) -> bool:
    if isinstance(error, MemoryError):
        return True
    if isinstance(error, OSError) and error.errno in SHORTAGES:
        return True
    own = type(error).__module__.partition(".")[0]
    return (isinstance(error, OSError) or own in _LIBRARIES) and says_shortage(str(error))


def _chain(error: BaseException) -> Iterator[BaseException]:
    seen: set[int] = set()
    one: BaseException | None = error
    while one is not None and id(one) not in seen:
        seen.add(id(one))
        yield one
        one = one.__cause__
