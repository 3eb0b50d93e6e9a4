"""Every arrangement of feeds that a page promises: Dagster loads it, and archives go through."""

import sys
from contextlib import ExitStack, contextmanager
from itertools import count

import dagster as dg
import pytest
import yaml
from dagster.components.testing import create_defs_folder_sandbox
from typer.testing import CliRunner

from rwt_assets.cli.main import app
from rwt_assets.feed.feed import Feed
from rwt_assets.graph.loading import refuse_unloadable, refuse_unloaded
from rwt_assets.runtime.errors import CodeLocationError
from rwt_assets.testing import InMemoryFeed

pytestmark = pytest.mark.mostly_long(one_in=1)

DEFINITIONS = """
from pathlib import Path

import dagster as dg


@dg.definitions
def defs() -> dg.Definitions:
    return dg.load_from_defs_folder(path_within_project=Path(__file__).parent)
"""
OWN_ASSET = """
import dagster as dg


@dg.asset(deps=[dg.AssetKey(["east", "delivery"])])
def daily_report() -> None: ...
"""
MODULES = count(1)


def attributes(name, queue, **more):
    return {
        "name": name,
        "source": {"bucket": "drop", "prefix": f"{name}/", "queue": queue},
        "target": {"bucket": "lake", "prefix": f"rwt/{name}"},
        "members": [{"include": ["*.csv"]}],
        **more,
    }


ARRANGEMENTS = {
    "one feed": ["east partners"],
    "two feeds on one queue": ["east partners", "west partners"],
    "three feeds on one queue": ["east partners", "north partners", "west partners"],
    "two on one queue and a third on its own": ["east partners", "north alone", "west partners"],
    "two queues of two feeds": ["a first", "b second", "c first", "d second"],
}


def declared(folder, feeds):
    for one in feeds:
        own = folder / one["name"]
        own.mkdir(parents=True)
        declaration = {"type": "rwt_assets.ZipFeed", "attributes": one}
        (own / "defs.yaml").write_text(yaml.safe_dump(declaration, sort_keys=False))


def feeds_of(arrangement):
    return [attributes(*one.split()) for one in ARRANGEMENTS[arrangement]]


@contextmanager
def loaded(feeds):
    with create_defs_folder_sandbox() as sandbox:
        declared(sandbox.defs_folder_path, feeds)
        with sandbox.build_all_defs() as definitions:
            dg.Definitions.validate_loadable(definitions)
            yield definitions


@pytest.mark.parametrize("arrangement", ARRANGEMENTS)
def test_an_arrangement_loads_and_each_of_its_feeds_delivers(arrangement, monkeypatch):
    monkeypatch.setattr("rwt_assets.orchestration.sensors.queue.LONG_POLL_SECONDS", 0)
    declarations = feeds_of(arrangement)
    by_queue = {}
    for one in declarations:
        by_queue.setdefault(one["source"]["queue"], []).append(one["name"])
    with loaded(declarations) as definitions, ExitStack() as stack:
        instance = stack.enter_context(dg.DagsterInstance.ephemeral())
        feeds = [
            stack.enter_context(InMemoryFeed(Feed(**one), instance=instance))
            for one in declarations
        ]
        for names in by_queue.values():
            together = [one for one in feeds if one.feed.name in names]
            client = together[0].client
            for feed in together:
                feed.client = client
                feed.upload("a.zip", {"rows.csv": "id\n1\n2\n"})
            sensor = definitions.resolve_sensor_def(f"{'_and_'.join(names)}_queue")
            with dg.build_sensor_context(instance=instance) as context:
                result = sensor(context, queue_client=client)
            assert f"{len(names)} archives recorded" in result.skip_reason.skip_message
            assert client.queue().messages == []
        for feed in feeds:
            feed.dispatch()
            feed.assert_delivered(f"{feed.feed.name}/a.zip")
            assert len(feed.rows(f"{feed.feed.name}/a.zip")) == 2


@contextmanager
def project(folder, feeds, more=None):
    """A Dagster project in a folder, in which this process works."""
    module = f"arranged_{next(MODULES)}"
    package = folder / module
    declared(package / "defs", feeds)
    (package / "__init__.py").touch()
    (package / "definitions.py").write_text(DEFINITIONS)
    for name, text in (more or {}).items():
        (package / "defs" / name).write_text(text)
    (folder / "pyproject.toml").write_text(
        f'[tool.dg]\ndirectory_type = "project"\n[tool.dg.project]\nroot_module = "{module}"\n'
    )
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("RWT_PROJECT", str(folder))
        patch.setenv("DAGSTER_HOME", str(folder))
        patch.chdir(folder)
        patch.syspath_prepend(str(folder))
        yield
    for name in [name for name in sys.modules if name.partition(".")[0] == module]:
        del sys.modules[name]


def test_feeds_of_another_project_load_beside_its_own_assets(tmp_path):
    feeds = feeds_of("two on one queue and a third on its own")
    with project(tmp_path, feeds, {"report.py": OWN_ASSET}):
        refuse_unloadable()


def overlapping():
    west = attributes("west", "partners", source={
        "bucket": "drop", "prefix": "east/berlin/", "queue": "partners",
    })  # fmt: skip
    return [attributes("east", "partners"), west]


BROKEN = {
    "two feeds that read the same": (
        overlapping(),
        {},
        "the feeds east and west read the same objects",
    ),
    "a declaration that cannot be": (
        [attributes("east", "partners", pool=7)],
        {},
        "east/defs.yaml",
    ),
    "an own asset with a mistake": (
        [attributes("east", "partners")],
        {"report.py": OWN_ASSET + "\nraise KeyError('REPORT_URL')\n"},
        "KeyError: 'REPORT_URL'",
    ),
    "two assets of one key": (
        [attributes("east", "partners")],
        {"report.py": OWN_ASSET, "again.py": OWN_ASSET},
        "daily_report",
    ),
    "a job over two partition sets": (
        [attributes("east", "partners"), attributes("west", "partners")],
        {
            "job.py": "import dagster as dg\n"
            "job = dg.define_asset_job('both', ['east/archive_manifest', 'west/archive_manifest'])"
        },
        "same partitions definitions",
    ),
}


@pytest.mark.parametrize("what", BROKEN)
@pytest.mark.parametrize("command", ["up", "status", "doctor", "submit"])
def test_what_does_not_load_is_said_with_the_reason_and_status_1(tmp_path, what, command):
    feeds, more, reason = BROKEN[what]
    archive = tmp_path / "a.zip"
    archive.write_bytes(b"PK\x05\x06" + bytes(18))
    with project(tmp_path, feeds, more):
        arguments = [command, *([str(archive), "--wait"] if command == "submit" else [])]
        if command == "up":
            arguments += ["--state", str(tmp_path / "state")]
        result = CliRunner().invoke(app, arguments, env={"COLUMNS": "300"})
    told = " ".join(result.output.split())
    assert result.exit_code == 1, told
    assert "the definitions of the project do not load" in told
    assert reason in told
    assert "While they do not load, no archive is taken in or processed." in told
    assert "Traceback" not in told
    assert "Started" not in told
    assert len(result.output.splitlines()) < 20
    assert not (tmp_path / "state").exists()


def test_a_webserver_that_could_not_load_is_believed(monkeypatch):
    monkeypatch.setattr(
        "rwt_assets.graph.loading.unloaded", lambda _: iter([("ours", "no such file")])
    )
    with pytest.raises(CodeLocationError, match=r"do not load: no such file \(ours\)"):
        refuse_unloaded("http://127.0.0.1:3000")
