"""Whose requests they are: a number per unit (user, session; the trace itself where none is known)."""

from dataclasses import dataclass, field
from typing import TYPE_CHECKING

import numpy as np
from numpy.typing import NDArray

from traceguard.traces.link import Linked

if TYPE_CHECKING:
    from traceguard.traces.factors import Circumstances


@dataclass(slots=True)
class Units:
    """Numbers for the units of a window's traces, given partition by partition; each trace is asked for once."""

    circumstances: "Circumstances | None"
    _number: NDArray[np.int64] = field(init=False)
    _traces: int = 0

    def __post_init__(self) -> None:
        known = self.circumstances
        self._number = np.empty(0, np.int64) if known is None else np.unique(known.unit, return_inverse=True)[1]

    def of(self, linked: Linked) -> NDArray[np.int64]:
        """t: the unit of each trace of a partition."""
        if self.circumstances is not None:
            return self._number[self.circumstances.rows_of(linked.trace_hash)]
        first = self._traces
        self._traces += linked.trace_hash.size
        return np.arange(first, self._traces, dtype=np.int64)
