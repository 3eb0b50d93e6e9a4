"""A member as records: its encoding, its dialect, its header, its quotes and its physical lines.

What was sent is counted here before it is understood.
"""

from rwt_assets.member.dialect import CsvDialect, find_dialect, usual_width
from rwt_assets.member.encodings import (
    SAMPLE_BYTES,
    GuessEvidence,
    find_encoding,
    is_guess,
    to_utf8,
    without_end_mark,
)
from rwt_assets.member.fields import (
    TRAILING,
    count_fields,
    parse_shard,
    physical_columns,
    read_fields,
    read_names,
)
from rwt_assets.member.headers import declared_names, name_key
from rwt_assets.member.physical_lines import LINE, TRAILER_BYTES, LineCounter, cut_trailer
from rwt_assets.member.quoting import LOOK_AHEAD, judge_records
from rwt_assets.member.records import (
    CUT,
    SHOWN_BYTES,
    Records,
    count_lines,
    find_records,
    header_end,
    shown_binary,
    shown_record,
    shown_records,
)
from rwt_assets.member.rejections import REJECTED_ROWS, SLICE_ROWS, Rejections
from rwt_assets.member.row_faults import UNCLOSED_QUOTE, RowFaults
from rwt_assets.member.signatures import why_no_table
from rwt_assets.member.written_records import fields_of, write_records

__all__ = [
    "CUT",
    "LINE",
    "LOOK_AHEAD",
    "REJECTED_ROWS",
    "SAMPLE_BYTES",
    "SHOWN_BYTES",
    "SLICE_ROWS",
    "TRAILER_BYTES",
    "TRAILING",
    "UNCLOSED_QUOTE",
    "CsvDialect",
    "GuessEvidence",
    "LineCounter",
    "Records",
    "Rejections",
    "RowFaults",
    "count_fields",
    "count_lines",
    "cut_trailer",
    "declared_names",
    "fields_of",
    "find_dialect",
    "find_encoding",
    "find_records",
    "header_end",
    "is_guess",
    "judge_records",
    "name_key",
    "parse_shard",
    "physical_columns",
    "read_fields",
    "read_names",
    "shown_binary",
    "shown_record",
    "shown_records",
    "to_utf8",
    "usual_width",
    "why_no_table",
    "without_end_mark",
    "write_records",
]
