"""Where the local servers differ from AWS, as far as the contract tests saw.

What belongs here: one entry for each test that a server fails. `conftest.py` expects exactly
these failures, so an entry that is no longer true fails the suite. `docs/servers.md` shows the
same entries, and `test_documentation.py` compares the two.
"""

from dataclasses import dataclass
from typing import Final

MINISTACK: Final = "ministack"
ROTO: Final = "roto-aws"
SERVERS: Final = (MINISTACK, ROTO)


@dataclass(frozen=True, slots=True)
class Difference:
    """One server fails one contract.

    Attributes:
        server: one of `SERVERS`.
        contract: the name of the test, as a sentence.
        does: what the server does instead.
        touches: what of ours cannot be tried on it, or works differently there.
    """

    server: str
    contract: str
    does: str
    touches: str


DIFFERENCES: Final[tuple[Difference, ...]] = (
    Difference(
        server=ROTO,
        contract="the set up is tried with a test event",
        does="sends no test event",
        touches="intake: that it deletes the test event without counting it as an archive",
    ),
    Difference(
        server=ROTO,
        contract="the set up of a topic is tried with a wrapped test event",
        does="sends no test event, and nothing else from S3 to a topic",
        touches="intake: that it knows the test event inside an SNS envelope",
    ),
    Difference(
        server=ROTO,
        contract="a put is announced through a topic in an envelope",
        does="accepts the rule and delivers nothing; a message published to the topic arrives",
        touches="feeds announced through SNS",
    ),
    Difference(
        server=ROTO,
        contract="a put is announced through a topic without an envelope",
        does="accepts the rule and delivers nothing; a message published to the topic arrives",
        touches="feeds announced through SNS with raw delivery",
    ),
    Difference(
        server=MINISTACK,
        contract="eventbridge gives the version",
        does="leaves out `version-id`",
        touches="feeds announced through EventBridge: the revision on record has no version id",
    ),
    Difference(
        server=MINISTACK,
        contract="rules that overlap are refused",
        does="accepts them",
        touches="provisioning: what happens when another rule is in the way shows only on AWS",
    ),
    Difference(
        server=ROTO,
        contract="rules that overlap are refused",
        does="accepts them",
        touches="provisioning: what happens when another rule is in the way shows only on AWS",
    ),
    Difference(
        server=ROTO,
        contract="a range is answered with status 206",
        does="gives the right bytes with status 200",
        touches="readers of the results that check the status: Polars refuses; "
        "boto3, pyarrow and s3fs read",
    ),
    Difference(
        server=ROTO,
        contract="an upload in parts that must be the first is refused the second time",
        does="ignores the condition and replaces the object",
        touches="Parquet of more than 64 MiB: a run that was taken for lost and ends late "
        "writes it again",
    ),
    Difference(
        server=ROTO,
        contract="a file in parts that is there already is not written over",
        does="ignores the condition and replaces the object",
        touches="Parquet of more than 64 MiB: a run that was taken for lost and ends late "
        "writes it again",
    ),
    Difference(
        server=ROTO,
        contract="a removal of another content is refused",
        does="ignores the condition and removes the object",
        touches="retirement: a delivery that takes its place between a look and a removal goes too",
    ),
    Difference(
        server=ROTO,
        contract="the folders of a listing come over pages each once",
        does="gives the last folder of a page again as the first of the next",
        touches="`S3Objects.folders`: leaves out what it has just seen",
    ),
    Difference(
        server=MINISTACK,
        contract="a part that is too small is refused",
        does="accepts it",
        touches="`S3Objects.put`: a part size below 5 MiB would pass here and fail on AWS",
    ),
    Difference(
        server=ROTO,
        contract="a body with the wrong sha 256 is refused",
        does="stores it",
        touches="uploads: that damage on the way is noticed",
    ),
    Difference(
        server=ROTO,
        contract="a body with the wrong crc 32 is refused",
        does="stores it",
        touches="uploads: boto3 sends a CRC-32 with every one by itself",
    ),
    Difference(
        server=ROTO,
        contract="the end of an empty object is empty",
        does="refuses with 416",
        touches="`S3Objects.tail` of an empty archive: another error than on AWS",
    ),
    Difference(
        server=MINISTACK,
        contract="a message whose time is over cannot be hidden with its old handle",
        does="hides it again",
        touches="intake: `hide` that comes too late takes the message from the next reader",
    ),
    Difference(
        server=ROTO,
        contract="a message whose time is over cannot be hidden with its old handle",
        does="hides it again",
        touches="intake: `hide` that comes too late takes the message from the next reader",
    ),
    Difference(
        server=ROTO,
        contract="an old receipt handle does not delete what was delivered again",
        does="deletes it",
        touches="intake: a slow reader deletes a message that another one is working on",
    ),
    Difference(
        server=ROTO,
        contract="a dead letter keeps the time at which it was sent",
        does="sets the time at which it was moved",
        touches="the list of dead letters: the time it shows",
    ),
    Difference(
        server=MINISTACK,
        contract="a move task brings dead letters back",
        does="does not know StartMessageMoveTask",
        touches="redrive: always goes its own way of receive, send, delete",
    ),
    Difference(
        server=ROTO,
        contract="a move task brings dead letters back",
        does="does not know StartMessageMoveTask",
        touches="redrive: always goes its own way of receive, send, delete",
    ),
    Difference(
        server=ROTO,
        contract="a message of a mebibyte is taken",
        does="refuses more than 256 KiB",
        touches="redrive: could not send a larger dead letter back; events of S3 are far smaller",
    ),
    Difference(
        server=ROTO,
        contract="a queue that is not there is named so",
        does="answers with another error code, which boto3 does not turn into `QueueDoesNotExist`",
        touches="provisioning: cannot make queues on it",
    ),
)


def contract_of(test: str) -> str:
    """The contract that a test function states: its name as a sentence."""
    return test.removeprefix("test_").replace("_", " ")


def difference_at(server: str, contract: str) -> Difference | None:
    """The known difference of a server in one contract, if there is one."""
    for one in DIFFERENCES:
        if (one.server, one.contract) == (server, contract):
            return one
    return None
