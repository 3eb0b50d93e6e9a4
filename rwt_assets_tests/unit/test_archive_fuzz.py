"""Damaged archives: whatever was done to them, the outcome is one of ours.

`make fuzz` runs 150,000 examples of each; the tests of every day a hundred.
"""

from random import Random

from hypothesis import given
from hypothesis import strategies as st
from pydantic import SecretStr

from rwt_assets.runtime.errors import RwtError
from rwt_assets.shard.unpacking import unpack_archive
from rwt_assets.storage.notifications import ArchiveRevision
from rwt_assets_tests.mutations import FEED, KEY, mutate, read_all, seeds
from rwt_assets_tests.stand_ins import InMemoryObjects

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


@given(st.sampled_from(SEEDS), st.integers(0, 2**64))
def test_a_damaged_archive_leaves_no_object_that_its_manifest_does_not_name(seed, number):
    body = mutate(seed, Random(number), SEEDS)  # noqa: S311 - no secret
    store = InMemoryObjects()
    store.put("incoming", "a.zip", body)
    revision = ArchiveRevision("incoming", "a.zip", store.etag("incoming", "a.zip"), len(body))
    try:
        manifest = unpack_archive(store, FEED, revision, password=SecretStr(KEY))
    except RwtError:
        return
    parts = [part for shard in manifest.shards for part in shard.parts]
    named = {part.key for part in parts} | {*manifest.quarantine_keys}
    named |= {part.row_numbers_key for part in parts if part.row_numbers_key}
    assert {key for bucket, key in store.contents if bucket == "results"} == named
