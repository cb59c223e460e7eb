"""Frames: the causes of a report for notebooks, and the results of queries as text, JSON and CSV."""

from __future__ import annotations

import json
import math
from typing import TYPE_CHECKING, Any

import polars as pl

from traceguard.report.tables import Table
from traceguard.report.wording import clean, factors_name

if TYPE_CHECKING:
    from collections.abc import Sequence

    from traceguard.model import Cause

SHOWN_ROWS = 500


def causes_frame(causes: Sequence[Cause]) -> pl.DataFrame:
    """One row a cause: rank, factors as text, where, effect with its interval, share, q-value, requests, summary."""
    rows = [
        {
            "rank": cause.rank,
            "factors": factors_name(cause.factors),
            "service": cause.service,
            "operation": cause.operation,
            "locus": cause.locus,
            "metric": cause.metric,
            "estimate": cause.effect.estimate,
            "low": cause.effect.low,
            "high": cause.effect.high,
            "unit": cause.effect.unit,
            "share": cause.share,
            "q_value": cause.q_value,
            "affected": cause.requests.affected,
            "fraction": cause.requests.fraction,
            "summary": cause.summary,
        }
        for cause in causes
    ]
    text, number, count = pl.String, pl.Float64, pl.Int64
    schema = {
        "rank": count, "factors": text, "service": text, "operation": text, "locus": text, "metric": text,
        "estimate": number, "low": number, "high": number, "unit": text, "share": number, "q_value": number,
        "affected": count, "fraction": number, "summary": text,
    }  # fmt: skip
    return pl.DataFrame(rows, schema=schema)


def as_table(result: Any) -> tuple[Table, int]:
    """The first rows of a query's result as text for a terminal, and how many rows were left out."""
    frame = _frame(result)
    numbers = frozenset(index for index, kind in enumerate(frame.dtypes) if kind.is_numeric())
    rows = tuple(tuple(_cell(value) for value in row) for row in frame.head(SHOWN_ROWS).iter_rows())
    return Table(tuple(frame.columns), rows, numbers), max(frame.height - SHOWN_ROWS, 0)


def as_json(result: Any) -> str:
    """A query's result as a JSON list with one object a row; times are RFC 3339 text, NaN is null."""
    frame = _frame(result)
    finite = frame.with_columns(pl.col(pl.Float32, pl.Float64).replace([math.inf, -math.inf, math.nan], None))
    return finite.write_json() + "\n"


def as_csv(result: Any) -> str:
    """A query's result as CSV with a header; lists and objects become JSON text."""
    frame = _frame(result)
    nested = [name for name, kind in frame.schema.items() if kind.is_nested()]
    flat = frame.with_columns(
        pl.Series(name, [json.dumps(v, default=str) for v in frame[name].to_list()]) for name in nested
    )
    return flat.write_csv()


def _frame(result: Any) -> pl.DataFrame:
    if isinstance(result, pl.DataFrame):
        return result
    frame = pl.from_arrow(result)
    return frame if isinstance(frame, pl.DataFrame) else frame.to_frame()


def _cell(value: object) -> str:
    if value is None:
        return ""
    return f"{value:.6g}" if isinstance(value, float) else clean(str(value))
