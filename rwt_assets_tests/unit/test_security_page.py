"""What docs/security.md promises is tried by the tests that it names."""

import ast
import json
import re
from pathlib import Path

import pytest
import yaml

PROJECT = Path(__file__).parents[2]
TESTS = PROJECT / "rwt_assets_tests"
PAGE = (PROJECT / "docs" / "security.md").read_text(encoding="utf-8")
NAMED = sorted(set(re.findall(r"`(\w+/\w+\.py)::(\w+)`", PAGE)))
WRITERS = ["Partners", "Writers to the queue", "Users of the UI", "Operators", "Other users"]


@pytest.mark.parametrize(("file", "test"), NAMED)
def test_a_test_that_the_page_names_exists(file, test):
    tree = ast.parse((TESTS / file).read_text(encoding="utf-8"))
    assert test in {node.name for node in tree.body if isinstance(node, ast.FunctionDef)}


def test_every_line_of_a_table_names_a_test():
    lines = [one for one in PAGE.splitlines() if one.startswith("|") and "---" not in one]
    promises = [one for one in lines if not one.startswith("| what ") or "::" in one]
    promises = [one for one in promises if not one.endswith("| what holds | test |")]
    assert len(promises) > 20
    assert [one for one in promises if "::" not in one] == []
    assert len(NAMED) > 25


@pytest.mark.parametrize("who", WRITERS)
def test_everybody_who_may_write_somewhere_is_on_the_page(who):
    assert re.search(rf"^## {who}", PAGE, re.MULTILINE)


def test_how_to_report_is_at_the_top_and_leads_to_the_page():
    text = (PROJECT / "SECURITY.md").read_text(encoding="utf-8")
    assert "(docs/security.md)" in text
    assert "Report a vulnerability" in text


def test_secrets_are_looked_for_before_a_commit_and_those_that_are_none_are_listed():
    hooks = yaml.safe_load((PROJECT / ".pre-commit-config.yaml").read_text())["repos"][0]["hooks"]
    (hook,) = [one for one in hooks if one["id"] == "detect-secrets"]
    assert "--baseline .secrets.baseline" in hook["entry"]
    known = json.loads((PROJECT / ".secrets.baseline").read_text())["results"]
    assert all((PROJECT / file).is_file() for file in known)


def test_the_projects_own_check_audits_what_it_depends_on():
    assert "make audit" in (PROJECT / ".ci" / "run").read_text()
    assert "uv audit --frozen" in (PROJECT / "Makefile").read_text()
