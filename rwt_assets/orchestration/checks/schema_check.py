"""The check of an archive's columns against those that its members had so far.

What belongs here: what the check says of what was found. What does not: the comparison
(`schemas.py`) and what is known (`schema_history.py`). Dagster documentation: "Asset checks".
"""

from collections.abc import Sequence
from typing import Any

import dagster as dg

from rwt_assets.documents import KindFinding, SchemaChange, differences_sentence, differences_table
from rwt_assets.feed import Feed
from rwt_assets.graph import FeedGraph, described, markdown_metadata
from rwt_assets.text import SafeMarkdown, decoration, visible

SCHEMA_UNCHANGED = "schema_unchanged"
SHOWN = 20


def schema_check_spec(feed: Feed) -> dg.AssetCheckSpec:
    """The check: it warns and holds nothing up, for `evolution` decides what goes through."""
    return dg.AssetCheckSpec(
        SCHEMA_UNCHANGED,
        asset=FeedGraph(feed.name).archive_manifest,
        description=(
            "Columns, their declared types and the dialect of each kind of member are those of "
            "the archive before. A member's kind is its name without numbers."
        ),
    )


def schema_check_result(findings: Sequence[KindFinding]) -> dg.AssetCheckResult:
    """What the check says: which member differs in what, and from which archive."""
    changes = [change for one in findings for change in one.changes]
    first = [one.kind for one in findings if one.known is None]
    metadata: dict[str, Any] = {"kinds": len(findings), "members_that_differ": len(changes)}
    if first:
        metadata["seen_for_the_first_time"] = visible(", ".join(first[:SHOWN]))
    if changes:
        metadata["differences"] = markdown_metadata(decoration(_differences, changes[:SHOWN]))
    return dg.AssetCheckResult(
        passed=not changes,
        check_name=SCHEMA_UNCHANGED,
        severity=dg.AssetCheckSeverity.WARN,
        description=described(_summary(findings, changes, first)),
        metadata=metadata,
    )


def _summary(
    findings: Sequence[KindFinding], changes: Sequence[SchemaChange], first: Sequence[str]
) -> str:
    if changes:
        more = f"; {len(changes) - 1} more members differ" if len(changes) > 1 else ""
        return f"{changes[0].member}: {differences_sentence(changes[0].differences)}{more}"
    if first:
        return f"{len(first)} kinds of member seen for the first time; the others are as before"
    return f"all {len(findings)} kinds of member are as before"


def _differences(changes: Sequence[SchemaChange]) -> SafeMarkdown:
    return SafeMarkdown.lines(map(_told, changes), "\n\n")


def _told(change: SchemaChange) -> SafeMarkdown:
    known = change.known
    if known is None:
        against = f"{change.sibling} of the same archive"
    elif known.archive:
        against = f"{known.member} of {known.archive}, revision {known.revision}"
    else:
        against = "an archive that was retired"
    table = differences_table(change.differences)
    return SafeMarkdown.of("{} differs from {}:\n\n{}", change.member, against, table)
