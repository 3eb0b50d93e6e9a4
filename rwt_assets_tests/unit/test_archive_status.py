"""What is asked for and what waits is one answer, for any facts."""

from dataclasses import dataclass

from hypothesis import given
from hypothesis import strategies as st

from rwt_assets.status import ArchiveFacts, Capacity, Event, ShardFacts, Stage, status_of

NOW = 100_000.0
ids = st.integers(1, 30)
events = st.builds(Event, ids, st.sampled_from("ab"), bytes=st.sampled_from([1, 2**33]))


@dataclass(frozen=True)
class Tried:
    count: int
    reason: str
    outages: int
    outage_at: float
    damaged: bool

    def exhausted(self, at_most):
        return self.count >= at_most


facts = st.builds(
    ArchiveFacts,
    st.just("a.zip"),
    arrived=st.none() | events,
    manifest=st.none() | events,
    delivery=st.none() | events,
    running=st.none() | st.none() | st.sampled_from([Stage.SPLITTING, Stage.ENRICHING]),
    shards=st.lists(st.builds(ShardFacts, st.just("s"), st.none() | ids, st.none() | ids)),
    replay=st.none() | events,
)
tries = st.builds(
    Tried,
    st.integers(0, 4),
    st.just("no room"),
    st.integers(0, 4),
    st.sampled_from([0.0, NOW - 5, NOW - 9_000]),
    st.booleans(),
)
cases = st.lists(st.tuples(facts, tries, st.sampled_from([0.0, 700.0]), st.booleans()))


def look(archives, held_back, at_most, *, explain):
    taken = [0 for one, *_ in archives if one.running is not None]
    capacity = Capacity(taken, lambda: held_back, at_most)
    return [
        status_of(
            one,
            lambda _, tried=tried: tried,
            capacity,
            attempts_at_most=3,
            age_of=lambda _, age=age: age,
            changed=lambda _, changed=changed: changed,
            now=NOW,
            explain=explain,
        )
        for one, tried, age, changed in archives
    ]


@given(cases, st.sampled_from([0, -5]), st.integers(1, 4))
def test_every_archive_is_due_or_waits_with_a_sentence_or_is_settled(archives, held_back, at_most):
    for status, (one, *_) in zip(
        look(archives, held_back, at_most, explain=True), archives, strict=True
    ):
        if status.waits_for is not None:
            assert status.waits_for.sentence
            assert not status.is_due
        elif status.next_step is None:
            settled = status.stage in (Stage.DELIVERED, "failed")
            assert settled or one.arrived is None
        else:
            assert status.is_due
        assert (one.running is None) or status.waits_for.kind == "run"


@given(cases, st.sampled_from([0, -5]), st.integers(1, 4))
def test_what_dispatch_asks_for_is_what_is_said_to_be_due(archives, held_back, at_most):
    quiet = [(one, tried, age, False) for one, tried, age, _ in archives]
    plan = [one.is_due for one in look(quiet, held_back, at_most, explain=False)]
    assert plan == [one.is_due for one in look(quiet, held_back, at_most, explain=True)]
    running = sum(one.running is not None for one, *_ in quiet)
    assert sum(plan) <= max(0, at_most - running)


def test_each_wait_says_what_it_is_for():
    arrived = ArchiveFacts("a.zip", Event(1, "a", bytes=2**33), None, None)
    none = Tried(0, "", 0, 0.0, damaged=False)
    broken = Tried(1, "no room", 1, NOW - 5, damaged=False)

    def wait(one, tried=none, age=0.0, capacity=None):
        return status_of(
            one,
            lambda _: tried,
            capacity or Capacity([]),
            attempts_at_most=3,
            age_of=lambda _: age,
            changed=lambda _: False,
            now=NOW,
        ).waits_for

    assert wait(arrived) is None
    full = wait(arrived, capacity=Capacity([0], at_most=1))
    assert (full.kind, full.sentence) == ("capacity", "1 archives have a run, and 1 may")
    small = ArchiveFacts("a.zip", Event(1, "a", bytes=1), None, None)
    assert wait(small, capacity=Capacity([], lambda: -5)).kind == "turn"
    outage = wait(arrived, broken)
    assert (outage.kind, outage.until) == ("outage", NOW + 5)
    assert "no room" in outage.sentence
    split = ArchiveFacts(
        "a.zip", Event(1, "a"), Event(2, "a"), Event(3, "a"), shards=[ShardFacts("s", 4, 3)]
    )
    assert wait(split).until == NOW + 600
    assert wait(split, age=601.0) is None
    working = ArchiveFacts("a.zip", Event(1, "a"), None, None, Stage.SPLITTING, run_id="r1")
    assert wait(working).sentence == "run r1 is splitting it"
