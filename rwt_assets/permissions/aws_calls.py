"""Every call of S3, SQS and STS that the code makes, where, and what IAM asks for it.

What belongs here: that table. What does not: the policy that is made from it (`permissions.py`),
and the calls (`resources/`, `provisioning.py`, `doctor.py`). A test runs the code through a proxy
that writes down what is asked, whichever library asks: a call that is not here fails it, and so
does an entry that nothing calls. Rules: Service Authorization Reference, "Actions, resources, and
condition keys for Amazon S3", "... for Amazon SQS" and "... for AWS Security Token Service"; Amazon
S3 User Guide, "Required permissions for Amazon S3 API operations".

Objects are pinned by their ETag (`If-Match`), never read by version, so `s3:GetObjectVersion` is
not needed; tags and access lists are neither read nor written.
"""

from collections.abc import Iterator
from dataclasses import dataclass
from enum import StrEnum
from typing import Final


class Place(StrEnum):
    """What a call is about. A bucket stands for its listing and settings, not for its objects."""

    SOURCE = "source bucket"
    ARCHIVES = "archives"
    TARGET = "target bucket"
    RESULTS = "results"
    QUEUE = "queue"
    DEAD_LETTERS = "dead letters"
    ROLE = "role of a bucket"
    CALLER = "anyone who calls"


class Who(StrEnum):
    """Who makes a call, and so in whose policy it is."""

    PIPELINE = "pipeline"
    OPERATORS = "people who send dead letters through again"
    DOCTOR = "anyone who runs the doctor; the pipeline does without it"
    SET_UP = "anyone who sets up, examines or submits, with rights of their own"


@dataclass(frozen=True, slots=True)
class Call:
    """One operation of an API at one place, the action of IAM for it, and who makes it."""

    operation: str
    place: Place
    action: str
    who: Who = Who.PIPELINE


def _all(place: Place, who: Who, **actions: str) -> Iterator[Call]:
    """Calls at one place: an action, and the operations that need it."""
    for action, operations in actions.items():
        service, _, name = action.partition("_")
        for operation in operations.split():
            yield Call(operation, place, f"{service}:{name}", who)


_PARTS = "CreateMultipartUpload UploadPart CompleteMultipartUpload"
CALLS: Final[tuple[Call, ...]] = (
    # Without s3:ListBucket a missing object is answered by 403, which looks like no right to it.
    *_all(Place.SOURCE, Who.PIPELINE, s3_ListBucket="ListObjectsV2"),
    *_all(Place.ARCHIVES, Who.PIPELINE, s3_GetObject="HeadObject GetObject"),
    *_all(Place.TARGET, Who.PIPELINE, s3_ListBucket="ListObjectsV2"),
    *_all(
        Place.RESULTS,
        Who.PIPELINE,
        s3_GetObject="HeadObject GetObject",
        s3_PutObject=f"PutObject {_PARTS}",
        s3_AbortMultipartUpload="AbortMultipartUpload",
    ),
    # DeleteObjects names its objects in the body of a request to the bucket.
    *_all(Place.RESULTS, Who.PIPELINE, s3_DeleteObject="DeleteObjects"),
    *_all(
        Place.QUEUE,
        Who.PIPELINE,
        sqs_ReceiveMessage="ReceiveMessage",
        sqs_DeleteMessage="DeleteMessageBatch",
        sqs_ChangeMessageVisibility="ChangeMessageVisibilityBatch",
        sqs_GetQueueUrl="GetQueueUrl",
        sqs_GetQueueAttributes="GetQueueAttributes",
    ),
    *_all(
        Place.DEAD_LETTERS,
        Who.PIPELINE,
        sqs_GetQueueUrl="GetQueueUrl",
        sqs_GetQueueAttributes="GetQueueAttributes",
    ),
    *_all(
        Place.DEAD_LETTERS,
        Who.OPERATORS,
        sqs_ReceiveMessage="ReceiveMessage",
        sqs_DeleteMessage="DeleteMessageBatch",
        sqs_ChangeMessageVisibility="ChangeMessageVisibilityBatch",
        sqs_StartMessageMoveTask="StartMessageMoveTask",
    ),
    # SQS moves messages with the rights of anyone who has it do so, and without it `send` does.
    *_all(Place.QUEUE, Who.OPERATORS, sqs_SendMessage="SendMessage"),
    *_all(Place.ROLE, Who.PIPELINE, sts_AssumeRole="AssumeRole"),
    *_all(Place.TARGET, Who.DOCTOR, s3_GetEncryptionConfiguration="GetBucketEncryption"),
    # Nobody has to be allowed that (AWS STS API Reference, "GetCallerIdentity").
    *_all(Place.CALLER, Who.SET_UP, sts_GetCallerIdentity="GetCallerIdentity"),
    *_all(Place.ARCHIVES, Who.SET_UP, s3_PutObject=f"PutObject {_PARTS}"),
    *_all(Place.RESULTS, Who.SET_UP, s3_DeleteObject="DeleteObject"),
    *_all(
        Place.SOURCE,
        Who.SET_UP,
        s3_ListBucket="HeadBucket",
        s3_CreateBucket="CreateBucket",
        s3_GetBucketVersioning="GetBucketVersioning",
        s3_PutBucketVersioning="PutBucketVersioning",
        s3_GetBucketNotification="GetBucketNotificationConfiguration",
        s3_PutBucketNotification="PutBucketNotificationConfiguration",
    ),
    *_all(Place.TARGET, Who.SET_UP, s3_ListBucket="HeadBucket", s3_CreateBucket="CreateBucket"),
    *_all(
        Place.QUEUE,
        Who.SET_UP,
        sqs_CreateQueue="CreateQueue",
        sqs_SetQueueAttributes="SetQueueAttributes",
    ),
    *_all(
        Place.DEAD_LETTERS,
        Who.SET_UP,
        sqs_CreateQueue="CreateQueue",
        sqs_SetQueueAttributes="SetQueueAttributes",
    ),
)


def actions(place: Place, who: Who) -> list[str]:
    """The actions of IAM that somebody needs at a place, each once, in the order of the table."""
    return list(dict.fromkeys(c.action for c in CALLS if c.place == place and c.who == who))


def action_for(operation: str) -> tuple[str, bool]:
    """The action that a refused operation asks for, and whether the pipeline needs it.

    Of an operation that is not in the table it is the operation's own name.
    """
    action = next((call.action for call in CALLS if call.operation == operation), operation)
    return action, any(c.action == action for c in CALLS if c.who in {Who.PIPELINE, Who.OPERATORS})
