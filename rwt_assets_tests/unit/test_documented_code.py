"""Pages show Python that stands in a file they link to, and point to functions that exist."""

import re
from pathlib import Path

import pytest

from rwt_assets_tests.end_to_end.documented_commands import PROJECT

DOCS = PROJECT / "docs"
TEXTS = {page: page.read_text(encoding="utf-8") for page in sorted(DOCS.rglob("*.md"))}
CODE = [
    pytest.param(page, code, id=f"{page.stem}-{number}")
    for page, text in TEXTS.items()
    for number, code in enumerate(
        re.findall(r"^```python\n(.*?)^```$", text, re.MULTILINE | re.DOTALL), 1
    )
]
POINTERS = [
    pytest.param(page.parent / file, name, id=f"{page.stem}-{name}")
    for page, text in TEXTS.items()
    for file, name in re.findall(r"\]\(([^)]+\.py)\),\s*`(\w+)`", text)
]


def unindented(text):
    """Pages show methods without the class around them, and the formatter moves them left."""
    return "\n".join(line.strip() for line in text.splitlines() if line.strip())


def test_there_are_pointers_and_code():
    assert len(POINTERS) > 15
    assert len(CODE) > 8


@pytest.mark.parametrize(("page", "code"), CODE)
def test_code_stands_in_a_file_that_the_page_links_to(page, code):
    linked = re.findall(r"\]\(([^)]+\.py)\)", TEXTS[page])
    sources = [Path(page.parent / file).read_text(encoding="utf-8") for file in linked]
    assert any(unindented(code) in unindented(source) for source in sources), code


@pytest.mark.parametrize(("file", "name"), POINTERS)
def test_a_pointer_leads_to_a_function(file, name):
    source = file.read_text(encoding="utf-8")
    assert re.search(rf"^ *(def|class) {name}\b", source, re.MULTILINE)


def test_the_test_that_a_page_names_exists():
    (name,) = re.findall(r"`(test_\w+)`", TEXTS[DOCS / "from-ops-to-assets.md"])
    tests = PROJECT / "rwt_assets_tests" / "assets" / "test_first_attempt.py"
    assert f"def {name}(" in tests.read_text(encoding="utf-8")
