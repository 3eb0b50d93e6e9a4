"""One stack and one browser for all tests of the UI, and a page for each."""

from collections.abc import Iterator

import pytest
from playwright.sync_api import Browser

from rwt_assets_tests.browser.chromium import Traffic, chromium, new_page
from rwt_assets_tests.browser.pages import Walk
from rwt_assets_tests.browser.stage import Stage, staged


# For the module and not the session: they would stand beside all tests that come later.
@pytest.fixture(scope="module")
def stage(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Stage]:
    with staged(tmp_path_factory.mktemp("stage")) as running:
        yield running


@pytest.fixture(scope="module")
def browser(stage: Stage) -> Iterator[Browser]:  # it ends before the stack does
    with chromium() as started:
        yield started


@pytest.fixture(scope="module")
def traffic() -> Traffic:
    return Traffic()


@pytest.fixture
def walk(browser: Browser, stage: Stage, traffic: Traffic) -> Iterator[Walk]:
    with new_page(browser, traffic) as page:
        yield Walk(page, stage.stack.record.ui_url)
