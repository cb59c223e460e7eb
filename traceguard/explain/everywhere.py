"""Whether a level fails requests in a component, over all entry points whose requests get there.

What breaks in a service breaks for whoever calls it: each entry point sees a handful of failures, all of them together
stand out. The model is that of a single entry point (`effects`) with a slice effect for each entry point and time
slice, so that requests are still only compared with others of the same entry point and time, and with the buckets of
units that all entry points have in common, as a user who fails here may fail there.
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from traceguard.explain.design import Column, Design, Level, separate
from traceguard.explain.effects import Sums, Tests
from traceguard.stats.intervals import Inference
from traceguard.stats.regression import fit, within_gram
from traceguard.traces.cells import Cells, Outcomes, Totals

SLICES = 8  # time slices of an entry point: fewer than it has alone, as all entry points' are held at once

Floats = NDArray[np.float64]
Place = tuple[tuple[Level, ...], int]  # a column's levels and a component


@dataclass(frozen=True, slots=True)
class ErrorSums:
    """One entry point's sums for the c components in which errors began; p columns, `sums` of the tested ones.

    Shapes as in `Cells`, the outcomes being errors by component only.
    """

    columns: tuple[Column, ...]
    components: NDArray[np.int32]
    n: Floats
    sx: Floats
    sy: Floats
    xx: Floats
    xy: Floats
    totals: Totals
    sums: Mapping[int, Sums]


def error_sums(cells: Cells, outcomes: Outcomes, design: Design, sums: Mapping[int, Sums]) -> ErrorSums:
    """The part of an entry point's sums that tells of errors; `sums` by number of column."""
    totals = cells.totals()
    part = outcomes.part(3)
    seen = part.start + np.flatnonzero(totals.y[part])
    first = np.unique(np.arange(SLICES) * cells.n.shape[0] // SLICES)
    n, sx, sy = (np.add.reduceat(a, first).astype(np.float64) for a in (cells.n, cells.sx, cells.sy[..., seen]))
    return ErrorSums(
        columns=design.columns, components=outcomes.components[seen - part.start], n=n, sx=sx, sy=sy,
        xx=cells.xx.astype(np.float64), xy=cells.xy[..., seen].astype(np.float64),
        totals=Totals(
            totals.n, totals.y[seen], totals.squares[seen], totals.ww, totals.wy[seen], totals.wwyy[seen]
        ),
        sums={j: Sums(s.own[:, seen], s.compared[seen], s.requests) for j, s in sums.items()},
    )  # fmt: skip


def errors_everywhere(entries: Sequence[ErrorSums], inference: Inference) -> dict[Place, tuple[float, float]]:
    """Test every single level in every component over these entry points, whose requests must be different ones.

    One-sided p-values that it fails requests there, and the least that each could have been: a handful of failures
    cannot be surer than if all of them had come under the level.
    """
    columns = list({column.levels: column for entry in entries for column in entry.columns}.values())
    components = np.unique(np.concatenate([entry.components for entry in entries]))
    parts = [_placed(entry, columns, components) for entry in entries]
    n, sx, sy = (np.concatenate([getattr(part, name) for part in parts]) for name in ("n", "sx", "sy"))
    xx, xy = (np.sum([getattr(part, name) for part in parts], axis=0) for name in ("xx", "xy"))
    totals = _added([part.totals for part in parts])
    kept, classes = separate(columns, within_gram(n.sum(1), sx.sum(1), xx.sum(0)))
    found: dict[Place, tuple[float, float]] = {}
    if components.size and kept:
        fitted = fit(
            n, sx[..., kept], sy, xx[np.ix_(range(xx.shape[0]), kept, kept)], xy[:, kept], totals.squares,
            totals.inflation(),
        )  # fmt: skip
        for at, j in enumerate(kept):
            sums = [part.sums[j] for part in parts if j in part.sums]
            if not sums:
                continue
            affected, requests = float(sx[..., j].sum()), sum(s.requests for s in sums)
            own, compared = (np.sum([getattr(s, name) for s in sums], axis=0) for name in ("own", "compared"))
            tests = Tests(fitted, at, own, compared, affected, requests, totals, inference, in_time=False)
            every = slice(0, components.size)
            p, could = tests.rates(every)[0], tests.least(every)
            alike = [columns[k] for k, mirrored in classes.get(j, ()) if not mirrored]
            for column in (columns[j], *alike):
                places = ((column.levels, component) for component in components.tolist())
                found |= zip(places, zip(p.tolist(), could.tolist(), strict=True), strict=True)
    return found


def _placed(entry: ErrorSums, columns: Sequence[Column], components: NDArray[np.int32]) -> ErrorSums:
    """The same sums with these columns and components, those that the entry point lacks being zero."""
    at = {column.levels: j for j, column in enumerate(columns)}
    mine = np.array([at[column.levels] for column in entry.columns], dtype=np.int64)
    where = np.searchsorted(components, entry.components)

    def wide(sums: Floats, *axes: tuple[NDArray[np.int64], int]) -> Floats:
        """`sums` with its last axes spread: each to the places given, of so many."""
        for back, (places, size) in enumerate(reversed(axes), 1):
            spread = np.zeros((*sums.shape[: sums.ndim - back], size, *sums.shape[sums.ndim - back + 1 :]))
            np.moveaxis(spread, -back, 0)[places] = np.moveaxis(sums, -back, 0)
            sums = spread
        return sums

    x, y = (mine, len(columns)), (where, components.size)
    totals = entry.totals
    return ErrorSums(
        columns=tuple(columns), components=components, n=entry.n, sx=wide(entry.sx, x), sy=wide(entry.sy, y),
        xx=wide(entry.xx, x, x), xy=wide(entry.xy, x, y),
        totals=Totals(
            totals.n, wide(totals.y, y), wide(totals.squares, y), totals.ww, wide(totals.wy, y), wide(totals.wwyy, y)
        ),
        sums={
            int(mine[j]): Sums(wide(sums.own, y), wide(sums.compared, y), sums.requests)
            for j, sums in entry.sums.items()
        },
    )  # fmt: skip


def _added(totals: Sequence[Totals]) -> Totals:
    return Totals(
        sum(t.n for t in totals), np.sum([t.y for t in totals], axis=0), np.sum([t.squares for t in totals], axis=0),
        sum(t.ww for t in totals), np.sum([t.wy for t in totals], axis=0), np.sum([t.wwyy for t in totals], axis=0),
    )  # fmt: skip
