"""A reader of a delivery reads one upload, whole, whatever happens to the archive meanwhile."""

import os

import pytest

from rwt_assets_tests.end_to_end.readers import run_readers

ROUNDS = int(os.environ.get("RWT_READER_ROUNDS", "0"))
pytestmark = [
    pytest.mark.end_to_end,
    pytest.mark.skipif(not ROUNDS, reason="two minutes a round: set RWT_READER_ROUNDS"),
    pytest.mark.timeout(300 + 180 * ROUNDS),
    # boto3 keeps connections open for the next call and has no moment to close them.
    pytest.mark.filterwarnings("ignore:unclosed <socket:ResourceWarning"),
]


def test_every_read_is_one_delivery_while_the_archive_is_sent_and_processed_again(tmp_path):
    report = run_readers(ROUNDS, tmp_path / "readers")
    print(*map(": ".join, report.lines()), sep="\n")

    assert report.problems == {}
    assert report.refusals == 2 * ROUNDS
    assert report.replays == ROUNDS
    for name, contents in report.contents.items():
        assert len(contents) > 2 * ROUNDS, f"{name} missed deliveries"
