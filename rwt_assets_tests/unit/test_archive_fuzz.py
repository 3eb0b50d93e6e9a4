"""Damaged archives: whatever was done to them, the outcome is one of ours.

`make fuzz` runs 150,000 examples of each; the tests of every day a hundred.
"""

from random import Random

from hypothesis import given
from hypothesis import strategies as st

from rwt_assets_tests.mutations import mutate, read_all, seeds

SEEDS = seeds()


def test_every_seed_is_read_whole():
    assert all(read_all(seed) for seed in SEEDS)
    assert sum(map(read_all, SEEDS)) > 100


@given(st.sampled_from(SEEDS), st.integers(0, 2**64))
def test_no_damage_is_a_surprise(seed, number):
    random = Random(number)  # noqa: S311 - no secret
    read_all(mutate(seed, random, SEEDS))


@given(st.data())
def test_no_cut_is_a_surprise(data):
    seed = data.draw(st.sampled_from(SEEDS))
    start, end = sorted(data.draw(st.tuples(*[st.integers(0, len(seed))] * 2)))
    read_all(seed[:start] + seed[end:])
