"""Asset checks of what an archive should hold: complete, referring to what is there, and own ones.

What belongs here: fetching the rows that are asked about, and what Dagster is told. What does not:
the questions (`completeness.py`, `table_checks.py`). Dagster documentation: "Asset checks".
"""

from collections.abc import Callable, Iterator, Sequence
from pathlib import Path
from tempfile import TemporaryDirectory

import dagster as dg

from rwt_assets.delivery import Account, Finding, asks_rows, find_in_rows, find_incomplete
from rwt_assets.documents import EnrichedObject
from rwt_assets.feed import ARCHIVE_COMPLETE, REFERENCES_HOLD, Feed
from rwt_assets.graph import FeedGraph, described
from rwt_assets.orchestration.checks.checks import evaluation_of
from rwt_assets.runtime import IncompleteError, map_ahead
from rwt_assets.text import command, visible

WORKERS = 8
SHOWN = 20
TOLD = 5  # all of which fit in the tag of a run

CopyRows = Callable[[EnrichedObject, Path], None]


def find_unexpected(feed: Feed, account: Account, copy_rows: CopyRows) -> list[Finding]:
    """Everything of an archive that is not as its feed and its sender say.

    Args:
        feed: what is expected.
        account: that adds up.
        copy_rows: writes the Parquet of an object to a file; called by several threads, and only
            if something is asked of the rows.
    """
    found = find_incomplete(feed, account)
    if asks_rows(feed, account.manifest):
        with TemporaryDirectory(prefix="rwt-checks-") as name:
            folder = Path(name)
            tables: dict[str, list[Path]] = {}

            def copy(numbered: tuple[int, EnrichedObject]) -> Path:
                number, one = numbered
                path = folder / f"{number}.parquet"
                copy_rows(one, path)
                return path

            copies = map_ahead(copy, enumerate(account.objects), workers=WORKERS, ahead=2 * WORKERS)
            for one, path in zip(account.objects, copies, strict=True):
                tables.setdefault(one.member, []).append(path)
            found += find_in_rows(feed, account.manifest, tables, folder)
    return found


def refuse_incomplete(account: Account, found: Sequence[Finding]) -> None:
    """Raise if anything was found that a feed does not let through.

    Raises:
        IncompleteError: with what was found.
    """
    failing = [one for one in found if one.severity == "fail"]
    if not failing:
        return
    manifest = account.manifest
    told = "; ".join(str(one) for one in failing[:TOLD])
    more = f"; and {len(failing) - TOLD} more" if len(failing) > TOLD else ""
    raise IncompleteError(
        f"the archive is not as expected: {told}{more}",
        where=f"s3://{manifest.bucket}/{manifest.key}, revision {manifest.revision}",
        effect="No delivery was written; the one before, if any, is as it was.",
        fix=(
            "Ask the sender for a whole archive under the same key; or fix what the feed expects "
            f"and run `{command('rwt retry', manifest.key)}`."
        ),
    )


def completeness_check_specs(feed: Feed) -> list[dg.AssetCheckSpec]:
    """The checks of one feed; those that need a declaration only with it."""
    asset = FeedGraph(feed.name).delivery
    specs = [
        dg.AssetCheckSpec(
            ARCHIVE_COMPLETE,
            asset=asset,
            blocking=feed.incomplete == "fail",
            description="Every member that the feed and the sender name is there, whole.",
        )
    ]
    if any(rule.references for rule in feed.members):
        specs.append(
            dg.AssetCheckSpec(
                REFERENCES_HOLD,
                asset=asset,
                blocking=feed.dangling == "fail",
                description="Every value that refers to another member is in that member.",
            )
        )
    specs += [
        dg.AssetCheckSpec(
            check.name,
            asset=asset,
            blocking=check.severity == "fail",
            description=check.description or f"No rows: {check.sql}",
        )
        for check in feed.checks
    ]
    return specs


def completeness_results(feed: Feed, found: Sequence[Finding]) -> list[dg.AssetCheckResult]:
    """What each of these checks says of what was found."""
    return [
        _result(str(spec.name), [one for one in found if one.check == spec.name])
        for spec in completeness_check_specs(feed)
    ]


def completeness_evaluations(
    feed: Feed, found: Sequence[Finding], archive: str
) -> Iterator[dg.AssetCheckEvaluation]:
    """The same results, for a run that raises and has none of its own."""
    for result in completeness_results(feed, found):
        yield evaluation_of(feed, result, archive)


def _result(name: str, found: Sequence[Finding]) -> dg.AssetCheckResult:
    fails = any(one.severity == "fail" for one in found)
    return dg.AssetCheckResult(
        passed=not found,
        check_name=name,
        severity=dg.AssetCheckSeverity.ERROR if fails else dg.AssetCheckSeverity.WARN,
        description=described(found[0].what if found else None),
        metadata={
            "findings": len(found),
            **(
                {"found": dg.MetadataValue.json([visible(one) for one in found[:SHOWN]])}
                if found
                else {}
            ),
        },
    )
