"""Without the packages of an extra: what needs them says what to install, and all else works.

Processes are real ones, in which Python finds nothing of these packages.
"""

import json
import os
import re
import subprocess
import sys
import tomllib
from pathlib import Path

import pytest

import rwt_assets
from rwt_assets.runtime.extras import MODULES
from rwt_assets_tests.odd_archives import BZIP2, DEFLATE64, LZMA, XZ, ZSTD, Entry, archive

PROJECT = Path(rwt_assets.__file__).parents[1]
DECLARED = tomllib.loads((PROJECT / "pyproject.toml").read_text())["project"]
ALL = sorted(MODULES)
OPENS = "key"
FEED = {
    "name": "sales",
    "source": {"bucket": "incoming", "queue": "sales", "prefix": "sales/"},
    "target": {"bucket": "results", "prefix": "sales"},
    "members": [{"include": ["*.csv"], "columns": {"price": {"type": "number"}}}],
}
WITHOUT = """
import sys
class Without:
    def __init__(self, finder):
        self.finder = finder
    def __getattr__(self, name):
        return getattr(self.finder, name)
    def find_spec(self, name, path=None, target=None):
        if any(f"{{name}}.".startswith(f"{{one}}.") for one in {blocked!r}):
            return None
        return self.finder.find_spec(name, path, target)
sys.meta_path[:] = map(Without, sys.meta_path)
"""
COMMAND = """
from rwt_assets.cli import rwt
sys.argv = ["rwt", *{arguments!r}]
rwt()
"""
EVERY_MODULE = """
import json, pkgutil
from importlib import import_module
import rwt_assets
from rwt_assets.runtime import MissingExtraError
refused = {}
for found in pkgutil.walk_packages(rwt_assets.__path__, "rwt_assets."):
    if not found.name.endswith("__main__"):
        try:
            import_module(found.name)
        except MissingExtraError as error:
            refused[found.name] = str(error)
print(json.dumps(refused))
"""
ARCHIVE = f"""
import rwt_assets.definitions
from rwt_assets import Feed
from rwt_assets.testing import InMemoryFeed
feed = Feed.model_validate({FEED!r})
with InMemoryFeed(feed) as sales:
    archive = sales.deliver("monday.zip", {{"sales.csv": "item,price\\npen,1.50\\nink,x\\n"}})
    delivery = sales.delivery(archive)
    print(delivery.rows_read, delivery.rows_quarantined, *sales.rows(archive)["price"])
"""
MEMBERS = f"""
import json
from pathlib import Path
from rwt_assets import Feed
from rwt_assets.delivery import read_result
from rwt_assets.testing import InMemoryFeed
feed = {FEED!r}
feed["source"]["password_variable"] = "RWT_TEST_PASSWORD"
feed["tolerance"] = {{"members": 100}}
with InMemoryFeed(Feed.model_validate(feed)) as sales:
    archive = sales.deliver("odd.zip", Path(sys.argv[1]).read_bytes())
    print(json.dumps({{
        "rows": sales.delivery(archive).rows_read,
        "quarantined": {{one.member: one.reason for one in sales.quarantined(archive)}},
    }}))
"""
DEFINITIONS = """
from pathlib import Path
import dagster as dg

@dg.definitions
def defs():
    return dg.load_from_defs_folder(path_within_project=Path(__file__).parent)
"""
VALIDATED = """
import json
from pydantic import ValidationError
from rwt_assets import Feed
try:
    Feed.model_validate(json.loads(sys.argv[1]))
    print("a feed")
except ValidationError as error:
    print(error)
"""


def run(script, *arguments, without, cwd=PROJECT, **settings):
    blocked = [module for extra in without for module in MODULES[extra]]
    kept = {name: value for name, value in os.environ.items() if name != "DAGSTER_HOME"}
    return subprocess.run(
        [sys.executable, "-c", WITHOUT.format(blocked=blocked) + script, *map(str, arguments)],
        env={**kept, "COLUMNS": "1000", **settings},
        cwd=cwd,
        capture_output=True,
        text=True,
        check=False,
    )


def printed(script, *arguments, without):
    done = run(script, *arguments, without=without)
    assert done.returncode == 0, done.stderr
    return done.stdout


def rwt(*arguments, without, **settings):
    return run(COMMAND.format(arguments=arguments), without=without, **settings)


def is_told(done, extra):
    """Whether a command ended with a sentence that says what to install, and no traceback."""
    said = " ".join(done.stderr.split())
    return (
        done.returncode == 1
        and f"Install it: pip install 'rwt_assets[{extra}]'." in said
        and f"which is not installed ({sys.prefix})" in said
        and "Traceback" not in said
        and "does not know" not in said
    )


def test_extras_bring_the_packages_that_are_looked_for_and_nobody_else_does():
    def names(requirements):
        found = [re.match(r"[\w-]+", one)[0] for one in requirements]
        return {re.sub("[-_.]", "-", one) for one in found}

    extras = DECLARED["optional-dependencies"]
    assert {*extras} == {*MODULES}
    for extra, modules in MODULES.items():
        assert names(extras[extra]) == {re.sub("[-_.]", "-", one) for one in modules}
        assert not names(extras[extra]) & names(DECLARED["dependencies"])


def test_every_module_loads_but_those_that_an_extra_is_for():
    refused = json.loads(printed(EVERY_MODULE, without=ALL))
    assert {name: told.rpartition("rwt_assets[")[2] for name, told in refused.items()} == {
        "rwt_assets.cluster.run_launcher": "cluster]'.",
        "rwt_assets.embedded.postgresql_events": "postgresql]'.",
        "rwt_assets.embedded.postgresql_storage": "postgresql]'.",
    }


def test_a_code_location_needs_no_extra_and_delivers():
    assert printed(ARCHIVE, without=ALL).split() == ["2", "1", "1.5"]


@pytest.mark.mostly_long(one_in=1)
@pytest.mark.parametrize(
    ("extra", "arguments"),
    [
        ("local", ["up"]),
        ("local", ["demo", "--exit"]),
        ("query", ["query", "select 1"]),
        ("metrics", ["metrics", "--once"]),
    ],
    ids=lambda one: one if isinstance(one, str) else one[0],
)
def test_a_command_without_its_extra_says_what_to_install(tmp_path, extra, arguments):
    done = rwt(*arguments, "--state", str(tmp_path / "state"), without=[extra])
    assert is_told(done, extra), done.stderr
    assert f"`rwt {arguments[0]}` needs the Python package" in done.stderr
    assert not (tmp_path / "state").exists()


@pytest.mark.extended
def test_other_commands_need_no_extra(tmp_path):
    project = declared(tmp_path, FEED)
    done = rwt("status", without=ALL, cwd=project, RWT_PROJECT=str(project))
    assert "There is no stack here" in done.stderr
    done = rwt("feed", "preview", str(sample(tmp_path)), "--feed", "sales", without=ALL,
               cwd=project, RWT_PROJECT=str(project))  # fmt: skip
    assert done.returncode == 0, done.stderr
    assert "sales.csv" in done.stdout


def sample(folder):
    path = folder / "sample.zip"
    path.write_bytes(archive([Entry("sales.csv", b"item,price\npen,1.50\n")]))
    return path


def declared(folder, attributes):
    """A project with one feed; JSON is YAML, and each setting has a line of its own."""
    project = folder / "shopping"
    feeds = project / "shopping" / "defs" / "sales"
    feeds.mkdir(parents=True)
    (project / "shopping" / "__init__.py").touch()
    (project / "shopping" / "definitions.py").write_text(DEFINITIONS)
    (project / "pyproject.toml").write_text(
        '[tool.dg]\ndirectory_type = "project"\n[tool.dg.project]\nroot_module = "shopping"\n'
    )
    text = json.dumps({"type": "rwt_assets.ZipFeed", "attributes": attributes}, indent=1)
    (feeds / "defs.yaml").write_text(text)
    return project


SETTINGS = {
    "a check in SQL": {"checks": [{"name": "cheap", "sql": "select * from sales"}]},
    "a reference": {"members": [{"include": ["*.csv"], "references": {"item": "items.csv.item"}}]},
    "a sum that a trailer states": {
        "members": [{"include": ["*.csv"], "trailer": r"T\|(?P<sum_price>[0-9.]+)"}]
    },
    "a sum that a control file states": {
        "control": {"member": "c.csv", "columns": {"member": "m", "sums": {"price": "total"}}}
    },
    "a line that states a sum": {
        "control": {"member": "c.txt", "line": "(?P<member>.+);(?P<sum_price>.+)"}
    },
}


@pytest.mark.parametrize("setting", SETTINGS)
def test_a_setting_that_asks_the_rows_is_refused_without_duckdb(setting):
    attributes = json.dumps({**FEED, **SETTINGS[setting]})
    told = printed(VALIDATED, attributes, without=["query"])
    assert "needs the Python package duckdb" in told
    assert "Install it: pip install 'rwt_assets[query]'." in told
    assert printed(VALIDATED, attributes, without=[]) == "a feed\n"


def test_it_is_refused_with_its_file_and_its_line(tmp_path):
    project = declared(tmp_path, {**FEED, **SETTINGS["a check in SQL"]})
    file = project / "shopping" / "defs" / "sales" / "defs.yaml"
    place = file.read_text().splitlines().index('    "sql": "select * from sales"') + 1
    done = run(
        COMMAND.format(arguments=["up", "--state", str(tmp_path / "state")]),
        without=["query"],
        cwd=project,
        RWT_PROJECT=str(project),
        PYTHONPATH=os.pathsep.join([str(project), str(PROJECT)]),
    )
    assert done.returncode == 1
    assert re.search(rf"defs\.yaml:{place}\b", done.stderr), done.stderr
    assert "pip install 'rwt_assets[query]'" in done.stderr


@pytest.fixture(scope="module")
def odd(tmp_path_factory):
    rows = b"item,price\npen,1.50\n"
    entries = [
        Entry("plain.csv", rows),
        Entry("traditional.csv", rows, password=OPENS),
        Entry("bzip2.csv", rows, BZIP2),
        Entry("lzma.csv", rows, LZMA),
        Entry("xz.csv", rows, XZ),
        Entry("deflate64.csv", rows, DEFLATE64),
        Entry("zstandard.csv", rows, ZSTD),
        Entry("aes.csv", rows, password=OPENS, aes=3),
    ]
    path = tmp_path_factory.mktemp("odd") / "odd.zip"
    path.write_bytes(archive(entries))
    return path


@pytest.mark.extended
def test_a_member_that_needs_the_extra_zip_is_quarantined_with_what_to_install(odd, monkeypatch):
    monkeypatch.setenv("RWT_TEST_PASSWORD", OPENS)
    found = json.loads(printed(MEMBERS, odd, without=["zip"]))
    assert found["rows"] == 5
    needs = {
        "aes.csv": ("its encryption (WinZip AES)", "cryptography"),
        "deflate64.csv": ("its compression (Deflate64)", "inflate64"),
        "zstandard.csv": ("its compression (Zstandard)", "backports.zstd"),
    }
    assert found["quarantined"].keys() == needs.keys()
    for member, (what, module) in needs.items():
        told = found["quarantined"][member]
        assert f"{what} needs the Python package {module}, which is not installed" in told
        assert "pip install 'rwt_assets[zip]'. Then materialize archive_manifest" in told
    assert json.loads(printed(MEMBERS, odd, without=[]))["rows"] == 8


NAMED = {
    "postgresql": (
        "event_log_storage",
        {"module": "dagster_postgres.event_log", "class": "PostgresEventLogStorage"},
    ),
    "kubernetes": ("run_launcher", {"module": "dagster_k8s", "class": "K8sRunLauncher"}),
    "cluster": (
        "run_launcher",
        {
            "module": "rwt_assets.cluster.run_launcher",
            "class": "WatchfulCeleryRunLauncher",
        },
    ),
}
LAUNCHER = """
import dagster as dg
from rwt_assets.runtime import missing_extra
try:
    with dg.DagsterInstance.get() as instance:
        instance.run_launcher
except Exception as error:
    found = missing_extra(error)
    print(found)
"""


@pytest.mark.mostly_long(one_in=1)
@pytest.mark.parametrize("extra", NAMED)
def test_what_a_dagster_yaml_names_is_told_if_its_extra_is_missing(tmp_path, extra):
    section, named = NAMED[extra]
    (tmp_path / "dagster.yaml").write_text(json.dumps({section: {**named, "config": {}}}))
    done = run(LAUNCHER, without=[extra], DAGSTER_HOME=str(tmp_path))
    assert f"pip install 'rwt_assets[{extra}]'" in done.stdout, done.stdout + done.stderr


def test_a_command_tells_of_what_the_dagster_yaml_names(tmp_path):
    section, named = NAMED["postgresql"]
    (tmp_path / "dagster.yaml").write_text(json.dumps({section: {**named, "config": {}}}))
    done = rwt("status", without=["postgresql"], DAGSTER_HOME=str(tmp_path))
    assert is_told(done, "postgresql"), done.stderr
