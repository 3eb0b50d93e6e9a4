"""Doing one half of a loop in threads, a bounded number of items ahead.

What belongs here: `map_ahead` for the half that comes after, `read_ahead` for the half that
comes before, `Room` for what threads hold in memory together. What does not: what is done.

`concurrent.futures.Executor.map` takes the whole input at once, which would make memory
depend on the size of the input; this takes at most `ahead` items beyond the one in hand.
"""

from collections import deque
from collections.abc import Callable, Iterable, Iterator
from concurrent.futures import Future, ThreadPoolExecutor
from contextlib import contextmanager
from queue import SimpleQueue
from threading import Condition, Semaphore
from typing import TypeVar

Item = TypeVar("Item")
Result = TypeVar("Result")


def map_ahead(
    work: Callable[[Item], Result], items: Iterable[Item], *, workers: int, ahead: int
) -> Iterator[Result]:
    """Apply `work` to items in threads; yield results in the order of the items.

    The first error of `work` or of `items` is raised after the work under way has ended;
    nothing new is begun.
    """
    pending: deque[Future[Result]] = deque()
    with ThreadPoolExecutor(workers) as pool:
        try:
            for item in items:
                pending.append(pool.submit(work, item))
                if len(pending) > ahead:
                    yield pending.popleft().result()
            while pending:
                yield pending.popleft().result()
        finally:
            for future in pending:
                future.cancel()


def read_ahead(items: Iterable[Item], *, ahead: int) -> Iterator[Item]:
    """The same items, made in a thread of their own, at most `ahead` beyond the one in hand.

    An error is raised where its item would have come. If no more is asked for, the thread ends
    after the item that it is making, and `items` is closed.
    """
    made: SimpleQueue[tuple[bool, Item | BaseException | None]] = SimpleQueue()
    room = Semaphore(ahead + 1)
    wanted = [True]

    def make() -> None:
        source = iter(items)
        try:
            while room.acquire() and wanted[0]:
                made.put((True, next(source)))
        except StopIteration:
            made.put((False, None))
        except BaseException as error:  # noqa: BLE001 - raised where the item is asked for
            made.put((False, error))
        finally:
            close = getattr(source, "close", None)
            if close is not None:
                close()

    with ThreadPoolExecutor(1) as pool:
        pool.submit(make)
        try:
            while True:
                is_item, item = made.get()
                if is_item:
                    yield item  # type: ignore[misc]
                elif isinstance(item, BaseException):
                    raise item
                else:
                    return
                del item
                room.release()
        finally:
            wanted[0] = False
            room.release()


class Room:
    """So many bytes for several threads: many small things at a time, or a few large ones.

    Args:
        size: bytes that may be taken together. A single thing larger than that is let in alone.
    """

    def __init__(self, size: int) -> None:
        self._size = size
        self._taken = 0
        self._changed = Condition()

    @contextmanager
    def taken(self, size: int) -> Iterator[None]:
        """Wait until there is room for so many bytes, and hold it."""
        with self._changed:
            self._changed.wait_for(lambda: not self._taken or self._taken + size <= self._size)
            self._taken += size
        try:
            yield
        finally:
            with self._changed:
                self._taken -= size
                self._changed.notify_all()
