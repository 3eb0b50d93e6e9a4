"""One cell of a CSV file as a typed value: numbers, dates, times and rules for a column.

Every function is total over text: it gives a value or says why there is none.
"""

from rwt_assets.values.added_columns import ADDED, ARCHIVE, CRC32, MEMBER, RESCUED, ROW
from rwt_assets.values.alike_numbers import MARKS, FractionDigits, differ_as_numbers
from rwt_assets.values.column_names import (
    FOLDER_KEYS,
    distinct_names,
    is_ours,
    same_but_for_case,
    told_renamed,
)
from rwt_assets.values.column_rule import ColumnRule
from rwt_assets.values.column_types import (
    TYPES,
    arrow_type,
    column_type,
    known_notation,
    notation_of,
    read_texts,
)
from rwt_assets.values.exact_values import exact_sum, exactly_added, same_values, written
from rwt_assets.values.notation import Notation, ValueSettings
from rwt_assets.values.patterns import check_pattern, whole_match
from rwt_assets.values.readings import DAY_FIRST, DECIMAL_COMMA, MONTH_FIRST
from rwt_assets.values.rejected_values import (
    NONE_REJECTED,
    NOT_NULL,
    REJECTED_VALUES,
    SLICE_ROWS,
    Fault,
    RejectedValues,
    in_order,
    rejected_by,
)
from rwt_assets.values.uniqueness import SeenKeys, row_keys

__all__ = [
    "ADDED",
    "ARCHIVE",
    "CRC32",
    "DAY_FIRST",
    "DECIMAL_COMMA",
    "FOLDER_KEYS",
    "MARKS",
    "MEMBER",
    "MONTH_FIRST",
    "NONE_REJECTED",
    "NOT_NULL",
    "REJECTED_VALUES",
    "RESCUED",
    "ROW",
    "SLICE_ROWS",
    "TYPES",
    "ColumnRule",
    "Fault",
    "FractionDigits",
    "Notation",
    "RejectedValues",
    "SeenKeys",
    "ValueSettings",
    "arrow_type",
    "check_pattern",
    "column_type",
    "differ_as_numbers",
    "distinct_names",
    "exact_sum",
    "exactly_added",
    "in_order",
    "is_ours",
    "known_notation",
    "notation_of",
    "read_texts",
    "rejected_by",
    "row_keys",
    "same_but_for_case",
    "same_values",
    "told_renamed",
    "whole_match",
    "written",
]
