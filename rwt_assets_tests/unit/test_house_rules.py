"""Rules of the house that a machine can hold."""

import ast
import re
import tomllib
from pathlib import Path

import pytest
import yaml

from rwt_assets import dagster_internals
from rwt_assets.feed import feed as feed_module
from rwt_assets.feed.feed import Feed

PROJECT = Path(feed_module.__file__).parents[2]


@pytest.mark.parametrize("document", ["README.md", "docs/feeds.md"])
def test_the_feed_of_a_document_is_a_feed(document):
    text = re.findall(r"```yaml\n(.*?)```", (PROJECT / document).read_text(), re.DOTALL)[0]
    declaration = yaml.safe_load(text)
    assert declaration["type"] == "rwt_assets.ZipFeed"
    assert Feed.model_validate(declaration["attributes"]).name == "sales"


@pytest.mark.parametrize(
    "document",
    [
        "README.md",
        *sorted(str(path.relative_to(PROJECT)) for path in (PROJECT / "docs").rglob("*.md")),
    ],
)
def test_links_lead_somewhere(document):
    path = PROJECT / document
    links = re.findall(r"\]\(([^)#]+)\)", path.read_text())
    local = [link for link in links if not link.startswith("http")]
    assert [link for link in local if not (path.parent / link).exists()] == []


def test_every_variable_that_the_code_reads_is_in_the_example():
    known = (PROJECT / ".env.example").read_text()
    files = [*(PROJECT / "rwt_assets").rglob("*.yaml")]
    files += (PROJECT / "rwt_assets" / "cli").glob("*.py")
    files += (PROJECT / "rwt_assets" / "terminal").glob("*.py")
    read = {name for path in files for name in re.findall(r"\bRWT_[A-Z_]+\b", path.read_text())}
    private = {"RWT_RUN_SOCKET"}  # set by the stack for its own processes
    assert {name for name in read - private if name not in known} == set()


def test_every_fault_of_the_documentation_is_tried_by_a_test():
    text = (PROJECT / "docs" / "reliability.md").read_text()
    rows = re.findall(r"^\| .+ \| `(.+)::(.+)` \| .+ \|$", text, re.MULTILINE)
    assert len(rows) >= 25
    tests = PROJECT / "rwt_assets_tests"
    missing = [name for file, name in rows if f"def {name}(" not in (tests / file).read_text()]
    assert missing == []


def test_every_promise_of_the_documentation_names_a_test_that_proves_it():
    text = (PROJECT / "docs" / "reliability.md").read_text()
    section = text.split("## The four promises")[1].split("\n## ")[0]
    promises = re.findall(r"^- \*\*(.+)\.\*\*", section, re.MULTILINE)
    assert len(promises) == 4
    proved = re.findall(r"^\| (.+?): .+ \| `.+::.+` \| .+ \|$", section, re.MULTILINE)
    assert set(proved) == set(promises)


def test_every_file_of_tests_that_is_named_somewhere_is_there():
    tests = PROJECT / "rwt_assets_tests"
    sources = [*(PROJECT / "docs").rglob("*.md"), *(PROJECT / "rwt_assets").rglob("*.py")]
    sources += [PROJECT / "README.md", PROJECT / "Makefile", *tests.rglob("*.py")]
    folders = "assets|browser|contract|end_to_end|endpoint|unit"
    named = {
        (str(path.relative_to(PROJECT)), name)
        for path in sources
        for name in re.findall(rf"\b(?:{folders})/test_\w+\.py", path.read_text("utf-8"))
    }
    assert {one for one in named if not (tests / one[1]).exists()} == set()


def test_every_crash_point_stands_in_the_documentation():
    text = (PROJECT / "docs" / "reliability.md").read_text()
    source = (PROJECT / "rwt_assets_tests" / "assets" / "test_faults.py").read_text()
    points = re.findall(r'^    "(.+)": Point\(', source, re.MULTILINE)
    assert points
    assert [point for point in points if f"| the process dies {point} |" not in text] == []


PRIVATE = re.compile(r"dagster\w*(?:\.[a-z]\w*)*\._\w+(?:\.\w+)*")


def private_parts(source):
    """The private modules of Dagster that a source imports or names to have them imported."""
    for node in ast.walk(ast.parse(source)):
        names = []
        if isinstance(node, ast.Import):
            names = [alias.name for alias in node.names]
        elif isinstance(node, ast.ImportFrom) and node.level == 0:
            names = [f"{node.module}.{alias.name}" for alias in node.names]
        elif isinstance(node, ast.Constant) and isinstance(node.value, str):
            names = [node.value]
        yield from (name for name in names if PRIVATE.fullmatch(name))


@pytest.mark.parametrize(
    "source",
    [
        "from dagster._core.events import DagsterEvent",
        "from dagster import _check",
        "def late():\n    import dagster._core",
        "import dagster._daemon as daemon",
        "from dagster_graphql._private import anything",
        "from dagster_aws.s3._inner import anything",
        "import_module('dagster._cli.api')",
    ],
)
def test_the_next_rule_sees_a_private_part_of_dagster(source):
    assert [*private_parts(source)] != []


def test_private_parts_of_dagster_are_imported_in_one_room():
    package = PROJECT / "rwt_assets"
    found = {
        (path.relative_to(package).parts[0], name)
        for path in package.rglob("*.py")
        for name in private_parts(path.read_text(encoding="utf-8"))
    }
    assert {room for room, _ in found} == {"dagster_internals"}, sorted(found)


def test_private_parts_of_dagster_are_checked_with_the_oldest_and_the_locked_version():
    oldest = (PROJECT / "rwt_assets_tests" / "oldest-dagster.txt").read_text()
    locked = tomllib.loads((PROJECT / "uv.lock").read_text())["package"]
    assert (
        *re.findall(r"^dagster==(.+)$", oldest, re.MULTILINE),
        *(one["version"] for one in locked if one["name"] == "dagster"),
    ) == dagster_internals.CHECKED_WITH


def test_the_oldest_dagster_that_is_tested_is_the_oldest_that_is_admitted():
    declared = tomllib.loads((PROJECT / "pyproject.toml").read_text())
    requirements = [
        *declared["project"]["dependencies"],
        *declared["project"]["optional-dependencies"]["postgresql"],
        *declared["dependency-groups"]["dev"],
    ]
    admitted = {
        one.replace(">=", "==").partition(",")[0]
        for one in requirements
        if one.startswith("dagster")
    }
    tested = (PROJECT / "rwt_assets_tests" / "oldest-dagster.txt").read_text().splitlines()
    assert admitted == {line for line in tested if not line.startswith("#")}
