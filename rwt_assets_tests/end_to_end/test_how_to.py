"""The how-to pages do what they say: their commands are run as they stand there."""

import pytest

from rwt_assets_tests.end_to_end.documented_commands import (
    PROJECT,
    STAYS_UP,
    Reader,
    Step,
    steps_of,
)

pytestmark = [pytest.mark.end_to_end, pytest.mark.long, pytest.mark.timeout(900)]

# In an order in which they do not stand in each other's way; replay changes the feed.
PAGES = [
    *("aws.md", "deploy.md", "operate.md", "backfill.md", "upgrade.md"),
    *("retire.md", "replay.md", "deliveries.md", "alerts.md"),
]
# `make cluster` is a step of .ci/run; test_in_another_project.py runs what tests.md shows.
RUN_ELSEWHERE = {"cluster.md", "tests.md"}
START = Step(
    "make demo", "...\nCtrl-C stops everything; the next start finds it all again.", STAYS_UP
)
# What the backfill asked for is done by the daemon, whenever it comes to it.
SETTLED = Step(
    "until .venv/bin/rwt status | grep -q '│ gtfs .* │       0 │      0 │         0 │'; "
    "do sleep 1; done"
)


def test_every_command_of_the_how_to_pages_does_what_the_page_shows(tmp_path):
    folder = PROJECT / "docs" / "how-to"
    assert sorted(page.name for page in folder.glob("*.md")) == sorted({*PAGES, *RUN_ELSEWHERE})
    reader = Reader(tmp_path)
    try:
        reader.follow([START])
        for name in PAGES:
            steps = list(steps_of((folder / name).read_text(encoding="utf-8")))
            assert steps, name
            reader.follow([SETTLED, *steps] if name == "retire.md" else steps)
    finally:
        reader.end()
