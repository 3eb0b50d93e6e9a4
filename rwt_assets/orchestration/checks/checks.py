"""Asset checks of a feed: of each delivery, and the two standing ones of its archives.

What belongs here: what each check says of what was counted. What does not: the counting
(`standing.py`, `reconciliation.py`, `quarantine.py`, `freshness.py`). Dagster documentation:
"Asset checks".

A delivery has one result of each of its checks, whatever the number of shards: an event costs
some ten milliseconds.
"""

from time import time
from typing import Any, get_args

import dagster as dg

from rwt_assets.catalog import FeedCatalog, StandingCounts, Verdict, count_standing
from rwt_assets.delivery import Account
from rwt_assets.documents import Delivery
from rwt_assets.feed import Feed
from rwt_assets.graph import FeedGraph, markdown_metadata
from rwt_assets.orchestration.steps import Freshness, fit_errors
from rwt_assets.quarantine import SetAside, breaches, count_delivered
from rwt_assets.text import SafeMarkdown, decoration, markdown_table, sentence_in_markdown, visible

NOTHING_FORGOTTEN = "nothing_forgotten"
FEED_IS_FRESH = "feed_is_fresh"
RECONCILED = "reconciled"
QUARANTINE_WITHIN_TOLERANCE = "quarantine_within_tolerance"
CONTRACT_KEPT = "contract_kept"
SAMPLE = 20


def delivery_check_specs(feed: Feed) -> list[dg.AssetCheckSpec]:
    """The checks that each delivery is held to."""
    asset = FeedGraph(feed.name).delivery
    return [
        dg.AssetCheckSpec(
            RECONCILED,
            asset=asset,
            blocking=True,
            description=(
                "Rows read from each member = rows enriched + rows quarantined; members were "
                "read with their CRC-32, and the Parquet is of the shards that were cut."
            ),
        ),
        dg.AssetCheckSpec(
            QUARANTINE_WITHIN_TOLERANCE,
            asset=asset,
            blocking=True,
            description="No more rows and members are quarantined than the feed tolerates.",
        ),
        dg.AssetCheckSpec(
            CONTRACT_KEPT,
            asset=asset,
            description="Every row and every member keeps the contract: nothing is quarantined.",
        ),
    ]


def delivery_results(feed: Feed, account: Account) -> list[dg.AssetCheckResult]:
    """What the three checks of a delivery say of an account."""
    return _results(
        feed, account.set_aside, _account_metadata(account), reconciled=account.reconciled
    )


def document_evaluations(feed: Feed, document: Delivery) -> list[dg.AssetCheckEvaluation]:
    """The same of a delivery that a person made current again, by its document."""
    told = {
        "rows_read": document.rows_read,
        "rows_enriched": document.rows_enriched,
        "rows_quarantined": document.rows_quarantined,
        "rows_corrected": document.rows_corrected,
    }
    reconciled = document.rows_read == document.rows_enriched + document.rows_quarantined
    return [
        evaluation_of(feed, one, document.key)
        for one in _results(feed, count_delivered(document), told, reconciled=reconciled)
    ]


def evaluation_of(feed: Feed, result: dg.AssetCheckResult, archive: str) -> dg.AssetCheckEvaluation:
    """A result of a delivery's check, to be reported outside a run or by one that raises."""
    return dg.AssetCheckEvaluation(
        check_name=str(result.check_name),
        asset_key=FeedGraph(feed.name).delivery,
        passed=result.passed,
        severity=result.severity,
        description=result.description,
        metadata={**(result.metadata or {}), "archive": dg.MetadataValue.text(visible(archive))},
    )


def _results(
    feed: Feed, found: SetAside, account: dict[str, Any], *, reconciled: bool
) -> list[dg.AssetCheckResult]:
    beyond = breaches(found, feed.tolerance)
    warn, error = dg.AssetCheckSeverity.WARN, dg.AssetCheckSeverity.ERROR
    told = _set_aside_metadata(found)
    bounds = {
        name: bound for name, bound in feed.tolerance.model_dump().items() if bound is not None
    }
    exceeded = {"exceeded": visible("; ".join(map(str, beyond)))} if beyond else {}
    return [
        dg.AssetCheckResult(passed=reconciled, check_name=RECONCILED, metadata=account),
        dg.AssetCheckResult(
            passed=not beyond,
            check_name=QUARANTINE_WITHIN_TOLERANCE,
            severity=warn if found.anything and not beyond else error,
            metadata={**told, "tolerance": bounds or "unbounded", **exceeded},
        ),
        dg.AssetCheckResult(
            passed=not found.anything,
            check_name=CONTRACT_KEPT,
            severity=warn,
            metadata={**told, **_rules_metadata(found)},
        ),
    ]


def _account_metadata(account: Account) -> dict[str, Any]:
    return {
        "rows_read": account.manifest.rows_read,
        "rows_enriched": account.rows_enriched,
        "rows_quarantined": account.rows_quarantined,
        "rows_corrected": account.manifest.rows_corrected,
        "members_off": visible(", ".join(account.members_off[:SAMPLE])) or "none",
        "members_with_verified_crc32": account.members_verified,
        "shards_with_equal_checksum": len(account.objects),
        "shards_missing": len(account.missing),
    }


def _set_aside_metadata(found: SetAside) -> dict[str, Any]:
    return {
        "rows_quarantined": found.rows,
        "rows_read": found.rows_read,
        "ratio": round(found.ratio, 6),
        "members_quarantined": found.members,
        "members_read": found.members_read,
    }


def _rules_metadata(found: SetAside) -> dict[str, Any]:
    if not found.anything:
        return {}
    return {"by_rule": markdown_metadata(decoration(_rule_table, found))}


def _rule_table(found: SetAside) -> SafeMarkdown:
    rules = list(found.by_rule.items())
    more = [(f"{len(rules) - SAMPLE} more", "")] if len(rules) > SAMPLE else []
    return markdown_table(("rule", "rows:"), [*rules[:SAMPLE], *more])


def feed_is_fresh_check(feed: Feed) -> dg.AssetChecksDefinition:
    """Fails when no archive arrived for longer than `expected_every_hours`.

    The dispatch sensor reports it whenever the result changes; it can be run from the UI too.
    """
    graph = FeedGraph(feed.name)

    @dg.asset_check(
        asset=graph.zip_archive,
        name=FEED_IS_FRESH,
        description=f"An archive arrives at least every {feed.expected_every_hours:g} hours.",
    )
    @fit_errors()
    def feed_is_fresh(context: dg.AssetCheckExecutionContext) -> dg.AssetCheckResult:
        freshness = take_freshness(FeedCatalog(context.instance, feed))
        if freshness is None:
            return dg.AssetCheckResult(passed=True)
        return dg.AssetCheckResult(passed=freshness.fresh, metadata=_freshness_metadata(freshness))

    return feed_is_fresh


def take_freshness(catalog: FeedCatalog) -> Freshness | None:
    """Find how recent the newest arrival is; None if the feed expects nothing."""
    expected = catalog.feed.expected_every_hours
    if expected is None:
        return None
    return Freshness(catalog.newest_arrival(), time(), expected)


def freshness_evaluation(feed: Feed, freshness: Freshness) -> dg.AssetCheckEvaluation:
    """The same result, for a sensor to report outside a run."""
    return dg.AssetCheckEvaluation(
        check_name=FEED_IS_FRESH,
        asset_key=FeedGraph(feed.name).zip_archive,
        passed=freshness.fresh,
        severity=dg.AssetCheckSeverity.ERROR,
        metadata=_freshness_metadata(freshness),
    )


def _freshness_metadata(freshness: Freshness) -> dict[str, Any]:
    return {
        "newest_arrival": "none"
        if freshness.newest is None
        else dg.MetadataValue.timestamp(freshness.newest),
        "expected_every_hours": freshness.expected_every_hours,
        "told": visible(freshness),
    }


def nothing_forgotten_check(feed: Feed) -> dg.AssetChecksDefinition:
    """Counts partitions that are neither done, nor waiting, nor failed with a reason.

    The dispatch sensor reports it whenever the counts change; it can be run from the UI too.
    """
    graph = FeedGraph(feed.name)

    @dg.asset_check(
        asset=graph.zip_archive,
        name=NOTHING_FORGOTTEN,
        description="No archive and no shard is neither done, waiting nor failed with a reason.",
    )
    @fit_errors()
    def nothing_forgotten(context: dg.AssetCheckExecutionContext) -> dg.AssetCheckResult:
        counted = count_standing(FeedCatalog(context.instance, feed))
        return dg.AssetCheckResult(
            passed=not counted.forgotten, metadata=standing_metadata(counted)
        )

    return nothing_forgotten


def standing_evaluation(feed: Feed, counted: StandingCounts) -> dg.AssetCheckEvaluation:
    """The same result, for a sensor to report outside a run."""
    return dg.AssetCheckEvaluation(
        check_name=NOTHING_FORGOTTEN,
        asset_key=FeedGraph(feed.name).zip_archive,
        passed=not counted.forgotten,
        severity=dg.AssetCheckSeverity.ERROR,
        metadata=standing_metadata(counted),
    )


def standing_metadata(counted: StandingCounts) -> dict[str, Any]:
    """Exact counts, and a sample of what failed or was forgotten with the reasons."""
    metadata: dict[str, Any] = {
        name: dg.MetadataValue.int(counted.counts[name]) for name in get_args(Verdict)
    }
    if counted.waits:
        metadata["archives_wait_for"] = dg.MetadataValue.json(
            {str(kind): n for kind, n in counted.waits.items()}
        )
    told = [*counted.forgotten, *counted.failed][:SAMPLE]
    if told:
        lines = [
            SafeMarkdown.of("- {}: {}", entry.partition_key, sentence_in_markdown(entry.reason))
            for entry in told
        ]
        metadata["forgotten_or_failed"] = markdown_metadata(SafeMarkdown.lines(lines))
    return metadata
