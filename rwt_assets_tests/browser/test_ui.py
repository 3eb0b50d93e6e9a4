"""What a person sees and clicks in Dagster's UI, on a real stack, in a real browser."""

import re

import dagster as dg
import pytest
from playwright.sync_api import Error, expect

from rwt_assets.component import build_feed_definitions
from rwt_assets.runtime.run_tags import PARTITION_TAG, REASON_TAG
from rwt_assets_tests.browser.chromium import CHROMIUM, MISSING, Traffic, new_page
from rwt_assets_tests.hostile import IMAGE

pytestmark = [
    pytest.mark.browser,
    pytest.mark.extended,
    pytest.mark.timeout(600),
    pytest.mark.skipif(not CHROMIUM.exists(), reason=MISSING),
]


SECTIONS = {
    "Overview": "gtfs_deliver",
    "Runs": "gtfs_deliver",
    "Catalog": "zip_archive",
    "Jobs": "gtfs_deliver",
    "Automation": "gtfs_dispatch",
    "Lineage": "sec_filings",  # groups are shown folded
    "Deployment": "rwt_assets",
}


@pytest.fixture(scope="module")
def specs(stage):
    found = list(build_feed_definitions(stage.stack.feed).resolve_all_asset_specs())
    assert len(found) == 5
    return found


def shown(place, text):
    """A word as an icon or in letters; some icons stand for themselves."""
    word = re.compile(rf"^{re.escape(text)}$", re.IGNORECASE)
    return place.get_by_role("img", name=word).or_(place.get_by_text(word)).first


def test_the_catalog_lists_every_asset_with_its_kinds(walk, specs):
    walk.catalog([spec.key for spec in specs])
    for spec in specs:
        assert spec.kinds
        for kind in spec.kinds:
            expect(shown(walk.row(spec.key), kind)).to_be_visible()


def test_the_page_of_an_asset_shows_its_kinds_and_owners(walk, specs):
    for spec in specs:
        definition = walk.asset(spec.key)
        owners = [owner.removeprefix("team:") for owner in spec.owners]
        for word in (*spec.kinds, *owners):
            expect(shown(definition, word)).to_be_visible()


def test_the_lineage_of_the_group_shows_the_five_assets_and_what_leads_to_what(walk, stage, specs):
    graph = walk.lineage(stage.stack.feed.name, [spec.key for spec in specs])
    left = {}
    for spec in specs:
        node = graph.get_by_text(spec.key.path[-1], exact=True)
        expect(node).to_be_visible()
        left[spec.key] = node.bounding_box()["x"]
    for spec in specs:
        assert all(left[dep.asset_key] < left[spec.key] for dep in spec.deps)


def as_shown(value):
    """A value as a browser writes it: a number without a fraction has no point."""
    whole = isinstance(value, float) and value.is_integer()
    return str(int(value)) if whole else str(value)


@pytest.mark.parametrize("asset", ["enriched_shard", "delivery"])
def test_the_page_of_a_partition_shows_its_metadata(walk, stage, asset):
    key = getattr(stage.graph, asset)
    partition = {"enriched_shard": stage.shard(), "delivery": stage.with_bad_rows}[asset]
    walk.partition(key, partition)
    recorded = stage.metadata(key, partition)
    assert {"dagster/row_count", "rows_quarantined", "bytes"} <= set(recorded)
    for name, value in recorded.items():
        expect(walk.metadata_row(name)).to_contain_text(as_shown(value))


def test_the_page_of_a_delivery_says_what_was_set_aside_and_why(walk, stage):
    walk.partition(stage.graph.delivery, stage.with_bad_rows)
    expect(walk.metadata_row("rows_quarantined")).to_contain_text("2")
    expect(walk.metadata_row("quarantine")).to_contain_text("arrival_time")


def test_numbers_are_plotted_over_partitions(walk, stage):
    walk.plots(stage.graph.delivery)
    for name in ("dagster/row_count", "rows_quarantined", "bytes"):
        walk.plot(name)


def test_a_backfill_of_two_archives_is_launched_by_clicking_and_succeeds(walk, stage):
    walk.choose_backfill(stage.graph.delivery, stage.whole)
    runs = stage.wait_for_backfill(walk.launch_backfill())
    assert {run.status for run in runs} == {dg.DagsterRunStatus.SUCCESS}
    assert {run.tags[PARTITION_TAG] for run in runs} == set(stage.whole)
    walk.page.get_by_role("tab", name="Runs").click()
    expect(walk.page.get_by_text("Success", exact=True)).to_have_count(len(runs))


def test_the_run_of_an_archive_that_failed_says_why(walk, stage):
    run = stage.failed_run()
    reason = run.tags[REASON_TAG]
    assert "no readable ZIP" in reason
    walk.run(run.run_id)
    expect(walk.page.get_by_text("RUN_FAILURE", exact=True)).to_be_visible()
    expect(walk.page.get_by_text(reason).last).to_be_visible()


@pytest.fixture
def scripts(walk):
    """What a script in a page would open."""
    opened = []
    walk.page.on("dialog", lambda dialog: (opened.append(dialog.message), dialog.dismiss()))
    return opened


def test_what_a_partner_wrote_is_text_on_every_page_that_shows_it(walk, stage, traffic, scripts):
    shards = stage.stack.ask(lambda catalog: catalog.shards_of(stage.hostile))
    assert any(IMAGE.replace("/", "-") in shard for shard in shards), "the member by its name"
    graph = stage.graph
    pages = [(graph.archive_manifest, stage.hostile), (graph.delivery, stage.hostile)]
    pages += [(graph.enriched_shard, shard) for shard in shards]
    for asset, partition in pages:
        walk.partition(asset, partition)
        assert_text(walk, asset, partition)
    assert [url for url in traffic.elsewhere if "evil.example" in url] == []
    assert scripts == []


def test_what_is_said_of_a_partner_is_text_in_runs_checks_lists_and_sensors(
    walk, stage, traffic, scripts
):
    run = stage.failed_run(stage.hostile_name)
    checks = "/".join(["assets", *stage.graph.delivery.path]) + "?view=checks"
    archives = "/".join(["assets", *stage.graph.zip_archive.path])
    for page in (
        f"runs/{run.run_id}",
        "runs",
        f"{archives}?view=partitions",
        f"{archives}?view=events",
        f"{archives}?view=checks",
        checks,
        "locations/rwt_assets/sensors/gtfs_queue",
    ):
        walk.open(page)
        acting = walk.page.locator(ACTING)
        assert acting.count() == 0, page
    walk.run(run.run_id)
    assert_text(walk, run.run_id)
    assert [url for url in traffic.elsewhere if "evil.example" in url] == []
    assert scripts == []


ACTING = "[src*='//evil.example'], [href*='//evil.example'], img[onerror]"


def assert_text(walk, *place):
    # The UI also has hidden copies of what it cuts.
    shown = walk.page.get_by_text("evil.example").locator("visible=true")
    expect(shown.first).to_be_visible()
    assert walk.page.locator(ACTING).count() == 0, place


def test_every_section_works_without_another_host(walk, stage, traffic):
    walk.page.goto(stage.stack.record.ui_url)
    navigation = walk.page.get_by_role("navigation").first
    for section, content in SECTIONS.items():
        navigation.get_by_text(section, exact=True).click()
        expect(walk.page.get_by_text(content).first).to_be_visible()
    assert any(url.startswith("ws:") for url in traffic.here)
    assert traffic.elsewhere == [], "also of what the tests before looked at"


def test_what_a_page_asks_of_another_host_is_seen_and_not_answered(browser):
    traffic = Traffic()
    with new_page(browser, traffic) as page, pytest.raises(Error, match="ERR_NAME_NOT_RESOLVED"):
        page.goto("http://127.0.0.2/")  # else it would be: refused
    assert traffic.elsewhere == ["http://127.0.0.2/"]
