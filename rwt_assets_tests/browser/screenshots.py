"""The pictures of the documentation, from the pages that the tests look at (`make screenshots`).

What belongs here: which pages, and where their pictures go. What does not: how a page is
reached (`pages.py`).
"""

import sys
import tempfile
from collections.abc import Callable
from pathlib import Path

from rwt_assets.component import build_feed_definitions
from rwt_assets_tests.browser.chromium import CHROMIUM, MISSING, Traffic, chromium, new_page
from rwt_assets_tests.browser.pages import Walk
from rwt_assets_tests.browser.stage import Stage, staged

IMAGES = Path(__file__).parents[2] / "docs" / "images"


def catalog(walk: Walk, stage: Stage) -> None:
    specs = build_feed_definitions(stage.stack.feed).resolve_all_asset_specs()
    walk.catalog([spec.key for spec in specs])


def lineage(walk: Walk, stage: Stage) -> None:
    walk.lineage(stage.stack.feed.name, [stage.graph.zip_archive])


def partition(walk: Walk, stage: Stage) -> None:
    walk.partition(stage.graph.delivery, stage.with_bad_rows)


def plots(walk: Walk, stage: Stage) -> None:
    walk.plots(stage.graph.delivery)
    walk.plot("dagster/row_count")


def backfill(walk: Walk, stage: Stage) -> None:
    walk.choose_backfill(stage.graph.delivery, stage.whole)


def failed(walk: Walk, stage: Stage) -> None:
    walk.run(stage.failed_run().run_id)
    walk.only_the_reason()


PICTURES: dict[str, Callable[[Walk, Stage], None]] = {
    "ui-catalog": catalog,
    "ui-lineage": lineage,
    "ui-partition": partition,
    "ui-plots": plots,
    "ui-backfill": backfill,
    "ui-failed": failed,
}


def main() -> int:
    """Take all pictures; the exit status."""
    if not CHROMIUM.exists():
        print(MISSING, file=sys.stderr)
        return 1
    traffic = Traffic()
    with (
        tempfile.TemporaryDirectory() as folder,
        staged(Path(folder)) as stage,
        chromium() as browser,
    ):
        for name, walk_to in PICTURES.items():
            with new_page(browser, traffic) as page:
                walk_to(Walk(page, stage.stack.record.ui_url), stage)
                page.locator("nav a[href='/jobs']").wait_for()  # it comes later than the others
                page.wait_for_load_state("networkidle")
                picture = page.screenshot(animations="disabled", caret="hide")
            file = IMAGES / f"{name}.png"
            file.write_bytes(picture)
            print(f"{file.relative_to(IMAGES.parents[1])}  {file.stat().st_size // 1000} kB")
    return 0


if __name__ == "__main__":
    sys.exit(main())
