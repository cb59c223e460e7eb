"""Facts of several partitions, where a test wants them all at once."""

from collections.abc import Sequence

import numpy as np

from traceguard.traces.facts import REQUEST_COLUMNS, ROW_COLUMNS, Facts


def concatenate(parts: Sequence[Facts]) -> Facts:
    """The facts of several partitions as one."""
    columns = (*REQUEST_COLUMNS, *ROW_COLUMNS)
    joined = {name: np.concatenate([getattr(p, name) for p in parts]) for name in columns}
    counts = np.concatenate([np.diff(p.first) for p in parts])
    return Facts(first=np.concatenate(([0], np.cumsum(counts))), **joined)
