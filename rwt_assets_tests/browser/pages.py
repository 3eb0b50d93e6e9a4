"""Walks through Dagster's UI: what tests look at and what pictures are taken of.

What belongs here: where pages are, what is clicked, and when a page is there as a whole. What
does not: what must stand on it (`test_ui.py`). Dagster documentation: "Dagster UI".
"""

import re
from collections.abc import Sequence
from dataclasses import dataclass
from urllib.parse import quote, urlsplit

import dagster as dg
from playwright.sync_api import Locator, Page, expect

# Points of a plot are drawn in the UI's accent, a blue; axes and labels are grey.
HAS_POINTS = """canvas => {
  const {width, height} = canvas;
  const data = canvas.getContext('2d').getImageData(0, 0, width, height).data;
  for (let i = 0; i < data.length; i += 4)
    if (data[i + 3] > 200 && data[i + 2] > 180 && data[i] < 120 && data[i + 1] < 120) return true;
  return false;
}"""

SETTLES_MS = 1_000  # of a page that asks again and again, so it is never idle

# Larger than it was and as large as at the last look.
AT_REST = """([node, before]) => {
  const {width} = node.getBoundingClientRect();
  const same = width === node.lastWidth;
  node.lastWidth = width;
  return same && width > before;
}"""


@dataclass(frozen=True)
class Walk:
    """Ways to the pages of one stack's UI."""

    page: Page
    ui_url: str

    def catalog(self, assets: Sequence[dg.AssetKey]) -> None:
        """The list of all assets, with where each one stands."""
        self.page.goto(f"{self.ui_url}/assets")
        for asset in assets:
            expect(self.row(asset)).to_contain_text(re.compile(r"\d partitions"))

    def row(self, asset: dg.AssetKey) -> Locator:
        """An asset's row in the catalog: the innermost element with its link and its checkbox."""
        link = self.page.get_by_role("link", name=_title(asset))
        box = self.page.get_by_role("checkbox")
        return self.page.locator("div").filter(has=link).filter(has=box).last

    def asset(self, asset: dg.AssetKey) -> Locator:
        """An asset's own page; what is returned is the part with its definition."""
        self.page.goto(f"{self.ui_url}/assets/{'/'.join(asset.path)}")
        heading = self.page.get_by_role("button", name="Definition")
        expect(heading).to_be_visible()
        code = self.page.get_by_text("Code location", exact=True)
        return self.page.locator("div").filter(has=heading).filter(has=code).last

    def lineage(self, group: str, assets: Sequence[dg.AssetKey]) -> Locator:
        """The graph of a group, as large as the window lets it be."""
        self.page.goto(f"{self.ui_url}/locations/rwt_assets/asset-groups/{group}/lineage")
        graph = self.page.get_by_role("img").filter(has_text=assets[0].path[-1])
        expect(graph).to_be_visible()
        self.page.get_by_role("button", name="Hide navigation").click()
        before = graph.bounding_box()
        self.page.mouse.dblclick(640, 650)  # on the background: the graph is fitted again
        self.page.wait_for_function(
            AT_REST,
            arg=[graph.element_handle(), before["width"] if before else 0],
            polling=250,
        )
        return graph

    def partition(self, asset: dg.AssetKey, partition: str) -> None:
        """What is on record of one partition."""
        view = f"view=partitions&partition={quote(partition, safe='')}"
        self.page.goto(f"{self.ui_url}/assets/{'/'.join(asset.path)}?{view}")
        # Before it has the metadata, the page says that there are none.
        expect(self.metadata_row("dagster/row_count")).to_be_visible()

    def metadata_row(self, name: str) -> Locator:
        """The row of this name in the table of metadata."""
        cell = self.page.get_by_role("cell", name=name, exact=True)
        return self.page.get_by_role("row").filter(has=cell).last

    def plots(self, asset: dg.AssetKey) -> None:
        """Numbers over partitions."""
        self.page.goto(f"{self.ui_url}/assets/{'/'.join(asset.path)}")
        self.page.get_by_role("button", name="Plots").click()
        expect(self.page.get_by_role("button", name="Partitions", exact=False)).to_be_visible()

    def plot(self, name: str) -> Locator:
        """The drawing below the name of a number, when it has points."""
        title = self.page.get_by_text(name, exact=True)
        canvas = self.page.locator("canvas")
        drawn = self.page.locator("div").filter(has=title).filter(has=canvas).last.locator("canvas")
        expect(drawn).to_be_visible()
        self.page.wait_for_function(HAS_POINTS, arg=drawn.element_handle())
        return drawn

    def choose_backfill(self, asset: dg.AssetKey, partitions: Sequence[str]) -> Locator:
        """The dialogue of "Materialize...", with these partitions chosen; nothing is launched."""
        self.page.goto(f"{self.ui_url}/assets/{'/'.join(asset.path)}")
        self.page.get_by_role("button", name="Materialize…").click()
        dialog = self.page.get_by_role("dialog").filter(has_text="Launch runs to materialize")
        dialog.get_by_text("Select a partition").click()
        for partition in partitions:
            self.page.get_by_role("menuitem", name=partition).click()
        expect(dialog).to_contain_text(f"{len(partitions)} partitions")
        self.page.keyboard.press("Escape")
        expect(self.page.get_by_role("menuitem")).to_have_count(0)
        return dialog

    def launch_backfill(self) -> str:
        """Launch what was chosen and go where it is shown; the backfill's id."""
        self.page.get_by_role("button", name="Launch backfill").click()
        # What is said of it goes away by itself.
        self.page.get_by_text("View", exact=True).click()
        self.page.wait_for_url("**/runs/b/*")
        return urlsplit(self.page.url).path.split("/")[-1]

    def open(self, page: str) -> None:
        """Any page, until it has asked for everything."""
        self.page.goto(f"{self.ui_url}/{page}")
        expect(self.page.get_by_role("navigation").first).to_be_visible()
        self.page.wait_for_timeout(SETTLES_MS)

    def run(self, run_id: str) -> None:
        """A run with its log."""
        self.page.goto(f"{self.ui_url}/runs/{run_id}")
        expect(self.page.get_by_role("button", name="View tags and config")).to_be_visible()

    def only_the_reason(self) -> None:
        """Of a failed run's log the message alone, and of that what stands before the trace."""
        self.page.get_by_placeholder("Filter…").fill("Execution of run")
        self.page.keyboard.press("Escape")
        failure = self.page.get_by_text("RUN_FAILURE", exact=True)
        expect(failure).to_be_visible()
        expect(self.page.get_by_text("STEP_FAILURE", exact=True)).to_have_count(0)
        line = self.page.get_by_role("button", name="Events").bounding_box()
        row = failure.bounding_box()
        if line is None or row is None:
            return
        # The line between steps and log is dragged down until only the message has room.
        self.page.mouse.move(line["x"], line["y"] - 13)
        self.page.mouse.down()
        self.page.mouse.move(line["x"], line["y"] - 13 + 716 - row["y"], steps=5)
        self.page.mouse.up()


def _title(asset: dg.AssetKey) -> str:
    return " / ".join(asset.path)
