"""What a request ran under: flags, versions, the period, attributes; and whose request it was.

A flag's state belongs to the whole trace, whichever span evaluated it. Levels are small integers per factor: 0 stands
for "never evaluated" (or the service was not called), 1 for "mixed" (several levels in one request); real levels follow
in `Factor.levels`.
"""

from dataclasses import dataclass
from typing import Literal

import numpy as np
from numpy.typing import NDArray

ABSENT, MIXED = 0, 1
FIRST_LEVEL = 2


@dataclass(frozen=True, slots=True)
class Factor:
    """A thing that may explain a change. `levels[code]` is the level's text; codes 0 and 1 are absent and mixed."""

    kind: Literal["flag", "version", "period", "attribute"]
    key: str
    service: str | None
    levels: tuple[str, ...]
    reference: int  # code of the level the others are held against
    stated: bool = False  # the user named the reference


@dataclass(frozen=True, slots=True)
class Circumstances:
    """Factors and units of t traces, rows ordered by ascending trace hash."""

    trace_hash: NDArray[np.uint64]  # t
    levels: NDArray[np.int16]  # t x factors: level code
    unit: NDArray[np.uint64]  # t: hash of the randomisation unit

    @property
    def size(self) -> int:
        """Bytes."""
        return sum(array.nbytes for array in (self.trace_hash, self.levels, self.unit))

    def rows_of(self, trace_hash: NDArray[np.uint64]) -> NDArray[np.int64]:
        """Row numbers of the given traces, all of which must be known."""
        rows: NDArray[np.int64] = np.searchsorted(self.trace_hash, trace_hash)
        return rows


@dataclass(frozen=True, slots=True)
class Attribute:
    """An attribute that the user names, and which of its values each of t traces has, -1 for none."""

    key: str
    values: tuple[str, ...]  # ascending
    code: NDArray[np.int32]  # t


PREFERRED_REFERENCES = ("off", "false", "control", "default", "0")


def choose_reference(levels: tuple[str, ...], earliest_commonest: int) -> int:
    """Code of a flag's reference level.

    The first of off, false, control, default and 0 that exists, else `earliest_commonest`: the commonest at the start.
    """
    by_text = {text.lower(): code for code, text in enumerate(levels) if code >= FIRST_LEVEL}
    for text in PREFERRED_REFERENCES:
        if text in by_text:
            return by_text[text]
    return earliest_commonest
