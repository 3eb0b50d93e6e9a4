"""The queue: waiting, hiding, redelivery, dead letters, counts, batches.

Rules: Amazon SQS API Reference, "ReceiveMessage", "ChangeMessageVisibility", "DeleteMessage",
"StartMessageMoveTask", "SendMessage"; Amazon SQS Developer Guide, "Amazon SQS visibility
timeout", "Using dead-letter queues in Amazon SQS", "Amazon SQS short and long polling".
"""

import json
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager
from time import monotonic, sleep

import pytest
from botocore.exceptions import ClientError

pytestmark = pytest.mark.endpoint

LONG_POLL_SECONDS = 20
MEBIBYTE = 1 << 20


@contextmanager
def refusal_allowed(*codes):
    """What is done inside may be refused, but only so."""
    try:
        yield
    except ClientError as error:
        if error.response["Error"]["Code"] not in codes:
            raise


def entries(messages, **more):
    return [
        {"Id": str(number), "ReceiptHandle": message["ReceiptHandle"], **more}
        for number, message in enumerate(messages)
    ]


def receive_counts(messages):
    return [int(message["Attributes"]["ApproximateReceiveCount"]) for message in messages]


@pytest.fixture
def hidden_for_a_second(make_queue):
    """A queue that gives a message again after a second."""
    return make_queue(VisibilityTimeout="1")


def test_a_long_poll_ends_when_a_message_arrives(connect, queue):
    other = connect("sqs")
    with ThreadPoolExecutor(1) as thread:
        begun = monotonic()
        poll = thread.submit(queue.receive, wait=LONG_POLL_SECONDS)
        # Nothing can arrive in a poll that has not begun; half a second is plenty.
        assert queue_is_polled(poll)
        other.send_message(QueueUrl=queue.url, MessageBody="hello")
        (message,) = poll.result()
    assert message["Body"] == "hello"
    assert monotonic() - begun < LONG_POLL_SECONDS


def queue_is_polled(poll):
    with pytest.raises(TimeoutError):
        poll.result(timeout=0.5)
    return True


def test_a_long_poll_of_an_empty_queue_waits(queue):
    begun = monotonic()
    assert queue.receive(wait=1) == []
    assert monotonic() - begun >= 0.9


def test_a_received_message_is_hidden(queue):
    queue.send("hello")
    queue.await_messages(1)
    assert queue.receive(wait=1) == []


def test_a_message_is_shown_again_at_once_when_its_visibility_is_set_to_zero(queue):
    queue.send("hello")
    (first,) = queue.await_messages(1)
    queue.hide(first, 0)
    (second,) = queue.await_messages(1)
    assert second["MessageId"] == first["MessageId"]


def test_a_message_stays_hidden_for_as_long_as_was_asked_last(hidden_for_a_second):
    hidden_for_a_second.send("hello")
    (message,) = hidden_for_a_second.await_messages(1)
    hidden_for_a_second.hide(message, 60)
    assert hidden_for_a_second.receive(wait=2) == []
    hidden_for_a_second.delete(message)
    assert hidden_for_a_second.counts() == (0, 0)


def test_the_visibility_of_several_messages_is_changed_at_once(sqs, queue):
    queue.send("a", "b", "c")
    first = queue.await_messages(3)
    answer = sqs.change_message_visibility_batch(
        QueueUrl=queue.url, Entries=entries(first, VisibilityTimeout=0)
    )
    assert sorted(one["Id"] for one in answer["Successful"]) == ["0", "1", "2"]
    second = queue.await_messages(3)
    assert {one["MessageId"] for one in second} == {one["MessageId"] for one in first}


def test_a_message_that_was_not_deleted_comes_again_and_is_counted(hidden_for_a_second):
    hidden_for_a_second.send("hello")
    deliveries = [hidden_for_a_second.await_messages(1)[0] for _ in range(3)]
    assert receive_counts(deliveries) == [1, 2, 3]
    assert len({one["MessageId"] for one in deliveries}) == 1
    assert len({one["Attributes"]["SentTimestamp"] for one in deliveries}) == 1


def test_a_message_whose_time_is_over_can_still_be_deleted(hidden_for_a_second):
    hidden_for_a_second.send("hello")
    (message,) = hidden_for_a_second.await_messages(1)
    wait_until_visible(hidden_for_a_second)
    hidden_for_a_second.delete(message)
    assert hidden_for_a_second.counts() == (0, 0)


def test_a_message_whose_time_is_over_cannot_be_hidden_with_its_old_handle(hidden_for_a_second):
    hidden_for_a_second.send("hello")
    (message,) = hidden_for_a_second.await_messages(1)
    wait_until_visible(hidden_for_a_second)
    # AWS documents an error and answers as if it had done it.
    with refusal_allowed("AWS.SimpleQueueService.MessageNotInflight", "MessageNotInflight"):
        hidden_for_a_second.hide(message, 60)
    assert hidden_for_a_second.counts() == (1, 0)


def wait_until_visible(queue):
    """Without receiving, which would make a new receipt handle."""
    deadline = monotonic() + queue.patience
    while queue.counts() != (1, 0):
        assert monotonic() < deadline, "the message does not become visible"
        sleep(0.05)


def test_an_old_receipt_handle_does_not_delete_what_was_delivered_again(queue):
    queue.send("hello")
    (first,) = queue.await_messages(1)
    queue.hide(first, 0)
    (second,) = queue.await_messages(1)
    assert second["ReceiptHandle"] != first["ReceiptHandle"]
    # AWS documents that it succeeds, and elsewhere these errors.
    with refusal_allowed("InvalidParameterValue", "ReceiptHandleIsInvalid"):
        queue.delete(first)
    assert queue.counts() == (0, 1)
    queue.delete(second)
    assert queue.counts() == (0, 0)


@pytest.fixture
def dead_letters(make_queue):
    return make_queue()


@pytest.fixture
def source(make_queue, dead_letters):
    """A queue that gives a message twice and then to the dead-letter queue."""
    redrive = {"deadLetterTargetArn": dead_letters.arn, "maxReceiveCount": 2}
    return make_queue(VisibilityTimeout="0", RedrivePolicy=json.dumps(redrive))


@pytest.fixture
def dead(source, dead_letters):
    """What was received in the source, and then in the dead-letter queue."""
    source.send("poison")
    sleep(0.01)  # so that the times of sending and of moving are not the same millisecond
    received = [source.await_messages(1)[0] for _ in range(2)]
    assert source.receive() == []
    (message,) = dead_letters.await_messages(1)
    return received[0], message


def test_a_message_received_too_often_goes_to_the_dead_letter_queue(dead, source):
    received, message = dead
    assert message["Body"] == "poison"
    assert message["MessageId"] == received["MessageId"]
    assert source.counts() == (0, 0)


def test_a_dead_letter_keeps_the_time_at_which_it_was_sent(dead):
    received, message = dead
    assert message["Attributes"]["SentTimestamp"] == received["Attributes"]["SentTimestamp"]


def test_a_move_task_brings_dead_letters_back(sqs, source, dead_letters):
    source.send("poison")
    for _ in range(2):
        source.await_messages(1)
    assert source.receive() == []
    sqs.start_message_move_task(SourceArn=dead_letters.arn)
    assert source.take() == ["poison"]
    assert dead_letters.counts() == (0, 0)


def test_a_message_says_when_it_was_sent_and_how_often_it_was_received(queue):
    queue.send("a")
    queue.send("b")
    by_body = {one["Body"]: one for one in queue.await_messages(2)}
    assert receive_counts(by_body.values()) == [1, 1]
    sent = [by_body[body]["Attributes"]["SentTimestamp"] for body in "ab"]
    assert [len(one) for one in sent] == [13, 13], "milliseconds since 1970"
    assert int(sent[0]) <= int(sent[1])


def test_a_queue_counts_visible_messages_and_those_in_flight(queue):
    queue.send("a", "b", "c")
    assert queue.counts() == (3, 0)
    (message,) = queue.await_messages(1)
    assert queue.counts() == (2, 1)
    queue.delete(message)
    assert queue.counts() == (2, 0)


def test_ten_messages_are_sent_received_and_deleted_at_once(sqs, queue):
    bodies = [f"body {number} é" for number in range(10)]
    batch = [{"Id": str(number), "MessageBody": body} for number, body in enumerate(bodies)]
    sent = sqs.send_message_batch(QueueUrl=queue.url, Entries=batch)
    assert len(sent["Successful"]) == 10
    messages = queue.await_messages(10)
    assert sorted(message["Body"] for message in messages) == bodies
    answer = sqs.delete_message_batch(QueueUrl=queue.url, Entries=entries(messages))
    assert sorted(one["Id"] for one in answer["Successful"]) == [str(one) for one in range(10)]
    assert queue.counts() == (0, 0)


def test_eleven_messages_at_once_are_refused(sqs, queue):
    batch = [{"Id": str(number), "MessageBody": "x"} for number in range(11)]
    with pytest.raises(sqs.exceptions.TooManyEntriesInBatchRequest):
        sqs.send_message_batch(QueueUrl=queue.url, Entries=batch)
    assert queue.counts() == (0, 0)


def test_more_than_ten_messages_cannot_be_asked_for(queue):
    with pytest.raises(ClientError) as refused:
        queue.receive(most=11)
    assert refused.value.response["ResponseMetadata"]["HTTPStatusCode"] == 400


def test_what_cannot_be_deleted_of_a_batch_is_named_and_the_rest_is_deleted(sqs, queue):
    queue.send("a", "b")
    batch = entries(queue.await_messages(2))
    batch.append({"Id": "bad", "ReceiptHandle": "no handle"})
    answer = sqs.delete_message_batch(QueueUrl=queue.url, Entries=batch)
    assert sorted(one["Id"] for one in answer["Successful"]) == ["0", "1"]
    (failed,) = answer["Failed"]
    assert (failed["Id"], failed["SenderFault"]) == ("bad", True)
    assert queue.counts() == (0, 0)


def test_a_message_of_a_mebibyte_is_taken(queue):
    queue.send("x" * MEBIBYTE)
    assert [len(body) for body in queue.take()] == [MEBIBYTE]


def test_a_message_of_more_than_a_mebibyte_is_refused(queue):
    with pytest.raises(ClientError) as refused:
        queue.send("x" * 1_100_000)
    assert refused.value.response["ResponseMetadata"]["HTTPStatusCode"] == 400
    assert queue.counts() == (0, 0)


def test_a_queue_that_is_not_there_is_named_so(sqs, name):
    with pytest.raises(sqs.exceptions.QueueDoesNotExist):
        sqs.get_queue_url(QueueName=name)


def test_a_queue_is_made_once(sqs, name):
    wanted = {"QueueName": name, "Attributes": {"VisibilityTimeout": "7"}}
    assert sqs.create_queue(**wanted)["QueueUrl"] == sqs.create_queue(**wanted)["QueueUrl"]


def test_attributes_of_a_queue_come_back_as_they_were_set(source, dead_letters):
    attributes = source.attributes("All")
    redrive = json.loads(attributes["RedrivePolicy"])
    assert redrive["deadLetterTargetArn"] == dead_letters.arn
    assert int(redrive["maxReceiveCount"]) == 2
    assert attributes["VisibilityTimeout"] == "0"
    assert json.loads(attributes["Policy"])["Statement"][0]["Resource"] == source.arn
