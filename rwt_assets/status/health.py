"""Whether an installation is healthy, and if not, why.

What belongs here: the judgement, from what was found. What does not: finding it (`readings.py`)
and telling it (`server.py`). Dagster documentation: "Dagster daemon" (heartbeats).

A feed with failed archives is healthy: that is a matter of what was sent, and has its figures.
"""

from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from typing import Literal

ProblemKind = Literal["storage", "daemon", "code_location", "endpoint", "stale"]


@dataclass(frozen=True, slots=True)
class Problem:
    """Something that stops the work until it is fixed: what kind of thing, and a sentence."""

    kind: ProblemKind
    reason: str


@dataclass(frozen=True, slots=True)
class Heartbeat:
    """A daemon that the instance needs: its latest heartbeat (seconds since 1970, or None)."""

    at: float | None
    errors: int = 0


def silent_daemons(
    heartbeats: Mapping[str, Heartbeat], *, now: float, stale_after: float
) -> Iterator[Problem]:
    """A problem for each daemon without a heartbeat as recent as `stale_after` seconds."""
    for name, heartbeat in sorted(heartbeats.items()):
        if heartbeat.at is None:
            yield Problem("daemon", f"{name} has never given a heartbeat")
        elif now - heartbeat.at > stale_after:
            age = now - heartbeat.at
            yield Problem("daemon", f"the last heartbeat of {name} was {age:.0f} s ago")


def stale_reading(*, taken_at: float, now: float, stale_after: float) -> Iterator[Problem]:
    """A problem if nothing was found out for longer than `stale_after` seconds."""
    if now - taken_at > stale_after:
        yield Problem("stale", f"the last look at the catalog ended {now - taken_at:.0f} s ago")
