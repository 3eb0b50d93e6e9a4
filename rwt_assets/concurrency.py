"""Doing the slow half of a loop in threads, a bounded number of items ahead.

`concurrent.futures.Executor.map` takes the whole input at once, which would make memory
depend on the size of the input; this takes at most `ahead` items beyond the one in hand.
"""

from collections import deque
from collections.abc import Callable, Iterable, Iterator
from concurrent.futures import Future, ThreadPoolExecutor
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
