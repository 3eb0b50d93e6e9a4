"""Which columns of a header are the ones that a feed declares.

What belongs here: the comparison of written and declared names. What does not: reading the header
(`member_rows.py`), what becomes of columns that are new or missing (`contract.py`). Rule: Unicode
Standard Annex #15 (NFC: `é` has one form).
"""

import re
import unicodedata
from collections.abc import Collection, Sequence
from typing import Final

from rwt_assets.feed import MemberRule
from rwt_assets.runtime import MemberHeaderError
from rwt_assets.text import EXACT, Case

_MARK = "\ufeff"
# Small letters of Cyrillic and Greek whose capitals nobody tells from these of Latin.
_LOOK_ALIKE: Final = str.maketrans(
    "\u0430\u0432\u0435\u043a\u043c\u043d\u043e\u0440\u0441\u0442\u0443\u0445\u0456\u0458\u0455"
    "\u03b1\u03b2\u03b5\u03b6\u03b7\u03b9\u03ba\u03bd\u03bf\u03c1\u03c4\u03c5\u03c7",
    "abekmhopctyxijs" + "abezhiknoptyx",
)
_BRACKETS: Final = re.compile(r"\([^()]*\)|\[[^\[\]]*\]")  # a unit: price [EUR]
_EFFECT = "The whole member was quarantined; the others were processed."


def name_key(name: str) -> str:
    """What two names must share to be one: without spaces around, byte order marks and case."""
    return unicodedata.normalize("NFC", name.replace(_MARK, "").strip().casefold())


def find_names(names: Collection[str], wanted: Collection[str], case: Case) -> set[str]:
    """Those of the wanted names that a header has."""
    if case == EXACT:
        return {*wanted} & {*names}
    keys = {name_key(name) for name in names}
    return {name for name in wanted if name in names or name_key(name) in keys}


def declared_names(
    names: Sequence[str], rule: MemberRule, case: Case, *, where: str
) -> tuple[str, ...]:
    """The names of a header, with those that the rule declares written as it has them.

    Args:
        names: of the header, in their order.
        rule: names the columns that the feed relies on.
        case: whether names that differ by case, spaces around or Unicode form are one.
        where: archive, member and line, for errors.

    Raises:
        MemberHeaderError: a declared column is there twice, or is not there but one whose name
            differs from it by case, spaces and punctuation alone.
    """
    declared = dict.fromkeys([*rule.columns, *rule.required_columns])
    for name in declared:
        if names.count(name) > 1:
            raise _error(f"the header has the column {name!r} twice", names, where)
    given = list(names)
    if case != EXACT:
        by_key: dict[str, list[str]] = {}
        for name in declared:
            by_key.setdefault(name_key(name), []).append(name)
        for key, owners in by_key.items():
            own = [place for place, name in enumerate(names) if name_key(name) == key]
            if len(owners) > 1:  # told apart by what they differ in, so character by character
                continue
            if len(own) > 1:
                same = " and ".join(repr(names[place]) for place in own)
                told = f"the header's columns {same} are all the declared {owners[0]!r}"
                raise _error(told, names, where, "or set `case: exact` and declare each")
            for place in own:
                given[place] = owners[0]
    _refuse_near_misses(given, declared, names, where)
    return tuple(given)


def _refuse_near_misses(
    given: Sequence[str], declared: Collection[str], names: Sequence[str], where: str
) -> None:
    """A declared column must not become null while a column of nearly its name is there."""
    others = [name for name in given if name not in declared]
    for wanted in declared:
        if wanted in given:
            continue
        near = [name for name in others if _is_near(name, wanted)]
        if near:
            named = ", ".join(map(repr, near))
            told = f"the column {wanted!r} is missing; nearly so named: {named}"
            raise _error(told, names, where, "or declare the column under the name that is sent")


def _is_near(name: str, wanted: str) -> bool:
    """Whether a name has the letters of another, which may lack what the one has in brackets.

    Letters of UTF-8 that were read as Windows-1252 and written again are those that were meant.
    """
    own, other = _letters(name), _letters(wanted)
    bare = own == _letters(_BRACKETS.sub("", wanted)) or other == _letters(_BRACKETS.sub("", name))
    return bool(own and other) and (own == other or bare or _letters(_read_again(name)) == other)


def _read_again(name: str) -> str:
    for encoding in ("cp1252", "latin-1"):
        try:
            return name.encode(encoding).decode()
        except UnicodeError:
            continue
    return name


def _letters(name: str) -> str:
    # Full-width letters and ligatures are the letters that they stand for (NFKC).
    compatible = unicodedata.normalize("NFKC", name)
    return "".join(one for one in name_key(compatible) if one.isalnum()).translate(_LOOK_ALIKE)


def _error(what: str, names: Sequence[str], where: str, more: str = "") -> MemberHeaderError:
    fix = "Ask the sender, or fix the feed's dialect, split_by, key_column or columns"
    return MemberHeaderError(
        f"{what}; it has {', '.join(map(repr, names))}",
        where=where,
        effect=_EFFECT,
        fix=f"{fix}, {more}." if more else f"{fix}.",
    )
