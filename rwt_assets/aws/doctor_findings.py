"""What an answer of AWS comes to: a finding of the doctor, with its fix.

What belongs here: findings, and what a refusal means. What does not: asking (`doctor.py`) and
showing (`aws.py`). Rules: Amazon S3 API Reference and Amazon SQS API Reference, "Error
responses" and "Common errors"; Amazon S3 User Guide, "Setting default server-side encryption
behavior for Amazon S3 buckets".
"""

import re
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Any, Final

from botocore.exceptions import (
    BotoCoreError,
    ClientError,
    ConnectionError,  # noqa: A004 - botocore's name
    CredentialRetrievalError,
    HTTPClientError,
    NoCredentialsError,
    ProfileNotFound,
    TokenRetrievalError,
)

from rwt_assets.permissions import action_for
from rwt_assets.runtime import RwtError

ALIAS: Final = re.compile(r"(^|:)alias/")
KEY_ACTION: Final = re.compile(r"kms:[A-Z]\w+")  # of AWS KMS, which S3 and SQS ask for us
SET_UP: Final = "Make it: `rwt aws setup --apply`."
NOT_TAKEN: Final = (
    "AssumeRole is denied: these credentials may not take the role, or it does not trust them with "
    "this external id"
)
TRUST: Final = (
    "`rwt aws setup --policy` prints what these credentials need, `rwt aws setup --roles` what the "
    "owner of the role has to allow."
)
DENIED: Final = frozenset({"403", "AccessDenied", "AccessDeniedException", "Forbidden"})
UNKNOWN: Final = frozenset(
    {
        "ExpiredToken",
        "ExpiredTokenException",
        "InvalidAccessKeyId",
        "InvalidClientTokenId",
        "SignatureDoesNotMatch",
        "UnrecognizedClientException",
    }
)
NO_CREDENTIALS: Final = (
    CredentialRetrievalError,
    NoCredentialsError,
    ProfileNotFound,
    TokenRetrievalError,
)
MISSING: Final = frozenset(
    {
        "404",
        "NoSuchBucket",
        "QueueDoesNotExist",
        "AWS.SimpleQueueService.NonExistentQueue",
    }
)


@dataclass(frozen=True, slots=True)
class Finding:
    """One thing that was looked at. `fix` is "" where nothing has to be done.

    `statement` is one of IAM that has to be added to a policy; None if none has to.
    """

    name: str
    ok: bool
    found: str
    fix: str = ""
    statement: Mapping[str, Any] | None = None


class WrongError(Exception):
    """What was looked at is there, and is not as it should be."""

    def __init__(self, found: str, fix: str, statement: Mapping[str, Any] | None = None) -> None:
        self.found = found
        self.fix = fix
        self.statement = statement
        super().__init__(found)


def judge_encryption(named: str | None, algorithm: str, key: str) -> str:
    """What a bucket encrypts with, beside the key that the feed names.

    Raises:
        WrongError: they are not the same.
    """
    if not algorithm.startswith("aws:kms"):
        found = f"by S3's own keys ({algorithm or 'no default'})"
        if named is None:
            return found
        raise WrongError(
            f"{found}, and target.kms_key names {named}",
            "Have the bucket encrypt with that key, or take target.kms_key out.",
        )
    if not key:
        found = "by the key of AWS for S3 (aws/s3)"
    elif named is not None and key in {named, named.rpartition("/")[2]}:
        return f"by the key that target.kms_key names ({algorithm})"
    elif named is not None and ALIAS.search(key):
        return f"by {key}, which may be the key that target.kms_key names"
    else:
        found = f"by the key {key}"
    if named is not None:
        raise WrongError(
            f"{found}, and target.kms_key names {named}",
            "Name the key of the bucket, or have the bucket encrypt with the one that is named.",
        )
    if not key:
        return found
    raise WrongError(
        f"{found}, which target.kms_key does not name",
        "Set target.kms_key to the ARN of that key: then `rwt aws setup --policy` prints what it "
        "has to allow.",
    )


def unsaid(error: ClientError) -> str:
    """What is told of a setting that the doctor may not read, and the pipeline does not need."""
    action, _ = action_for(error.operation_name)
    return (
        f"is not known: {error.operation_name} is denied ({action}, of which the doctor alone asks)"
    )


def look(name: str, check: Callable[[], str]) -> Finding:
    """What a check found; whatever it raises of ours or of botocore is what is wrong."""
    try:
        return Finding(name, ok=True, found=check())
    except WrongError as wrong:
        return Finding(name, ok=False, found=wrong.found, fix=wrong.fix, statement=wrong.statement)
    except RwtError as error:
        return Finding(name, ok=False, found=error.what, fix=error.fix)
    except ClientError as error:
        return _refused(name, error)
    except BotoCoreError as error:
        return _unanswered(name, error)


def _unanswered(name: str, error: BotoCoreError) -> Finding:
    if isinstance(error, NO_CREDENTIALS):
        fix = "Get new credentials (`aws sso login`, the role of the machine, .env.example)."
        return Finding(name, ok=False, found=str(error), fix=fix)
    if isinstance(error, ConnectionError | HTTPClientError):
        fix = "Check AWS_ENDPOINT_URL, AWS_REGION and the network."
        return Finding(name, ok=False, found=f"cannot be reached: {error}", fix=fix)
    fix = 'See the Boto3 documentation of this error, "Error handling".'
    return Finding(name, ok=False, found=str(error), fix=fix)


def _refused(name: str, error: ClientError) -> Finding:
    code, operation = code_of(error), error.operation_name
    if code in MISSING:
        return Finding(name, ok=False, found="is not there", fix=SET_UP)
    needed = KEY_ACTION.search(str(error))
    if needed:
        fix = f"Allow {needed[0]} on the key: name it (`kms_key`, `queue_kms_key` of the feed) "
        fix += "and `rwt aws setup --policy` prints it; the key's own policy may refuse, too."
        return Finding(name, ok=False, found=f"{operation}: {needed[0]} is denied", fix=fix)
    if code in DENIED and operation == "AssumeRole":
        return Finding(name, ok=False, found=NOT_TAKEN, fix=TRUST)
    if code in DENIED:
        found = f"{operation} is denied"
        return Finding(name, ok=False, found=found, fix=allow(operation))
    if code in UNKNOWN:
        fix = "Check the credentials in the environment: AWS does not know them, or no more."
        return Finding(name, ok=False, found=f"{operation}: {code}", fix=fix)
    return Finding(name, ok=False, found=str(error), fix="See the AWS documentation of this error.")


def code_of(error: ClientError) -> str:
    """The code of a refusal; "" if it has none."""
    return error.response.get("Error", {}).get("Code", "")


def allow(operation: str) -> str:
    """What to do about an operation that is denied."""
    action, of_the_pipeline = action_for(operation)
    if of_the_pipeline:
        return f"Allow {action}: `rwt aws setup --policy` prints all that the pipeline needs."
    return f"Allow {action} to anyone who runs the doctor; the pipeline does without it."
