import re
from pathlib import Path

from hypothesis import example, given
from hypothesis import strategies as st

from rwt_assets.status.priority import (
    LOWEST,
    SMALL_BYTES,
    celery_priority,
    patience_seconds,
    places_for,
    run_priority,
)

RELIABILITY = Path(__file__).parents[2] / "docs" / "reliability.md"
SIZES = st.integers(0, 2**50)
PRIORITIES = st.integers(LOWEST, 0)
GIB = 2**30


@given(SIZES, SIZES)
@example(SMALL_BYTES, SMALL_BYTES + 1)
def test_a_larger_archive_never_goes_first_in_either_scale(one, other):
    smaller, larger = sorted([one, other])
    assert run_priority(smaller) >= run_priority(larger)
    assert celery_priority(run_priority(smaller)) >= celery_priority(run_priority(larger))


@given(SIZES)
def test_priorities_are_what_dagster_and_rabbitmq_take(size):
    assert LOWEST <= run_priority(size) <= 0
    assert 0 <= celery_priority(run_priority(size)) <= 10


def test_every_factor_of_four_is_a_step():
    sizes = [0, SMALL_BYTES, SMALL_BYTES + 1, 64 * 2**20 + 1, GIB, GIB + 1, 5 * GIB, 5_000 * GIB]
    assert [run_priority(size) for size in sizes] == [0, 0, -1, -2, -3, -4, -5, -5]
    assert [celery_priority(number) for number in range(0, -6, -1)] == [10, 8, 6, 4, 2, 0]


@given(PRIORITIES, st.integers(1, 200))
def test_each_size_has_a_place_and_the_smaller_one_no_fewer(priority, at_most):
    assert 1 <= places_for(priority, at_most) <= at_most
    assert places_for(priority, at_most) >= places_for(priority - 1, at_most)


@given(PRIORITIES, st.integers(10, 200))
def test_a_smaller_archive_finds_a_place_when_all_larger_ones_have_theirs(priority, at_most):
    if priority < 0:
        assert places_for(priority, at_most) < places_for(priority + 1, at_most) or at_most < 10


@given(PRIORITIES)
def test_who_takes_longer_has_more_patience_and_it_has_an_end(priority):
    assert patience_seconds(priority) >= patience_seconds(min(0, priority + 1))
    assert patience_seconds(priority) <= 2 * 3_600


def test_the_table_of_the_documentation_says_the_same():
    rows = re.findall(
        r"^\| (?:up to (\d+) ([MG])iB|more) \| (-?\d) \| (\d+) \| (\d+) \|(?: (\d+) min)? \|$",
        RELIABILITY.read_text(encoding="utf-8"),
        re.MULTILINE,
    )
    assert len(rows) == -LOWEST + 1
    for number, unit, priority, celery, places, minutes in rows:
        size = int(number or 5) * {"M": 2**20, "G": GIB, "": GIB}[unit]
        assert run_priority(size) == int(priority)
        if number:
            assert run_priority(size + 1) == int(priority) - 1
        assert celery_priority(int(priority)) == int(celery)
        assert places_for(int(priority), 20) == int(places)
        assert patience_seconds(int(priority)) == 60 * int(minutes or 0)
