"""The check of an archive's encodings: which of them nobody stated.

What belongs here: what the check says. What does not: finding an encoding (`encodings.py`).
Dagster documentation: "Asset checks".
"""

import dagster as dg

from rwt_assets.documents import ArchiveManifest
from rwt_assets.feed import Feed
from rwt_assets.graph import FeedGraph, described
from rwt_assets.text import visible

ENCODINGS_STATED = "encodings_stated"
SHOWN = 20


def encoding_check_spec(feed: Feed) -> dg.AssetCheckSpec:
    """The check: it warns and holds nothing up."""
    return dg.AssetCheckSpec(
        ENCODINGS_STATED,
        asset=FeedGraph(feed.name).archive_manifest,
        description=(
            "The encoding of each member is UTF-8, declared, or stated by a byte order mark: "
            "none is guessed."
        ),
    )


def encoding_check_result(manifest: ArchiveManifest) -> dg.AssetCheckResult:
    """What the check says: which members were read in an encoding that is a guess."""
    guessed = [one for one in manifest.members if one.dialect.encoding_guessed]
    told = [f"{one.name}: {one.dialect.encoding}" for one in guessed[:SHOWN]]
    more = f"; {len(guessed) - SHOWN} more" if len(guessed) > SHOWN else ""
    return dg.AssetCheckResult(
        passed=not guessed,
        check_name=ENCODINGS_STATED,
        severity=dg.AssetCheckSeverity.WARN,
        description=described(
            f"the encoding is a guess; if it is right, declare dialect.encoding: {told[0]}{more}"
            if guessed
            else "no encoding is a guess"
        ),
        metadata={
            "members": len(guessed),
            "guessed": visible("; ".join(told) + more) if told else "none",
        },
    )
