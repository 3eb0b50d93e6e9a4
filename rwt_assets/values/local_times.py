"""Local times of a time zone as instants.

What belongs here: which offset a zone has at a local time, in any year. What does not: reading
times (`calendar_texts.py`). Rules: the IANA time zone database as `zoneinfo` reads it, the rule at
the end of a zone's file included, which goes on for ever (RFC 9636, "The Time Zone Information
Format (TZif)"); PEP 495 for times that a zone skips or has twice.
"""

from datetime import UTC, datetime, timedelta, tzinfo
from functools import cache
from itertools import pairwise
from typing import Any, Final
from zoneinfo import ZoneInfo

import numpy as np
import pyarrow as pa

EPOCH: Final = datetime(1970, 1, 1, tzinfo=UTC).replace(tzinfo=None)
# Closer together than any two changes of an offset: four days are the least that a zone had.
DAY: Final = 86_400
SECOND: Final = timedelta(seconds=1)
MICROSECONDS: Final = 1_000_000


def check_zone(name: str) -> str:
    """A time zone's name, if there is such a zone.

    Raises:
        ValueError: there is none.
    """
    try:
        ZoneInfo(name).utcoffset(EPOCH)
    except (ValueError, OSError, LookupError) as error:
        raise ValueError(f"{name!r} is no time zone (IANA, like Europe/Berlin)") from error
    return name


def as_instants(local: Any, zone: str) -> tuple[Any, np.ndarray]:
    """Local times of the years 1 to 9999 as instants.

    Args:
        local: 64-bit integers, microseconds since 1970-01-01 00:00 on the zone's clocks.
        zone: a name that `check_zone` passes.

    Returns:
        Microseconds since 1970-01-01 00:00 in UTC, and which times the zone skips or has twice.
    """
    missing = np.asarray(local.is_null())
    own = local.fill_null(0).to_numpy()
    years = own.astype("datetime64[us]").astype("datetime64[Y]").astype(np.int64) + 1970
    present = np.flatnonzero(np.bincount(years[~missing], minlength=1)).tolist()
    if not present:
        return local, np.zeros(len(local), np.bool_)
    before, after = (_offsets(own, zone, present, fold) for fold in (0, 1))
    return pa.array(own - before, mask=missing), (before != after) & ~missing


def _offsets(local: np.ndarray, zone: str, years: list[int], fold: int) -> np.ndarray:
    steps = [step for year in years for step in _steps(zone, year, fold)]
    starts, offsets = np.array(steps, np.int64).T * MICROSECONDS
    found: np.ndarray = offsets[np.maximum(np.searchsorted(starts, local, side="right") - 1, 0)]
    return found


@cache
def _steps(zone: str, year: int, fold: int) -> tuple[tuple[int, int], ...]:
    """From which local time of a year on which offset holds, both in seconds."""
    kept = ZoneInfo(zone)
    start = (datetime(year, 1, 1, tzinfo=UTC).replace(tzinfo=None) - EPOCH) // SECOND
    end = (datetime(year, 12, 31, 23, 59, 59, tzinfo=UTC).replace(tzinfo=None) - EPOCH) // SECOND
    looked_at = [*range(start, end, DAY), end]
    known = [_offset(kept, one, fold) for one in looked_at]
    steps = [(start, known[0])]
    for (low, was), (high, comes) in pairwise(zip(looked_at, known, strict=True)):
        if was != comes:
            steps.append((_first_with(kept, (low, high), comes, fold), comes))
    return tuple(steps)


def _first_with(zone: tzinfo, between: tuple[int, int], offset: int, fold: int) -> int:
    """The first second after `between[0]`, at the latest `between[1]`, that has an offset."""
    low, high = between
    while high - low > 1:
        middle = (low + high) // 2
        if _offset(zone, middle, fold) == offset:
            high = middle
        else:
            low = middle
    return high


def _offset(zone: tzinfo, second: int, fold: int) -> int:
    at = (EPOCH + timedelta(seconds=second)).replace(tzinfo=zone, fold=fold)
    return (at.utcoffset() or timedelta()) // SECOND
