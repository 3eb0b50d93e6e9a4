"""Tells somebody of runs that failed, by Amazon SNS: copy it to `rwt_assets/defs/alerts.py`.

What belongs here: the sensor of `docs/how-to/alerts.md`. What does not: anything that `rwt_assets`
needs. Dagster documentation: "Run status sensors"; AWS: "Publish", Amazon SNS API Reference.
"""

import os

import boto3
import dagster as dg

from rwt_assets.feed_graph import ARCHIVE_TAG, OUTAGE_TAG, REASON_TAG

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
