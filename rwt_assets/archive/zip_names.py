"""What the members of a ZIP archive are called, no matter who wrote the archive.

What belongs here: from a name's bytes to text, names that are told apart, and names that are
no data. What does not: which names a feed takes (`feed.py`) and how objects are named
(`layout.py`). Rules: PKWARE APPNOTE.TXT 4.4.17 (file name), 4.6.9 (Info-ZIP Unicode Path
Extra Field), appendix D (language encoding).
"""

import re
import struct
import zlib
from collections.abc import Iterable
from typing import Final, NamedTuple

from rwt_assets.feed import AUTO

UTF8_FLAG: Final = 1 << 11
UNICODE_PATH: Final = 0x7075
OLD_ENCODING: Final = "cp437"
# Systems whose own separator is the backslash: MS-DOS, Windows NTFS, VFAT (APPNOTE 4.4.2).
BACKSLASH_SYSTEMS: Final = frozenset({0, 10, 14})
_UNICODE_PATH = struct.Struct("<BI")
_CONTROL = re.compile("[\x00-\x1f\x7f-\x9f\u2028\u2029]")
_JUNK_FILES: Final = {
    ".ds_store": "the Finder's settings of a folder",
    "thumbs.db": "Windows' pictures of a folder",
    "desktop.ini": "Windows' settings of a folder",
}


class Name(NamedTuple):
    """A member's name as text; `problem` says why the member cannot be read under it."""

    text: str
    problem: str = ""


def decode_name(raw: bytes, flags: int, system: int, unicode_path: bytes, encoding: str) -> Name:
    """The text of a name.

    The flag for UTF-8 decides; else the Unicode Path field, if it is of this very name; else
    UTF-8 if the bytes are that, which chance hardly makes them; else the feed's encoding.

    Backslashes become slashes where the archive says it was made on a system that separates
    by them and the name has no slash: .NET before 4.6.1 and old Windows tools write so. On
    Unix a backslash is a character of the name.
    """
    name = _decode(raw, flags, unicode_path, encoding)
    if system in BACKSLASH_SYSTEMS and "\\" in name.text and "/" not in name.text:
        name = name._replace(text=name.text.replace("\\", "/"))
    if name.problem:
        return name
    if not name.text:
        return Name("", "it has no name")
    if _CONTROL.search(name.text):
        return name._replace(problem="its name has control characters")
    return name


def _decode(raw: bytes, flags: int, unicode_path: bytes, encoding: str) -> Name:
    encoding = OLD_ENCODING if encoding == AUTO else encoding
    if flags & UTF8_FLAG:
        text = _strictly(raw, "utf-8")
        if text is not None:
            return Name(text)
        return Name(_somehow(raw, encoding), "its name is no UTF-8, though its flag says so")
    text = _from_unicode_path(raw, unicode_path)
    if text is None:
        text = _strictly(raw, "utf-8")
    if text is None:
        text = _strictly(raw, encoding)
    if text is not None:
        return Name(text)
    return Name(_somehow(raw, OLD_ENCODING), f"its name is not written in {encoding}")


def _from_unicode_path(raw: bytes, field: bytes) -> str | None:
    if len(field) <= _UNICODE_PATH.size:
        return None
    version, crc = _UNICODE_PATH.unpack_from(field)
    if version != 1 or crc != zlib.crc32(raw):
        return None
    return _strictly(field[_UNICODE_PATH.size :], "utf-8")


def _strictly(raw: bytes, encoding: str) -> str | None:
    try:
        text = raw.decode(encoding)
        text.encode("utf-8")  # some encodings give lone surrogates, which no document can hold
    except (UnicodeError, ValueError):
        return None
    return text


def _somehow(raw: bytes, encoding: str) -> str:
    text = _strictly(raw, encoding)
    return raw.decode(OLD_ENCODING) if text is None else text


def shown(name: str, limit: int) -> str:
    """A name for reports: control characters are written out, what is too long is cut."""
    text = _CONTROL.sub(lambda match: ascii(match.group())[1:-1], name)
    raw = text.encode()
    return text if len(raw) <= limit else raw[:limit].decode(errors="ignore") + "..."


def no_data(name: str) -> str:
    """Why a file of this name is never data, or nothing: folders and what systems leave."""
    folders, _, file = name.rstrip("/").rpartition("/")
    if "__MACOSX" in (*folders.split("/"), file):
        return "left by macOS: __MACOSX has no data"
    if name.endswith("/"):
        return "a folder"
    if file.startswith("._"):
        return "left by macOS: a resource fork has no data"
    known = _JUNK_FILES.get(file.lower())
    return f"no data: {known}" if known else ""


class DistinctNames:
    """Gives every member a name of its own; the later of two gets `~2`, `~3`, ... at its end."""

    def __init__(self) -> None:
        self._real: set[str] = set()
        self._given: set[str] = set()
        self._last: dict[str, int] = {}

    def reserve(self, names: Iterable[str]) -> None:
        """Names that members really have: none is given to another member."""
        self._real.update(names)

    def give(self, name: str) -> str:
        """The name under which the next member of this name is known."""
        given, number = name, self._last.get(name, 1)
        while given in self._given or (given != name and given in self._real):
            number += 1
            given = f"{name}~{number}"
        self._last[name] = number
        self._given.add(given)
        return given
