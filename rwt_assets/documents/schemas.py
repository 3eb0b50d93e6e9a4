"""What columns the members of a feed have, and how that differs from what they had before.

What belongs here: the schema of a member, and comparing two. What does not: where known
schemas are kept (`schema_history.py`) and who is told (`archive_manifest.py`). Rule:
Databricks documentation, "Configure schema inference and evolution in Auto Loader", for what
a change is; whether one is let through is the feed's `evolution` (`contract.py`).
"""

import re
from collections.abc import Sequence
from dataclasses import dataclass
from difflib import SequenceMatcher
from typing import Final

from pydantic import BaseModel, ConfigDict

from rwt_assets.documents.manifest import MemberReport
from rwt_assets.feed import MemberRule
from rwt_assets.member import CsvDialect
from rwt_assets.text import SafeMarkdown, folded, markdown_table

UNDECLARED: Final = "not declared"
# Numbers, and what looks like a digest: letters a to f with at least one digit.
VARYING: Final = re.compile(r"(?=[a-f]*[0-9])[0-9a-f]{8,}|[0-9]+", re.IGNORECASE)


class Column(BaseModel):
    """A column of a member and the type that the feed declares for it."""

    # A later version may have written fields that this one does not know: it reads past them.
    model_config = ConfigDict(extra="ignore", frozen=True)

    name: str
    type: str = UNDECLARED


class MemberSchema(BaseModel):
    """The columns of a member in their order, and the dialect that it is written in."""

    model_config = ConfigDict(extra="ignore", frozen=True)

    columns: tuple[Column, ...]
    dialect: CsvDialect = CsvDialect()


@dataclass(frozen=True, slots=True)
class Difference:
    """One thing in which two schemas differ: what it is, of which column, before and after."""

    change: str
    column: str
    before: str
    after: str


def schema_of(report: MemberReport, rule: MemberRule) -> MemberSchema:
    """The schema of a member; the rule says which types its columns are declared to have."""
    declared = {name: column.type for name, column in rule.columns.items()}
    columns = [Column(name=name, type=declared.get(name, UNDECLARED)) for name in report.columns]
    return MemberSchema(columns=tuple(columns), dialect=report.dialect)


def kind_of(member: str) -> str:
    """What the names of members of one kind have in common: all but numbers and digests.

    `sales_2026-01-01.csv` and `SALES_2026-01-02.CSV` are of the kind `sales_#-#-#.csv`: names that
    are the same to people are.
    """
    return VARYING.sub("#", folded(member))


def compare_schemas(before: MemberSchema, after: MemberSchema) -> tuple[Difference, ...]:
    """What was added, removed, moved, declared otherwise and written otherwise, in this order."""
    old = {column.name: (place, column.type) for place, column in enumerate(before.columns, 1)}
    new = {column.name: (place, column.type) for place, column in enumerate(after.columns, 1)}
    found = [Difference("added", n, "", f"column {new[n][0]}") for n in new if n not in old]
    found += [Difference("removed", n, f"column {old[n][0]}", "") for n in old if n not in new]
    found += [
        Difference("moved", n, f"column {old[n][0]}", f"column {new[n][0]}")
        for n in _moved([n for n in old if n in new], [n for n in new if n in old])
    ]
    found += [
        Difference("type changed", n, old[n][1], new[n][1])
        for n in new
        if n in old and old[n][1] != new[n][1]
    ]
    beside = {"encoding_guessed"}  # which has a check of its own
    one, other = (each.dialect.model_dump(exclude=beside) for each in (before, after))
    found += [
        Difference("dialect changed", "", f"{name} {one[name]!r}", f"{name} {other[name]!r}")
        for name in other
        if one[name] != other[name]
    ]
    return tuple(found)


def _moved(before: Sequence[str], after: Sequence[str]) -> list[str]:
    """The columns that have another place among the others, as few as explain the order."""
    if before == after:
        return []
    matcher = SequenceMatcher(None, before, after, autojunk=False)
    kept = {
        name for block in matcher.get_matching_blocks() for name in after[block.b :][: block.size]
    }
    return [name for name in after if name not in kept]


def differences_sentence(differences: Sequence[Difference]) -> str:
    """The differences in one sentence."""
    if not differences:
        return "nothing differs"
    by_change: dict[str, list[str]] = {}
    for one in differences:
        named = repr(one.column) if one.column else f"{one.before} to {one.after}"
        by_change.setdefault(one.change, []).append(named)
    return "; ".join(f"{change}: {', '.join(named)}" for change, named in by_change.items())


def differences_table(differences: Sequence[Difference]) -> SafeMarkdown:
    """The differences as a Markdown table."""
    rows = [(one.change, one.column, one.before, one.after) for one in differences]
    return markdown_table(("change", "column", "before", "after"), rows)
