"""The folder below which a stack keeps everything: its owner's alone, and nobody else's.

What belongs here: making it, locking it, and refusing one that another user could have prepared.
What does not: what lies in it (`stack.py`). Rules: POSIX.1-2017, `open` (`O_NOFOLLOW`), `chmod`.
"""

import os
import stat
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from pathlib import Path
from tempfile import NamedTemporaryFile
from typing import IO, Final

from rwt_assets.runtime import StateFolderError

LOCK_FILE: Final = "lock"
GIVE_ANOTHER: Final = "Give a folder of your own: --state or RWT_STATE."
# Dagster makes a URL of the path and does not escape it: the databases would lie elsewhere.
NOT_IN_A_PATH: Final = ("%", "?")
LINKS_AT_MOST: Final = 40  # Linux man-pages, path_resolution(7)
ROOT: Final = 0  # whose links the system itself has, such as /var/run
OTHERS_MAY_WRITE: Final = stat.S_IWGRP | stat.S_IWOTH


def make_state_folder(folder: Path) -> None:
    """Make it, or take one that is there: archives, rows and the storage's password lie in it.

    One that is empty, or in which a stack has run, becomes its owner's alone (0700) before anything
    is written. In one with another use, what the stack writes is its owner's alone.

    Raises:
        StateFolderError: it is another user's, others may write there, or nobody can.
    """
    if odd := [one for one in NOT_IN_A_PATH if one in str(folder.absolute())]:
        raise _refusal(folder, f"Dagster's SQLite takes {odd[0]} in a path for something else")
    with _refused(folder):
        refuse_of_others(folder)  # before anything is made where a link of theirs leads
        folder.mkdir(mode=0o700, parents=True, exist_ok=True)
        refuse_of_others(folder)
        if (folder / LOCK_FILE).exists() or not any(folder.iterdir()):
            folder.chmod(0o700)
        elif folder.stat().st_mode & OTHERS_MAY_WRITE:
            raise _refusal(folder, "other users of this machine may write to the state folder")
        with NamedTemporaryFile(dir=folder):
            pass  # else it would be SQLite or a log that could not be written


def refuse_of_others(folder: Path) -> None:
    """Raise if a state folder, or a link on the way to it, is another user's.

    They could lead this process anywhere: also to a folder of its own owner's.

    Raises:
        StateFolderError: it is.
    """
    if why := link_of_others(folder):
        raise _refusal(folder, why)
    own = os.geteuid()
    with suppress(FileNotFoundError, NotADirectoryError):
        owner = folder.stat().st_uid
        if owner != own:
            raise _refusal(folder, f"the state folder belongs to another user (uid {owner})")


def link_of_others(path: Path) -> str:
    """Which link of another user leads to a path, as a sentence; "" if none does."""
    for link in _links_on_the_way_to(path.absolute()):
        if (uid := link.lstat().st_uid) not in {os.geteuid(), ROOT}:
            return f"{link} is a link of another user (uid {uid})"
    return ""


def _links_on_the_way_to(folder: Path) -> Iterator[Path]:
    """Each link that leads to a place, also those in what other links say."""
    place, parts, seen = Path(folder.anchor), list(reversed(folder.parts[1:])), 0
    while parts:
        part = parts.pop()
        place = place.parent if part == ".." else place / part
        if part == ".." or not place.is_symlink():
            continue
        yield place
        seen += 1
        if seen > LINKS_AT_MOST:
            return
        target = place.readlink()
        parts += reversed(target.parts[1:] if target.is_absolute() else target.parts)
        place = Path(target.anchor) if target.is_absolute() else place.parent


def open_lock(folder: Path) -> IO[str]:
    """The lock of a state folder, made if it is not there; never one that lies elsewhere.

    Raises:
        StateFolderError: it is a link, or cannot be written to.
    """
    with _refused(folder):
        flags = os.O_RDWR | os.O_CREAT | os.O_CLOEXEC | os.O_NOFOLLOW
        return os.fdopen(os.open(folder / LOCK_FILE, flags, 0o600), "w")


@contextmanager
def _refused(folder: Path) -> Iterator[None]:
    try:
        yield
    except OSError as error:
        why = f"nothing can be written to the state folder: {error.strerror}"
        raise _refusal(folder, why) from error


def _refusal(folder: Path, why: str) -> StateFolderError:
    return StateFolderError(why, where=str(folder), effect="Nothing was started.", fix=GIVE_ANOTHER)
