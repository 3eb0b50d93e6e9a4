"""A file without a name for rows that do not fit into memory, gone with anyone who holds it.

What belongs here: making it and letting it go. What does not: what is written to it.
"""

from contextlib import suppress
from tempfile import TemporaryFile
from typing import IO
from weakref import finalize


def unnamed_file(owner: object) -> IO[bytes]:
    """A new file where Python's `tempfile` makes them (`TMPDIR`), closed when its owner is gone.

    Raises:
        OSError: there is no room for it.
    """
    file = TemporaryFile()  # noqa: SIM115 - closed with its owner
    finalize(owner, _close, file)
    return file


def _close(file: IO[bytes]) -> None:
    """Close a file whose content nobody needs any more; a full disk cannot take what is left."""
    with suppress(OSError):
        file.close()
