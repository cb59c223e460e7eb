"""How fresh what is stored is: the newest span's end, how long spans took from their end to their commit, duplicates.

Judged by the spans' own clocks against this machine's; a clock that runs ahead counts as none ahead. Worked out for a
whole transaction at once, after its requests were answered.
"""

import time
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Callable, Sequence

    import numpy as np
    import pyarrow as pa

    from traceguard.server.counters import Counters


class Freshness:
    """Watches the spans that are committed; used by one thread."""

    def __init__(self, counters: "Counters", clock_ns: "Callable[[], int]" = time.time_ns) -> None:
        self._counters = counters
        self._clock_ns = clock_ns
        self._newest_ns = float("nan")
        counters.watch("span_lag_seconds", self.lag_seconds)

    def lag_seconds(self) -> float:
        """Seconds since the newest span end so far, at least 0; NaN before the first span."""
        return max(self._clock_ns() - self._newest_ns, 0.0) / 1e9

    def committed(self, tables: "Sequence[pa.Table]") -> None:
        """Note the spans of a transaction; tables as in `otlp`'s Decoded."""
        import numpy as np

        starts, durations = (_numbers(tables, column) for column in ("start_ns", "dur_ns"))
        if not starts.size:
            return
        # As floats: nothing overflows, and a quarter of a microsecond is exact enough.
        ends = starts.astype(np.float64) + durations
        now = self._clock_ns()
        self._newest_ns = float(np.fmax(self._newest_ns, min(ends.max(), now)))
        self._counters.observe_all("commit_lag_seconds", np.maximum(now - ends, 0.0) / 1e9)


def _numbers(tables: "Sequence[pa.Table]", column: str) -> "np.ndarray[tuple[int], np.dtype[np.int64]]":
    import pyarrow as pa

    chunks = [chunk for table in tables for chunk in table.column(column).chunks]
    values: np.ndarray[tuple[int], np.dtype[np.int64]] = pa.chunked_array(chunks, pa.int64()).to_numpy()
    return values
