"""Does an archive hold about as much as those before it.

What belongs here: the figures of one archive by kind of member, and how they compare with those of
the last deliveries. What does not: where these are kept and who is told
(`volume_check.py`). A kind is a member's name without numbers (`schemas.kind_of`).
"""

from collections import Counter
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from statistics import median
from typing import Any

from rwt_assets.delivery.reconciliation import Account
from rwt_assets.documents import kind_of
from rwt_assets.feed import Volume


@dataclass(slots=True)
class KindFigures:
    """What one kind of member came to. `nulls` are shares of its rows, by column."""

    rows: int = 0
    nulls: dict[str, float] = field(default_factory=dict)


def figures_of(account: Account) -> dict[str, KindFigures]:
    """The figures of every kind of member that was split, also of those without a row."""
    found = {
        kind_of(one.name): KindFigures()
        for one in account.manifest.members
        if one.outcome == "split"
    }
    nulls: dict[str, Counter[str]] = {}
    for one in account.objects:
        kind = kind_of(one.member)
        found.setdefault(kind, KindFigures()).rows += one.rows
        nulls.setdefault(kind, Counter()).update(one.nulls)
    for kind, counted in nulls.items():
        rows = found[kind].rows
        found[kind].nulls = {
            column: round(count / rows, 6) for column, count in counted.items() if rows
        }
    return found


def as_json(figures: Mapping[str, KindFigures]) -> dict[str, Any]:
    """Figures as they are kept with a delivery."""
    return {kind: {"rows": one.rows, "nulls": one.nulls} for kind, one in figures.items()}


def from_json(kept: object) -> dict[str, KindFigures]:
    """Figures that were kept; what is not understood is left out."""
    if not isinstance(kept, dict):
        return {}
    return {
        str(kind): KindFigures(one["rows"], dict(one["nulls"]))
        for kind, one in kept.items()
        if isinstance(one, dict)
        and isinstance(one.get("rows"), int)
        and isinstance(one.get("nulls"), dict)
    }


def unusual(
    figures: Mapping[str, KindFigures],
    before: Sequence[Mapping[str, KindFigures]],
    volume: Volume,
) -> list[str]:
    """What differs from the deliveries before by more than a feed expects.

    Args:
        figures: of the archive.
        before: of the last deliveries of other archives, any order.
        volume: the bounds.
    """
    found: list[str] = []
    kinds = {*figures, *(kind for one in before for kind in one)}
    for kind in sorted(kinds):
        known = [one[kind] for one in before if kind in one]
        if len(known) >= volume.at_least:
            found += _compared(kind, figures.get(kind), known, volume)
    return found


def _compared(
    kind: str, own: KindFigures | None, known: Sequence[KindFigures], volume: Volume
) -> Iterator[str]:
    usual = median(one.rows for one in known)
    told = f"the median of the last {len(known)} is {usual:,g}"
    if own is None:
        yield f"{kind}: there is none; {told} rows"
        return
    if own.rows < volume.rows_from * usual or own.rows > volume.rows_to * usual:
        yield f"{kind}: {own.rows:,} rows; {told}"
    for column, share in own.nulls.items():
        shares = [one.nulls.get(column, 0.0) for one in known]
        if share > median(shares) + volume.nulls_more:
            yield (
                f"{kind}: {share:.1%} of {column} is null; the median of the last {len(known)} is "
                f"{median(shares):.1%}"
            )
