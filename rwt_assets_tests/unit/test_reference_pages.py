"""The reference pages say what the code says."""

import pytest
from pydantic import BaseModel

from rwt_assets.feed import expectations, feed, named_enrichments
from rwt_assets.runtime import errors
from rwt_assets_tests.reference_pages import FOLDER, MODELS, PAGES
from rwt_assets_tests.rooms_of_the_package import PAGE, page_with_rooms

STALE = "stale: run `.venv/bin/python -m rwt_assets_tests.reference_pages`"


@pytest.mark.parametrize("name", PAGES)
def test_a_page_is_what_the_code_says(name):
    assert (FOLDER / name).read_text(encoding="utf-8") == PAGES[name](), STALE


def test_the_rooms_are_drawn_as_they_are():
    assert PAGE.read_text(encoding="utf-8") == page_with_rooms(), STALE


def test_every_model_of_a_declaration_has_its_table():
    declared = {
        one
        for module in (feed, expectations, named_enrichments)
        for one in vars(module).values()
        if isinstance(one, type) and issubclass(one, BaseModel) and one is not BaseModel
    }
    declared -= {expectations.Expected, feed.ValueSettings}  # parts of what has a table
    assert {one for one in declared if not one.__name__.startswith("_")} == set(MODELS)


def test_every_error_has_its_row():
    text = PAGES["errors.md"]()
    names = [
        one.__name__
        for one in vars(errors).values()
        if isinstance(one, type) and issubclass(one, errors.RwtError)
    ]
    assert len(names) > 10
    assert [name for name in names if f"`{name}`" not in text] == ["RwtError"]
