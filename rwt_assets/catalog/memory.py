"""What a process remembers of its feeds from one poll to the next.

What belongs here: that memory, which the code location makes and gives to its sensors. What does
not: reading the facts (`archive_facts.py`, `catalog.py`). A process that looks once, such as a run
or a command, begins with an empty one.
"""

from collections.abc import Iterable
from dataclasses import dataclass, field
from threading import Lock
from typing import Final

from rwt_assets.status import ArchiveFacts, Event

EVENTS_KEPT: Final = 100_000


@dataclass(slots=True)
class ArchiveMemory:
    """What is known of the settled archives of one feed.

    `marks` are when it looked and the newest event then: the first is so old that no event with a
    lower number can become visible any more.
    """

    lock: Lock = field(default_factory=Lock)
    at_rest: dict[str, ArchiveFacts] = field(default_factory=dict)
    marks: list[tuple[float, int]] = field(default_factory=lambda: [(0.0, 0)])
    read_at: float = float("-inf")


class CatalogMemory:
    """Settled archives and events, by the instance that has them, since tests make many."""

    def __init__(self) -> None:
        self._lock = Lock()
        self._archives: dict[tuple[str, str], ArchiveMemory] = {}
        self._events: dict[tuple[str, int], Event] = {}

    def archives_of(self, storage: str, feed: str) -> ArchiveMemory:
        """The settled archives of a feed."""
        with self._lock:
            return self._archives.setdefault((storage, feed), ArchiveMemory())

    def event(self, storage: str, number: int) -> Event | None:
        """An event that was read before. What an event says never changes."""
        return self._events.get((storage, number))

    def unknown(self, storage: str, numbers: Iterable[int]) -> list[int]:
        """The numbers of events that have to be read; all of them if there is no more room."""
        wanted = [*numbers]
        unknown = [number for number in wanted if (storage, number) not in self._events]
        if len(self._events) + len(unknown) <= EVENTS_KEPT:
            return unknown
        self._events.clear()
        return wanted

    def keep(self, storage: str, event: Event) -> None:
        """Remember an event."""
        self._events[storage, event.storage_id] = event

    def forget_events(self) -> None:
        """Read all again: some were removed, and SQLite gives their numbers again."""
        self._events.clear()
