"""One archive, its feed and its catalog in memory, and an object store that fails on request.

What belongs here: the steps of `assets/` carried out as functions, without Dagster's runs, so that
a property can be held to hundreds of examples. What does not: the property
(`unit/test_delivered_bytes.py`) and the same with runs of Dagster (`assets/test_second_passes.py`).
"""

from collections import Counter
from contextlib import contextmanager, nullcontext
from dataclasses import dataclass, field
from datetime import UTC, datetime, timedelta
from io import BytesIO
from itertools import count
from threading import Lock, local
from types import SimpleNamespace

import pyarrow.parquet as pq
from botocore.exceptions import ReadTimeoutError

from rwt_assets.catalog.catalog import DAMAGE, DAMAGE_AT_MOST, REPLAY
from rwt_assets.delivery.deliveries import current_delivery, named_keys, roll_back
from rwt_assets.documents.generations import enrichment_version
from rwt_assets.documents.manifest import Delivery
from rwt_assets.feed.feed import Feed
from rwt_assets.graph.feed_graph import FeedGraph
from rwt_assets.orchestration.assets.archive_manifest import split_newest_revision
from rwt_assets.orchestration.assets.delivery import deliver_newest_split
from rwt_assets.orchestration.assets.one_pass import EnrichedWhileSplitting, batch_check
from rwt_assets.orchestration.steps.enriched import EnrichedShard
from rwt_assets.orchestration.steps.frames import member_frame_type
from rwt_assets.orchestration.steps.parquet_io_manager import ParquetShards
from rwt_assets.resources.object_store import ObjectStoreResource
from rwt_assets.runtime.errors import RwtError, ShardDamagedError
from rwt_assets.shard.processing import read_manifest, shard_runs
from rwt_assets.shard.remaking import remade_runs
from rwt_assets.status.progress import ArchiveFacts, Event, ShardFacts, Step, locate
from rwt_assets.storage.notifications import ArchiveRevision
from rwt_assets_tests.archives import make_zip
from rwt_assets_tests.faulty_round import Crash
from rwt_assets_tests.stand_ins import InMemoryObjects

ARCHIVE = "shop/a.zip"
ATTEMPTS = 2
METHODS = ("head", "read", "read_tagged", "tail", "stream", "put", "put_if")


@dataclass(frozen=True)
class Fault:
    """The `call`th call of a method ("" for any) fails before or after it had its effect."""

    method: str
    call: int
    after: bool
    crash: bool

    def error(self):
        return Crash() if self.crash else ReadTimeoutError(endpoint_url="http://127.0.0.1:1")


class FaultyObjects(InMemoryObjects):
    """Fails as it is told, and shows each delivery document that takes its place."""

    def __init__(self, delivered):
        super().__init__()
        self.fault = None
        self.failed = 0
        self._delivered = delivered
        self._calls = Counter()
        self._counting = Lock()
        self._within = local()

    @contextmanager
    def failing(self, fault):
        self.fault, self.failed, self._calls = fault, 0, Counter()
        try:
            yield
        finally:
            self.fault = None

    def _call(self, method, *arguments, **settings):
        original = getattr(super(), method)
        if getattr(self._within, "one", False):  # one method calls another
            return original(*arguments, **settings)
        with self._counting:
            self._calls[method] += 1
            self._calls[""] += 1
            fault = self.fault
            fails = fault is not None and self._calls[fault.method] == fault.call
            fails = fails and fault.method in ("", method) and not self.failed
            self.failed += fails
        if fails and not fault.after:
            raise fault.error()
        self._within.one = True
        try:
            answer = original(*arguments, **settings)
            answer = [*answer] if method == "stream" else answer
        finally:
            self._within.one = False
        if method.startswith("put") and arguments[1].endswith("delivery.json") and answer != "":
            self._delivered(self.contents[arguments[:2]])
        if fails:
            raise fault.error()
        return answer

    def head(self, *arguments, **settings):
        return self._call("head", *arguments, **settings)

    def read(self, *arguments, **settings):
        return self._call("read", *arguments, **settings)

    def read_tagged(self, *arguments, **settings):
        return self._call("read_tagged", *arguments, **settings)

    def tail(self, *arguments, **settings):
        return self._call("tail", *arguments, **settings)

    def stream(self, *arguments, **settings):
        yield from self._call("stream", *arguments, **settings)

    def put(self, *arguments, **settings):
        return self._call("put", *arguments, **settings)

    def put_if(self, *arguments, **settings):
        return self._call("put_if", *arguments, **settings)


_STORES = {}


class FaultyStore(ObjectStoreResource):
    """Leads to the store of this name."""

    name: str

    def objects(self):
        return _STORES[self.name]


@dataclass
class Catalog:
    """What `FeedCatalog` answers of one archive; see there."""

    feed: Feed
    arrivals: list[tuple[int, ArchiveRevision]] = field(default_factory=list)
    asked: list[tuple[int, str]] = field(default_factory=list)
    split: Event | None = None
    delivery: Event | None = None
    registered: dict[str, None] = field(default_factory=dict)
    reported: dict[str, list[tuple[int, str]]] = field(default_factory=dict)  # newest first
    enriched: dict[str, int] = field(default_factory=dict)
    number: count = field(default_factory=lambda: count(1))
    last: int = 0

    def __post_init__(self):
        self.graph = FeedGraph(self.feed.name)
        self.instance = SimpleNamespace(report_runless_asset_event=lambda _: None)

    def next(self):
        self.last = next(self.number)
        return self.last

    def newest_event(self):
        return self.last

    def latest_revision(self, archive):
        return self.arrivals[-1][1]

    def is_registered(self, archive):
        return True

    def retirement_of(self, archive):
        return None  # nothing is retired here

    def ask_replay(self, because=REPLAY):
        self.asked.append((self.next(), because))

    def ask_split_again(self, archive, because):
        split, (arrived, _) = self.split.storage_id if self.split else 0, self.arrivals[-1]
        found = [one for one in self.asked if one[0] > arrived]
        if found and found[-1][0] > split:
            return True
        if len(found) >= DAMAGE_AT_MOST and all(
            because.startswith(DAMAGE) for _, because in found[-DAMAGE_AT_MOST:]
        ):
            return False
        self.ask_replay(f"{DAMAGE}: {because}")
        return True

    def asked_because(self, archive):
        split = self.split.storage_id if self.split else 0
        found = [because for number, because in self.asked if number > split]
        return found[-1] if found else ""

    def register_shards(self, manifest):
        self.registered |= dict.fromkeys(shard.partition_key for shard in manifest.shards)

    def report_shards(self, manifest, *, only=None, via="split"):
        for shard in manifest.shards:
            if only is None or shard.partition_key in only:
                reports = self.reported.setdefault(shard.partition_key, [])
                reports.insert(0, (self.next(), via))

    def report(self, materializations):
        for one in materializations:
            self.enriched[one.partition] = self.next()

    def reports_of(self, shard, *, after, at_most):
        return [one for one in self.reported.get(shard, ()) if one[0] > after][:at_most]

    def enriched_by(self, shard, *, after=0):
        made = self.enriched.get(shard, 0) > after
        return enrichment_version(self.feed) if made else None

    def retire_shards(self, keys):
        for key in list(keys):
            del self.registered[key]

    def shards_of(self, archive):
        return list(self.registered)

    def latest_ids(self, asset, keys):
        if asset == self.graph.delivery:
            delivery = self.delivery
            return {} if delivery is None else dict.fromkeys(keys, delivery.storage_id)
        assert asset == self.graph.csv_shard
        return {key: self.reported[key][0][0] for key in keys}

    def latest_events(self, asset, keys):
        assert asset == self.graph.archive_manifest
        return {} if self.split is None else dict.fromkeys(keys, self.split)

    def facts(self):
        arrived, revision = self.arrivals[-1]
        return ArchiveFacts(
            ARCHIVE,
            Event(arrived, revision.revision),
            self.split,
            self.delivery,
            shards=[
                ShardFacts(key, self.reported.get(key, [(None, "")])[0][0], self.enriched.get(key))
                for key in self.registered
            ],
            replay=Event(self.asked[-1][0], revision.revision) if self.asked else None,
        )


class World:
    """The archive, and every object that a delivery of it ever named.

    Args:
        feed: the first declaration.
        rows_of: the rows that a content gives under a declaration, as a multiset, and how many of
            it are quarantined.
    """

    def __init__(self, feed, rows_of):
        self.store = FaultyObjects(self._take_down)
        self.name = f"world-{id(self)}"
        _STORES[self.name] = self.store
        self.catalog = Catalog(feed)
        self.documents = []
        self.named = {}
        self._rows_of = rows_of
        self._contents = {}
        self._tries = Counter()
        self._now = datetime(2026, 1, 1, tzinfo=UTC)

    @property
    def feed(self):
        return self.catalog.feed

    def close(self):
        del _STORES[self.name]

    def upload(self, members):
        bucket, body = self.feed.source.bucket, make_zip(members)
        self.store.contents[bucket, ARCHIVE] = body
        etag = self.store.etag(bucket, ARCHIVE)
        self._contents[etag] = members
        revision = ArchiveRevision(bucket, ARCHIVE, etag, len(body))
        if not self.catalog.arrivals or self.catalog.arrivals[-1][1] != revision:
            self.catalog.arrivals.append((self.catalog.next(), revision))

    def go_on(self):
        """Do what dispatch would ask for, until nothing is left to do or a step fails.

        Returns the error, None if there was none.
        """
        for _ in range(30):
            need = locate(self.catalog.facts()).open_need
            if need is None or self._tries[need.step, need.cause] >= ATTEMPTS:
                return None
            error = self._try(need)
            if error is not None:
                return error
        raise AssertionError("there is no end")

    def _try(self, need):
        try:
            self._do(need)
        except Crash as error:
            return error
        except ReadTimeoutError as error:
            return error
        except RwtError as error:
            self._tries[need.step, need.cause] += ATTEMPTS if error.terminal else 1
            self._hear(error)
            return error
        return None

    def _hear(self, error):
        if isinstance(error, ShardDamagedError) and error.archive:
            self.catalog.ask_split_again(error.archive, error.what)

    def _do(self, need):
        if need.step is Step.SPLIT:
            self._split(need.cause)
        elif need.step is Step.ENRICH:
            self._enrich(need.shards, again=self._tries[need.step, need.cause] > 0)
        else:
            as_of = self.catalog.newest_event()
            stored = self._io_manager().stored
            _, _, document = deliver_newest_split(
                self.catalog, self.store, ARCHIVE, stored, _no_rows_are_asked_for
            )
            self.catalog.delivery = Event(self.catalog.next(), document.revision, as_of=as_of)

    def _split(self, cause):
        enriched = None
        if self.feed.one_pass:
            version = enrichment_version(self.feed)
            enriched = EnrichedWhileSplitting(self.feed, self._io_manager(), version)
        manifest, _ = split_newest_revision(
            self.catalog, self.store, ARCHIVE, asked_by=str(cause), enriched=enriched
        )
        self.catalog.split = Event(self.catalog.next(), manifest.revision)

    def _enrich(self, keys, *, again):
        types = frame_types(self.feed)
        made = {"version": enrichment_version(self.feed), "tried_before": again}
        if self.feed.keep_shards:
            runs = shard_runs(self.store, self.feed, keys)
            shards = [EnrichedShard(run, types[run.rule.patterns], **made) for run in runs]
        else:
            remade = remade_runs(self.store, self.feed, keys, check=batch_check(self.feed))
            shards = (EnrichedShard(run, None, **made) for run in remade)
        io_manager = self._io_manager()
        for shard in shards:
            io_manager.write(shard)
        for key in keys:
            self.catalog.enriched[key] = self.catalog.next()

    def _io_manager(self):
        objects = FaultyStore(name=self.name).objects()
        return ParquetShards(objects, self.feed.target, enrichment_version(self.feed))

    def enrich_by_hand(self, chosen):
        """Enrich some shards of the manifest in place, as a person's backfill does."""
        try:
            manifest = read_manifest(self.store, self.feed.target, ARCHIVE)
            keys = [shard.partition_key for shard in manifest.shards]
            self._enrich([key for n, key in enumerate(keys) if n in chosen], again=False)
        except (Crash, ReadTimeoutError) as error:
            return error
        except RwtError as error:
            self._hear(error)
            return error
        return None

    def roll_back(self):
        try:
            self._now += timedelta(hours=1)
            document = roll_back(self.store, self.feed.target, ARCHIVE, now=self._now)
            self.catalog.delivery = Event(self.catalog.next(), document.revision, rolled_back=True)
        except (Crash, ReadTimeoutError, RwtError) as error:
            return error
        return None

    def failing(self, fault):
        return nullcontext() if fault is None else self.store.failing(fault)

    def _take_down(self, body):
        """A delivery took its place: it reconciles, and what it names is there."""
        document = Delivery.model_validate_json(body)
        for key in named_keys(document):
            content = self.store.contents[self.feed.target.bucket, key]
            assert self.named.setdefault(key, content) == content, f"{key} was written again"
        before = [one for one in self.documents if one.generation == document.generation]
        if before and before[0].revision == document.revision:
            assert document.objects == before[0].objects
        else:
            self._assert_adds_up(document)
        self.documents.append(document)

    def _assert_adds_up(self, document):
        tables = {one.key: self._table(one.key) for one in document.objects}
        rows = Counter(
            (str(row["item"]), str(row["day"]), float(row["price"]))
            for table in tables.values()
            for row in table.to_pylist()
        )
        expected, quarantined = self._rows_of(self._contents[document.revision], self.feed)
        assert rows == expected
        assert {one.key: one.rows for one in document.objects} == {
            key: table.num_rows for key, table in tables.items()
        }
        kept = sum(
            row["rows"] for key in document.quarantine_keys for row in self._table(key).to_pylist()
        )
        assert kept == document.rows_quarantined == quarantined
        assert document.rows_enriched == rows.total()
        assert document.rows_read == document.rows_enriched + document.rows_quarantined

    def _table(self, key):
        return pq.read_table(BytesIO(self.named[key]))

    def assert_as_delivered(self):
        """What was ever named has the bytes it had; the document in place is the last written."""
        contents, bucket = self.store.contents, self.feed.target.bucket
        changed = [key for key, body in self.named.items() if contents.get((bucket, key)) != body]
        assert changed == []
        current = current_delivery(self.store, self.feed.target, ARCHIVE).delivery
        assert current == (self.documents[-1] if self.documents else None)

    def newest(self):
        return self._contents[self.catalog.arrivals[-1][1].revision]


_TYPES = {}  # by what decides them: to make one takes longer than a step


def frame_types(feed):
    """The types of the feed's frames, by rule."""
    made = {
        rule.patterns: member_frame_type(f"Rows{number}", rule)
        for number, rule in enumerate(feed.members, 1)
        if enrichment_version(feed) not in _TYPES
    }
    return _TYPES.setdefault(enrichment_version(feed), made)


def _no_rows_are_asked_for(*_: object) -> None:
    raise AssertionError("these feeds ask nothing of their rows")
