"""Doing one half of a loop in threads, a bounded number of items ahead.

What belongs here: `map_ahead` for the half that comes after, `read_ahead` for the half that
comes before. What does not: what is done.

`concurrent.futures.Executor.map` takes the whole input at once, which would make memory
depend on the size of the input; this takes at most `ahead` items beyond the one in hand.
"""

from collections import deque
from collections.abc import Callable, Iterable, Iterator
from concurrent.futures import Future, ThreadPoolExecutor
from queue import SimpleQueue
from threading import Semaphore
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
