"""`make` in a folder with a strange name: each command gets whole paths, and none is executed."""

import os
import shutil
import subprocess
import sys
from pathlib import Path

import pytest

from rwt_assets_tests import conftest

PROJECT = Path(__file__).parents[2]
# Stands in for every program of the environment: writes down how it was called.
PROGRAM = """#!{python}
import os, sys
with open({told!r}, "a") as told:
    print([os.path.basename(sys.argv[0]), *sys.argv[1:]], os.environ.get("VIRTUAL_ENV"), file=told)
"""
MAKES_THE_ENVIRONMENT = """#!/bin/sh
mkdir -p .venv/bin
cp program .venv/bin/pip; cp program .venv/bin/uv; cp program .venv/bin/rwt; cp program .venv/bin/dg
for name in pytest ruff mypy lint-imports python hadolint cfn-lint; do
  cp program .venv/bin/$name
done
"""


@pytest.fixture
def folder(tmp_path):
    made = tmp_path / "My  Documents" / "rwt's assets $(touch executed)"
    made.mkdir(parents=True)
    for name in ("Makefile", "pyproject.toml", "uv.lock"):
        shutil.copy(PROJECT / name, made)
    for name, body in (
        ("program", PROGRAM.format(python=sys.executable, told=str(tmp_path / "told"))),
        ("my python", MAKES_THE_ENVIRONMENT),
    ):
        (made / name).write_text(body)
        (made / name).chmod(0o755)
    return made


def make(folder, *arguments):
    variables = {"PATH": os.environ["PATH"], "HOME": str(folder)}
    done = subprocess.run(
        [shutil.which("make"), "PYTHON=./my python", *arguments],
        cwd=folder,
        env=variables,
        capture_output=True,
        text=True,
        check=False,
    )
    assert done.returncode == 0, done.stdout + done.stderr
    told = folder.parents[1] / "told"
    return told.read_text().splitlines() if told.exists() else []


@pytest.mark.skipif(shutil.which("make") is None, reason="make is not installed")
def test_the_demo_is_made_and_started_in_a_folder_with_spaces(folder):
    pip, uv, rwt = make(folder, "demo", "ARGS=--exit", "STATE=my state")
    assert pip.startswith("['pip', 'install'")
    assert uv.startswith("['uv', 'sync'")
    assert "'--all-extras'" in uv
    assert uv.endswith(f" {folder}/.venv")
    assert rwt.startswith("['rwt', 'demo', '--state', 'my state', '--exit']")
    (again,) = make(folder, "up")[3:]
    assert again.startswith("['rwt', 'up', '--state', '.rwt']")
    assert [one for one in make(folder, "lint") if one.endswith(f" {folder}/.venv")][1:]
    (folder / "my state").mkdir()
    make(folder, "clean", "STATE=my state")
    assert not (folder / "my state").exists()
    assert not (folder / ".venv").exists()
    assert not (folder / "executed").exists()


@pytest.mark.skipif(shutil.which("make") is None, reason="make is not installed")
@pytest.mark.parametrize(
    ("target", "expression"),
    [("test", "not extended and not long"), ("test-all", "not long"), ("long", "long")],
)
def test_tests_of_every_day_are_a_part_of_all_and_the_long_ones_are_the_rest(
    folder, target, expression
):
    (pytest_,) = [one for one in make(folder, target) if one.startswith("['pytest'")]
    assert f"'-m', '{expression}'" in pytest_


def test_ci_runs_all_tests_but_the_long_ones():
    assert "make test-all\n" in (PROJECT / ".ci" / "run").read_text()


class Case:
    """One case of a test that is marked `mostly_long(one_in=3)`."""

    def __init__(self, number):
        self.nodeid = f"test_x.py::test_of[{number}]"
        self.marks = []

    def get_closest_marker(self, name):
        return pytest.mark.mostly_long(one_in=3).mark if name == "mostly_long" else None

    def add_marker(self, mark):
        self.marks.append(mark.name)


def test_of_many_cases_the_first_is_of_every_day_and_one_in_so_many_of_all():
    cases = [Case(number) for number in range(7)]
    conftest.pytest_collection_modifyitems(cases)
    assert [case.marks for case in cases] == [
        *([], ["long"], ["long"]),
        *(["extended"], ["long"], ["long"]),
        ["extended"],
    ]
