"""What a delivery came to, as Markdown: one look says whether the archive was fine.

What belongs here: the report. What does not: the account that it tells (`reconciliation.py`).
"""

from collections import defaultdict
from typing import Final

from rwt_assets.delivery.reconciliation import Account
from rwt_assets.text import SafeMarkdown, link, markdown_table, partition_page

BAR: Final = 16
SHARDS_SHOWN: Final = 25


def delivery_report(account: Account, csv_shard: tuple[str, ...] = ()) -> SafeMarkdown:
    """The verdict, the account by member and by split value, with a bar for the rows of each.

    Args:
        account: of one revision.
        csv_shard: parts of the asset key to whose partitions shards link; none without it.
    """
    parts = [verdict(account), report_table(account), _shard_table(account, csv_shard)]
    return SafeMarkdown.lines(parts, "\n\n")


def verdict(account: Account) -> SafeMarkdown:
    """One line: whether everything went through, and if not, what did not."""
    aside = account.rows_quarantined
    read = account.manifest.rows_read
    broken = account.set_aside.members
    if not account.reconciled:
        return SafeMarkdown.of(
            "**Does not add up.** {} shards have no Parquet.", len(account.missing)
        )
    corrected = account.manifest.rows_corrected
    told = f"{corrected:,} rows were read as corrected." if corrected else ""
    if not aside and not broken:
        fine = SafeMarkdown.of("**Fine.** All {} rows are enriched.", f"{read:,}")
        return SafeMarkdown.of("{} {}", fine, told) if told else fine
    share = aside / read if read else 0.0
    members = f", {broken} of {account.set_aside.members_read} members whole" if broken else ""
    counted = (
        f"{account.rows_enriched:,} of {read:,} rows are enriched, "
        f"{aside:,} ({share:.2%}) quarantined{members}. {told}"
    ).rstrip()
    return SafeMarkdown.of("**Adds up, with quarantine.** {}", counted)


def report_table(account: Account) -> SafeMarkdown:
    """The account by member, as a Markdown table."""
    shards: dict[str, int] = defaultdict(int)
    enriched: dict[str, int] = defaultdict(int)
    quarantined: dict[str, int] = defaultdict(int)
    size: dict[str, int] = defaultdict(int)
    for one in account.objects:
        shards[one.member] += 1
        enriched[one.member] += one.rows
        quarantined[one.member] += one.rows_quarantined
        size[one.member] += one.bytes
    most = max(enriched.values(), default=0)
    heads = ["member", "outcome", "shards:", "rows read:", "enriched:", "quarantined:"]
    rows = [
        (
            member.name,
            member.outcome,
            shards[member.name],
            member.rows_read,
            enriched[member.name],
            member.rows_quarantined + quarantined[member.name],
            size[member.name],
            _bar(enriched[member.name], most),
        )
        for member in account.manifest.members
    ]
    return markdown_table([*heads, "Parquet bytes:", ""], rows)


def _shard_table(account: Account, csv_shard: tuple[str, ...]) -> SafeMarkdown:
    """The shards with the most quarantined, then the most rows; the others as one line."""
    ranked = sorted(account.objects, key=lambda one: (-one.rows_quarantined, -one.rows))
    shown, others = ranked[:SHARDS_SHOWN], ranked[SHARDS_SHOWN:]
    most = max((one.rows for one in ranked), default=0)
    rows: list[tuple[object, ...]] = []
    for one in shown:
        value: str | SafeMarkdown = "(null)" if one.value is None else one.value or "(empty)"
        if one.split_by is None:
            value = "(whole)"
        if csv_shard:
            value = link(value, partition_page(csv_shard, one.partition_key))
        counts = (one.rows, one.rows_quarantined, _bar(one.rows, most))
        rows.append((one.member, one.split_by or "", value, *counts))
    if others:
        enriched = sum(one.rows for one in others)
        quarantined = sum(one.rows_quarantined for one in others)
        rows.append((f"{len(others)} more shards", "", "", enriched, quarantined, ""))
    heads = ("member", "split by", "value", "enriched:", "quarantined:", "")
    return markdown_table(heads, rows)


def _bar(rows: int, most: int) -> str:
    if not rows or not most:
        return ""
    return "█" * max(1, round(BAR * rows / most))
