"""`rwt aws setup` and `rwt doctor`: what a feed needs outside Dagster, made and examined."""

import json
from collections.abc import Sequence
from dataclasses import asdict
from typing import Annotated

import boto3
import typer
from rich.table import Table
from rich.text import Text

from rwt_assets.aws import ACCOUNT, Finding, examine, plan_provisioning, provision, queue_account
from rwt_assets.definitions import declared_feeds
from rwt_assets.feed import Feed
from rwt_assets.permissions import least_policy, role_policies
from rwt_assets.resources import caller_account, external_id
from rwt_assets.terminal import (
    DEFAULT_STATE,
    FeedName,
    State,
    check_loads,
    choose_all,
    console,
    enter,
    errors,
    errors_told,
)

aws_app = typer.Typer(
    no_args_is_help=True,
    rich_markup_mode="markdown",
    help="Buckets, queues, notifications, permissions.",
)


@aws_app.callback()
def _group() -> None:
    """Keep `setup` a command of its own while it is the only one."""


@aws_app.command()
def setup(
    state: State = DEFAULT_STATE,
    feed_name: FeedName = "",
    apply: Annotated[
        bool, typer.Option("--apply/--dry-run", help="Make what is missing, or only say it.")
    ] = False,
    policy: Annotated[
        bool, typer.Option("--policy", help="Print the least IAM policy, as JSON, and do nothing.")
    ] = False,
    roles: Annotated[
        bool,
        typer.Option(
            "--roles",
            help="Print policy and trust, with the external id, of each role that feeds name, as "
            "JSON, and do nothing.",
        ),
    ] = False,
) -> None:
    """Make the buckets, queues and notifications that the feeds lack.

    Without --apply it says what is missing and changes nothing. What belongs to another account (a
    bucket that is reached by a role, a queue with an owner) is left to its owner.

    For example:

        rwt aws setup
        rwt aws setup --apply
        rwt aws setup --policy > policy.json
        rwt aws setup --roles > roles.json
    """
    with errors_told():
        enter(state)
        feeds = choose_all(declared_feeds(), feed_name)
        if policy:
            console.print_json(json.dumps(_policy(feeds)))
            return
        if roles:
            console.print_json(json.dumps(_roles(feeds)))
            return
        for feed in feeds:
            if apply:
                done, word = provision(feed).made, "made"
            else:
                done = tuple(change.sentence for change in plan_provisioning(feed))
                word = "would make"
            for sentence in done:
                console.print(f"{feed.name}: {word} {sentence}", markup=False)
            if not done:
                console.print(f"{feed.name}: nothing was missing")


def doctor(
    state: State = DEFAULT_STATE,
    feed_name: FeedName = "",
    as_json: Annotated[bool, typer.Option("--json", help="As JSON.")] = False,
) -> None:
    """Try every connection that the feeds need, and say what to fix.

    For example:

        rwt doctor
        rwt doctor --feed gtfs

    Status 1 if there is anything to fix, or if the definitions of the project do not load.
    """
    with errors_told():
        check_loads(state, here=enter(state), effect="No connection was tried.")
        found = {feed.name: examine(feed) for feed in choose_all(declared_feeds(), feed_name)}
        if as_json:
            document = {name: [_as_dict(one) for one in own] for name, own in found.items()}
            console.print_json(json.dumps(document))
        else:
            for name, own in found.items():
                _show(name, own)
        healthy = all(finding.ok for own in found.values() for finding in own)
        raise typer.Exit(0 if healthy else 1)


def _policy(feeds: Sequence[Feed]) -> dict[str, object]:
    sqs = boto3.client("sqs")
    own = [feed for feed in feeds if not feed.source.queue_account]
    known = [account for feed in own if (account := queue_account(sqs, feed.source))]
    if own and not known:
        errors.print(f"There is no queue yet: put your account's id in place of {ACCOUNT}.")
    account = known[0] if known else ACCOUNT
    if _have_roles(feeds):
        errors.print("What the roles themselves need is printed by `rwt aws setup --roles`.")
    return least_policy(feeds, region=sqs.meta.region_name, account=account)


def _have_roles(feeds: Sequence[Feed]) -> bool:
    return any(one.role is not None for feed in feeds for one in (feed.source, feed.target))


def _roles(feeds: Sequence[Feed]) -> dict[str, dict[str, object]]:
    if not _have_roles(feeds):
        return {}
    account = caller_account()
    if not account:
        errors.print(f"AWS does not say your account's id: put it in place of {ACCOUNT}.")
    region = boto3.client("sqs").meta.region_name
    return role_policies(feeds, region=region, account=account or ACCOUNT, external_id=external_id)


def _as_dict(finding: Finding) -> dict[str, object]:
    """A finding as JSON; the statement is there where one has to be added."""
    told = asdict(finding)
    if finding.statement is None:
        del told["statement"]
    return told


def _show(name: str, findings: Sequence[Finding]) -> None:
    table = Table(title=f"feed {name}")
    for column in ("", "what", "found", "what to do"):
        table.add_column(column, overflow="fold")
    for one in findings:
        mark = Text("ok", "green") if one.ok else Text("NOT OK", "red")
        table.add_row(mark, one.name, one.found, one.fix)
    console.print(table)
    for one in findings:
        if one.statement is not None:
            console.print(f"{one.name}:", markup=False)
            console.print_json(json.dumps(one.statement))
