"""`dg scaffold defs rwt_assets.ZipFeed NAME`, and the names under which Dagster finds the feed."""

import re
import subprocess
import sys
from importlib.metadata import entry_points

import click
import pytest
import yaml
from click.testing import CliRunner
from dagster.components.component_scaffolding import scaffold_object
from dagster.components.core.package_entry import get_package_objects_in_module
from dagster.components.testing import create_defs_folder_sandbox

import rwt_assets
from rwt_assets.component import ZipFeed
from rwt_assets.feed.feed import Feed
from rwt_assets.runtime.errors import FeedError, NotAZipError
from rwt_assets.scaffolding import scaffolded
from rwt_assets_tests.archives import CAIRNS

NAMES = ["rwt_assets.ZipFeed", "rwt_assets.component.ZipFeed"]


def scaffold(path, typename="rwt_assets.ZipFeed", params=None, form="yaml"):
    scaffold_object(path, typename, params, form, None)


@pytest.mark.parametrize("typename", NAMES)
def test_what_is_scaffolded_is_a_feed_as_it_stands(typename):
    with create_defs_folder_sandbox() as sandbox:
        path = sandbox.defs_folder_path / "ticket_sales"
        scaffold(path, typename)
        assert f"\ntype: {typename}\n" in (path / "defs.yaml").read_text()
        with sandbox.build_all_defs() as definitions:
            keys = definitions.resolve_asset_graph().get_all_asset_keys()
            assert {key.path[0] for key in keys} == {"ticket_sales"}
        with sandbox.build_component_tree() as tree:
            (component,) = tree.get_all_components(of_type=ZipFeed)
    feed = component.feed
    assert (feed.name, feed.source.prefix) == ("ticket_sales", "ticket_sales/")
    assert feed.rule_for("sales.csv") is not None


def test_two_that_are_scaffolded_live_side_by_side():
    with create_defs_folder_sandbox() as sandbox:
        for name in ("sales", "sales_2"):
            scaffold(sandbox.defs_folder_path / name)
        with sandbox.build_all_defs() as definitions:
            assert len(definitions.resolve_asset_graph().get_all_asset_keys()) == 10


def test_what_stands_in_comments_may_be_taken_as_it_is():
    told = [line for line in scaffolded("sales").splitlines() if re.match(r" +# +\w+:", line)]
    assert len(told) == 7
    text = re.sub(r"(?m)^( +)# (?=( *\w+: )|columns:)", r"\1", scaffolded("sales"))
    feed = Feed.model_validate(yaml.safe_load(text)["attributes"])
    (rule,) = feed.members
    assert (rule.split_by, rule.key_column) == ("day", "id")
    assert [*rule.columns] == ["id", "day", "price"]
    assert feed.tolerance.ratio == 0.01


def test_a_sample_makes_the_declaration(tmp_path):
    scaffold(tmp_path / "timetable", params=f'{{"sample": "{CAIRNS}"}}')
    declaration = yaml.safe_load((tmp_path / "timetable" / "defs.yaml").read_text())
    assert declaration["type"] == "rwt_assets.ZipFeed"
    feed = Feed.model_validate(declaration["attributes"])
    assert feed.name == "timetable"
    assert len(feed.members) == 8


def test_what_cannot_be_scaffolded_leaves_nothing(tmp_path):
    path = tmp_path / "sales"
    with pytest.raises(FeedError, match="the sample cannot be read"):
        scaffold(path, params='{"sample": "nowhere.zip"}')
    assert not path.exists()
    (tmp_path / "a.zip").write_bytes(b"hello")
    with pytest.raises(NotAZipError):
        scaffold(path, params=f'{{"sample": "{tmp_path / "a.zip"}"}}')
    assert not path.exists()
    with pytest.raises(FeedError, match="declared in YAML"):
        scaffold(path, form="python")
    assert not path.exists()


def test_on_a_command_line_a_refusal_is_a_message_without_a_traceback(tmp_path):
    path = tmp_path / "sales"

    @click.command()
    def command():
        scaffold(path, params='{"sample": "nowhere.zip"}')

    result = CliRunner().invoke(command)
    assert result.exit_code == 1
    assert "\nError: the sample cannot be read: " in result.output
    assert "Traceback" not in result.output
    assert "Give the path of an archive to --sample." in result.output
    assert not path.exists()


def test_dagster_lists_the_feed_under_its_short_name():
    (entry,) = (
        entry
        for entry in entry_points(group="dagster_dg_cli.registry_modules")
        if entry.name == "rwt_assets"
    )
    assert entry.load() is rwt_assets
    assert dict(get_package_objects_in_module(rwt_assets)) == {"ZipFeed": ZipFeed}


def test_the_public_names_are_declared_and_the_same_as_where_they_live():
    assert rwt_assets.__all__ == ["Feed", "ZipFeed", "open_delivery", "read_delivery"]
    assert rwt_assets.ZipFeed is ZipFeed
    assert rwt_assets.Feed is Feed
    assert {"Feed", "ZipFeed", "__all__"} <= {*dir(rwt_assets)}
    with pytest.raises(AttributeError, match="has no attribute 'Nothing'"):
        _ = rwt_assets.Nothing


def test_the_package_loads_without_dagster_until_the_feed_is_asked_for():
    script = (
        "import os, sys, rwt_assets, rwt_assets.feed.feed; rwt_assets.Feed; dir(rwt_assets)\n"
        "print(os.environ['ARROW_DEFAULT_MEMORY_POOL'], 'dagster' in sys.modules)\n"
        "rwt_assets.ZipFeed; print('dagster' in sys.modules)"
    )
    answer = subprocess.run([sys.executable, "-c", script], capture_output=True, check=True)
    assert answer.stdout.decode().split() == ["system", "False", "True"]
