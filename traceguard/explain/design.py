"""The design of one entry point: which factors vary among its requests, and which of them the data can tell apart.

A column is the indicator of one level of one factor against its reference. Levels that are real and frequent enough on
both sides are tested; the others (rare levels, "never evaluated", "mixed") are only adjusted for, since whether a
request came to evaluate a flag at all may itself be a consequence of what happened before.
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace

import numpy as np
from numpy.typing import NDArray

from traceguard.traces.factors import FIRST_LEVEL, Factor

MIN_REQUESTS = 20  # on each side, for a level to be tested
ALONE = (
    0.02  # least part of a column's variance that the others may leave unexplained; below, they cannot be told apart
)
CONSTANT = 1e-9  # within-slice sum of squares of a column that does not vary within any slice
_PREFERENCE = {"flag": 0, "version": 1, "period": 2}


@dataclass(frozen=True, slots=True)
class Column:
    """The indicator of a factor's level; `tested` is False for columns that are only adjusted for."""

    factor: Factor
    code: int
    reference: int
    tested: bool
    affected: int

    @property
    def identity(self) -> tuple[Factor, int]:
        """The factor and the code of its level."""
        return (self.factor, self.code)

    def swapped(self) -> "Column":
        """The same comparison the other way round: the reference against this level."""
        return replace(self, code=self.reference, reference=self.code)

    @property
    def order(self) -> tuple[bool, int, int, str, str, int]:
        """Which of several inseparable columns speaks for them: tested ones, flags before versions, the rarer."""
        return (
            not self.tested,
            _PREFERENCE[self.factor.kind],
            self.affected,
            self.factor.key,
            self.factor.service or "",
            self.code,
        )


@dataclass(frozen=True, slots=True)
class Design:
    """Columns of one entry point and, per request, the numbers of the columns that apply to it (closed by -1)."""

    columns: tuple[Column, ...]
    active: NDArray[np.int32]  # (r, a)


def design_of(
    factors: Sequence[Factor], levels: NDArray[np.int16], references: Mapping[Factor, int] | None = None
) -> Design:
    """The design for requests with level codes `levels` (r, factors).

    `references` overrides the reference levels of some factors.
    """
    references = references or {}
    columns: list[Column] = []
    column_of: list[NDArray[np.int32]] = []
    varying: list[int] = []
    for f, factor in enumerate(factors):
        counts = np.bincount(levels[:, f], minlength=len(factor.levels))
        if np.count_nonzero(counts) < 2:
            continue
        reference = references.get(factor) or _reference(factor, counts)
        mapping = np.full(counts.size, -1, dtype=np.int32)
        for code in np.flatnonzero(counts):
            if code == reference:
                continue
            enough = min(counts[code], counts[reference]) >= MIN_REQUESTS
            real = code >= FIRST_LEVEL and reference >= FIRST_LEVEL
            mapping[code] = len(columns)
            columns.append(Column(factor, int(code), reference, bool(enough and real), int(counts[code])))
        column_of.append(mapping)
        varying.append(f)
    active = np.full((levels.shape[0], max(len(varying), 1)), -1, dtype=np.int32)
    for at, (f, mapping) in enumerate(zip(varying, column_of, strict=True)):
        active[:, at] = mapping[levels[:, f]]
    # Columns that apply come first, so that the kernel stops at the first -1.
    active = -np.sort(-active, axis=1)
    return Design(tuple(columns), np.ascontiguousarray(active))


def _reference(factor: Factor, counts: NDArray[np.int64]) -> int:
    if counts[factor.reference] > 0:
        return factor.reference
    real = np.flatnonzero(counts[FIRST_LEVEL:]) + FIRST_LEVEL
    return int(real[counts[real].argmax()]) if real.size else int(counts.argmax())


def separate(
    columns: Sequence[Column], gram: NDArray[np.float64]
) -> tuple[list[int], dict[int, list[tuple[int, bool]]]]:
    """Split columns into those that the data can tell apart and those that go with one of them.

    `gram` (p, p) holds within-slice cross products. Returns the numbers of the kept columns, ascending, and for each
    kept column the dropped tested ones that cannot be told from it, with whether they are its mirror image (one is on
    where the other is off). A pivoted Cholesky factorisation: each kept column takes its part out of the others.
    """
    scale = np.diag(gram)
    alone = scale.copy()
    factor = np.zeros_like(gram)
    kept: list[int] = []
    classes: dict[int, list[tuple[int, bool]]] = {}
    for j in sorted(range(len(columns)), key=lambda j: columns[j].order):
        if scale[j] <= CONSTANT:
            continue
        if alone[j] >= ALONE * scale[j]:
            done = factor[: len(kept)]
            factor[len(kept)] = (gram[j] - done[:, j] @ done) / np.sqrt(alone[j])
            alone -= factor[len(kept)] ** 2
            kept.append(j)
        elif columns[j].tested:
            likeness = gram[kept, j] / np.sqrt(scale[kept] * scale[j])
            nearest = int(np.abs(likeness).argmax())
            classes.setdefault(kept[nearest], []).append((j, bool(likeness[nearest] < 0)))
    return sorted(kept), classes
