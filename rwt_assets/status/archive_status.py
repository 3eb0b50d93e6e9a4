"""Why an archive waits, or which step is asked for next: one answer for all who ask.

What belongs here: the decision, from facts alone. What does not: gathering the facts
(`standing.py`) and asking for runs (`dispatch.py`), which asks for exactly what has a `next_step`
and waits for nothing.
"""

from collections.abc import Callable
from dataclasses import dataclass, field
from datetime import UTC, datetime
from functools import cached_property
from typing import Final, Literal, Protocol

from rwt_assets.status.priority import places_for, run_priority
from rwt_assets.status.progress import ArchiveFacts, Need, Stage, Step, locate

RUNS_UNDER_WAY: Final = 20  # asked for and not ended; more would only wait in the run queue
OUTAGE_PAUSES_SECONDS = (10.0, 300.0)
AUTOMATION_PATIENCE_SECONDS = 600.0  # a request of automation takes up to four minutes
BEING_RETIRED: Final = (
    "it is being retired; `rwt retire` or `rwt collect` finishes what was cut short"
)
WaitKind = Literal["run", "capacity", "turn", "outage", "automation", "retirement", "change"]
StatusStage = Stage | Literal["failed", "expiring"]


class Tried(Protocol):
    """What the runs for a step came to so far; `Attempts` is one."""

    @property
    def count(self) -> int:
        """How many."""

    @property
    def reason(self) -> str:
        """Why the latest failed."""

    @property
    def outages(self) -> int:
        """How many failed with an endpoint."""

    @property
    def outage_at(self) -> float:
        """When the latest did, in seconds since 1970; 0 if it did not."""

    @property
    def damaged(self) -> bool:
        """The latest found a shard that is not as it was written."""

    def exhausted(self, at_most: int) -> bool:
        """Whether nothing more is asked until a person or a new event asks."""


@dataclass(frozen=True, slots=True)
class WaitsFor:
    """What an archive waits for, and a sentence; `until` in seconds since 1970 where known."""

    kind: WaitKind
    sentence: str
    until: float | None = None


@dataclass(frozen=True, slots=True)
class ArchiveStatus:
    """Where an archive stands. `need` is what has to be done, `reason` why the latest run failed.

    `outage` says that its latest run failed with an endpoint; `tried` counts the runs so far.
    """

    stage: StatusStage
    need: Need | None = None
    waits_for: WaitsFor | None = None
    reason: str = ""
    outage: bool = False
    tried: int = 0

    @property
    def next_step(self) -> Step | None:
        """The step that is asked for next; None if there is none, or it failed for good."""
        return None if self.need is None or self.stage == "failed" else self.need.step

    @property
    def is_due(self) -> bool:
        """Dispatch asks for it now."""
        return self.next_step is not None and self.waits_for is None

    @property
    def explanation(self) -> str:
        """What it waits for, in a sentence; "" if it is settled, failed or nothing is known."""
        if self.waits_for is not None:
            return self.waits_for.sentence
        if self.next_step is None:
            return ""
        outage = f"; an outage: {self.reason}" if self.outage else ""
        return f"to {self.next_step.value}: the next poll of dispatch asks for it{outage}"


@dataclass
class Capacity:
    """How many archives have a run, and how many may. Archives are asked about by arrival.

    `taken` has the priority of each that has a run. `held_back` finds the lowest priority that has
    waited too long, and is called once, if there is something to ask for.
    """

    taken: list[int]
    held_back: Callable[[], int] = lambda: 0
    at_most: int = RUNS_UNDER_WAY
    before: int = field(default=0, init=False)

    @cached_property
    def smallest(self) -> int:
        """Archives of a higher priority are held back."""
        return self.held_back()

    @property
    def full(self) -> bool:
        """No archive of any size finds a place."""
        return len(self.taken) >= self.at_most

    def wait_of(self, priority: int) -> WaitsFor | None:
        """What an archive of this priority waits for; None if it has a place."""
        places = places_for(priority, self.at_most)
        taken = sum(one <= priority for one in self.taken)
        before = f"; {self.before} wait before it" if self.before else ""
        if self.full:
            work = f"{len(self.taken)} archives have a run, and {self.at_most} may{before}"
            return WaitsFor("capacity", work)
        if taken >= places:
            work = f"{taken} archives as large have a run, and {places} may{before}"
            return WaitsFor("capacity", work)
        if priority > self.smallest:
            return WaitsFor("turn", f"a larger archive has waited too long and goes first{before}")
        return None


def priority_of(facts: ArchiveFacts) -> int:
    """The priority of an archive's runs."""
    return run_priority(facts.arrived.bytes if facts.arrived is not None else 0)


def arrival_of(facts: ArchiveFacts) -> int:
    """By what archives are sorted before they are asked about."""
    return facts.arrived.storage_id if facts.arrived is not None else 0


def status_of(  # noqa: PLR0913 - each fact has a name
    facts: ArchiveFacts,
    attempts: Callable[[Need], Tried],
    capacity: Capacity,
    *,
    attempts_at_most: int,
    age_of: Callable[[Need], float],
    changed: Callable[[Need], bool],
    now: float,
    explain: bool = True,
) -> ArchiveStatus:
    """Say where an archive stands, and what it waits for; a due one takes a place of `capacity`.

    Args:
        facts: of the archive.
        attempts: what the runs for a step came to.
        capacity: asked about archives in the order of their arrival.
        attempts_at_most: of one step.
        age_of: seconds since a step became necessary.
        changed: whether the archive needs something else than this by now.
        now: in seconds since 1970.
        explain: without it an archive without a place is not looked at for its attempts, and one
            that was tried before is looked at again before it is asked for once more.
    """
    position = locate(facts)
    if facts.running is not None:
        run = f"run {facts.run_id} is" if facts.run_id else "a run is"
        return ArchiveStatus(
            position.stage, waits_for=WaitsFor("run", f"{run} {facts.running.value} it")
        )
    need = position.open_need
    if need is None:
        if facts.being_retired:
            return ArchiveStatus("expiring", waits_for=WaitsFor("retirement", BEING_RETIRED))
        return ArchiveStatus(position.stage)
    automation = None if position.need else _automation(need, age_of(need), now)
    wait = automation or capacity.wait_of(priority_of(facts))
    if wait is not None and not explain:
        return ArchiveStatus(position.stage, need, wait)
    tried = attempts(need)
    exhausted = tried.exhausted(attempts_at_most)
    asked = tried.damaged if exhausted else tried.count and not explain
    if exhausted and not (asked and changed(need)):
        return ArchiveStatus("failed", need, reason=tried.reason)
    wait = wait or _outage(tried, now)
    if exhausted or (wait is None and asked and changed(need)):
        wait = WaitsFor("change", "it changed during the poll; the next poll decides")
    if wait is None:
        capacity.taken.append(priority_of(facts))
    else:
        capacity.before += wait.kind in ("capacity", "turn")
    return ArchiveStatus(position.stage, need, wait, tried.reason, tried.outage_at > 0, tried.count)


def _automation(need: Need, age: float, now: float) -> WaitsFor | None:
    if age > AUTOMATION_PATIENCE_SECONDS:
        return None
    until = now - age + AUTOMATION_PATIENCE_SECONDS
    sentence = (
        f"to {need.step.value}, which is declarative automation's until {_clock(until)}; "
        "dispatch asks then"
    )
    return WaitsFor("automation", sentence, until)


def _outage(tried: Tried, now: float) -> WaitsFor | None:
    """An endpoint that failed is given time: from ten seconds to five minutes."""
    until = tried.outage_at + min(
        OUTAGE_PAUSES_SECONDS[0] * 2**tried.outages / 2, OUTAGE_PAUSES_SECONDS[1]
    )
    if not tried.outage_at or now >= until:
        return None
    return WaitsFor("outage", f"until {_clock(until)}, an outage: {tried.reason}", until)


def _clock(seconds: float) -> str:
    return datetime.fromtimestamp(seconds, UTC).isoformat(timespec="seconds")
