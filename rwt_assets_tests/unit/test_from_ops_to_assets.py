"""docs/from-ops-to-assets.md shows code that exists and points to functions that exist."""

import re

import pytest

from rwt_assets_tests.end_to_end.documented_commands import PROJECT

DOCS = PROJECT / "docs"
TEXT = (DOCS / "from-ops-to-assets.md").read_text(encoding="utf-8")
POINTERS = re.findall(r"\]\(([^)]+\.py)\),\s*`(\w+)`", TEXT)
CODE = re.findall(r"^```python\n(.*?)^```$", TEXT, re.MULTILINE | re.DOTALL)
SOURCES = [DOCS / "examples" / "first_attempt.py", PROJECT / "rwt_assets/sensors/dispatch.py"]


@pytest.mark.parametrize(("file", "name"), POINTERS)
def test_a_pointer_leads_to_a_function(file, name):
    source = (DOCS / file).read_text(encoding="utf-8")
    assert re.search(rf"^ *(def|class) {name}\b", source, re.MULTILINE)


def test_there_are_pointers_and_code():
    assert len(POINTERS) > 10
    assert len(CODE) > 5


@pytest.mark.parametrize("code", CODE)
def test_code_stands_in_its_file_as_it_is_shown(code):
    assert any(code in source.read_text(encoding="utf-8") for source in SOURCES), code


def test_the_test_that_the_page_names_exists():
    (name,) = re.findall(r"`(test_\w+)`", TEXT)
    tests = PROJECT / "rwt_assets_tests" / "assets" / "test_first_attempt.py"
    assert f"def {name}(" in tests.read_text(encoding="utf-8")
