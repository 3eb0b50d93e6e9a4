"""DataFrames at the asset boundary: conversion and types.

What belongs here: dagster-pandas types made from a feed's columns. What does not: rejecting
rows (`contract.py`), which comes before. A frame that breaks its type here is a fault of ours,
not of the sender. Dagster documentation: "Pandas & Dagster", "Dagster types".
"""

from typing import Any, cast

import dagster as dg
import numpy as np
import pandas as pd
import pyarrow as pa
from dagster_pandas import PandasColumn, create_dagster_pandas_dataframe_type
from dagster_pandas.constraints import (
    CategoricalColumnConstraint,
    ColumnDTypeFnConstraint,
    MaxValueColumnConstraint,
    MinValueColumnConstraint,
    NonNullableColumnConstraint,
)

from rwt_assets.beta import accept_beta_features
from rwt_assets.contract import ARROW_TYPES
from rwt_assets.enrichment import ARCHIVE, CRC32, MEMBER, NAME_TYPE, ROW
from rwt_assets.feed import ColumnRule, MemberRule

accept_beta_features()


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
    columns += [
        PandasColumn(CRC32, constraints=[_typed(pa.uint32())]),
        PandasColumn(ARCHIVE, constraints=[_typed(NAME_TYPE)]),
        PandasColumn(MEMBER, constraints=[_typed(NAME_TYPE)]),
        PandasColumn(ROW, constraints=[_typed(pa.int64()), NonNullableColumnConstraint()]),
    ]
    kind: dg.DagsterType = create_dagster_pandas_dataframe_type(name=name, columns=columns)
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
    constraints: list[Any] = [_typed(ARROW_TYPES[rule.type])]
    if not rule.nullable:
        constraints.append(NonNullableColumnConstraint())
    if rule.minimum is not None:
        constraints.append(MinValueColumnConstraint(rule.minimum, ignore_missing_vals=True))
    if rule.maximum is not None:
        constraints.append(MaxValueColumnConstraint(rule.maximum, ignore_missing_vals=True))
    if rule.allowed is not None and rule.type == "string":
        constraints.append(CategoricalColumnConstraint(rule.allowed, ignore_missing_vals=True))
    return PandasColumn(name, constraints=constraints)


def _typed(arrow: pa.DataType) -> ColumnDTypeFnConstraint:
    def fits(dtype: np.dtype[Any] | pd.ArrowDtype) -> bool:
        return isinstance(dtype, pd.ArrowDtype) and dtype.pyarrow_dtype == arrow

    fits.__doc__ = f"{arrow}"
    fits.__name__ = f"is_{arrow}"
    return ColumnDTypeFnConstraint(fits)
