"""What the trailer of a member states about it.

What belongs here: the statements that the groups of a rule's `trailer` find. What does not: which
groups there may be (`expectations.py`), finding the lines (`physical_lines.py`) and holding the
member against them (`completeness.py`, `table_checks.py`).
"""

from dataclasses import dataclass
from typing import TYPE_CHECKING

import pyarrow as pa
import pyarrow.compute as pc

from rwt_assets.documents.control_file import Statements, claim_of
from rwt_assets.feed import ROWS, SUM, column_of, stated_groups

if TYPE_CHECKING:
    from collections.abc import Iterator

    from rwt_assets.documents.manifest import ArchiveManifest, Claim, MemberReport
    from rwt_assets.feed import Feed, MemberRule


@dataclass(frozen=True, slots=True)
class _Marks:
    decimal_mark: str
    thousands_mark: str


def trailer_statements(report: "MemberReport", rule: "MemberRule") -> Statements:
    """What the trailer of a member states; nothing if its rule asks for nothing.

    A member without such a line has lost its end, which is a problem.
    """
    groups = stated_groups(rule.trailer) if rule.trailer is not None else ()
    if not groups or rule.trailer is None or report.outcome != "split":
        return Statements()
    usual = "," if rule.thousands_mark == "." else "."
    marks = _Marks(rule.decimal_mark or usual, rule.thousands_mark or "")
    found = pc.extract_regex(pa.array(report.trailer, pa.string()), rule.trailer).to_pylist()
    problems: list[str] = []
    claims: list[Claim] = []
    place = f"{report.name}, trailer"
    for texts in filter(None, found):
        fields = {
            name if name == ROWS else f"{SUM}{column_of(name, report.columns)}": text or ""
            for name, text in texts.items()
        }
        claim = claim_of({**fields, "member": report.name}, marks, place, problems)
        if claim is not None and (claim.rows is not None or claim.sums):
            claims.append(claim)
    stated = {ROWS for one in claims if one.rows is not None}
    stated |= {column for one in claims for column in one.sums}
    lacking = [
        one
        for one in groups
        if (one if one == ROWS else column_of(one, report.columns)) not in stated
    ]
    if lacking and not problems:
        problems.append(f"{place}: it ends in no line that states {', '.join(lacking)}")
    return Statements(tuple(claims), tuple(problems))


def stated_in_trailers(feed: "Feed", manifest: "ArchiveManifest") -> "Iterator[Statements]":
    """What the trailers of an archive's members state."""
    for report in manifest.members:
        rule = feed.rule_for(report.rule_name) if report.outcome == "split" else None
        if rule is not None:
            yield trailer_statements(report, rule)
