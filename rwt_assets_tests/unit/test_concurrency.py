import threading
from itertools import count

import pytest

from rwt_assets.concurrency import map_ahead


def test_results_come_in_order():
    assert list(map_ahead(lambda n: n * n, range(50), workers=4, ahead=8)) == [
        n * n for n in range(50)
    ]


def test_only_so_many_items_are_taken_ahead():
    taken = []

    def items():
        for n in count():
            taken.append(n)
            yield n

    results = map_ahead(lambda n: n, items(), workers=2, ahead=3)
    assert next(results) == 0
    assert len(taken) == 4
    results.close()
    assert len(taken) == 4


def test_the_first_error_ends_it_and_nothing_new_is_begun():
    begun = []

    def work(n):
        begun.append(n)
        if n == 2:
            raise ValueError(n)
        return n

    with pytest.raises(ValueError, match="2"):
        list(map_ahead(work, range(1000), workers=1, ahead=2))
    assert len(begun) < 10


def test_work_is_done_side_by_side():
    meeting = threading.Barrier(3, timeout=30)
    assert len(list(map_ahead(lambda _: meeting.wait(), range(3), workers=3, ahead=3))) == 3
