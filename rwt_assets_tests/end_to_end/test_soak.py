"""The soak test in short: killed processes, failing requests, changed declarations, replays."""

import pytest

from rwt_assets_tests.end_to_end.soak import REFUSED_LAST, Plan, run_soak
from rwt_assets_tests.end_to_end.soak_feed import REFUSING

pytestmark = [
    pytest.mark.end_to_end,
    pytest.mark.long,
    pytest.mark.timeout(900),
    # boto3 keeps connections open for the next call and has no moment to close them.
    pytest.mark.filterwarnings("ignore:unclosed <socket:ResourceWarning"),
]


def test_nothing_is_lost_and_nothing_doubled_while_things_are_killed(tmp_path):
    plan = Plan(
        archives=8,
        daemon_kills=1,
        server_kills=1,
        seconds_at_most=840,
        seed=7,
        shards=(2, 3),
        windows=(REFUSING,),
    )
    report = run_soak(plan, tmp_path / "soak")
    print(*map(": ".join, report.lines()), sep="\n")

    assert report.problems == []
    assert set(report.uploads) == {"contents", "refused", "same bytes"}
    assert report.declared == [declaration.name for declaration in plan.windows]
    assert report.replays >= len(plan.windows)
    assert report.by_command > 0
    assert report.refused_archives == REFUSED_LAST
    assert report.deliveries > plan.archives
    assert report.objects > 0
    assert report.verified == "clean"
    assert (report.daemon_kills, report.server_kills) == (1, 1)
    assert all(report.faults.values()), "a kind of error never happened"
    assert report.rows > 0
