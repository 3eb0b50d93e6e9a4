"""After any failed run, every object that a delivery names has the bytes that it had.

An example is a delivered archive and then some second passes: another content, a replay, a changed
declaration, shards enriched by hand, a rollback. In each, one request to the store may fail or the
process die, before or after the request had its effect.
"""

import os

from hypothesis import given, settings
from hypothesis import strategies as st

from rwt_assets_tests.faulty_world import METHODS, Fault, World
from rwt_assets_tests.second_passes import (
    CONTENTS,
    DECLARATIONS,
    HEADER,
    MEMBER,
    WAYS,
    declared,
    is_accepted,
    rows_of,
)

EXAMPLES = 1_000 if os.environ.get("HYPOTHESIS_PROFILE") == "fuzz" else 80
FAULTS = st.one_of(
    st.none(),
    st.builds(Fault, st.just(""), st.integers(1, 60), st.booleans(), st.booleans()),
    st.builds(Fault, st.sampled_from(METHODS), st.integers(1, 8), st.booleans(), st.booleans()),
)
PASSES = st.one_of(
    st.tuples(st.just("upload"), st.sampled_from(CONTENTS)),
    st.tuples(st.just("replay"), st.none()),
    st.tuples(st.just("declare"), st.sampled_from(DECLARATIONS)),
    st.tuples(st.just("declare and replay"), st.sampled_from(DECLARATIONS)),
    st.tuples(st.just("enrich"), st.sets(st.integers(0, 2), min_size=1)),
    st.tuples(st.just("roll back"), st.none()),
)


def begin(world, way, name, what):
    """What a person or a sender does; the error of what is done at once, if there is one."""
    if name == "upload":
        world.upload({MEMBER: HEADER + what})
    if name.startswith("declare"):
        world.catalog.feed = declared(way, **what)
    if name.endswith("replay"):
        world.catalog.ask_replay()
    if name == "enrich":
        return world.enrich_by_hand(what)
    if name == "roll back":
        return world.roll_back()
    return None


@settings(max_examples=EXAMPLES)
@given(
    way=st.sampled_from(WAYS),
    first=st.sampled_from(CONTENTS[:3]),
    passes=st.lists(st.tuples(PASSES, FAULTS), min_size=1, max_size=5),
)
def test_no_failure_of_a_second_pass_is_a_surprise_to_who_reads_a_delivery(way, first, passes):
    world = World(declared(way), rows_of)
    try:
        world.upload({MEMBER: HEADER + first})
        assert world.go_on() is None
        assert len(world.documents) == 1
        for (name, what), fault in passes:
            with world.failing(fault):
                if begin(world, way, name, what) is None:
                    world.go_on()
            world.assert_as_delivered()
        finish(world)
    finally:
        world.close()


def finish(world):
    """Without failures, a last replay is delivered, unless it may not be."""
    world.catalog.ask_replay()
    before = world.documents[-1]
    while world.go_on() is not None:
        world.assert_as_delivered()
    world.assert_as_delivered()
    last = world.documents[-1]
    if is_accepted(world.newest(), world.feed):
        assert last.revision == world.catalog.latest_revision("").revision
        assert last.rows_enriched == rows_of(world.newest(), world.feed)[0].total()
        assert last.reason != before.reason or last.generation != before.generation
        assert set(world.catalog.registered) == {one.partition_key for one in last.objects}
    else:
        assert last == before
