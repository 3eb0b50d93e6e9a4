"""Dead letters on a real endpoint: looked at, explained, put back."""

import json

import pytest
from botocore.exceptions import ClientError
from botocore.stub import Stubber

from rwt_assets.operations.dead_letters import list_dead_letters, redrive
from rwt_assets.resources.queue import SqsQueue

pytestmark = pytest.mark.endpoint

GOOD = {
    "Records": [
        {
            "eventName": "ObjectCreated:Put",
            "s3": {
                "bucket": {"name": "rwt-incoming"},
                "object": {"key": "gtfs/a.zip", "size": 1, "eTag": "e"},
            },
        }
    ]
}


@pytest.fixture
def dead(feed, sqs, provisioned):
    """What is in the dead-letter queue: nonsense, a foreign object, and one that is fine."""
    foreign = json.loads(json.dumps(GOOD))
    foreign["Records"][0]["s3"]["bucket"]["name"] = "elsewhere"
    url = provisioned.dead_letter_queue_url
    bodies = ["nonsense", json.dumps(foreign), json.dumps(GOOD)]
    return [sqs.send_message(QueueUrl=url, MessageBody=body)["MessageId"] for body in bodies]


@pytest.fixture
def left(feed, queue):
    """How many messages are in the queue and in the dead-letter queue, and can be received."""
    source = feed.source

    def count():
        return queue.depth(source.queue).waiting, queue.depth(source.dead_letter_queue).waiting

    return count


@pytest.fixture(autouse=True)
def no_test_event(feed, queue, provisioned):
    queue.delete(feed.source.queue, queue.receive(feed.source.queue, wait_seconds=1))


def test_dead_letters_are_explained_and_stay(feed, queue, dead, left):
    for _ in range(2):
        letters = {one.message_id: one for one in list_dead_letters(queue, [feed], at_most=100)}
        assert set(letters) == set(dead)
        nonsense, foreign, good = (letters[message_id] for message_id in dead)
        assert "no JSON" in nonsense.reason
        assert nonsense.begins == "nonsense"
        assert "s3://elsewhere/gtfs/a.zip is nothing that the queue's feeds read" in foreign.reason
        assert (good.reason, good.objects) == ("", ("s3://rwt-incoming/gtfs/a.zip",))
    assert left() == (0, 3)


def test_only_so_many_are_looked_at_and_the_others_are_not_hidden(feed, queue, dead, left):
    assert len(list_dead_letters(queue, [feed], at_most=1)) == 1
    assert left() == (0, 3)


def test_all_are_put_back_where_the_endpoint_cannot_move_them_itself(feed, queue, dead, left):
    assert redrive(queue, [feed]) == 3
    assert left() == (3, 0)


def test_chosen_ones_are_put_back_and_the_others_stay(feed, queue, dead, left):
    told = []
    assert redrive(queue, [feed], message_ids=[dead[2]], told=told.append) == 1
    assert told == [dead[2]]
    assert left() == (1, 2)
    (message,) = queue.receive(feed.source.queue, wait_seconds=1)
    assert json.loads(message.body) == GOOD


def arn(feed):
    return f"arn:aws:sqs:us-east-1:000000000000:{feed.source.dead_letter_queue}"


@pytest.fixture
def stubbed(feed, sqs):
    with Stubber(sqs) as stub:
        url = {"QueueUrl": "http://127.0.0.1/q"}
        stub.add_response("get_queue_url", url, {"QueueName": feed.source.dead_letter_queue})
        stub.add_response("get_queue_attributes", {"Attributes": {"QueueArn": arn(feed)}})
        yield stub


def test_sqs_moves_all_by_itself_where_it_can(feed, sqs, stubbed):
    stubbed.add_response(
        "start_message_move_task", {"TaskHandle": "task"}, {"SourceArn": arn(feed)}
    )
    assert redrive(SqsQueue(sqs), [feed]) is None
    stubbed.assert_no_pending_responses()


def test_a_redrive_that_is_not_allowed_is_an_error(feed, sqs, stubbed):
    stubbed.add_client_error("start_message_move_task", "AccessDenied")
    with pytest.raises(ClientError, match="AccessDenied"):
        redrive(SqsQueue(sqs), [feed])
