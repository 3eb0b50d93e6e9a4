"""What Prometheus reads, of an instance with deliveries; and when `/healthz` is not well."""

import json
import urllib.error
import urllib.request
from contextlib import contextmanager, nullcontext
from http.server import BaseHTTPRequestHandler, HTTPServer
from threading import Thread
from time import time

import dagster as dg
import pytest
from botocore.exceptions import EndpointConnectionError
from dagster._daemon.types import DaemonHeartbeat
from prometheus_client.parser import text_string_to_metric_families

from rwt_assets.catalog import standing, take_standing
from rwt_assets.catalog.intake import sweep
from rwt_assets.component import build_feed_definitions
from rwt_assets.monitoring.metrics import FIGURES
from rwt_assets.monitoring.readings import BUCKETS, PAGE, DeliveryTally, Readings
from rwt_assets.monitoring.server import Watcher, exposition, health, metrics_server
from rwt_assets.status.health import Heartbeat, Problem, silent_daemons
from rwt_assets_tests.archives import make_zip
from rwt_assets_tests.assets.conftest import SALES

BROKEN = SALES + "pen,2026-01-02,-1\n"


def readings_of(shop, **settings):
    return Readings(
        shop.instance, [shop.feed], shop.queue, shop.objects, **{"settles_seconds": 0.0} | settings
    )


@contextmanager
def watching(readings):
    with Watcher(lambda: nullcontext(readings), every=60) as watcher:
        assert watcher.wait_for_first(60)
        yield watcher


def samples_of(watcher):
    """Every sample by name and labels, as Prometheus would read the text."""
    return {
        (sample.name, *sample.labels.values()): sample.value
        for family in text_string_to_metric_families(exposition(watcher).decode())
        for sample in family.samples
    }


def beat(shop, *, at=None):
    for name in shop.instance.get_required_daemon_types():
        shop.instance.add_daemon_heartbeat(DaemonHeartbeat(at or time(), name, "daemon"))


def kinds(watcher):
    return [problem.kind for problem in watcher.problems()]


@pytest.fixture(autouse=True)
def daemons(shop, monkeypatch):
    """An ephemeral instance needs none."""
    monkeypatch.setattr(shop.instance, "get_required_daemon_types", lambda: ["BACKFILL", "SENSOR"])


@pytest.fixture
def busy(shop):
    """Two deliveries, one with a row quarantined; one archive that failed, one that waits."""
    shop.feed = shop.feed.model_copy(update={"attempts": 1, "expected_every_hours": 24})
    shop.definitions = build_feed_definitions(
        shop.feed, object_store=shop.store, queue_client=shop.client
    )
    shop.deliver("a.zip", make_zip({"sales.csv": SALES}))
    shop.deliver("b.zip", make_zip({"sales.csv": BROKEN}))
    shop.deliver("broken.zip", b"no ZIP", ends="failed")
    shop.drop("waits.zip", make_zip({"sales.csv": SALES}))
    sweep(shop.catalog, shop.objects)
    shop.queue.put("a message that waits")
    beat(shop)
    return shop


def test_the_figures_are_those_of_the_catalog_the_queue_and_the_instance(busy):
    with watching(readings_of(busy)) as watcher:
        found = samples_of(watcher)
    assert found["rwt_archives", "shop", "delivered"] == 2
    assert found["rwt_archives", "shop", "failed"] == 1
    assert found["rwt_archives", "shop", "arrived"] == 1
    waits = {key[2]: n for key, n in found.items() if key[0] == "rwt_archives_waiting" and n}
    assert waits == {"dispatch": 1}
    assert found["rwt_shards", "shop", "enriched"] == 4
    assert found["rwt_deliveries_total", "shop"] == 2
    assert found["rwt_rows_delivered_total", "shop"] == 6
    assert found["rwt_rows_quarantined_total", "shop"] == 1
    assert found["rwt_expected_every_seconds", "shop"] == 86_400
    assert found["rwt_messages_waiting", "shop"] == 1
    assert found["rwt_runs", "FAILURE"] == 1
    assert found["rwt_healthy",] == 1
    assert time() - 600 < found["rwt_newest_delivery_timestamp_seconds", "shop"] <= time()
    heartbeats = [key for key in found if key[0] == "rwt_daemon_heartbeat_timestamp_seconds"]
    assert len(heartbeats) == 2


def test_what_archives_wait_for_is_counted_and_told_by_every_command(busy, monkeypatch):
    monkeypatch.setattr(standing, "RUNS_UNDER_WAY", 0)
    with watching(readings_of(busy)) as watcher:
        found = samples_of(watcher)
    waits = {key[2]: n for key, n in found.items() if key[0] == "rwt_archives_waiting" and n}
    assert waits == {"capacity": 1}
    (waiting,) = [one for one in take_standing(busy.catalog).waiting if one.asset == "zip_archive"]
    assert waiting.waits_for == "capacity"
    assert waiting.reason == "0 archives have a run, and 0 may"


def test_every_metric_is_there_is_documented_and_has_the_labels_that_are_told(busy):
    with watching(readings_of(busy)) as watcher:
        text = exposition(watcher).decode()
    families = {one.name: one for one in text_string_to_metric_families(text)}
    declared = {one.name.removesuffix("_total"): one for one in FIGURES}
    assert families.keys() == declared.keys()
    for name, family in families.items():
        assert (family.type, family.documentation) == (declared[name].kind, declared[name].told)
        labels = {frozenset(sample.labels) - {"le"} for sample in family.samples}
        assert labels == {frozenset(declared[name].labels)}


def test_seconds_from_upload_to_delivery_are_a_histogram(shop):
    tally, graph = DeliveryTally(), shop.catalog.graph
    for number, seconds in enumerate([2.5, 3, 59, 100_000]):
        shop.instance.report_runless_asset_event(
            dg.AssetMaterialization(
                graph.delivery, partition=f"{number}", metadata={"seconds_from_upload": seconds}
            )
        )
    tally.add(shop.catalog, settled_before=time())
    assert dict(zip([*BUCKETS, None], tally.seconds, strict=True)) == dict.fromkeys(
        [*BUCKETS, None], 0
    ) | {2.5: 1, 5: 1, 60: 1, None: 1}
    assert tally.seconds_sum == 100_064.5


def test_deliveries_are_read_once_over_pages_and_only_when_they_have_settled(shop, monkeypatch):
    monkeypatch.setattr("rwt_assets.monitoring.readings.PAGE", 2)
    assert PAGE > 2
    tally, reports = DeliveryTally(), shop.catalog.graph.delivery
    for number in range(5):
        shop.instance.report_runless_asset_event(
            dg.AssetMaterialization(reports, partition=f"{number}", metadata={"bytes": 10})
        )
    tally.add(shop.catalog, settled_before=time() - 60)
    assert tally.deliveries == 0
    tally.add(shop.catalog, settled_before=time() + 1)
    tally.add(shop.catalog, settled_before=time() + 1)
    assert (tally.deliveries, tally.bytes) == (5, 50)


def test_a_silent_daemon_is_told(shop):
    beat(shop, at=time() - 1_000)
    with watching(readings_of(shop, heartbeat_seconds=300)) as watcher:
        healthy, document = health(watcher)
        assert samples_of(watcher)["rwt_problems", "daemon"] == len(document["reasons"])
    assert not healthy
    assert [reason.split(" was ")[0] for reason in document["reasons"]] == [
        "daemon: the last heartbeat of BACKFILL",
        "daemon: the last heartbeat of SENSOR",
    ]
    never = list(silent_daemons({"SENSOR": Heartbeat(None)}, now=5, stale_after=1))
    assert never == [Problem("daemon", "SENSOR has never given a heartbeat")]


def test_an_endpoint_that_is_away_is_told_and_the_other_figures_stay(busy, monkeypatch):
    def away(*_):
        raise EndpointConnectionError(endpoint_url="http://user:secret@127.0.0.1:1")

    monkeypatch.setattr(type(busy.queue), "depth", away)
    monkeypatch.setattr(type(busy.objects), "list", away)
    with watching(readings_of(busy)) as watcher:
        found = samples_of(watcher)
        healthy, document = health(watcher)
    assert not healthy
    assert document["reasons"] == [
        "endpoint: queue shop: EndpointConnectionError",
        "endpoint: s3://incoming/shop/: EndpointConnectionError",
    ]
    assert ("rwt_messages_waiting", "shop") not in found
    assert found["rwt_archives", "shop", "delivered"] == 2


def test_a_storage_that_cannot_be_read_is_told_and_read_again_when_it_is_back(shop, caplog):
    beat(shop)
    tries = []

    @contextmanager
    def opened():
        tries.append(1)
        if len(tries) == 1:
            raise ConnectionError("no database")
        yield readings_of(shop)

    with Watcher(opened, every=0.05) as watcher:
        assert watcher.wait_for_first(60)
        assert watcher.problems() == (Problem("storage", "Dagster's storage: ConnectionError"),)
        assert "rwt_archives" not in exposition(watcher).decode()
        for _ in range(600):
            if watcher.latest():
                break
            watcher._stop.wait(0.1)
        assert health(watcher)[0]
    assert "no database" in caplog.text


def test_figures_that_are_no_longer_taken_are_no_good_sign(shop, monkeypatch):
    beat(shop)
    with watching(readings_of(shop)) as watcher:
        assert kinds(watcher) == []
        monkeypatch.setattr("rwt_assets.monitoring.server.time", lambda: time() + 700)
        assert kinds(watcher) == ["stale"]


def get(url):
    try:
        with urllib.request.urlopen(url, timeout=30) as answer:
            return answer.status, answer.headers["Content-Type"], answer.read().decode()
    except urllib.error.HTTPError as error:
        with error:
            return error.code, error.headers["Content-Type"], error.read().decode()


@contextmanager
def served(server):
    thread = Thread(target=server.serve_forever, kwargs={"poll_interval": 0.05})
    thread.start()
    try:
        yield f"http://127.0.0.1:{server.server_port}"
    finally:
        server.shutdown()
        thread.join()
        server.server_close()


def test_both_pages_are_served_and_no_other(shop):
    with (
        watching(readings_of(shop)) as watcher,
        served(metrics_server(watcher, host="127.0.0.1", port=0)) as url,
    ):
        status, kind, text = get(f"{url}/metrics")
        assert (status, kind.split(";")[0]) == (200, "text/plain")
        assert "rwt_healthy 0.0" in text
        status, kind, text = get(f"{url}/healthz")
        assert (status, kind) == (503, "application/json")
        assert "has never given a heartbeat" in json.loads(text)["reasons"][0]
        beat(shop)
        assert get(f"{url}/else")[0] == 404
    with (
        watching(readings_of(shop)) as watcher,
        served(metrics_server(watcher, host="127.0.0.1", port=0)) as url,
    ):
        assert get(f"{url}/healthz")[0] == 200


class Webserver(BaseHTTPRequestHandler):
    """Answers as Dagster's webserver does, about two locations of which one does not load."""

    broken = True

    def do_POST(self):
        self.rfile.read(int(self.headers["Content-Length"]))
        error = {"__typename": "PythonError", "message": "password=secret"}
        entries = [
            {"name": "fine", "locationOrLoadError": {"__typename": "RepositoryLocation"}},
            {"name": "ours", "locationOrLoadError": error if self.broken else None},
        ]
        body = json.dumps({"data": {"workspaceOrError": {"locationEntries": entries}}}).encode()
        self.send_response(200)
        self.send_header("Content-Length", str(len(body)))
        self.end_headers()
        self.wfile.write(body)

    def log_message(self, *_):
        pass


def test_a_code_location_that_does_not_load_is_told_and_so_is_a_webserver_that_is_away(shop):
    beat(shop)
    with served(HTTPServer(("127.0.0.1", 0), Webserver)) as url:
        found = readings_of(shop, webserver=f"{url}/").take().problems
    assert found == (Problem("code_location", "ours does not load"),)
    (away,) = readings_of(shop, webserver=url).take().problems
    assert away.reason == "the webserver does not answer: URLError"
