"""A feed is a file: what it builds, and what it says when the file is wrong."""

import warnings
from contextlib import contextmanager

import dagster as dg
import pytest
from dagster.components.core.component_tree import ComponentTreeException
from dagster.components.testing import create_defs_folder_sandbox

from rwt_assets.component import ZipFeed, build_feed_definitions
from rwt_assets.definitions import defs
from rwt_assets.feed.accounts import target_access
from rwt_assets.feed.feed import Feed
from rwt_assets.graph.feed_graph import FeedGraph
from rwt_assets.orchestration.steps import ShardPlace
from rwt_assets.runtime.beta_warnings import accept_beta_features
from rwt_assets.runtime.errors import FeedError
from rwt_assets_tests.declared import declared_feed
from rwt_assets_tests.stand_ins import InMemoryObjectStore

HEAD = """type: rwt_assets.component.ZipFeed

attributes:
  name: shop
  source: {bucket: incoming, queue: q, prefix: shop/}
  target: {bucket: results, prefix: rwt/shop}
  members:
    - include: ["*.csv"]
"""


@contextmanager
def declared(text):
    with create_defs_folder_sandbox() as sandbox:
        folder = sandbox.defs_folder_path / "shop"
        folder.mkdir(parents=True)
        (folder / "defs.yaml").write_text(text)
        with sandbox.build_all_defs() as definitions:
            yield definitions


def test_a_second_feed_is_a_second_file_and_no_code():
    with declared(HEAD) as definitions:
        graph = definitions.resolve_asset_graph()
        names = {key.path[1] for key in graph.get_all_asset_keys()}
        assert names == {
            "zip_archive",
            "archive_manifest",
            "csv_shard",
            "enriched_shard",
            "delivery",
        }


@contextmanager
def two_feeds(first, second):
    with create_defs_folder_sandbox() as sandbox:
        for name, text in (("one", first), ("two", second)):
            folder = sandbox.defs_folder_path / name
            folder.mkdir(parents=True)
            (folder / "defs.yaml").write_text(text.replace("name: shop", f"name: {name}"))
        with sandbox.build_all_defs() as definitions:
            yield definitions


def other(queue="q"):
    text = HEAD.replace("shop/", "kiosk/").replace("queue: q", f"queue: {queue}")
    return text.replace("rwt/shop", "rwt/kiosk")


@pytest.mark.parametrize(
    ("second", "queue_sensors"),
    [(other(), {"one_and_two_queue"}), (other("r"), {"one_queue", "two_queue"})],
)
def test_each_queue_has_one_sensor_however_many_feeds_share_it(second, queue_sensors):
    with two_feeds(HEAD, second) as definitions:
        names = {sensor.name for sensor in definitions.get_repository_def().sensor_defs}
    assert {name for name in names if name.endswith("_queue")} == queue_sensors
    assert {"one_dispatch", "two_dispatch", "one_sweep", "two_sweep"} <= names


def test_two_feeds_that_read_the_same_objects_are_refused():
    second = HEAD.replace(
        "{bucket: incoming, queue: q, prefix: shop/}",
        "{bucket: incoming, queue: r, prefix: shop/berlin/}",
    )
    with pytest.raises(ComponentTreeException) as caught, two_feeds(HEAD, second):
        pass
    reason = str(caught.value.__cause__)
    assert "the feeds one and two read the same objects" in reason
    assert "prefix 'shop/' and prefix 'shop/berlin/' of bucket incoming" in reason
    assert "one/defs.yaml:5" in reason


def with_target(bucket, prefix, *, lines=False):
    """A second feed that writes there; its target in one line, or in three."""
    target = f"{{bucket: {bucket}, prefix: {prefix}}}"
    if lines:
        target = f"\n    bucket: {bucket}\n    prefix: {prefix}"
    return other("r").replace("{bucket: results, prefix: rwt/kiosk}", target)


@pytest.mark.parametrize(
    ("bucket", "prefix", "says"),
    [
        ("results", "rwt/shop", "the feeds one and two write the same objects"),
        ("results", "rwt", "the feeds one and two write the same objects"),
        ("results", "rwt/shop/berlin", "the feeds one and two write the same objects"),
        ("results", "rwt/shop/enriched/member=a.csv", "one and two write the same objects"),
        ("incoming", "shop", "the feed two writes what the feed one reads as archives"),
        ("incoming", "shop/results", "the feed two writes what the feed one reads as archives"),
        ("incoming", "kiosk", "target.prefix 'kiosk' lies below source.prefix 'kiosk/'"),
        ("incoming", "kiosk/results", "lies below source.prefix 'kiosk/'"),
    ],
)
@pytest.mark.parametrize("lines", [False, True], ids=["in one line", "in lines"])
def test_a_target_within_another_feeds_place_is_refused(bucket, prefix, says, lines):
    second = with_target(bucket, prefix, lines=lines)
    with pytest.raises(ComponentTreeException) as caught, two_feeds(HEAD, second):
        pass
    reason = str(caught.value.__cause__)
    assert says in reason
    own = "below source.prefix" in says
    if "one and two write" in says:
        assert "one/defs.yaml:6" in reason
    else:
        assert f"two/defs.yaml:{8 if lines and not own else 6}" in reason


@pytest.mark.parametrize("folder", ["", "enriched/", "deliveries/", "in/"])
@pytest.mark.parametrize("own", [True, False], ids=["its own", "another feed's"])
def test_a_source_within_a_target_is_refused(folder, own):
    """Everything there is taken for results: collecting or retiring could remove the archives."""
    place = "{bucket: results, queue: r, prefix: rwt/" + ("kiosk/" if own else "shop/") + folder
    second = other("r").replace("{bucket: incoming, queue: r, prefix: kiosk/", place)
    assert second != other("r")
    with pytest.raises(ComponentTreeException) as caught, two_feeds(HEAD, second):
        pass
    reason = str(caught.value.__cause__)
    if own:
        assert "below" in reason
        assert "two/defs.yaml:6" in reason
    elif folder:
        assert "the feed two reads archives from where the feed one writes" in reason
        assert "one/defs.yaml:6" in reason
    else:
        assert "the feed one writes what the feed two reads as archives" in reason


@pytest.mark.parametrize(
    ("bucket", "prefix"),
    [
        ("results", "rwt/shopping"),
        ("results", "rwt/sho"),
        ("elsewhere", "rwt/shop"),
        ("incoming", "shopping"),
        ("incoming", "rwt/shop"),
    ],
)
def test_a_target_beside_those_of_other_feeds_is_taken(bucket, prefix):
    with two_feeds(HEAD, with_target(bucket, prefix)) as definitions:
        assert len(definitions.resolve_asset_graph().get_all_asset_keys()) == 10


def test_what_the_environment_makes_equal_is_refused_with_its_line(monkeypatch):
    monkeypatch.setenv("KIOSK_PREFIX", "rwt/shop")
    second = with_target("results", "\"{{ env('KIOSK_PREFIX') }}\"", lines=True)
    with pytest.raises(ComponentTreeException) as caught, two_feeds(second, HEAD):
        pass
    assert "one/defs.yaml:8" in str(caught.value.__cause__)
    monkeypatch.setenv("KIOSK_BUCKET", "incoming")
    monkeypatch.setenv("KIOSK_PREFIX", "kiosk/results")
    second = second.replace("bucket: results", "bucket: \"{{ env('KIOSK_BUCKET') }}\"")
    with pytest.raises(ComponentTreeException) as caught, declared(second):
        pass
    reason = str(caught.value.__cause__)
    assert "target.prefix 'kiosk/results' lies below source.prefix 'kiosk/'" in reason
    assert "shop/defs.yaml:6" in reason


def test_a_feed_that_is_named_as_the_queue_of_two_others_is_refused():
    feeds = {
        "a": HEAD,
        "b": other(),
        "a_and_b": with_target("elsewhere", "x").replace("kiosk/", "bar/"),
    }
    with create_defs_folder_sandbox() as sandbox:
        for name, text in feeds.items():
            folder = sandbox.defs_folder_path / name
            folder.mkdir(parents=True)
            (folder / "defs.yaml").write_text(text.replace("name: shop", f"name: {name}"))
        with pytest.raises(ComponentTreeException) as caught, sandbox.build_all_defs():
            pass
    reason = str(caught.value.__cause__)
    assert (
        "two queues would have one sensor, a_and_b_queue: q (of a, b) and r (of a_and_b)" in reason
    )
    assert "/defs.yaml:4" in reason
    assert "another name" in reason


def test_one_queue_that_two_feeds_name_differently_is_refused():
    arn = "arn:aws:sqs:eu-central-1:210987654321:q"
    second = other().replace("queue: q", f'queue: "{arn}"')
    assert arn in second
    with pytest.raises(ComponentTreeException) as caught, two_feeds(HEAD, second):
        pass
    reason = str(caught.value.__cause__)
    assert "may mean one queue by " in reason
    assert arn in reason
    assert "Name it in the same way" in reason


class RoledObjects(InMemoryObjectStore):
    """Keeps by which ways it was asked for."""

    def objects_at(self, ways):
        WAYS.append(ways)
        return self.objects()


WAYS = []


def test_the_role_of_a_target_reaches_whoever_keeps_the_shards():
    feed = declared_feed()
    role = {"arn": "arn:aws:iam::210987654321:role/keep", "external_id_variable": "LAKE_ID"}
    target = feed.target.model_dump() | {"role": role}
    by_role = Feed.model_validate(feed.model_dump() | {"target": target})
    WAYS.clear()
    for one in (feed, by_role):
        definitions = build_feed_definitions(one, object_store=RoledObjects())
        key = FeedGraph(one.name).enriched_shard
        asset = definitions.get_assets_def(key)
        place = ShardPlace.of_asset(key, asset.metadata_by_key[key])
        assert place == ShardPlace.of_feed(one)
        shards = definitions.resources["enriched_shards"].of(place)
        assert shards.target == one.target
    assert [[target_access(by_role)]] == WAYS


def test_feeds_declared_in_one_file_are_told_apart_by_their_lines():
    first = HEAD.replace("name: shop", "name: one")
    second = with_target("incoming", "shop/results").replace("name: shop", "name: two")
    with pytest.raises(ComponentTreeException) as caught, declared(f"{first}---\n{second}"):
        pass
    reason = str(caught.value.__cause__)
    assert "the feed two writes what the feed one reads as archives" in reason
    assert f"shop/defs.yaml:{len(first.splitlines()) + 1 + 6}" in reason


COLUMN = "      columns:\n        a:\n          type: integer\n          {}\n"


@pytest.mark.parametrize(
    ("text", "line", "says"),
    [
        (HEAD + "      split_by: x\n      columns: {a: {}}\n", 8, "unknown column 'x'"),
        (HEAD + "      surprise: 1\n", 9, "Extra inputs"),
        (HEAD.replace("*.csv", "[a.csv"), 8, "bad pattern"),
        (HEAD.replace("bucket: incoming, ", ""), 5, "Field required"),
        (HEAD.replace("bucket: incoming", "bucket: X"), 5, "no bucket name"),
        (HEAD.replace("prefix: rwt/shop", "prefix: /rwt"), 6, "write 'rwt'"),
        (HEAD.replace("prefix: shop/", 'prefix: "a\\tb/"'), 5, "a control character"),
        (HEAD + COLUMN.format("pattern: (?!x)"), 12, "no regular expression of RE2"),
        (HEAD + COLUMN.format("minimum: x"), 12, "'x' is no number"),
        (HEAD + COLUMN.format("maximum: 9223372036854775808"), 12, "beyond a 64-bit integer"),
        (HEAD + COLUMN.format("formats: ['%d']"), 12, "needs one year"),
        (HEAD + COLUMN.format("decimal_mark: ','"), 10, "decimal_mark needs a column of type "),
        (HEAD + COLUMN.format("timezone: Mars"), 12, "no time zone"),
    ],
)
def test_a_wrong_declaration_is_reported_with_file_and_line(text, line, says):
    with pytest.raises(ComponentTreeException) as caught, declared(text):
        pass
    reason = str(caught.value.__cause__)
    assert f"shop/defs.yaml:{line}" in reason
    assert says in reason


def test_texts_that_look_like_something_else_stay_texts():
    rule = """
      split_by: "2024"
      key_column: "[1]"
      dialect: {delimiter: "\\t", comment: "#"}
      columns: {"2024": {allowed: ["1", "None", "0x10"]}, "[1]": {}}
      enrichments: [{use: constant, to: "3", value: "007"}, {use: constant, to: n, value: 7}]
"""
    with create_defs_folder_sandbox() as sandbox:
        folder = sandbox.defs_folder_path / "shop"
        folder.mkdir(parents=True)
        (folder / "defs.yaml").write_text(HEAD.rstrip("\n") + rule)
        with sandbox.build_component_tree() as tree:
            (component,) = tree.get_all_components(of_type=ZipFeed)
    (found,) = component.feed.members
    assert (found.split_by, found.key_column) == ("2024", "[1]")
    assert found.dialect.delimiter == "\t"
    assert found.columns["2024"].allowed == ("1", "None", "0x10")
    assert [one.value for one in found.enrichments] == ["007", 7]


def test_a_bad_value_from_the_environment_is_reported(monkeypatch):
    monkeypatch.setenv("SHOP_BUCKET", "Not A Bucket")
    text = HEAD.replace("incoming", "\"{{ env('SHOP_BUCKET') }}\"")
    with pytest.raises(ComponentTreeException) as caught, declared(text):
        pass
    assert isinstance(caught.value.__cause__, FeedError)
    assert "'Not A Bucket' is no bucket name" in str(caught.value.__cause__)


def test_a_target_from_the_environment_that_clients_would_change_is_refused(monkeypatch):
    monkeypatch.setenv("SHOP_PREFIX", "/rwt/shop/")
    text = HEAD.replace("prefix: rwt/shop", "prefix: \"{{ env('SHOP_PREFIX') }}\"")
    with pytest.raises(ComponentTreeException) as caught, declared(text):
        pass
    assert isinstance(caught.value.__cause__, FeedError)
    assert "write 'rwt/shop'" in str(caught.value.__cause__)
    assert "shop/defs.yaml:6" in str(caught.value.__cause__)


@pytest.mark.parametrize("feed", ["gtfs", "sec_filings", "web_shop"])
def test_a_shipped_feed_loads_with_its_graph(feed):
    graph = defs().resolve_asset_graph()
    parents = {
        key.path[1]: {parent.path[1] for parent in graph.get(key).parent_keys}
        for key in graph.get_all_asset_keys()
        if key.path[0] == feed
    }
    assert parents == {
        "zip_archive": set(),
        "archive_manifest": {"zip_archive"},
        "csv_shard": {"archive_manifest"},
        "enriched_shard": {"csv_shard"},
        "delivery": {"enriched_shard"},
    }


def test_the_shipped_feed_follows_the_environment(monkeypatch):
    assert declared_feed().source.bucket == "rwt-incoming"
    monkeypatch.setenv("RWT_SOURCE_BUCKET", "partners")
    assert declared_feed().source.bucket == "partners"


def test_two_feeds_live_side_by_side():
    feed = declared_feed()
    other = feed.model_copy(update={"name": "other"})
    merged = dg.Definitions.merge(build_feed_definitions(feed), build_feed_definitions(other))
    dg.Definitions.validate_loadable(merged)
    assert len(merged.resolve_asset_graph().get_all_asset_keys()) == 10
    assert {*merged.resources} == {"object_store", "queue_client", "secrets", "enriched_shards"}


def test_no_secret_is_a_setting():
    for resource in build_feed_definitions(declared_feed()).resources.values():
        names = set(type(resource).model_fields)
        assert not {name for name in names if "secret" in name or "password" in name}


def test_whoever_loads_the_definitions_sees_no_warning_of_a_beta_feature():
    with warnings.catch_warnings(record=True) as shown:
        warnings.simplefilter("always", dg.BetaWarning)
        accept_beta_features()
        assert defs().get_repository_def().asset_checks_defs_by_key
    assert [str(one.message) for one in shown if one.category is dg.BetaWarning] == []
