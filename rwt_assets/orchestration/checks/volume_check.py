"""The check that an archive holds about as much as those before it: it warns, with the figures.

What belongs here: the figures of the last deliveries, from their events, and what Dagster is told.
What does not: the comparison (`volume.py`). Dagster documentation: "Asset checks", "Asset metadata"
(numbers are plotted over time).
"""

from typing import Any, Final

import dagster as dg

from rwt_assets.catalog import FeedCatalog
from rwt_assets.delivery import Account, KindFigures, as_json, figures_of, from_json, unusual
from rwt_assets.documents import archive_partition_key
from rwt_assets.feed import ROWS_AS_USUAL, Feed
from rwt_assets.graph import FeedGraph, described
from rwt_assets.text import visible

FIGURES: Final = "rows_and_nulls"
PLOTTED: Final = 20
LOOKED_AT: Final = 4  # events for each delivery that is wanted: some archives have several


def volume_check_spec(feed: Feed) -> dg.AssetCheckSpec:
    """The check, which holds nothing up."""
    return dg.AssetCheckSpec(
        ROWS_AS_USUAL,
        asset=FeedGraph(feed.name).delivery,
        description=(
            "Rows and shares of nulls of each kind of member are about those of the last "
            f"{feed.volume.deliveries} archives."
        ),
    )


def volume_result(
    catalog: FeedCatalog, account: Account
) -> tuple[dg.AssetCheckResult, dict[str, Any]]:
    """The result for one archive, and the metadata of its delivery that later ones look at."""
    feed, figures = catalog.feed, figures_of(account)
    before = _last_figures(catalog, archive_partition_key(account.manifest.key))
    found = unusual(figures, before, feed.volume)
    result = dg.AssetCheckResult(
        passed=not found,
        check_name=ROWS_AS_USUAL,
        severity=dg.AssetCheckSeverity.WARN,
        description=described(found[0] if found else None),
        metadata={
            "deliveries_compared": len(before),
            **({"found": dg.MetadataValue.json([*map(visible, found)])} if found else {}),
        },
    )
    plotted = {visible(f"rows of {kind}"): one.rows for kind, one in [*figures.items()][:PLOTTED]}
    return result, {FIGURES: dg.MetadataValue.json(as_json(figures)), **plotted}


def _last_figures(catalog: FeedCatalog, partition_key: str) -> list[dict[str, KindFigures]]:
    """The figures of the last deliveries of other archives, the newest of each."""
    wanted = catalog.feed.volume.deliveries
    if not wanted:
        return []
    found: dict[str, dict[str, KindFigures]] = {}
    records = catalog.instance.fetch_materializations(
        catalog.graph.delivery, limit=LOOKED_AT * wanted
    ).records
    for record in records:
        event = record.asset_materialization
        key = record.partition_key
        if event is None or key is None or key == partition_key or key in found:
            continue
        kept = event.metadata.get(FIGURES)
        if kept is not None and len(found) < wanted:
            found[key] = from_json(kept.value)
    return [*found.values()]
