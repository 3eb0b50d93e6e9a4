"""Importing the package changes nothing in the process; `configure_process` does, when it is asked.

Processes are real ones: what is looked at is one for a whole process.
"""

import json
import os
import subprocess
import sys

import pytest

import rwt_assets
from rwt_assets.runtime.process import configure_process
from rwt_assets_tests.rooms_of_the_package import contracts

POOL = "ARROW_DEFAULT_MEMORY_POOL"
PURE = contracts()["pure"]["source_modules"]
# What a process has that others in it can see. Packages of others are imported beforehand: what
# they change is theirs.
LOOK = """
import codecs, ctypes, json, logging, os, signal, sys, threading, warnings
from importlib import import_module
import boto3, charset_normalizer, dagster as dg, dagster_aws.s3, dagster_pandas, dotenv, isal
import numpy, obstore, pandas, pyarrow, pyarrow.csv, pyarrow.dataset, pyarrow.fs, pyarrow.parquet
import pydantic, rich.progress, typer, yaml

calls = []
def noted(owner, name):
    real = getattr(owner, name)
    def call(*given, **named):
        calls.append(name)
        return real(*given, **named)
    setattr(owner, name, call)
for name in ("register", "register_error"):
    noted(codecs, name)
noted(ctypes, "CDLL")  # by which mallopt is called

def seen():
    root = logging.getLogger()
    return {
        "environment": dict(os.environ),
        "filters of warnings": [str(one) for one in warnings.filters],
        "way of warnings": warnings.showwarning.__module__,
        "class of loggers": logging.getLoggerClass().__name__,
        "factory of records": logging.getLogRecordFactory().__name__,
        "root logger": [[str(one) for one in root.handlers], root.level],
        "signals": [str(signal.getsignal(one)) for one in sorted(signal.valid_signals())],
        "hooks": [str(one) for one in (sys.excepthook, threading.excepthook, sys.displayhook)],
        "finders": [str(one) for one in (*sys.meta_path, *sys.path_hooks)],
        "search path": sys.path[:],
        "memory pool": pyarrow.default_memory_pool().backend_name,
        "folder and mask": [os.getcwd(), os.umask(os.umask(0o77))],
        "calls": calls[:],
    }

changes = {}
def changed_by(step, *given):
    before = seen()
    step(*given)
    after = seen()
    return sorted(name for name in before if before[name] != after[name])
"""
IMPORTS = f"""{LOOK}
changes["rwt_assets"] = changed_by(import_module, "rwt_assets")
import rwt_assets
for name in {PURE!r}:
    changes[name] = changed_by(import_module, name)
for name in rwt_assets.__all__:
    changes[name] = changed_by(getattr, rwt_assets, name)
from rwt_assets.runtime import configure_process
changes["configure_process"] = changed_by(configure_process)
changes["again"] = changed_by(configure_process)
print(json.dumps(changes))
"""
# A project of somebody else's: its definitions are made by the component, after all imports.
DEFINITIONS = f"""{LOOK}
warnings.simplefilter("error", dg.BetaWarning)
from rwt_assets import Feed
from rwt_assets.component import build_feed_definitions
feed = Feed.model_validate({{
    "name": "sales", "source": {{"bucket": "incoming", "queue": "q"}},
    "target": {{"bucket": "results", "prefix": "sales"}},
    "members": [{{"include": ["*.csv"]}}],
}})
changes["definitions"] = changed_by(build_feed_definitions, feed)
assert build_feed_definitions(feed).resolve_asset_graph().get_all_asset_keys()
print(json.dumps(changes))
"""
CHANGED = [
    "calls",
    "class of loggers",
    "environment",
    "factory of records",
    "filters of warnings",
    "memory pool",
    "root logger",
    "way of warnings",
]
# What Arrow's choice of its pool was made by: the variable as it was when Arrow was imported.
CHOICE = f"""
import os, sys
class Watch:
    def find_spec(self, name, path=None, target=None):
        if name == "pyarrow":
            print("chosen by", os.environ.get({POOL!r}))
sys.meta_path.insert(0, Watch())
"""
RUN_SERVER = "import rwt_assets.embedded.run_server as one; one.configure_process(); import pyarrow"
COMMAND = """
from rwt_assets.cli import rwt
sys.argv = ["rwt", "--no-such-option"]
try:
    rwt()
except SystemExit:
    pass
"""


def environment(**settings):
    kept = {name: value for name, value in os.environ.items() if name != POOL}
    return {**kept, "RWT_LOG_FORMAT": "json", **settings}


def said(script, **settings):
    done = subprocess.run(
        [sys.executable, "-c", script],
        env=environment(**settings),
        capture_output=True,
        text=True,
        check=False,
    )
    assert done.returncode == 0, done.stderr
    return done.stdout


@pytest.fixture(scope="module")
def changes():
    return json.loads(said(IMPORTS))


@pytest.mark.parametrize("name", ["rwt_assets", *PURE, *rwt_assets.__all__])
def test_importing_it_changes_nothing(changes, name):
    assert changes[name] == []


def test_what_configure_process_changes_is_what_it_says(changes):
    assert changes["configure_process"] == CHANGED
    assert changes["again"] == ["calls"]
    told = configure_process.__doc__
    for word in (POOL, "glibc", "warnings", "RWT_LOG_FORMAT", "class of loggers", "factory"):
        assert word in told


def test_definitions_of_a_feed_in_any_project_set_up_the_process_that_makes_them():
    """And a warning of a beta feature would have ended it."""
    assert json.loads(said(DEFINITIONS))["definitions"] == CHANGED


@pytest.mark.parametrize(
    "script",
    ["import rwt_assets.definitions", RUN_SERVER, COMMAND],
    ids=["code location", "run server", "command"],
)
def test_arrow_is_imported_when_its_memory_pool_is_chosen(script):
    assert said(CHOICE + script).splitlines() == ["chosen by system"]


def test_whoever_chose_a_pool_keeps_it():
    script = (
        "from rwt_assets.runtime import configure_process\nconfigure_process()\n"
        "import pyarrow; print(pyarrow.default_memory_pool().backend_name)"
    )
    assert said(script).split() == ["system"]
    assert said(script, **{POOL: "mimalloc"}).split() == ["mimalloc"]


def test_where_arrow_came_first_a_line_of_the_log_says_what_to_set():
    script = (
        "import logging, sys\nlogging.basicConfig(level=logging.INFO, stream=sys.stdout)\n"
        "import pyarrow\nfrom rwt_assets.runtime import configure_process\n"
        "configure_process(); configure_process()\n"
    )
    (line,) = said(script).splitlines()
    assert f"Set {POOL}=system in the environment" in json.loads(line)["event"]
