"""`rwt feed preview` and the pipeline come to the same account of every shipped sample."""

from collections import Counter
from io import BytesIO
from zipfile import ZipFile

import pytest

from rwt_assets.authoring.preview import TOLD, preview_archive
from rwt_assets.catalog.standing import archive_progress
from rwt_assets.shard.processing import read_manifest
from rwt_assets_tests.archives import make_zip
from rwt_assets_tests.assets.conftest import stored_shop
from rwt_assets_tests.benchmarks.inference_table import SAMPLES
from rwt_assets_tests.declared import declared_feed

FEEDS = {
    "cairns_gtfs.zip": "gtfs",
    "sample_gtfs.zip": "gtfs",
    "sample_2024q3.zip": "sec_filings",
    "web_shop_2025-12-31.zip": "web_shop",
}
TABLES = (".csv", ".txt", ".tsv")


def as_sent(body):
    """The sample itself."""
    return body


def spoiled(body):
    """With a record of one field too few, an open quote and a first row twice in each table."""
    return _changed(body, lambda lines: [*lines, *lines[1:2], "x", '"never closed'])


def without_a_member(body):
    """Without its first table."""
    members = _members(body)
    gone = next(name for name in members if name.endswith(TABLES))
    return make_zip({name: text for name, text in members.items() if name != gone})


def of_headers(body):
    """With no row in any table."""
    return _changed(body, lambda lines: lines[:1])


def renamed(body):
    """With a first column that nobody declared, so that what is relied on is missing."""
    return _changed(body, lambda lines: [f"other{lines[0]}", *lines[1:]])


def _changed(body, change):
    return make_zip(
        {
            name: "\r\n".join([*change(text.decode().splitlines()), ""])
            if name.endswith(TABLES)
            else text
            for name, text in _members(body).items()
        }
    )


def _members(body):
    with ZipFile(BytesIO(body)) as archive:
        return {name: archive.read(name) for name in archive.namelist()}


def counted(entries):
    """Rows by member and rule."""
    found = Counter()
    for member, rule, rows in entries:
        found[member, rule] += rows
    return found


def test_every_shipped_sample_is_compared():
    assert {file.name for file in SAMPLES.glob("*.zip")} == {*FEEDS}


# The large timetable says once what the small one says in each way.
CASES = [
    pytest.param(name, change, ways, id=f"{name}, {change.__name__}, {way}")
    for name in FEEDS
    for change in (as_sent, spoiled, without_a_member, of_headers, renamed)
    for way, ways in (("by shards", {}), ("one pass", {"one_pass": True}))
    if name != "cairns_gtfs.zip" or (change is as_sent and not ways)
]


@pytest.mark.mostly_long(one_in=3)
@pytest.mark.parametrize(("name", "change", "ways"), CASES)
def test_the_preview_comes_to_the_account_of_the_delivery(tmp_path, name, change, ways):
    file = tmp_path / name
    file.write_bytes(change((SAMPLES / name).read_bytes()))
    feed = declared_feed(FEEDS[name]).model_copy(update=ways)
    seen = preview_archive(file, feed)
    with stored_shop(feed=feed) as shop:
        key = shop.deliver(name, file.read_bytes(), ends="failed" if seen.failure else "delivered")
        progress = archive_progress(shop.catalog, key)
        if seen.failure:
            assert progress.reason
            told = [text for text in map(str, seen.findings) if text in seen.failure]
            assert [one for one in told if one not in progress.reason] == []
            return
        delivery, broken = shop.delivery(key), shop.quarantined(key)
        manifest = read_manifest(shop.objects, feed.target, key)
    assert seen.rows_read == delivery.rows_read
    assert seen.rows_quarantined == delivery.rows_quarantined
    assert [
        (one.name, one.outcome, one.reason, one.rows_read, one.shards) for one in seen.members
    ] == [
        (
            one.name,
            TOLD[one.outcome],
            one.reason,
            one.rows_read,
            sum(shard.member == one.name for shard in manifest.shards),
        )
        for one in manifest.members
    ]
    assert counted(
        (one.name, problem.rule, problem.rows) for one in seen.members for problem in one.problems
    ) == counted((one.member, one.rule, one.rows) for one in broken)
    assert [str(one) for one in seen.findings] == [*delivery.warnings]
    delivered = Counter()
    for one in delivery.objects:
        delivered[one.member] += one.rows
    assert {
        one.name: one.rows_read - one.rows_quarantined for one in seen.members if one.shards
    } == dict(delivered)
