from hypothesis import given
from hypothesis import strategies as st

from rwt_assets.status.progress import (
    ArchiveFacts,
    Event,
    Need,
    Position,
    ShardFacts,
    Stage,
    Step,
    contiguous_ranges,
    locate,
)

ARRIVED, SPLIT, DELIVERED = Event(1, "r1"), Event(10, "r1"), Event(30, "r1")


def shard(key="s", reported=5, enriched=20, **facts):
    return ShardFacts(key, reported, enriched, **facts)


ONE_SHARD = (shard(),)


def archive(arrived=ARRIVED, manifest=SPLIT, delivery=DELIVERED, shards=ONE_SHARD, **facts):
    return ArchiveFacts("a", arrived, manifest, delivery, shards=shards, **facts)


def test_the_way_of_an_archive_step_by_step():
    new = archive(manifest=None, delivery=None, shards=())
    assert locate(new) == Position(Stage.ARRIVED, Need(Step.SPLIT, 1))
    split = archive(delivery=None, shards=(shard(enriched=None), shard("t", 6, None)))
    assert locate(split) == Position(Stage.ENRICHING, Need(Step.ENRICH, 6, ("s", "t")))
    half = archive(delivery=None, shards=(shard(), shard("t", 6, None)))
    assert locate(half).need == Need(Step.ENRICH, 6, ("t",))
    enriched = archive(delivery=None)
    assert locate(enriched) == Position(Stage.DELIVERING, Need(Step.DELIVER, 20))
    assert locate(archive()) == Position(Stage.DELIVERED)


def test_a_new_revision_starts_again():
    assert locate(archive(arrived=Event(40, "r2"))).need == Need(Step.SPLIT, 40)


def test_a_replay_splits_the_newest_revision_again_once():
    assert locate(archive(replay=Event(40, "r1"))).need == Need(Step.SPLIT, 40)
    assert locate(archive(delivery=None, replay=Event(40, "r1"))).need == Need(Step.SPLIT, 40)
    split_again = archive(
        manifest=Event(41, "r1"), shards=(shard(reported=42),), replay=Event(40, "r1")
    )
    assert locate(split_again) == Position(Stage.ENRICHING, Need(Step.ENRICH, 42, ("s",)))
    done = archive(manifest=Event(41, "r1"), delivery=Event(50, "r1"), replay=Event(40, "r1"))
    assert locate(done) == Position(Stage.DELIVERED)


def test_a_replay_of_a_revision_that_was_replaced_asks_for_nothing_of_its_own():
    replaced = archive(arrived=Event(45, "r2"), replay=Event(40, "r1"))
    assert locate(replaced).need == Need(Step.SPLIT, 45)


def test_a_shard_enriched_after_the_delivery_makes_a_new_delivery():
    assert locate(archive(shards=(shard(enriched=35),))).need == Need(Step.DELIVER, 35)


def test_a_shard_reported_again_after_the_delivery_is_left_to_automation():
    position = locate(archive(shards=(shard(reported=40),)))
    assert position == Position(Stage.DELIVERED, left_to_automation=Need(Step.ENRICH, 40, ("s",)))


def test_shards_registered_and_not_reported_are_split_again():
    facts = archive(delivery=None, shards=(shard(), shard("t", None, None)))
    assert locate(facts).need == Need(Step.SPLIT, 1)


def test_nothing_is_asked_while_a_run_works():
    for stage in Stage:
        assert locate(archive(manifest=None, running=stage)) == Position(stage)


def test_an_archive_without_a_revision_needs_nothing():
    assert locate(archive(arrived=None)).need is None


@given(st.data())
def test_every_archive_ends_whatever_happens_in_between(data):
    """Carry out what is asked for, with failures and new revisions; the level leads to the end."""
    clock = iter(range(100, 10_000))
    facts = archive(Event(next(clock), "r0"), None, None, ())
    revisions = iter(["r1", "r2"])
    quiet = 0
    for _ in range(60):
        event = data.draw(st.sampled_from(["work", "work", "work", "fail", "arrive", "crash"]))
        name = next(revisions, None) if event == "arrive" else None
        if name is not None:
            facts = archive(Event(next(clock), name), facts.manifest, facts.delivery, facts.shards)
        if event in ("fail", "arrive"):
            continue
        facts = carried_out(facts, locate(facts).need, clock, half=event == "crash")
        quiet = quiet + 1
    for _ in range(6):
        facts = carried_out(facts, locate(facts).need, clock, half=False)
    assert locate(facts) == Position(Stage.DELIVERED)
    assert facts.delivery.revision == facts.arrived.revision


def carried_out(facts, need, clock, *, half):
    if need is None:
        return facts
    if need.step is Step.SPLIT:
        if half:  # registered, and only the first was reported
            shards = (shard("s", next(clock), None), shard("t", None, None))
            return archive(facts.arrived, facts.manifest, facts.delivery, shards)
        shards = (shard("s", next(clock), None), shard("t", next(clock), None))
        manifest = Event(next(clock), facts.arrived.revision)
        return archive(facts.arrived, manifest, facts.delivery, shards)
    if need.step is Step.ENRICH:
        wanted = need.shards[:1] if half else need.shards
        shards = tuple(
            shard(s.partition_key, s.reported, next(clock)) if s.partition_key in wanted else s
            for s in facts.shards
        )
        return archive(facts.arrived, facts.manifest, facts.delivery, shards)
    delivery = facts.delivery if half else Event(next(clock), facts.manifest.revision)
    return archive(facts.arrived, facts.manifest, delivery, facts.shards)


@given(st.lists(st.integers(0, 30), unique=True), st.sets(st.integers(0, 30)), st.integers(1, 5))
def test_ranges_are_neighbours_and_complete(order, wanted, at_most):
    order = [str(n) for n in order]
    wanted = {str(n) for n in wanted}
    ranges = contiguous_ranges(wanted, order, at_most)
    assert [key for keys in ranges for key in keys] == [key for key in order if key in wanted]
    for keys in ranges:
        start = order.index(keys[0])
        assert tuple(order[start : start + len(keys)]) == keys
        assert len(keys) <= at_most
