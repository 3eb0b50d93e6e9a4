"""The built wheel in a fresh project, made by Dagster's own generator.

The project has an environment of its own with the wheel in it; what the wheel depends on is
lent from the environment of these tests, so that nothing is downloaded.
"""

import json
import os
import shutil
import subprocess
import sys
import sysconfig
from pathlib import Path

import pytest

import rwt_assets
from rwt_assets_tests.end_to_end.documented_commands import is_shown, steps_of

pytestmark = [pytest.mark.end_to_end, pytest.mark.extended]
REPOSITORY = Path(rwt_assets.__file__).parent.parent
REPORT = """
import dagster as dg


@dg.asset(deps=[dg.AssetKey(["sales", "delivery"])])
def daily_report() -> None: ...


@dg.asset(
    ins={"shard": dg.AssetIn(dg.AssetKey(["sales", "enriched_shard"]))},
    partitions_def=dg.DynamicPartitionsDefinition(name="sales_csv_shards"),
)
def shard_report(shard) -> None: ...
"""
DG = "from dagster_dg_cli.cli import main; main()"


class ForeignProject:
    """The project `shopping` and its environment."""

    def __init__(self, folder):
        self.folder = folder / "shopping"
        self.environment = {
            name: value for name, value in os.environ.items() if name != "RWT_PROJECT"
        } | {
            "VIRTUAL_ENV": str(self.folder / ".venv"),
            "PATH": f"{self.folder / '.venv' / 'bin'}{os.pathsep}{os.environ['PATH']}",
            "DAGSTER_DG_CLI_CONFIG": str(folder / "no-settings.toml"),
            "COLUMNS": "200",
        }
        self.python = str(self.folder / ".venv" / "bin" / "python")

    def run(self, *command):
        done = subprocess.run(
            command, cwd=self.folder, env=self.environment, capture_output=True, text=True,
            check=False,
        )  # fmt: skip
        assert done.returncode == 0, f"{command}\n{done.stdout}\n{done.stderr}"
        return done.stdout

    def dg(self, *arguments):
        return self.run(str(self.folder / ".venv" / "bin" / "dg"), *arguments)


@pytest.fixture(scope="module")
def project(tmp_path_factory):
    folder = tmp_path_factory.mktemp("foreign")
    generator = Path(sysconfig.get_path("scripts")) / "create-dagster"
    subprocess.run(
        [generator, "project", "shopping", "--no-uv-sync"],
        cwd=folder, check=True, capture_output=True,
    )  # fmt: skip
    subprocess.run(
        [sys.executable, "-m", "pip", "wheel", REPOSITORY, "--no-deps", "--no-build-isolation",
         "--no-index", "--wheel-dir", folder],
        check=True, capture_output=True,
    )  # fmt: skip
    made = ForeignProject(folder)
    environment = made.folder / ".venv"
    subprocess.run([sys.executable, "-m", "venv", "--without-pip", environment], check=True)
    (packages,) = environment.glob("lib/python*/site-packages")
    (wheel,) = folder.glob("*.whl")
    subprocess.run(
        [sys.executable, "-m", "pip", "install", "--no-deps", "--no-index", "--no-compile",
         "--target", packages, wheel],
        check=True, capture_output=True,
    )  # fmt: skip
    lent = sysconfig.get_path("purelib")
    (packages / "lent.pth").write_text(f"{lent}\n{made.folder / 'src'}\n")
    command = environment / "bin" / "dg"
    command.write_text(f"#!{made.python}\n{DG}\n")
    command.chmod(0o755)
    made.dg("scaffold", "defs", "rwt_assets.ZipFeed", "sales")
    return made


def test_it_is_the_wheel_that_is_used(project):
    found = project.run(project.python, "-c", "import rwt_assets; print(rwt_assets.__file__)")
    assert found.startswith(str(project.folder / ".venv"))


def test_the_component_is_listed_and_ones_own_assets_depend_on_those_of_a_feed(project):
    listed = json.loads(project.dg("list", "components", "--json"))
    assert "rwt_assets.ZipFeed" in {one["key"] for one in listed["items"]}
    defs = project.folder / "src" / "shopping" / "defs"
    assert (defs / "sales" / "defs.yaml").is_file()
    (defs / "report.py").write_text(REPORT)
    project.dg("check", "defs")
    assets = {
        one["asset_key"]: one for one in json.loads(project.dg("list", "defs", "--json"))["assets"]
    }
    assert assets["daily_report"]["dependency_keys"] == ["sales/delivery"]
    assert assets["shard_report"]["dependency_keys"] == ["sales/enriched_shard"]


def test_loading_its_definitions_sets_up_the_process(project):
    told = project.run(
        project.python, "-c",
        "import logging, warnings, dagster as dg\n"
        "from shopping.definitions import defs\n"
        "before = logging.getLogRecordFactory().__name__\n"
        "warnings.simplefilter('error', dg.BetaWarning)\n"
        "defs().get_repository_def()\n"
        "print(before, logging.getLogRecordFactory().__name__)",
    )  # fmt: skip
    assert told.split() == ["LogRecord", "FitRecord"]


def test_the_commands_know_the_feeds_of_the_project_in_which_they_are_typed(project):
    told = project.run(
        project.python, "-c",
        "from rwt_assets.definitions import declared_feeds\n"
        "print([feed.name for feed in declared_feeds()])",
    )  # fmt: skip
    assert told.strip().endswith("['sales']")


def test_the_example_of_the_how_to_page_passes_with_the_wheel(project):
    docs = REPOSITORY / "docs"
    shutil.copy(docs / "examples" / "test_feed.py", project.folder / "tests")
    (step,) = steps_of((docs / "how-to" / "tests.md").read_text(encoding="utf-8"))
    printed = project.run("bash", "-euc", step.command)
    assert is_shown(printed, step.shown), printed


def test_public_names_are_there(project):
    names = ("Feed", "ZipFeed", "open_delivery", "read_delivery")
    told = project.run(
        project.python, "-c",
        f"import rwt_assets; print(*[getattr(rwt_assets, name).__name__ for name in {names!r}])",
    )  # fmt: skip
    assert told.split() == list(names)
