"""Clients for what belongs to another account: by a role, or where the requester pays.

What belongs here: sessions of roles and the clients made of them. What does not: how a feed names
all that (`accounts.py`). Rules: AWS STS API Reference, "AssumeRole"; Amazon S3 User Guide,
"Downloading objects from Requester Pays buckets"; Amazon SQS API Reference, "GetQueueUrl".

Credentials of a role are asked for at the first call, last an hour, and are asked for again 15
minutes before they end. Region and endpoint come from the environment, for STS as for S3.
"""

import os
import re
from functools import cache
from typing import TYPE_CHECKING, Any, Final, NotRequired, TypedDict

import boto3
import botocore.session
from botocore.config import Config
from botocore.credentials import (
    Credentials,
    DeferredRefreshableCredentials,
    create_assume_role_refresher,
)
from botocore.exceptions import BotoCoreError, ClientError
from botocore.loaders import Loader, create_loader
from botocore.parsers import ResponseParserError

from rwt_assets.feed import ONE_ACCOUNT, Access, Role, parse_queue
from rwt_assets.runtime import FeedError, StackError, forms_of, keep_out_of_logs

if TYPE_CHECKING:
    from mypy_boto3_s3 import S3Client

# AWS STS API Reference, "AssumeRole", ExternalId.
EXTERNAL_ID: Final = re.compile(r"[\w+=,.@:/-]{2,1224}", re.ASCII)
HIDDEN: Final = "(hidden)"
RETRIES = Config(retries={"max_attempts": 3, "mode": "standard"})


class QueueNamed(TypedDict):
    """Arguments of GetQueueUrl."""

    QueueName: str
    QueueOwnerAWSAccountId: NotRequired[str]


def queue_named(queue: str) -> QueueNamed:
    """The arguments of GetQueueUrl for a queue by its name, URL or ARN."""
    address = parse_queue(queue)
    if not address.account or one_account():
        return {"QueueName": address.name}
    return {"QueueName": address.name, "QueueOwnerAWSAccountId": address.account}


def one_account() -> bool:
    """Whether the endpoint is a local server, where nothing belongs to another account."""
    return bool(os.environ.get(ONE_ACCOUNT))


def external_id(role: Role) -> str:
    """The external id of a role; "" if it has none.

    Raises:
        FeedError: the feed names a variable for it, and the environment has none, or one that STS
            does not take.
    """
    variable = role.external_id_variable
    value = os.environ.get(variable, "") if variable else ""
    keep_out_of_logs(value)
    if variable and not value:
        raise FeedError(
            f"the environment has no {variable}, which has the external id of the role",
            where=role.arn,
            effect="The role was not taken, and nothing was asked of its bucket.",
            fix=f"Set {variable} wherever Dagster's processes and `rwt` run.",
        )
    if value and not EXTERNAL_ID.fullmatch(value):
        raise FeedError(
            f"what the environment has in {variable} is no external id",  # and is not shown
            where=role.arn,
            effect="The role was not taken, and nothing was asked of its bucket.",
            fix=(
                f"Set {variable} to what was agreed on: 2 to 1224 letters, digits and _+=,.@:/- "
                "without blanks, line ends and quotes."
            ),
        )
    return value


def role_session(
    role: Role, name: str, *, profile: str | None = None, **sts_settings: Any
) -> boto3.Session:
    """A session with the credentials of a role, which renew themselves.

    Args:
        role: to take.
        name: of the session, for the records of the role's owner.
        profile: of the credentials that take the role.
        sts_settings: more for the client of STS, as `boto3.Session.client` takes them.

    A call that needs the credentials raises a `FeedError` if the environment has no external id.
    """
    own = boto3.Session(botocore_session=_core_session(profile))
    sts = own.client("sts", config=RETRIES, **sts_settings)

    def take() -> dict[str, Any]:
        arguments = {"RoleArn": role.arn, "RoleSessionName": name}
        if outside := external_id(role):
            arguments["ExternalId"] = outside
        try:
            return dict(create_assume_role_refresher(sts, arguments)())
        except ResponseParserError:
            raise StackError(
                "what answers there is no STS, so the role cannot be taken",
                where=sts.meta.endpoint_url,
                effect="Nothing was asked of its bucket.",
                fix="Check AWS_ENDPOINT_URL_STS and AWS_ENDPOINT_URL.",
            ) from None  # it quotes the answer, which may quote the external id
        except (BotoCoreError, ClientError) as error:
            _hide(outside, error)
            raise

    renewed = DeferredRefreshableCredentials(take, "assume-role")
    core = _core_session(profile)
    core.register_component("credential_provider", _Renewed(renewed))
    return boto3.Session(botocore_session=core)


def _core_session(profile: str | None = None) -> botocore.session.Session:
    """A session that does not read the descriptions of AWS's services once more."""
    core = botocore.session.Session(profile=profile)
    core.register_component("data_loader", _loader(core.get_config_variable("data_path")))
    return core


@cache
def _loader(data_path: str | None) -> Loader:
    return create_loader(data_path)


def _hide(secret: str, error: BotoCoreError | ClientError) -> None:
    """Take a secret out of what an error says; what kind of error it is stays."""
    if not secret:
        return
    for form in sorted(forms_of(secret), key=len, reverse=True):
        error.args = tuple(
            one.replace(form, HIDDEN) if isinstance(one, str) else one for one in error.args
        )
        if isinstance(error, ClientError):
            told = error.response.get("Error", {})
            told["Message"] = told.get("Message", "").replace(form, HIDDEN)
    if isinstance(error, ClientError):
        return
    error.kwargs = {}  # what the text was made from


class _Renewed:
    """In place of botocore's chain of providers, so that nothing else is ever found."""

    def __init__(self, credentials: Credentials) -> None:
        self._credentials = credentials

    def load_credentials(self) -> Credentials:
        return self._credentials


def session_of(access: Access) -> boto3.Session:
    """The session by which a place is reached."""
    if access.role is None or one_account():
        return boto3.Session(botocore_session=_core_session())
    return role_session(access.role, access.session_name)


def client_of(access: Access) -> "S3Client":
    """A client of S3 for a place."""
    client = session_of(access).client("s3")
    if access.requester_pays:
        pay(client)
    return client


def pay(client: "S3Client") -> None:
    """Have a client say at each operation that knows it that the requester pays."""
    client.meta.events.register("provide-client-params.s3", _with_payer)  # type: ignore[arg-type]


def _with_payer(params: dict[str, Any], model: Any, **_: Any) -> dict[str, Any]:
    shape = model.input_shape
    known = shape is not None and "RequestPayer" in shape.members
    return {**params, "RequestPayer": "requester"} if known else params


def caller_account() -> str:
    """Id of the account of the environment's credentials; "" where nobody says it."""
    try:
        sts = boto3.client("sts", config=RETRIES)
        return str(sts.get_caller_identity()["Account"])
    except (ClientError, BotoCoreError, ResponseParserError):
        return ""
