"""What declarative automation asks for by itself.

Dagster documentation: "Declarative automation", "Customizing automation conditions".

What belongs here: conditions. What does not: the way of a new archive to its delivery, which
`dispatch.py` asks for.

The rule that keeps the two apart: what crosses the two partition sets, and what is there for
the first time, is dispatch's; what is there and has become old, because the code changed or
somebody reported a shard again, is automation's. No condition here looks at an asset of the
other partition set, since the daemon cannot map one set to the other.
"""

import dagster as dg

Condition = dg.AutomationCondition


def code_changed() -> dg.AutomationCondition:  # type: ignore[type-arg]
    """There, and made by another version of the code or of the feed's declaration.

    Holds until it is asked for or updated; a run under way is waited for.
    """
    handled = Condition.newly_requested() | Condition.newly_updated()
    old = Condition.code_version_changed().since(handled)
    return (old & ~Condition.missing() & ~Condition.in_progress()).with_label("code changed")


def reported_again_or_code_changed() -> dg.AutomationCondition:  # type: ignore[type-arg]
    """`code_changed`, or the partition it depends on was reported again since it was made.

    A new revision reports shards too, and dispatch asks for these within seconds. So a report
    must have rested for a whole minute: two ticks of a minute's clock have passed since.
    """
    handled = Condition.newly_requested() | Condition.newly_updated()
    reported = Condition.any_deps_updated()
    minute = Condition.cron_tick_passed("* * * * *")
    first_tick = minute.since(reported)
    rested = minute.since(first_tick.newly_true()) & first_tick
    old = reported.since(handled)
    again = old & rested & ~Condition.missing() & ~Condition.in_progress()
    return (again.with_label("reported again") | code_changed()).with_label(
        "reported again or code changed"
    )
