import json

import pytest

from rwt_assets.aws.provisioning import plan_provisioning, provision
from rwt_assets.permissions.permissions import s3_may_send
from rwt_assets.runtime.errors import StackError

pytestmark = pytest.mark.endpoint


def rules(s3, feed):
    answer = s3.get_bucket_notification_configuration(Bucket=feed.source.bucket)
    return answer.get("QueueConfigurations", [])


def test_everything_is_made_once(feed, s3, sqs):
    made = provision(feed, s3=s3, sqs=sqs).made
    assert made == (
        "bucket rwt-incoming",
        "bucket rwt-results",
        "versioning of bucket rwt-incoming",
        "queue rwt-gtfs-dead-letters",
        "queue rwt-gtfs",
        "notification from s3://rwt-incoming/gtfs/ to queue rwt-gtfs",
    )
    assert provision(feed, s3=s3, sqs=sqs).made == ()
    assert len(rules(s3, feed)) == 1


def test_what_is_missing_is_made_again(feed, s3, sqs, provisioned):
    sqs.delete_queue(QueueUrl=provisioned.queue_url)
    s3.put_bucket_versioning(
        Bucket=feed.source.bucket, VersioningConfiguration={"Status": "Suspended"}
    )
    s3.put_bucket_notification_configuration(
        Bucket=feed.source.bucket, NotificationConfiguration={}
    )
    made = provision(feed, s3=s3, sqs=sqs).made
    assert [one.split()[0] for one in made] == ["versioning", "queue", "notification"]


@pytest.mark.parametrize("bucket", ["rwt-results", "rwt-incoming"], ids=["its own", "the same"])
def test_what_is_removed_from_a_bucket_with_versioning_can_be_read_by_version(
    feed, s3, sqs, objects, bucket
):
    """So results belong into another bucket, which the set-up does not version."""
    target = feed.target.model_copy(update={"bucket": bucket, "prefix": "results"})
    provision(feed.model_copy(update={"target": target}), s3=s3, sqs=sqs)
    objects.put(bucket, "results/a", b"once")
    objects.delete(bucket, ["results/a"])
    versions = s3.list_object_versions(Bucket=bucket, Prefix="results/").get("Versions", [])
    assert len(versions) == (1 if bucket == feed.source.bucket else 0)


def test_rules_of_others_are_left_alone(feed, s3, sqs):
    provision(feed, s3=s3, sqs=sqs)
    other = feed.model_copy(
        update={
            "name": "other",
            "source": feed.source.model_copy(update={"prefix": "other/", "queue": "other"}),
        }
    )
    provision(other, s3=s3, sqs=sqs)
    assert {rule["Id"] for rule in rules(s3, feed)} == {"rwt-gtfs", "rwt-other"}
    assert provision(feed, s3=s3, sqs=sqs).made == ()


def filters(s3, feed):
    (rule,) = rules(s3, feed)
    named = rule.get("Filter", {}).get("Key", {}).get("FilterRules", [])
    return {one["Name"].lower(): one["Value"] for one in named}


def test_s3_is_told_a_suffix_only_where_it_is_the_only_one(feed, s3, sqs):
    exact = feed.model_copy(update={"case": "exact"})
    provision(exact, s3=s3, sqs=sqs)
    assert filters(s3, feed) == {"prefix": "gtfs/", "suffix": ".zip"}
    made = provision(feed, s3=s3, sqs=sqs).made  # MAY.ZIP would not be announced
    assert made == ("notification from s3://rwt-incoming/gtfs/ to queue rwt-gtfs",)
    assert filters(s3, feed) == {"prefix": "gtfs/"}
    assert provision(feed, s3=s3, sqs=sqs).made == ()


def test_two_feeds_share_a_queue_without_taking_it_from_each_other(feed, s3, sqs, provisioned):
    source = feed.source.model_copy(update={"bucket": "other-partner", "prefix": "other/"})
    other = feed.model_copy(update={"name": "other", "source": source})
    made = provision(other, s3=s3, sqs=sqs).made
    assert "Policy of queue rwt-gtfs" in made
    attributes = sqs.get_queue_attributes(
        QueueUrl=provisioned.queue_url, AttributeNames=["QueueArn", "Policy"]
    )["Attributes"]
    policy, arn = json.loads(attributes["Policy"]), attributes["QueueArn"]
    for bucket in ("rwt-incoming", "other-partner"):
        assert s3_may_send(policy, queue_arn=arn, bucket=bucket)
    assert provision(feed, s3=s3, sqs=sqs).made == ()
    assert provision(other, s3=s3, sqs=sqs).made == ()


def test_a_plan_changes_nothing(feed, s3, sqs):
    planned = [change.sentence for change in plan_provisioning(feed, s3=s3, sqs=sqs)]
    assert s3.list_buckets()["Buckets"] == []
    assert sqs.list_queues().get("QueueUrls", []) == []
    assert list(provision(feed, s3=s3, sqs=sqs).made) == planned


def test_undeliverable_messages_go_to_the_dead_letter_queue(feed, s3, sqs, provisioned):
    attributes = sqs.get_queue_attributes(
        QueueUrl=provisioned.queue_url, AttributeNames=["RedrivePolicy"]
    )["Attributes"]
    policy = json.loads(attributes["RedrivePolicy"])
    assert int(policy["maxReceiveCount"]) == 5
    assert policy["deadLetterTargetArn"].endswith(feed.source.dead_letter_queue)


def test_a_changed_redrive_policy_is_put_right_and_timeouts_are_left(feed, s3, sqs, provisioned):
    sqs.set_queue_attributes(
        QueueUrl=provisioned.queue_url,
        Attributes={"VisibilityTimeout": "7", "RedrivePolicy": ""},
    )
    (made,) = provision(feed, s3=s3, sqs=sqs).made
    assert made == "RedrivePolicy of queue rwt-gtfs"
    attributes = sqs.get_queue_attributes(
        QueueUrl=provisioned.queue_url, AttributeNames=["VisibilityTimeout"]
    )["Attributes"]
    assert attributes["VisibilityTimeout"] == "7"


def test_an_endpoint_that_is_not_there_is_explained(feed, monkeypatch):
    monkeypatch.setenv("AWS_ENDPOINT_URL", "http://127.0.0.1:9")
    monkeypatch.setenv("AWS_MAX_ATTEMPTS", "1")
    with pytest.raises(StackError, match="AWS_ENDPOINT_URL"):
        provision(feed)


def beside(feed, name, prefix, suffix=".zip", **source):
    own = {"prefix": prefix, "suffix": suffix, **source}
    return feed.model_copy(update={"name": name, "source": feed.source.model_copy(update=own)})


def test_s3_is_asked_to_announce_what_was_restored(feed, s3, sqs, provisioned):
    (rule,) = [one for one in rules(s3, feed) if one["Id"] == "rwt-gtfs"]
    assert set(rule["Events"]) == {"s3:ObjectCreated:*", "s3:ObjectRestore:Completed"}


@pytest.mark.parametrize("prefix", ["gtfs/", "gtfs/old/", "gt", ""])
def test_what_s3_would_refuse_is_refused_with_what_to_do(feed, s3, sqs, prefix):
    """Both rules are without a suffix, which S3 compares character by character."""
    provision(feed, s3=s3, sqs=sqs)
    other = beside(feed, "other", prefix, ".gz", queue="other")
    assert not feed.shares_archives_with(other)
    with pytest.raises(StackError, match=r"beside the rule 'rwt-gtfs'.*one queue, or prefixes"):
        provision(other, s3=s3, sqs=sqs)
    assert [one["Id"] for one in rules(s3, feed)] == ["rwt-gtfs"]


@pytest.mark.parametrize(("prefix", "left"), [("gt", "rwt-other"), ("gtfs/old/", "rwt-gtfs")])
def test_on_one_queue_one_rule_announces_the_archives_of_both(feed, s3, sqs, prefix, left):
    provision(feed, s3=s3, sqs=sqs)
    other = beside(feed, "other", prefix, ".gz")
    provision(other, s3=s3, sqs=sqs)
    assert [one["Id"] for one in rules(s3, feed)] == [left]
    assert provision(feed, s3=s3, sqs=sqs).made == ()
    assert provision(other, s3=s3, sqs=sqs).made == ()


def test_suffixes_that_s3_can_tell_apart_may_have_one_prefix(feed, s3, sqs):
    exact = feed.model_copy(update={"case": "exact"})
    provision(exact, s3=s3, sqs=sqs)
    provision(beside(exact, "other", "gtfs/", ".gz", queue="other"), s3=s3, sqs=sqs)
    assert len(rules(s3, feed)) == 2


def test_a_rule_of_somebody_else_is_in_the_way_by_its_name(feed, s3, sqs, provisioned):
    (rule,) = [one for one in rules(s3, feed) if one["Id"] == "rwt-gtfs"]
    theirs = {**rule, "Id": "theirs", "Events": ["s3:ObjectCreated:Put"]}
    theirs["QueueArn"] = rule["QueueArn"].replace("rwt-gtfs", "rwt-gtfs-dead-letters")
    s3.put_bucket_notification_configuration(
        Bucket=feed.source.bucket, NotificationConfiguration={"QueueConfigurations": [theirs]}
    )
    with pytest.raises(StackError, match="beside the rule 'theirs'"):
        plan_provisioning(feed, s3=s3, sqs=sqs)
