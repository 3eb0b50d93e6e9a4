"""The tutorial does what it says: its commands are run as they stand there."""

import pytest

from rwt_assets_tests.end_to_end.documented_commands import PROJECT, Reader, steps_of

pytestmark = [pytest.mark.end_to_end, pytest.mark.long, pytest.mark.timeout(900)]


def test_every_command_of_the_tutorial_does_what_the_page_shows(tmp_path):
    steps = list(steps_of((PROJECT / "docs" / "tutorial.md").read_text(encoding="utf-8")))
    assert len(steps) > 15
    reader = Reader(tmp_path)
    try:
        reader.follow(steps)
    finally:
        reader.end()
