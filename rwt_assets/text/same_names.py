"""Whether two names are the same to the people who wrote them.

What belongs here: comparing names and patterns of names with or without regard to case and
Unicode form, and spelling out names that look the same. What does not: which names a feed takes
(`feed.py`). Rules: Unicode Standard Annex #15, "Unicode Normalization Forms" (a Mac writes `é`
as two characters, NFD, others as one, NFC); Python documentation, "fnmatch" and "re.IGNORECASE".
"""

import re
import unicodedata
from collections.abc import Iterable
from fnmatch import translate
from functools import lru_cache
from typing import Final, Literal

Case = Literal["insensitive", "exact"]
INSENSITIVE: Final[Case] = "insensitive"
EXACT: Final[Case] = "exact"
_MAY_SLIP: Final = re.compile(r"[^\x21-\x7e]|\\")


def matches(name: str, pattern: str, case: Case = INSENSITIVE) -> bool:
    """Whether a pattern of `fnmatch` takes a whole name.

    Without `exact`, upper and lower case are one, and so are the Unicode forms of a character.
    """
    return _compiled(pattern, case).match(_form(name, case)) is not None


def ends_with(name: str, suffix: str, case: Case = INSENSITIVE) -> bool:
    """Whether a name ends in a suffix, compared as `matches` does."""
    return folded(name, case).endswith(folded(suffix, case))


def folded(name: str, case: Case = INSENSITIVE) -> str:
    """The text that all names that are the same have in common; with `exact`, the name itself."""
    if case == EXACT:
        return name
    return unicodedata.normalize("NFC", unicodedata.normalize("NFC", name).casefold())


def without_slips(name: str) -> str:
    """The path that a name is meant to be, where a program or a person slipped.

    Backslashes separate folders, blanks are at no end of a folder's or file's name nor before its
    suffix, and what nobody sees (byte order marks, characters without width) is not there.
    """
    if _MAY_SLIP.search(name) is None:  # of tens of thousands of names hardly one does
        return name
    seen = "".join(one for one in name if unicodedata.category(one) != "Cf")
    parts = [part.strip() for part in seen.replace("\\", "/").split("/")]
    return re.sub(r"\s+(?=\.[^./]*$)", "", "/".join(parts))


def spelled(name: str) -> str:
    """A name in quotes; if it is not written as most systems write it, what it is made of.

    So two names that look the same are told apart: `'é' (e U+0301)`.
    """
    if unicodedata.is_normalized("NFC", name):
        return repr(name)
    marks = [
        f"{name[place - 1] if place else ''} U+{ord(mark):04X}"
        for place, mark in enumerate(name)
        if unicodedata.combining(mark)
    ]
    return f"{name!r} ({', '.join(dict.fromkeys(marks)) or 'not in Unicode form NFC'})"


def spelled_pattern(pattern: str) -> str:
    """A pattern as it is written; if it has characters in two parts, what they are made of."""
    return pattern if unicodedata.is_normalized("NFC", pattern) else spelled(pattern)


def spelled_apart(name: str, others: Iterable[str]) -> str:
    """A name in quotes; in code points where one of the others looks the same and is not."""
    alike = unicodedata.normalize("NFC", name)
    if any(other != name and unicodedata.normalize("NFC", other) == alike for other in others):
        return f"{name!r} ({' '.join(f'U+{ord(one):04X}' for one in name if not one.isascii())})"
    return spelled(name)


def _form(name: str, case: Case) -> str:
    return name if case == EXACT else unicodedata.normalize("NFC", name)


@lru_cache(maxsize=4096)
def _compiled(pattern: str, case: Case) -> re.Pattern[str]:
    return re.compile(translate(_form(pattern, case)), 0 if case == EXACT else re.IGNORECASE)
