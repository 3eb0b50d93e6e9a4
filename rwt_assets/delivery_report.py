"""What a delivery came to, as Markdown: one look says whether the archive was fine.

What belongs here: the report. What does not: the account that it tells (`reconciliation.py`).
"""

from collections import defaultdict
from typing import Final

from rwt_assets.links import partition_page
from rwt_assets.markdown_tables import in_table
from rwt_assets.reconciliation import Account

BAR: Final = 16
SHARDS_SHOWN: Final = 25


def delivery_report(account: Account, csv_shard: tuple[str, ...] = ()) -> str:
    """The verdict, the account by member and by split value, with a bar for the rows of each.

    Args:
        account: of one revision.
        csv_shard: parts of the asset key to whose partitions shards link; none without it.
    """
    return "\n\n".join([verdict(account), report_table(account), _shard_table(account, csv_shard)])


def verdict(account: Account) -> str:
    """One line: whether everything went through, and if not, what did not."""
    aside = account.rows_quarantined
    read = account.manifest.rows_read
    broken = account.set_aside.members
    if not account.reconciled:
        return f"**Does not add up.** {len(account.missing)} shards have no Parquet."
    corrected = account.manifest.rows_corrected
    told = f" {corrected:,} rows were read as corrected." if corrected else ""
    if not aside and not broken:
        return f"**Fine.** All {read:,} rows are enriched.{told}"
    share = aside / read if read else 0.0
    members = f", {broken} of {account.set_aside.members_read} members whole" if broken else ""
    return (
        f"**Adds up, with quarantine.** {account.rows_enriched:,} of {read:,} rows are enriched, "
        f"{aside:,} ({share:.2%}) set aside{members}.{told}"
    )


def report_table(account: Account) -> str:
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
    lines = [
        "| member | outcome | shards | rows read | enriched | quarantined | Parquet bytes | |",
        "|---|---|---:|---:|---:|---:|---:|---|",
    ]
    lines += [
        f"| {in_table(member.name)} | {member.outcome} | {shards[member.name]} "
        f"| {member.rows_read} | {enriched[member.name]} "
        f"| {member.rows_quarantined + quarantined[member.name]} | {size[member.name]} "
        f"| {_bar(enriched[member.name], most)} |"
        for member in account.manifest.members
    ]
    return "\n".join(lines)


def _shard_table(account: Account, csv_shard: tuple[str, ...]) -> str:
    """The shards with the most quarantined, then the most rows; the others as one line."""
    ranked = sorted(account.objects, key=lambda one: (-one.rows_quarantined, -one.rows))
    shown, others = ranked[:SHARDS_SHOWN], ranked[SHARDS_SHOWN:]
    most = max((one.rows for one in ranked), default=0)
    lines = [
        "| member | split by | value | enriched | quarantined | |",
        "|---|---|---|---:|---:|---|",
    ]
    for one in shown:
        value = "(null)" if one.value is None else in_table(one.value) or "(empty)"
        if one.split_by is None:
            value = "(whole)"
        if csv_shard:
            value = f"[{_plain(value)}]({partition_page(csv_shard, one.partition_key)})"
        lines.append(
            f"| {in_table(one.member)} | {in_table(one.split_by or '')} | {value} | {one.rows} "
            f"| {one.rows_quarantined} | {_bar(one.rows, most)} |"
        )
    if others:
        lines.append(
            f"| {len(others)} more shards | | | {sum(one.rows for one in others)} "
            f"| {sum(one.rows_quarantined for one in others)} | |"
        )
    return "\n".join(lines)


def _bar(rows: int, most: int) -> str:
    if not rows or not most:
        return ""
    return "█" * max(1, round(BAR * rows / most))


def _plain(text: str) -> str:
    """A text as the label of a Markdown link."""
    return text.replace("[", "\\[").replace("]", "\\]")
