"""Signposts name what is there: docs/day-of-an-archive.md and CONTRIBUTING.md."""

import ast
import re
from pathlib import Path

import pytest

import rwt_assets

PROJECT = Path(rwt_assets.__file__).parents[1]
PAGE = (PROJECT / "docs" / "day-of-an-archive.md").read_text(encoding="utf-8")
ROWS = re.findall(r"^\| .+ \| (.+) \| (.+) \|$", PAGE, re.MULTILINE)
STEPS = [row for row in ROWS if row[0] != "function"]


def test_the_page_has_steps_of_every_part_of_the_day():
    assert len(STEPS) >= 30
    assert len(ROWS) - len(STEPS) == PAGE.count("\n## ") == 6


@pytest.mark.parametrize(("function", "link"), STEPS)
def test_a_step_names_a_function_that_is_in_its_file(function, link):
    name = re.fullmatch(r"`(\w+)`", function)[1]
    file, target = re.fullmatch(r"\[`(.+)`\]\(\.\./rwt_assets/(.+)\)", link).groups()
    assert file == target
    tree = ast.parse((PROJECT / "rwt_assets" / file).read_text(encoding="utf-8"))
    defined = {node.name for node in ast.walk(tree) if isinstance(node, ast.FunctionDef)}
    assert name in defined


def test_every_file_that_contributing_names_is_there():
    text = (PROJECT / "CONTRIBUTING.md").read_text(encoding="utf-8")
    named = set(re.findall(r"`((?:rwt_assets|rwt_assets_tests|docs)/[\w/.-]+)`", text))
    assert len(named) >= 10
    assert {one for one in named if not (PROJECT / one).exists()} == set()
