"""The stack's daemon: Dagster's own, which checks every second whether a sensor is due.

What belongs here: that interval. What does not: the daemon, which is `dagster-daemon run`, and
what the sensors do. Dagster documentation: "Dagster daemon", "Sensors" (evaluation interval).

Dagster checks every five seconds, whatever a sensor's `minimum_interval_seconds` is. A sensor's
tick ends when it has asked for a run, so each of the three steps of an archive waited some two
seconds for the next turn: half of what a small archive took. The interval is a constant of a
private module and no setting; if a later Dagster has no such constant, nothing is changed.
"""

from rwt_assets.dagster_internals.daemon import main, sensor
from rwt_assets.runtime import redact_records

INTERVAL_SECONDS = 1


def shorten_the_interval() -> None:
    """Have the daemon of this process look for due sensors every second."""
    if hasattr(sensor, "MIN_INTERVAL_LOOP_TIME"):
        sensor.MIN_INTERVAL_LOOP_TIME = INTERVAL_SECONDS


if __name__ == "__main__":
    redact_records()
    shorten_the_interval()
    main()
