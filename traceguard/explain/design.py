"""The design of one entry point: which factors vary among its requests, and which of them the data can tell apart.

A column is the indicator of one level of one factor against its reference. Levels that are real and frequent enough on
both sides are tested; the others (rare levels, "never evaluated", "mixed") are only adjusted for, since whether a
request came to evaluate a flag at all may itself be a consequence of what happened before.
"""

import itertools
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, replace

import numpy as np
from numpy.typing import NDArray

from traceguard.traces.factors import FIRST_LEVEL, Factor

MIN_REQUESTS = 20  # on each side, for a level to be tested
ALONE = (
    0.02  # least part of a column's variance that the others may leave unexplained; below, they cannot be told apart
)
CONSTANT = 1e-9  # within-slice sum of squares of a column that does not vary within any slice
_PREFERENCE = {"flag": 0, "version": 1, "attribute": 2, "period": 3}


@dataclass(frozen=True, slots=True)
class Level:
    """A level of a factor against the factor's reference."""

    factor: Factor
    code: int
    reference: int

    @property
    def identity(self) -> tuple[Factor, int]:
        """The factor and the code of its level."""
        return (self.factor, self.code)


@dataclass(frozen=True, slots=True)
class Column:
    """The indicator of one level, or of several that come together: what these add to what each of them does alone.

    `tested` is False for columns that are only adjusted for.
    """

    levels: tuple[Level, ...]
    tested: bool
    affected: int

    @property
    def identity(self) -> tuple[tuple[Factor, int], ...]:
        """The factors and the codes of their levels."""
        return tuple(level.identity for level in self.levels)

    @property
    def joint(self) -> bool:
        """Whether several levels must come together."""
        return len(self.levels) > 1

    @property
    def period(self) -> bool:
        """Whether it is the candidate period's."""
        return self.levels[0].factor.kind == "period"

    def swapped(self) -> "Column":
        """The same comparison of a single level the other way round: the reference against this level."""
        (level,) = self.levels
        return replace(self, levels=(replace(level, code=level.reference, reference=level.code),))

    def sides(self, factors: Sequence[Factor], codes: NDArray[np.int16]) -> tuple[NDArray[np.bool_], NDArray[np.bool_]]:
        """Which requests with level codes `codes` (r, factors) are affected, and which are what they are held against.

        The others run under levels that are neither.
        """
        affected = np.ones(codes.shape[0], dtype=np.bool_)
        compared = affected.copy()
        for level in self.levels:
            mine = codes[:, factors.index(level.factor)]
            affected &= mine == level.code
            compared &= (mine == level.code) | (mine == level.reference)
        return affected, compared & ~affected

    @property
    def order(self) -> tuple[object, ...]:
        """Which of several inseparable columns speaks for them: tested ones, single ones, flags, the rarer."""
        first = self.levels[0].factor
        return (
            not self.tested,
            len(self.levels),
            _PREFERENCE[first.kind],
            self.affected,
            [(level.factor.key, level.factor.service or "", level.code) for level in self.levels],
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
            level = Level(factor, int(code), reference)
            columns.append(Column((level,), bool(enough and real), int(counts[code])))
        column_of.append(mapping)
        varying.append(f)
    active = np.full((levels.shape[0], max(len(varying), 1)), -1, dtype=np.int32)
    for at, (f, mapping) in enumerate(zip(varying, column_of, strict=True)):
        active[:, at] = mapping[levels[:, f]]
    return Design(tuple(columns), _closed(active))


def with_products(design: Design, products: Sequence[tuple[int, ...]]) -> Design:
    """The design with a column for each of `products`, the numbers of the columns that must apply together.

    The other levels of the same factors come in together, too, to be adjusted for ("never evaluated" is one): else what
    a level does among requests that never came to the other flag would be taken for an effect of that flag.
    """
    wanted = dict.fromkeys(products)
    for product in products:
        wanted |= dict.fromkeys(_relatives(design, product))
    columns, active = list(design.columns), [design.active]
    for product in wanted:
        together = np.ones(design.active.shape[0], dtype=np.bool_)
        for j in product:
            together &= (design.active == j).any(axis=1)
        affected = int(np.count_nonzero(together))
        if affected == 0 and product not in products:
            continue
        active.append(np.where(together, len(columns), -1).astype(np.int32)[:, None])
        levels = tuple(level for j in product for level in design.columns[j].levels)
        columns.append(Column(levels, tested=product in products, affected=affected))
    return Design(tuple(columns), _closed(np.hstack(active)))


def _relatives(design: Design, product: tuple[int, ...]) -> Iterator[tuple[int, ...]]:
    """The numbers of all columns of the same factors together."""
    factors = [design.columns[j].levels[0].factor for j in product]
    same = ([j for j, c in enumerate(design.columns) if c.levels[0].factor == factor] for factor in factors)
    return itertools.product(*same)


def _closed(active: NDArray[np.int32]) -> NDArray[np.int32]:
    """Columns that apply come first, so that a kernel stops at the first -1."""
    return np.ascontiguousarray(-np.sort(-active, axis=1))


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
            # Products have no mirror image.
            if likeness[nearest] > 0 or len(columns[j].levels) == 1:
                classes.setdefault(kept[nearest], []).append((j, bool(likeness[nearest] < 0)))
    return sorted(kept), classes
