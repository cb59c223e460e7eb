"""How the traces of a window were sampled, as far as they say: trace state, attributes that the settings name."""

from collections.abc import Sequence
from typing import TYPE_CHECKING

import numpy as np
import polars as pl

from traceguard.engine.local import Window, fetch
from traceguard.traces.sampling import Sampling, rate_count, threshold_count

if TYPE_CHECKING:
    import duckdb


def read_sampling(cursor: "duckdb.DuckDBPyConnection", window: Window, rate_keys: Sequence[str]) -> Sampling:
    """The adjusted counts of the window's traces and the policies that kept them.

    `rate_keys` are attributes that state a sample rate, the first one that a trace has wins; they are asked before the
    trace state, because who names them knows what sampled last.
    """
    found = Sampling.unstated(window.trace_hash.size)
    _fill(found, window, fetch(cursor, "root_thresholds"), "threshold")
    silent = np.isnan(found.count)
    if silent.any():
        cursor.register("unstated_traces", pl.DataFrame({"trace": window.trace_hash[silent]}).to_arrow())
        _fill(found, window, fetch(cursor, "thresholds"), "threshold")
        cursor.unregister("unstated_traces")
    for key in reversed(rate_keys):
        _fill(found, window, fetch(cursor, "root_attribute", key=key).drop_nulls("number"), "number")
    policies = fetch(cursor, "sampling_policies")
    number = policies["policy"].rank("dense").cast(pl.Int32) - 1
    found.policy[window.rows_of(policies["trace"].to_numpy())] = number.to_numpy()
    return found


def _fill(found: Sampling, window: Window, rows: pl.DataFrame, column: str) -> None:
    """Write the counts that `rows` state over what is there; values that are no rate state nothing."""
    if rows.is_empty():
        return
    parse = threshold_count if column == "threshold" else rate_count
    values = rows[column].unique()
    counts = dict(zip(values, map(parse, values), strict=True))
    count = rows[column].replace_strict(counts, return_dtype=pl.Float64).to_numpy()
    known = ~np.isnan(count)
    found.count[window.rows_of(rows["trace"].to_numpy()[known])] = count[known]
