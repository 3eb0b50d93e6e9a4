"""After any failed run, every object that a delivery names has the bytes that it had.

An example is a delivered archive and then some second passes: another content, a replay, a changed
declaration, shards enriched by hand, a rollback. In each, one request to the store may fail or the
process die, before or after the request had its effect. Rule: docs/architecture.md, "A delivery
never changes".
"""

import csv
import io
import os
from collections import Counter

from hypothesis import given, settings
from hypothesis import strategies as st

from rwt_assets.feed import Feed
from rwt_assets_tests.faulty_world import METHODS, Fault, World

EXAMPLES = 2_000 if os.environ.get("HYPOTHESIS_PROFILE") == "fuzz" else 80
HEADER = "item,day,price\n"
CONTENTS = (
    "pen,2026-01-01,1\npen,2026-01-02,7\npen,2026-01-01,9\n",
    "pen,2026-01-01,6\nink,2026-01-03,8\npen,2026-01-02,2\nink,2026-01-03,5\n",
    "pen,2026-01-01,6\npen,2026-01-02,x\npen,2026-01-03\npen,2026-01-01,7\n",
    "ink,2026-01-02,3\n",
)
OWN = {"use": "rwt_assets_tests.own_enrichments.fail_for_ink"}


def declared(way, *, minimum=0, tolerated=None, enrichments=()):
    price = {"type": "number", "minimum": minimum, "nullable": False}
    return Feed.model_validate(
        {
            "name": "shop",
            "source": {"bucket": "incoming", "queue": "shop"},
            "target": {"bucket": "results", "prefix": "rwt/shop"},
            "members": [
                {
                    "include": ["*.csv"],
                    "split_by": "day",
                    "key_column": "item",
                    "columns": {"item": {}, "day": {"type": "date"}, "price": price},
                    "enrichments": [*enrichments],
                }
            ],
            "tolerance": {} if tolerated is None else {"rows": tolerated},
            **way,
        }
    )


WAYS = ({}, {"one_pass": True}, {"one_pass": True, "keep_shards": False})
DECLARATIONS = (
    {},
    {"minimum": 5},
    {"minimum": 5, "tolerated": 0},
    {"enrichments": [OWN]},
    {"enrichments": [{"use": "constant", "to": "currency", "value": "EUR"}]},
)


def rows_of(members, feed):
    """The rows that are delivered of these members, and how many are not."""
    minimum = feed.members[0].columns["price"].minimum
    rows, quarantined = Counter(), 0
    for record in list(csv.reader(io.StringIO(members["sales.csv"])))[1:]:
        if len(record) == 3 and record[2] != "x" and float(record[2]) >= minimum:
            rows[record[0], record[1], float(record[2])] += 1
        else:
            quarantined += 1
    return rows, quarantined


def is_accepted(members, feed):
    rows, quarantined = rows_of(members, feed)
    own = any(one.use == OWN["use"] for one in feed.members[0].enrichments)
    tolerated = feed.tolerance.rows is None or quarantined <= feed.tolerance.rows
    return tolerated and not (own and any(item == "ink" for item, _, _ in rows))


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
        world.upload({"sales.csv": HEADER + what})
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
        world.upload({"sales.csv": HEADER + first})
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
