"""Foreign text made fit to be shown: on a terminal, in Markdown, in a command, in a log.

Names that tools take for the same, or cannot take, are here too. No feed and no Dagster.
"""

from rwt_assets.text import fit_logs
from rwt_assets.text.foreign_text import (
    FORMULAS,
    NO_MARKDOWN,
    SafeMarkdown,
    command,
    command_in_markdown,
    is_visible,
    link,
    sentence_in_markdown,
    spreadsheet_cell,
    spreadsheet_text,
    visible,
    visible_lines,
)
from rwt_assets.text.links import object_page, partition_page
from rwt_assets.text.markdown_tables import decoration, decorations, first_rows, markdown_table
from rwt_assets.text.same_names import (
    EXACT,
    INSENSITIVE,
    Case,
    ends_with,
    folded,
    matches,
    spelled,
    spelled_apart,
    spelled_pattern,
    without_slips,
)
from rwt_assets.text.spreadsheet_slips import is_saved_anew
from rwt_assets.text.tables import (
    further_names,
    merged_columns,
    quoted,
    table_names,
    unified_schema,
)
from rwt_assets.text.tracebacks import is_fit, told, told_in_full, traceback_of

__all__ = [
    "EXACT",
    "FORMULAS",
    "INSENSITIVE",
    "NO_MARKDOWN",
    "Case",
    "SafeMarkdown",
    "command",
    "command_in_markdown",
    "decoration",
    "decorations",
    "ends_with",
    "first_rows",
    "fit_logs",
    "folded",
    "further_names",
    "is_fit",
    "is_saved_anew",
    "is_visible",
    "link",
    "markdown_table",
    "matches",
    "merged_columns",
    "object_page",
    "partition_page",
    "quoted",
    "sentence_in_markdown",
    "spelled",
    "spelled_apart",
    "spelled_pattern",
    "spreadsheet_cell",
    "spreadsheet_text",
    "table_names",
    "told",
    "told_in_full",
    "traceback_of",
    "unified_schema",
    "visible",
    "visible_lines",
    "without_slips",
]
