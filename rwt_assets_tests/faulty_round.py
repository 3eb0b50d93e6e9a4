"""A feed in memory that takes in archives, with faults injected, and what came of it.

What belongs here: carrying out what the daemon would, making one call fail, and comparing what a
consumer reads with what was in the archives. What does not: which faults there are
(`assets/test_faults.py`).
"""

import csv
import io
import json
from collections import Counter
from collections.abc import Callable
from dataclasses import dataclass

import dagster as dg
import pyarrow.parquet as pq
import pytest

from rwt_assets.catalog.standing import take_standing
from rwt_assets.delivery.consumption import read_delivery
from rwt_assets.embedded.interruption import fail_interrupted
from rwt_assets.orchestration.sensors.dispatch import plan
from rwt_assets_tests.archives import make_zip
from rwt_assets_tests.stand_ins import run_request


class Crash(BaseException):
    """The process dies here."""


@dataclass(frozen=True)
class Point:
    """Where: before or after the `call`th call of a method."""

    owner: type
    method: str
    call: int = 1
    after: bool = False
    only: str = ""  # calls whose arguments mention this


class Injected:
    """Patches one method so that one of its calls raises; counts whether it came to that.

    After a `Crash`, everything that Dagster would record raises it too: a process that is dead
    tells nobody, and Dagster would otherwise put the run on record as failed.
    """

    def __init__(self, monkeypatch, point: Point, error: Callable[[], BaseException]) -> None:
        self.raised = 0
        self.dead = False
        original = getattr(point.owner, point.method)
        calls = 0

        def patched(*args, **kwargs):
            nonlocal calls
            if point.only in str((args[1:], kwargs)):
                calls += 1
                if calls == point.call and not self.raised:
                    self.raised += 1
                    if point.after:
                        original(*args, **kwargs)
                    raised = error()
                    self.dead = isinstance(raised, Crash)
                    raise raised
            return original(*args, **kwargs)

        monkeypatch.setattr(point.owner, point.method, patched)
        self._dead_after_crash(monkeypatch)

    def _dead_after_crash(self, monkeypatch):
        record = dg.DagsterInstance.handle_new_event

        def handle_new_event(instance, *args, **kwargs):
            if self.dead:
                raise Crash
            return record(instance, *args, **kwargs)

        monkeypatch.setattr(dg.DagsterInstance, "handle_new_event", handle_new_event)


def announce(shop, name, members, sequencer):
    """Upload an archive and put its notification into the queue."""
    key = shop.drop(name, make_zip(members))
    described = {
        "key": key,
        "size": len(shop.objects.contents["incoming", key]),
        "eTag": shop.objects.etag("incoming", key),
        "sequencer": sequencer,
    }
    record = {
        "eventName": "ObjectCreated:Put",
        "eventTime": "2026-11-24T12:00:00.000Z",
        "s3": {"bucket": {"name": "incoming"}, "object": described},
    }
    shop.queue.put(json.dumps({"Records": [record]}))
    return key


def go_on(shop, *, expect_failure: bool | None = False):
    """What the daemon does: ticks of the sensors and the runs they ask for, until all is done.

    A run that fails is an error unless it is expected, and then one has to fail; with None a run
    may fail, and the caller asserts that all is well in the end.
    """
    results = []
    for _ in range(30):
        shop.take_in()
        requests = plan(shop.catalog)
        if not requests and not shop.queue.messages:
            break
        results += [
            run_request(shop.definitions, shop.instance, one, may_fail=expect_failure is not False)
            for one in requests
        ]
    else:
        pytest.fail("there is no end")
    if expect_failure:
        assert not all(result.success for result in results), "no run failed"
        failed = take_standing(shop.catalog).failed
        shop.expect_failed(*(entry.partition_key for entry in failed))


def restart(shop):
    fail_interrupted(shop.instance)
    shop.queue.redeliver()


def delivered_rows(shop, key):
    """What a consumer reads, without the columns that enrichment adds."""
    rows: Counter[tuple[object, ...]] = Counter()
    for one in read_delivery(shop.objects, shop.feed.target, key).objects:
        table = pq.read_table(io.BytesIO(shop.objects.read("results", one.key)))
        own = table.drop_columns(["crc32", "_archive", "_member", "_row"]).to_pylist()
        rows.update((one.member, *map(_text, row.values())) for row in own)
    return rows


def _text(value):
    return f"{value:g}" if isinstance(value, float) else str(value)


def rows_of(members):
    return Counter(
        (name, *row)
        for name, text in members.items()
        for row in list(csv.reader(io.StringIO(text)))[1:]
    )


def assert_whole(shop, archives):
    for key, members in archives.items():
        assert delivered_rows(shop, key) == rows_of(members)
    standing = take_standing(shop.catalog)
    assert not standing.waiting
    assert not standing.failed
    assert not standing.forgotten
    split = {key.split("|")[0] for key in shop.catalog.shards()}
    assert split == set(archives)
    named = {
        one.partition_key
        for key in archives
        for one in read_delivery(shop.objects, shop.feed.target, key).objects
    }
    assert named == set(shop.catalog.shards()), "the catalog and the deliveries differ"
