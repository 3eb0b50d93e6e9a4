"""Tells somebody of runs that failed and of feeds that fell silent, by Amazon SNS.

Copy it to `rwt_assets/defs/alerts.py`.

What belongs here: the sensors of `docs/how-to/alerts.md`. What does not: anything that `rwt_assets`
needs. Dagster documentation: "Run status sensors", "Sensors" (cursors); AWS: "Publish", Amazon SNS
API Reference.
"""

import json
import os

import boto3
import dagster as dg

from rwt_assets.catalog import FeedCatalog
from rwt_assets.definitions import declared_feeds
from rwt_assets.orchestration.checks import take_freshness
from rwt_assets.runtime import ARCHIVE_TAG, OUTAGE_TAG, REASON_TAG

SUBJECT_LENGTH = 100  # SNS takes no longer one


@dg.run_failure_sensor(default_status=dg.DefaultSensorStatus.RUNNING, minimum_interval_seconds=30)
def tell_of_failures(context: dg.RunFailureSensorContext) -> dg.SkipReason | None:
    """Publish the reason that the run left in its tags; it says what to do, too."""
    run = context.dagster_run
    if run.tags.get(OUTAGE_TAG):
        return dg.SkipReason("The endpoint failed; it is asked again until it answers.")
    archive = run.tags.get(ARCHIVE_TAG, "")
    reason = run.tags.get(REASON_TAG) or context.failure_event.message or "no reason is on record"
    boto3.client("sns").publish(
        TopicArn=os.environ["ALERT_TOPIC_ARN"],
        Subject=f"{run.job_name} failed"[:SUBJECT_LENGTH],
        Message=f"{archive}\n{reason}\nRun {run.run_id}",
    )
    return None


@dg.sensor(default_status=dg.DefaultSensorStatus.RUNNING, minimum_interval_seconds=300)
def tell_of_silence(context: dg.SensorEvaluationContext) -> dg.SensorResult:
    """Publish once that a feed fell silent, and once that an archive has come again."""
    silent: dict[str, str] = {}
    for feed in declared_feeds():
        freshness = take_freshness(FeedCatalog(context.instance, feed))
        if freshness is not None and not freshness.fresh:
            silent[feed.name] = str(freshness)
    told = set(json.loads(context.cursor or "[]"))
    news = {f"feed {name} is silent": silent[name] for name in sorted(silent.keys() - told)}
    news |= {f"feed {name} is back": "An archive arrived." for name in sorted(told - silent.keys())}
    for subject, message in news.items():
        boto3.client("sns").publish(
            TopicArn=os.environ["ALERT_TOPIC_ARN"],
            Subject=subject[:SUBJECT_LENGTH],
            Message=message,
        )
    return dg.SensorResult(
        skip_reason=f"silent: {', '.join(silent) or 'none'}", cursor=json.dumps(sorted(silent))
    )
