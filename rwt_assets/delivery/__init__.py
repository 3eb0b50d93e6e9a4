"""The account of an archive, its delivery, and reading and verifying what a delivery names.

`delivery.json` is switched here and nowhere else.
"""

from rwt_assets.delivery.completeness import Finding, find_incomplete
from rwt_assets.delivery.consumption import Result, parse_delivery, read_delivery, read_result
from rwt_assets.delivery.deliveries import (
    ROLLED_BACK,
    UNREADABLE,
    confirm_switch,
    current_delivery,
    delivery_to_replace,
    is_named,
    named_keys,
    never_delivered,
    read_former,
    reason_for,
    refuse_missing,
    roll_back,
    switch_delivery,
    take_back,
)
from rwt_assets.delivery.history import PastDelivery, delivery_history
from rwt_assets.delivery.locked_process import (
    Answer,
    LockedProcess,
    LockedTables,
    Raised,
    python_values,
)
from rwt_assets.delivery.overtaken import delivered_instead, what_overtook
from rwt_assets.delivery.reconciliation import (
    FOOTER_CHECKSUM,
    FOOTER_QUARANTINED,
    FOOTER_REVISION,
    FOOTER_RULES,
    FOOTER_VERSION,
    Account,
    Stored,
    is_of,
    make_delivery,
    stored_parquet,
    take_account,
)
from rwt_assets.delivery.report import delivery_report
from rwt_assets.delivery.table_checks import asks_rows, find_in_rows, may_ask_rows
from rwt_assets.delivery.verification import (
    Depth,
    Fault,
    Verified,
    delivered,
    verify_document,
    verify_some,
)
from rwt_assets.delivery.volume import KindFigures, as_json, figures_of, from_json, unusual

__all__ = [
    "FOOTER_CHECKSUM",
    "FOOTER_QUARANTINED",
    "FOOTER_REVISION",
    "FOOTER_RULES",
    "FOOTER_VERSION",
    "ROLLED_BACK",
    "UNREADABLE",
    "Account",
    "Answer",
    "Depth",
    "Fault",
    "Finding",
    "KindFigures",
    "LockedProcess",
    "LockedTables",
    "PastDelivery",
    "Raised",
    "Result",
    "Stored",
    "Verified",
    "as_json",
    "asks_rows",
    "confirm_switch",
    "current_delivery",
    "delivered",
    "delivered_instead",
    "delivery_history",
    "delivery_report",
    "delivery_to_replace",
    "figures_of",
    "find_in_rows",
    "find_incomplete",
    "from_json",
    "is_named",
    "is_of",
    "make_delivery",
    "may_ask_rows",
    "named_keys",
    "never_delivered",
    "parse_delivery",
    "python_values",
    "read_delivery",
    "read_former",
    "read_result",
    "reason_for",
    "refuse_missing",
    "roll_back",
    "stored_parquet",
    "switch_delivery",
    "take_account",
    "take_back",
    "unusual",
    "verify_document",
    "verify_some",
    "what_overtook",
]
