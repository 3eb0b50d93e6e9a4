"""Has an archive arrived as recently as the feed expects.

What belongs here: the judgement. What does not: who is told (`checks.py`,
`dispatch.py`). Dagster documentation: "Asset freshness policies", "Asset checks".

Dagster's own freshness policy is not used: of an asset without any event it says "unknown",
so a feed that never began would not be seen; and it leaves no asset check that an alert or a
person could find beside `nothing_forgotten`.
"""

from dataclasses import dataclass
from datetime import UTC, datetime

SECONDS_PER_HOUR = 3_600


@dataclass(frozen=True, slots=True)
class Freshness:
    """Whether the newest arrival (seconds since 1970, or None) is recent enough at `now`."""

    newest: float | None
    now: float
    expected_every_hours: float

    @property
    def fresh(self) -> bool:
        """An archive arrived within the hours that the feed expects."""
        bound = self.expected_every_hours * SECONDS_PER_HOUR
        return self.newest is not None and self.now - self.newest <= bound

    def __str__(self) -> str:
        expected = f"one is expected every {self.expected_every_hours:g} hours"
        if self.newest is None:
            return f"No archive has ever arrived; {expected}."
        at = datetime.fromtimestamp(self.newest, UTC)
        hours = (self.now - self.newest) / SECONDS_PER_HOUR
        return (
            f"The newest archive arrived at {at:%Y-%m-%d %H:%M:%S} UTC, {hours:.1f} hours ago; "
            f"{expected}."
        )
