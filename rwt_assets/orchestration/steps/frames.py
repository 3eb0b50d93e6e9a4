"""DataFrames at the asset boundary: conversion and types.

What belongs here: dagster-pandas types made from a feed's columns. What does not: rejecting
rows (`contract.py`), which comes before. A frame that breaks its type here is a fault of ours,
not of the sender. Dagster documentation: "Pandas & Dagster", "Dagster types".

dagster-pandas' own constraint on null takes the rows that break it out of the frame, which copies
each of its columns even if there are none: with thousands of small shards that was half of what a
shard took. Here it does so only if there are some. Its bounds do the same and know neither decimals
nor times of a day. It has no constraint for a regular expression, for rising values (its uniqueness
takes 17 ms for a million rows, this 2) and for several columns together: those are here too.
"""

from collections.abc import Sequence
from typing import Any, cast

import dagster as dg
import numpy as np
import pandas as pd
import pyarrow as pa
import pyarrow.compute as pc
from dagster_pandas import PandasColumn, create_dagster_pandas_dataframe_type
from dagster_pandas.constraints import (
    CategoricalColumnConstraint,
    ColumnConstraint,
    ColumnConstraintViolationException,
    ColumnDTypeFnConstraint,
    DataFrameConstraint,
    DataFrameConstraintViolationException,
    NonNullableColumnConstraint,
)

from rwt_assets.contract import NAME_TYPE
from rwt_assets.feed import MemberRule
from rwt_assets.values import (
    ARCHIVE,
    CRC32,
    MEMBER,
    RESCUED,
    ROW,
    ColumnRule,
    arrow_type,
    whole_match,
)

SHOWN = 5


class PresentConstraint(NonNullableColumnConstraint):
    """No value is missing."""

    def __init__(self) -> None:
        super().__init__()  # type: ignore[no-untyped-call]

    def validate(self, dataframe: pd.DataFrame, column_name: str) -> None:
        """Raise if a value is missing."""
        if _arrow(dataframe, column_name).null_count:
            super().validate(dataframe, column_name)  # type: ignore[no-untyped-call]


class LeastConstraint(ColumnConstraint):
    """Values that are there are not below a bound of their type."""

    def __init__(self, bound: Any) -> None:
        self.bound = bound
        described = f"Values must be at least {bound}"
        super().__init__(described, described)  # type: ignore[no-untyped-call]

    def validate(self, dataframe: pd.DataFrame, column_name: str) -> None:
        """Raise if a value is below it."""
        values = _arrow(dataframe, column_name)
        # Not below: what cannot be compared, as a number that is none, is refused, too.
        enough = pc.greater_equal(values, pa.scalar(self.bound, values.type))
        _refuse(self, column_name, pc.invert(enough))


class GreatestConstraint(ColumnConstraint):
    """Values that are there are not above a bound of their type."""

    def __init__(self, bound: Any) -> None:
        self.bound = bound
        described = f"Values must be at most {bound}"
        super().__init__(described, described)  # type: ignore[no-untyped-call]

    def validate(self, dataframe: pd.DataFrame, column_name: str) -> None:
        """Raise if a value is above it."""
        values = _arrow(dataframe, column_name)
        enough = pc.less_equal(values, pa.scalar(self.bound, values.type))
        _refuse(self, column_name, pc.invert(enough))


class PatternConstraint(ColumnConstraint):
    """Values that are there match a regular expression (RE2) as a whole."""

    def __init__(self, pattern: str) -> None:
        self.pattern = pattern
        described = f"Values must match `{pattern}`"
        super().__init__(described, described)  # type: ignore[no-untyped-call]

    def validate(self, dataframe: pd.DataFrame, column_name: str) -> None:
        """Raise if a value does not match."""
        matches = whole_match(_arrow(dataframe, column_name), self.pattern)
        _refuse(self, column_name, pc.invert(pc.fill_null(matches, fill_value=True)))


class RisingConstraint(ColumnConstraint):
    """Each value is greater than the one before it, so that each is there once."""

    def __init__(self) -> None:
        described = "Values must rise, so each is there once"
        super().__init__(described, described)  # type: ignore[no-untyped-call]

    def validate(self, dataframe: pd.DataFrame, column_name: str) -> None:
        """Raise if a value is not greater than the one before it."""
        values = _arrow(dataframe, column_name)
        _refuse(self, column_name, pc.less_equal(values.slice(1), values[:-1]), offset=1)


class UniqueRowsConstraint(DataFrameConstraint):
    """No two rows of a frame have the same values in these columns."""

    def __init__(self, columns: Sequence[str]) -> None:
        self.columns = tuple(columns)
        described = f"Rows must differ in {', '.join(self.columns)}"
        super().__init__(described, described)  # type: ignore[no-untyped-call]

    def validate(self, dataframe: pd.DataFrame) -> None:
        """Raise if two rows are the same."""
        keys = pa.table({name: _arrow(dataframe, name) for name in self.columns})
        different = keys.group_by(list(self.columns), use_threads=False).aggregate([])
        if repeated := keys.num_rows - different.num_rows:
            raise DataFrameConstraintViolationException(
                constraint_name=self.name,
                constraint_description=f"{self.error_description}; {repeated} are there again",
            )


def _arrow(frame: pd.DataFrame, column: str) -> Any:
    found: Any = frame[column].array
    found = found.__arrow_array__()
    return found.combine_chunks() if isinstance(found, pa.ChunkedArray) else found


def _refuse(constraint: ColumnConstraint, column: str, broken: Any, *, offset: int = 0) -> None:
    if pc.any(broken).as_py():
        positions = np.flatnonzero(np.asarray(pc.fill_null(broken, fill_value=False))) + offset
        raise ColumnConstraintViolationException(
            constraint_name=constraint.name,
            constraint_description=f"{constraint.error_description}. ",
            column_name=column,
            offending_rows=f"{len(positions)} rows, at {positions[:SHOWN].tolist()}",
        )


def to_frame(table: pa.Table) -> pd.DataFrame:
    """A DataFrame over the same memory; every column keeps its Arrow type."""
    frame: pd.DataFrame = table.to_pandas(types_mapper=pd.ArrowDtype)
    return frame


def to_table(frame: pd.DataFrame) -> pa.Table:
    """The table of a DataFrame whose columns all have Arrow types, over the same memory."""
    columns: list[Any] = [frame[name].array for name in frame.columns]
    return pa.Table.from_arrays([column.__arrow_array__() for column in columns], [*frame.columns])


def member_frame_type(name: str, rule: MemberRule) -> dg.DagsterType:
    """The type of an enriched frame of the members that a rule takes.

    Args:
        name: name of the type in the UI.
        rule: its declared columns become constraints; others are not looked at.

    Returns:
        A Dagster type for frames of Arrow-backed columns.
    """
    columns = [_column(column, declared) for column, declared in rule.columns.items()]
    if rule.evolution.rescues:
        columns.append(PandasColumn(RESCUED, constraints=[_typed(pa.string())]))
    columns += [
        PandasColumn(CRC32, constraints=[_typed(pa.uint32())]),
        PandasColumn(ARCHIVE, constraints=[_typed(NAME_TYPE), PresentConstraint()]),
        PandasColumn(MEMBER, constraints=[_typed(NAME_TYPE), PresentConstraint()]),
        PandasColumn(
            ROW,
            constraints=[_typed(pa.int64()), PresentConstraint(), RisingConstraint()],
        ),
    ]
    kind: dg.DagsterType = create_dagster_pandas_dataframe_type(
        name=name,
        columns=columns,
        dataframe_constraints=[UniqueRowsConstraint(rule.unique)] if rule.unique else [],
    )
    return kind


def check_frame(kind: dg.DagsterType, frame: pd.DataFrame) -> None:
    """Hold a frame to its type.

    Raises:
        DagsterTypeCheckDidNotPass: with the column and the constraint that it breaks.
    """
    # `check_dagster_type` would make an instance of Dagster for each frame.
    result = kind.type_check(cast("dg.TypeCheckContext", None), frame)
    if not result.success:
        raise dg.DagsterTypeCheckDidNotPass(
            description=f"{kind.display_name}: {result.description}",
            metadata=result.metadata,
            dagster_type=kind,
        )


def _column(name: str, rule: ColumnRule) -> PandasColumn:
    constraints: list[Any] = [_typed(arrow_type(rule.type))]
    if not rule.nullable:
        constraints.append(PresentConstraint())
    least, greatest = rule.bounds
    if least is not None:
        constraints.append(LeastConstraint(least))
    if greatest is not None:
        constraints.append(GreatestConstraint(greatest))
    # `allowed` and `pattern` hold for the text of the field, which another type no longer has.
    if rule.allowed is not None and rule.type == "string":
        constraints.append(CategoricalColumnConstraint({*rule.allowed}, ignore_missing_vals=True))
    if rule.pattern is not None and rule.type == "string":
        constraints.append(PatternConstraint(rule.pattern))
    return PandasColumn(name, constraints=constraints)


def _typed(arrow: pa.DataType) -> ColumnDTypeFnConstraint:
    def fits(dtype: np.dtype[Any] | pd.ArrowDtype) -> bool:
        return isinstance(dtype, pd.ArrowDtype) and dtype.pyarrow_dtype == arrow

    fits.__doc__ = f"{arrow}"
    fits.__name__ = f"is_{arrow}"
    return ColumnDTypeFnConstraint(fits)
