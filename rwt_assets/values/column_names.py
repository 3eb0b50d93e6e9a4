"""Under which names the columns of a member are kept.

What belongs here: names that every reader tells apart, and what is said where one had to change.
What does not: which columns a feed declares (`contract.py`) and reading a header
(`member_rows.py`).
Rule: DuckDB documentation, "Keywords and Identifiers" (names are equal whatever their case); Apache
Hive and AWS Glue write column names in lower case.
"""

from collections.abc import Collection, Sequence
from typing import Final

from rwt_assets.values.added_columns import ADDED, RESCUED

FOLDER_KEYS: Final = ("rwt_archive", "rwt_revision", "rwt_generation", "rwt_member")
# Readers that take folders for columns would overwrite a column of one of these names.
_OURS: Final = frozenset({*ADDED, RESCUED, *FOLDER_KEYS})


def distinct_names(names: Sequence[str], declared: Collection[str] = ()) -> tuple[str, ...]:
    """A name for every column, of which no two are equal whatever their case.

    A declared name stays as it is. Of others the first stays; the next is `name_2`. A column
    without a name is `column_3`, by its place. A name that differs by its case from one that we add
    is taken, too; one that is the same stays, for the contract to refuse it (`is_ours`).

    Args:
        names: of the header, in their order.
        declared: names that the feed relies on; each is there once at most.

    Returns:
        The names in the same order.
    """
    given: list[str] = ["" for _ in names]
    taken = {name.casefold() for name in _OURS}
    for place, name in enumerate(names):
        if (name in declared or name in _OURS) and name not in given:
            given[place] = name
            taken.add(name.casefold())
    written = {name.casefold() for name in names}
    for place, name in enumerate(names):
        if given[place]:
            continue
        own = name or f"column_{place + 1}"
        if own.casefold() in taken or (not name and own.casefold() in written):
            number = 2
            while f"{own}_{number}".casefold() in taken | written:
                number += 1
            own = f"{own}_{number}"
        given[place] = own
        taken.add(own.casefold())
    return tuple(given)


def same_but_for_case(names: Sequence[str], declared: Collection[str]) -> tuple[str, str] | None:
    """Two declared columns of a header that no reader without regard to case can tell apart."""
    first: dict[str, str] = {}
    for name in names:
        if name in declared:
            other = first.setdefault(name.casefold(), name)
            if other != name:
                return other, name
    return None


def is_ours(name: str) -> bool:
    """Whether a column of this name would be overwritten where folders are taken for columns."""
    return name in FOLDER_KEYS


def told_renamed(names: Sequence[str], given: Sequence[str]) -> str:
    """Which columns have another name than the header has, in a sentence; "" if none."""
    changed = [
        f"{name!r} (column {place}) is called {own!r}"
        for place, (name, own) in enumerate(zip(names, given, strict=True), 1)
        if name and name != own
    ]
    if not changed:
        return ""
    return f"the header's names are not distinct, whatever their case: {', '.join(changed)}"
