"""Is an archive complete: what its feed and its sender say it holds, against what it held.

What belongs here: what can be told from the account of one revision. What does not: what needs the
rows themselves (`table_checks.py`), and who is told (`completeness_checks.py`).
"""

from collections import Counter
from collections.abc import Iterator, Sequence
from dataclasses import dataclass

from rwt_assets.archive import NO_RULE
from rwt_assets.delivery.reconciliation import Account
from rwt_assets.documents import ArchiveManifest, Claim, MemberReport, stated_in_trailers
from rwt_assets.feed import ARCHIVE_COMPLETE, Control, Feed, MemberRule, Severity
from rwt_assets.text import folded


@dataclass(frozen=True, slots=True)
class Finding:
    """One thing that is not as expected, by the check that found it."""

    check: str
    what: str
    severity: Severity

    def __str__(self) -> str:
        return self.what


@dataclass(frozen=True, slots=True)
class MemberRows:
    """One member as it would be delivered."""

    report: MemberReport
    rule: MemberRule | None
    delivered: int

    @property
    def name(self) -> str:
        """The member's name."""
        return self.report.name


def members_of(feed: Feed, account: Account) -> list[MemberRows]:
    """The members that rules take, with the rows that would be delivered of each."""
    rows: Counter[str] = Counter()
    for one in account.objects:
        rows[one.member] += one.rows
    return [
        MemberRows(report, feed.rule_for(report.rule_name), rows[report.name])
        for report in account.manifest.members
        if report.outcome != "ignored"
    ]


def find_incomplete(feed: Feed, account: Account) -> list[Finding]:
    """Everything that an account alone tells to be missing, too few, too many or unknown."""
    members = members_of(feed, account)
    found = [Finding(ARCHIVE_COMPLETE, what, feed.incomplete) for what in _expected(feed, members)]
    found += [
        Finding(ARCHIVE_COMPLETE, what, feed.incomplete) for what in _ended(feed, account.manifest)
    ]
    if feed.unknown_members != "ignore":
        found += [
            Finding(ARCHIVE_COMPLETE, f"{name!r} is known to no rule", feed.unknown_members)
            for name in _unknown(account.manifest.members)
        ]
    if feed.control is not None:
        found += [
            Finding(ARCHIVE_COMPLETE, what, feed.incomplete) for what in _controlled(feed, account)
        ]
    return found


def _expected(feed: Feed, members: Sequence[MemberRows]) -> Iterator[str]:
    for rule in feed.members:
        own = [one for one in members if one.rule == rule]
        if rule.required and not own:
            yield f"no member {rule.patterns} is in the archive"
        if rule.required and own and all(one.report.outcome == "quarantined" for one in own):
            yield f"no member {rule.patterns} could be read"
        for one in own:
            if rule.min_rows is not None and one.delivered < rule.min_rows:
                yield (
                    f"{one.name!r} comes to {one.delivered} rows of {one.report.rows_read} sent; "
                    f"min_rows is {rule.min_rows}"
                )
            if rule.max_rows is not None and one.delivered > rule.max_rows:
                yield f"{one.name!r} comes to {one.delivered} rows; max_rows is {rule.max_rows}"


def _unknown(members: Sequence[MemberReport]) -> Iterator[str]:
    for report in members:
        if report.outcome == "ignored" and report.reason.startswith(NO_RULE):
            yield report.name


def _controlled(feed: Feed, account: Account) -> Iterator[str]:
    """Where what the sender states and what the archive held differ."""
    control, report = feed.control, account.manifest.control
    if control is None:
        return
    if not report.members:
        if control.required:
            yield f"there is no control file {control.member!r}"
        return
    yield from report.problems
    yield from _claimed(control, account)
    members, claims = account.manifest.members, [one for one in report.claims if one.member]
    named = {one.name for one in (named_by(claim, members) for claim in claims) if one}
    if claims:
        for one in members:
            if one.outcome != "ignored" and one.name not in named:
                yield f"{', '.join(report.members)} does not name {one.name!r}"


def _claimed(control: Control, account: Account) -> Iterator[str]:
    """Where what a control file states line by line and what the archive held differ."""
    report = account.manifest.control
    for claim in report.claims:
        if not claim.member:
            yield from _of_archive(claim, account)
            continue
        member = named_by(claim, account.manifest.members)
        if member is None:
            yield f"{claim.place}: {claim.member!r} is not in the archive"
            continue
        yield from _of_member(claim, member)
        yield from _left_empty(claim, member, control, report.problems)


def _ended(feed: Feed, manifest: ArchiveManifest) -> Iterator[str]:
    """Where what the trailers state and what their members held differ."""
    for stated in stated_in_trailers(feed, manifest):
        yield from stated.problems
        for claim in stated.claims:
            member = named_by(claim, manifest.members)
            if member is not None:
                yield from _of_member(claim, member)


def named_by(claim: Claim, members: Sequence[MemberReport]) -> MemberReport | None:
    """The member that a claim is about: by its whole name, or by its last part if one has it.

    Folders in it may be separated by backslashes.
    """
    given = [one for one in members if one.name == claim.member]
    if len(given) == 1:
        return given[0]
    wanted = folded(claim.member.replace("\\", "/").removeprefix("./"))
    whole = [one for one in members if folded(one.name) == wanted]
    last = [one for one in members if folded(one.name).rpartition("/")[2] == wanted]
    found = whole or last
    return found[0] if len(found) == 1 else None


def _of_member(claim: Claim, member: MemberReport) -> Iterator[str]:
    if claim.rows is not None and member.outcome != "ignored" and claim.rows != member.rows_read:
        yield _differs(claim, member.name, "rows", claim.rows, member.rows_read)
    if claim.bytes is not None and claim.bytes != member.bytes:
        yield _differs(claim, member.name, "bytes", claim.bytes, member.bytes)
    known = {"crc32": f"{member.crc32:08x}", **member.digests}
    for name, stated in claim.digests.items():
        own = known.get(name)
        if own is None and member.outcome == "split":
            yield f"{claim.place}: the {name} of {member.name!r} is not known: split it again"
        elif own is not None and stated.removeprefix("0x").rjust(len(own), "0") != own:
            yield _differs(claim, member.name, name, stated, own)


def _left_empty(
    claim: Claim, member: MemberReport, control: Control, problems: Sequence[str]
) -> Iterator[str]:
    """What the control file has a column for, and does not say of a member."""
    unreadable = any(f"{claim.place}: " in problem for problem in problems)  # is told already
    if member.outcome == "ignored" or unreadable:
        return
    states = {"rows": claim.rows, "bytes": claim.bytes, **claim.digests}
    missing = [name for name in control.stated if states.get(name) is None]
    if not (missing or claim.sums or any(one is not None for one in states.values())):
        missing = ["rows, bytes, checksum or sum"]
    if missing:
        yield f"{claim.place}: states no {', no '.join(missing)} for {member.name!r}"


def _of_archive(claim: Claim, account: Account) -> Iterator[str]:
    read = account.manifest.rows_read
    if claim.rows is not None and claim.rows != read:
        yield _differs(claim, "the archive", "rows", claim.rows, read)


def _differs(claim: Claim, whose: str, what: str, stated: object, found: object) -> str:
    name = whose if whose == "the archive" else repr(whose)
    return f"{claim.place}: states {stated} {what} for {name}, sent were {found}"
