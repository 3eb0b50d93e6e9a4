import threading
from itertools import count

import pytest

from rwt_assets.runtime.concurrency import Room, map_ahead, read_ahead


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


def test_items_are_made_ahead_in_their_order_a_bounded_number():
    made = []

    def items():
        for n in range(100):
            made.append(n)
            yield n

    ahead = read_ahead(items(), ahead=2)
    assert next(ahead) == 0
    most = 0
    for n in range(1, 100):
        assert next(ahead) == n
        most = max(most, len(made) - n)
    assert most <= 4  # the one in hand, two ahead, and one that waits to be handed over
    assert list(ahead) == []


def test_an_error_is_raised_where_its_item_would_have_come():
    def items():
        yield 1
        raise ValueError("two")

    ahead = read_ahead(items(), ahead=5)
    assert next(ahead) == 1
    with pytest.raises(ValueError, match="two"):
        next(ahead)


def test_the_thread_ends_when_no_more_is_asked_for():
    closed = threading.Event()

    def items():
        try:
            yield from count()
        finally:
            closed.set()

    before = threading.active_count()
    ahead = read_ahead(items(), ahead=3)
    assert next(ahead) == 0
    ahead.close()
    assert closed.wait(30)
    assert threading.active_count() == before


def test_small_things_share_the_room_and_large_ones_wait_for_it():
    room = Room(10)
    entered = threading.Event()

    def enter(size):
        with room.taken(size):
            entered.set()

    with room.taken(4), room.taken(4):
        small = threading.Thread(target=enter, args=(2,))
        small.start()
        small.join(30)
        assert entered.is_set()
        entered.clear()
        large = threading.Thread(target=enter, args=(5,))
        large.start()
        assert not entered.wait(0.2)
    assert entered.wait(30)
    large.join(30)


def test_what_is_larger_than_the_room_is_let_in_alone_and_an_error_gives_the_room_back():
    room = Room(10)
    with pytest.raises(ValueError, match="lost"), room.taken(1_000):
        raise ValueError("lost")
    with room.taken(10):
        pass
