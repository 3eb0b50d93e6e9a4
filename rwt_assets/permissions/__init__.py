"""The calls to AWS that this package makes, and the policies that allow exactly them.

A test records the calls; the table here is what it compares them with.
"""

from rwt_assets.permissions.aws_calls import Place, action_for
from rwt_assets.permissions.permissions import (
    announcement_statement,
    least_policy,
    merge_statement,
    owner_statement,
    queue_arn,
    s3_may_send,
    service_may_send,
)
from rwt_assets.permissions.roles import role_policies

__all__ = [
    "Place",
    "action_for",
    "announcement_statement",
    "least_policy",
    "merge_statement",
    "owner_statement",
    "queue_arn",
    "role_policies",
    "s3_may_send",
    "service_may_send",
]
