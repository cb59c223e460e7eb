"""One entry point from facts to effects: lay out slices and buckets, sum up cells, fit, read off each tested level.

Two models, because two kinds of assignment exist. A level that varies from request to request at the same moment is
compared within time slices, clustered by buckets of units. A level that came for everybody at once (a deploy, a period)
is the same for a whole slice: it is compared across time, clustered by blocks of time, and only judged with
`MIN_BLOCKS` blocks on each side.
"""

from collections.abc import Sequence
from dataclasses import dataclass, replace

import numpy as np
from numpy.typing import NDArray

from traceguard.explain.design import ALONE, Column, Design, design_of, separate, with_products
from traceguard.explain.effects import LevelEffects, Sums, held_against, level_effects
from traceguard.explain.everywhere import ErrorSums, error_sums
from traceguard.explain.interactions import Sample, interactions
from traceguard.explain.over_time import calibrated, residuals
from traceguard.explain.pre_period import PrePeriod, with_pre_period
from traceguard.stats.intervals import FixedHorizon, Inference
from traceguard.stats.regression import Fit, fit, within_gram
from traceguard.stats.sequential import AnytimeValid
from traceguard.traces.cells import BUCKETS, Cells, Outcomes, Totals, cells_of, outcomes_of, winsor_caps
from traceguard.traces.factors import FIRST_LEVEL, Factor
from traceguard.traces.facts import Facts, Requests
from traceguard.traces.sampling import recorded_as, weights

MAX_SLICES = 24
REQUESTS_PER_SLICE = 50
MIN_BLOCKS = 6
SHORTEST_BLOCK_NS = 30_000_000_000
STRAY = 0.001  # part of the requests at either end of a section that does not stretch its blocks
STEP = 0.05  # part of a column's variance within slices, below which it came for everybody at once
MIN_CLUSTERS = 10.0


@dataclass(frozen=True, slots=True)
class EntryEffects:
    """The effects found at one entry point.

    `by_time` marks those compared across time; `few_blocks` those with too few blocks.
    """

    entry: int
    environment: int
    requests: int
    facts: Requests
    factors: tuple[Factor, ...]
    levels: NDArray[np.int16]
    outcomes: Outcomes
    within: tuple[LevelEffects, ...]
    by_time: tuple[LevelEffects, ...]
    errors: ErrorSums | None  # of what is compared within slices, to be looked at over all entry points
    few_blocks: frozenset[tuple[tuple[Factor, int], ...]]
    stands_for: NDArray[np.float64]  # how many requests each recorded one stands for
    units: int  # distinct users or whatever is randomised
    stated: bool  # whether some of them say so
    live: bool  # whether what is compared within slices holds at every look at a growing window

    @property
    def identity(self) -> tuple[int, int]:
        """The entry point and its environment."""
        return self.entry, self.environment

    @property
    def adjusted(self) -> float:
        """How many requests the recorded ones stand for."""
        return float(self.stands_for.sum())


@dataclass(frozen=True, slots=True)
class Clock:
    """The window's time axis: the bounds of the periods compared, which blocks must not straddle, ascending, in ns."""

    edges: tuple[int, ...] = ()

    def slices(self, start: NDArray[np.int64]) -> NDArray[np.int32]:
        """Time slices that hold equally many requests, about `REQUESTS_PER_SLICE` each.

        Equal counts and not equal lengths: one span with a broken clock must not stretch the axis until nothing varies.
        """
        count = int(np.clip(start.size // REQUESTS_PER_SLICE, 1, MAX_SLICES))
        edges = np.sort(start)[(np.arange(1, count) * start.size) // count]
        return np.searchsorted(edges, start, side="right").astype(np.int32)

    def sections(self, start: NDArray[np.int64]) -> NDArray[np.int64]:
        """Between which of the bounds each request began."""
        return np.searchsorted(np.array(self.edges, dtype=np.int64), start, side="right")

    def blocks(self, start: NDArray[np.int64]) -> NDArray[np.int32]:
        """Blocks of at least `SHORTEST_BLOCK_NS`, at most `BUCKETS` in all, none across a period's bound.

        Only time with requests is divided: neither the night between two periods nor a stray clock makes blocks long.
        """
        marks = self.sections(start)
        sections = [marks == mark for mark in np.unique(marks)]
        bounds = [np.quantile(start[inside], (STRAY, 1 - STRAY)) for inside in sections]
        occupied = sum(high - low for low, high in bounds)
        length = max(SHORTEST_BLOCK_NS, occupied / (BUCKETS - len(sections)))
        blocks = np.zeros(start.size, dtype=np.int32)
        offset = 0
        for inside, (low, high) in zip(sections, bounds, strict=True):
            count = max(1, round((high - low) / length))
            width = max((high - low) / count, 1.0)
            blocks[inside] = offset + np.clip((start[inside] - low) / width, 0, count - 1).astype(np.int32)
            offset += count
        return blocks


def entry_effects(
    entry: int, environment: int, facts: Facts, factors: Sequence[Factor], levels: NDArray[np.int16],
    unit: NDArray[np.uint64], clock: Clock, alpha: float, count: NDArray[np.float64] | None = None,
    *, live: bool = False,
) -> EntryEffects:  # fmt: skip
    """Estimate every tested level at one entry point; `levels` (r, factors) and `unit` (r) go with `facts`.

    `count` (r) says how many requests each recorded one stands for, NaN for unknown. With `live` what is compared
    within slices holds at every look at a growing window; nothing does of what is compared across time.
    """
    at_once = FixedHorizon(alpha)
    design = design_of(factors, levels)
    outcomes = outcomes_of(facts)
    stands_for = np.ones(facts.dur.size) if count is None else recorded_as(count)
    weight = None if count is None else weights(count, facts.trace_hash, facts.dur)
    caps = winsor_caps(facts, outcomes, weight=weight)
    slices = clock.slices(facts.start)
    steps = _steps(design, factors, levels, slices)
    arrow = _references_in_time(design, steps, factors, levels, facts.start)
    if arrow:
        design = design_of(factors, levels, arrow)
        steps = _steps(design, factors, levels, slices)
    buckets = (unit % np.uint64(BUCKETS)).astype(np.int32)
    within: tuple[LevelEffects, ...] = ()
    by_time: tuple[LevelEffects, ...] = ()
    errors: ErrorSums | None = None
    few: set[tuple[tuple[Factor, int], ...]] = set()
    if any(c.tested and j not in steps for j, c in enumerate(design.columns)):
        inference = AnytimeValid(alpha) if live else at_once
        sample = Sample(facts, slices, buckets, weight)
        candidates = [j for j, c in enumerate(design.columns) if c.tested and j not in steps]
        before = with_pre_period(
            design, candidates, factors, levels, arrow, facts.start, unit, np.minimum(facts.dur, caps[0])
        )
        within, errors = _within(sample, design, steps, outcomes, caps, inference, stands_for, before)
    if any(design.columns[j].tested for j in steps):
        blocks = clock.blocks(facts.start)
        whole = np.zeros(facts.start.size, dtype=np.int32)
        cells = cells_of(facts, outcomes, caps, whole, blocks, design.active, len(design.columns), weight)
        only_steps = tuple(replace(c, tested=c.tested and j in steps) for j, c in enumerate(design.columns))
        sections = np.zeros(BUCKETS, dtype=np.int64)
        sections[blocks] = clock.sections(facts.start)
        by_time = _effects(Design(only_steps, design.active), cells, outcomes, at_once, stands_for, sections)
        few = _few_blocks(by_time, factors, levels, blocks)
    within, by_time = (_with_alike(effects, design, factors, levels) for effects in (within, by_time))
    return EntryEffects(
        entry, environment, facts.dur.size, facts.requests, tuple(factors), levels, outcomes, within, by_time, errors,
        frozenset(few), stands_for, np.unique(unit).size, count is not None and not np.isnan(count).all(),
        live,
    )  # fmt: skip


def _within(
    sample: Sample, design: Design, steps: set[int], outcomes: Outcomes, caps: tuple[int, NDArray[np.int64]],
    inference: Inference, stands_for: NDArray[np.float64], before: PrePeriod | None,
) -> tuple[tuple[LevelEffects, ...], ErrorSums]:  # fmt: skip
    """Effects compared within slices: of single levels on all requests, of products on those not searched for them.

    And the sums of the errors of single levels.
    """

    def varying(design: Design) -> tuple[Design, Cells]:
        only = _only(design, [j for j in range(len(design.columns)) if j not in steps])
        return only, sample.cells(outcomes, caps, only)

    singles, cells = varying(design)
    average = _effects(singles, cells, outcomes, inference, stands_for)
    totals = cells.totals()
    sums = {j: _sums(cells, totals, singles, j) for j, c in enumerate(singles.columns) if c.tested}
    errors = error_sums(cells, outcomes, singles, sums)
    if before is not None:
        alike = _effects(*varying(before.design), outcomes, inference, stands_for)
        among_alike = {e.column: replace(e, pre_period=True) for e in alike}
        late = {design.columns[j] for j in before.columns}
        average = tuple(among_alike.get(e.column, e) if e.column in late else e for e in average)
    products = interactions(sample, design, outcomes, caps)
    if not products:
        return average, errors
    part, cells = varying(with_products(design, products))
    found = {e.column: e for e in _effects(part, cells, outcomes, inference, stands_for)}
    fresh = ~sample.searched
    unseen = Design(part.columns, part.active[fresh])
    cells = sample.select(fresh).cells(outcomes, caps, unseen)
    again = _effects(unseen, cells, outcomes, inference, stands_for[fresh])
    # A level is told by its effect on all requests under it, but counts only if it acts without the others, too.
    single = (held_against(e, found.get(e.column, e)) for e in average)
    # Products speak for all requests under them.
    joint = (replace(e, adjusted=found[e.column].adjusted) for e in again if e.column in found and e.column.joint)
    return (*single, *joint), errors


def _steps(design: Design, factors: Sequence[Factor], levels: NDArray[np.int16], slices: NDArray[np.int32]) -> set[int]:
    """The columns that hardly vary within a slice: rolled out for everybody at once, or a period.

    Real levels are looked at among the requests under them or their reference: a version that came for everybody still
    varies between the requests that reach its service and those that do not.
    """
    count = int(slices.max(initial=0)) + 1
    steps: set[int] = set()
    for j, column in enumerate(design.columns):
        applies, reference = column.sides(factors, levels)
        among = applies | reference if column.tested else np.ones(slices.size, dtype=np.bool_)
        n = np.bincount(slices[among], minlength=count).astype(np.float64)
        share = np.bincount(slices[applies], minlength=count) / np.maximum(n, 1.0)
        overall = np.count_nonzero(applies) / max(n.sum(), 1.0)
        inside = (n * share * (1.0 - share)).sum()
        if inside < STEP * n.sum() * overall * (1.0 - overall) or column.period:
            steps.add(j)
    return steps


def _references_in_time(
    design: Design, steps: set[int], factors: Sequence[Factor], levels: NDArray[np.int16], start: NDArray[np.int64]
) -> dict[Factor, int]:
    """The level that came first (the baseline's, where periods are compared) of what changed for everybody at once.

    Such a change is compared before with after, so a flag that was switched off for all is judged as what came later.
    """
    period = next((f for f, factor in enumerate(factors) if factor.kind == "period"), None)
    later = start if period is None else levels[:, period].astype(np.int64)
    references = {}
    for factor in {design.columns[j].levels[0].factor for j in steps if design.columns[j].tested}:
        if factor.kind == "period" or factor.stated:
            continue
        codes = levels[:, factors.index(factor)]
        real = [code for code in np.unique(codes) if code >= FIRST_LEVEL]
        references[factor] = int(min(real, key=lambda code: later[codes == code].mean()))
    return references


def _only(design: Design, kept: list[int]) -> Design:
    number = np.full(len(design.columns) + 1, -1, dtype=np.int32)
    number[kept] = np.arange(len(kept), dtype=np.int32)
    active = -np.sort(-number[design.active], axis=1)  # -1 picks the last element, which stays -1
    return Design(tuple(design.columns[j] for j in kept), np.ascontiguousarray(active))


def _effects(
    design: Design, cells: Cells, outcomes: Outcomes, inference: Inference, stands_for: NDArray[np.float64],
    sections: NDArray[np.int64] | None = None,
) -> tuple[LevelEffects, ...]:  # fmt: skip
    """The effects of the tested columns; `sections` (B) are those of the buckets, where these are blocks of time."""
    n, sx, xx = (a.astype(np.float64) for a in (cells.n, cells.sx, cells.xx))
    gram = within_gram(n.sum(1), sx.sum(1), xx.sum(0))
    kept, classes = separate(design.columns, gram)
    if not any(design.columns[j].tested for j in kept):
        return ()
    sy, xy = cells.sy.astype(np.float64), cells.xy[:, kept].astype(np.float64)
    totals = cells.totals()
    fitted: Fit = fit(
        n, sx[:, :, kept], sy, xx[np.ix_(range(xx.shape[0]), kept, kept)], xy, totals.squares, totals.inflation()
    )
    serial = {}
    if sections is not None:
        serial = {
            at: residuals(fitted, at, n[0], sx[0][:, kept], sy[0], sections)
            for at, j in enumerate(kept) if design.columns[j].tested
        }  # fmt: skip
        fitted = calibrated(fitted, serial)
    return tuple(
        level_effects(
            fitted, at, _sums(cells, totals, design, j), totals, outcomes, design.columns[j],
            _members(design, classes.get(j, ())), inference, float(sx[:, :, j].sum()),
            float(stands_for[(design.active == j).any(axis=1)].sum()), serial.get(at),
        )
        for at, j in enumerate(kept)
        if design.columns[j].tested
    )  # fmt: skip


def _sums(cells: Cells, totals: Totals, design: Design, j: int) -> Sums:
    """The sums of column number `j`; requests under further levels of its factors are not what it is compared with."""
    factors = {level.factor for level in design.columns[j].levels}
    mine = set(design.columns[j].levels)
    others = [
        k for k, column in enumerate(design.columns)
        if not column.joint and column.levels[0].factor in factors and column.levels[0] not in mine
    ]  # fmt: skip
    own = cells.xy[:, j].astype(np.float64)
    compared = totals.y - cells.xy[:, others].sum((0, 1))
    requests = totals.n - float(cells.sx[..., others].sum())
    affected = float(cells.sx[..., j].sum())
    return Sums(own, np.maximum(compared, own.sum(0)), max(requests, affected))


def _with_alike(
    effects: tuple[LevelEffects, ...], design: Design, factors: Sequence[Factor], levels: NDArray[np.int16]
) -> tuple[LevelEffects, ...]:  # fmt: skip
    """The effects, each with the levels that it cannot be told from among the requests that it is compared on.

    A version that came together with a flag differs from it on the requests that never reach its service, which say
    nothing about what the two do there.
    """
    tested = [column for column in design.columns if column.tested]
    applies = {column: column.sides(factors, levels)[0] for column in tested}
    found = []
    for one in effects:
        affected, reference = one.column.sides(factors, levels)
        among = affected | reference
        known = {one.column, *one.inseparable}
        alike = [] if among.all() or one.column not in applies else [
            column for column in tested
            if column not in known and _likeness(applies[column][among], affected[among]) > 1.0 - ALONE
        ]  # fmt: skip
        found.append(replace(one, inseparable=(*one.inseparable, *alike)) if alike else one)
    return tuple(found)


def _likeness(one: NDArray[np.bool_], other: NDArray[np.bool_]) -> float:
    """The squared correlation of two marks where they are alike, 0 where one is rather on where the other is off."""
    both = float((one & other).mean())
    p, q = float(one.mean()), float(other.mean())
    spread = p * (1 - p) * q * (1 - q)
    return max(both - p * q, 0.0) ** 2 / spread if spread > 0 else 0.0


def _members(design: Design, numbers: Sequence[tuple[int, bool]]) -> tuple[Column, ...]:
    return tuple(design.columns[j].swapped() if mirrored else design.columns[j] for j, mirrored in numbers)


def _few_blocks(
    effects: Sequence[LevelEffects], factors: Sequence[Factor], levels: NDArray[np.int16], blocks: NDArray[np.int32]
) -> set[tuple[tuple[Factor, int], ...]]:
    """The (factor, code) of levels with fewer than `MIN_BLOCKS` blocks on either side."""
    few: set[tuple[tuple[Factor, int], ...]] = set()
    for effect in effects:
        sides = (np.unique(blocks[side]).size for side in effect.column.sides(factors, levels))
        if min(sides) < MIN_BLOCKS:
            few.add(effect.column.identity)
    return few
