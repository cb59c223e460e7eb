"""Which levels act only together: a bounded search on some of the units, confirmed on the others.

A request under several levels may be worse than each of them explains alone ("only when A and B are both on"). The
search looks at a third of the buckets of units: of what the levels' own effects leave of the entry point's latency and
failures, and of its most suspicious components' time, it sums for every pair how much lies on the requests under both,
then for the best pairs how much lies on those under a third level, too: a beam, so that three levels cost no more than
two. A pair counts at least one flag; all four of its combinations need support.

What the search found is held against the other two thirds: only what shows there as well becomes a column of the
design, and its effects are estimated there and nowhere else, so that having been looked for does not make it larger.
"""

from collections.abc import Sequence
from dataclasses import dataclass, replace
from itertools import combinations

import numpy as np
from numpy.typing import NDArray
from scipy import stats

from traceguard.explain.design import MIN_REQUESTS, Design, separate, with_products
from traceguard.stats.regression import fit, within_gram, within_moment
from traceguard.traces.cells import Cells, Outcomes, cells_of, pair_sums
from traceguard.traces.facts import ROW_COLUMNS, Facts

SEARCHED = 3  # one bucket of so many is searched
PAIRS, TRIPLES = 4, 2  # most candidates of an entry point
SUSPICIOUS = 2.5  # standard errors of independent requests from which a candidate is looked at
CONFIRMED = 0.05  # of all candidates of an entry point together
LOOKED_THROUGH = 50_000  # requests: what acts only together and cannot be found in so many matters to nobody
COMPONENTS = 4  # whose time is looked at beside the whole request's

Floats = NDArray[np.float64]


@dataclass(frozen=True, slots=True)
class Sample:
    """Requests of one entry point: slices, buckets of units and how often each counts (shapes r)."""

    facts: Facts
    slices: NDArray[np.int32]
    buckets: NDArray[np.int32]
    weight: NDArray[np.int64] | None

    def select(self, keep: NDArray[np.bool_]) -> "Sample":
        """Some of the requests."""
        weight = None if self.weight is None else self.weight[keep]
        return Sample(self.facts.select(keep), self.slices[keep], self.buckets[keep], weight)

    def cells(self, outcomes: Outcomes, caps: tuple[int, NDArray[np.int64]], design: Design) -> Cells:
        """The sums that effects are estimated from."""
        return cells_of(
            self.facts, outcomes, caps, self.slices, self.buckets, design.active, len(design.columns), self.weight
        )

    @property
    def searched(self) -> NDArray[np.bool_]:
        """The requests that interactions are looked for in."""
        searched: NDArray[np.bool_] = self.buckets % SEARCHED == 0
        return searched


def interactions(
    sample: Sample, design: Design, outcomes: Outcomes, caps: tuple[int, NDArray[np.int64]]
) -> tuple[tuple[int, ...], ...]:
    """The products of the design's columns that act beyond their parts."""
    searched = sample.searched
    if not _allowed(design) or searched.all() or not searched.any():
        return ()
    searched, others = _thinned(searched), _thinned(~searched)
    seen, unseen = sample.select(searched), sample.select(others)
    some = Design(design.columns, design.active[searched])
    narrow = _Narrow.of(seen, some, outcomes, caps)
    found = _candidates(narrow.take(seen), some, narrow)
    if not found:
        return ()
    return _confirmed(narrow.take(unseen), Design(design.columns, design.active[others]), narrow, found)


def _thinned(keep: NDArray[np.bool_]) -> NDArray[np.bool_]:
    """Every so many of the marked requests, evenly, so that at most `LOOKED_THROUGH` are left."""
    at = np.flatnonzero(keep)
    thinned = np.zeros(keep.size, dtype=np.bool_)
    thinned[at[:: max(1, -(-at.size // LOOKED_THROUGH))]] = True
    return thinned


@dataclass(frozen=True, slots=True)
class _Narrow:
    """What is looked at: the entry point's latency and failures, and the time of the components that vary most.

    What happens under one pair of levels moves a component out of proportion long before the whole request shows it.
    """

    outcomes: Outcomes
    caps: tuple[int, NDArray[np.int64]]

    @classmethod
    def of(cls, sample: Sample, design: Design, outcomes: Outcomes, caps: tuple[int, NDArray[np.int64]]) -> "_Narrow":
        """The components on which single levels have the largest effects, in standard errors."""
        cells = sample.cells(outcomes, caps, design)
        part = outcomes.part(1)
        beta, error = _effects(cells, [*range(part.start, part.stop)])
        suspicion = np.abs(beta / np.where(error > 0, error, np.inf)).max(axis=0, initial=0.0)
        chosen = np.sort(np.argsort(-suspicion, kind="stable")[:COMPONENTS])
        return cls(replace(outcomes, components=outcomes.components[chosen]), (caps[0], caps[1][chosen]))

    @property
    def looked_at(self) -> list[int]:
        """The columns of y: capped duration, failed, capped time of the components."""
        part = self.outcomes.part(1)
        return [1, 2, *range(part.start, part.stop)]

    def take(self, sample: Sample) -> Sample:
        """The sample with the rows of these components only, and nobody to blame for errors."""
        facts = sample.facts
        keep = np.isin(facts.component, self.outcomes.components)
        first = np.concatenate(([0], np.cumsum(keep)))[facts.first]
        rows = {name: getattr(facts, name)[keep] for name in ROW_COLUMNS}
        nobody = np.full(facts.dur.size, -1, dtype=np.int32)
        return replace(sample, facts=replace(facts, first=first, origin=nobody, **rows))

    def values(self, facts: Facts) -> Floats:
        """The outcomes of each request, shape (r, 2 + components)."""
        request = np.repeat(np.arange(facts.dur.size), np.diff(facts.first))
        values = np.zeros((facts.dur.size, 2 + self.outcomes.components.size))
        values[:, 0], values[:, 1] = np.minimum(facts.dur, self.caps[0]), facts.failed
        at = np.searchsorted(self.outcomes.components, facts.component)
        values[request, 2 + at] = np.minimum(facts.time, self.caps[1][at])
        return values


def _effects(cells: Cells, looked_at: Sequence[int]) -> tuple[Floats, Floats]:
    """Effects of the columns within slices on some outcomes, and their errors if requests were independent: (p, k)."""
    n, sx, sy = (sums.sum(1).astype(np.float64) for sums in (cells.n, cells.sx, cells.sy[..., looked_at]))
    xx, xy = cells.xx.sum(0).astype(np.float64), cells.xy.sum(0)[:, looked_at].astype(np.float64)
    weight = 1.0 / np.maximum(n, 1.0)
    inverse = np.linalg.pinv(within_gram(n, sx, xx), rcond=1e-6, hermitian=True)
    moment = within_moment(n, sx, sy, xy)
    beta = inverse @ moment
    noise = cells.totals().squares[looked_at] - np.einsum("s,sk->k", weight, sy**2) - (beta * moment).sum(0)
    spread = np.maximum(noise, 0.0) / max(n.sum() - n.size - beta.shape[0], 1.0)
    error: Floats = np.sqrt(np.maximum(np.diag(inverse), 0.0)[:, None] * spread)
    return beta, error


def _allowed(design: Design) -> list[tuple[int, int]]:
    """The pairs of columns that may act together: of two factors, one of them a flag.

    What acts only together with an attribute is told by narrowing its cause down.
    """
    tested = [j for j, c in enumerate(design.columns) if c.tested and c.levels[0].factor.kind != "attribute"]
    return [
        (j, k) for j, k in combinations(tested, 2)
        if design.columns[j].levels[0].factor != design.columns[k].levels[0].factor
        and "flag" in (design.columns[j].levels[0].factor.kind, design.columns[k].levels[0].factor.kind)
    ]  # fmt: skip


def _candidates(sample: Sample, design: Design, narrow: _Narrow) -> list[tuple[int, ...]]:
    """The most suspicious pairs, and the triples that the best of them grow into."""
    rest, counts, total = _left_over(sample, design, narrow)
    spread = np.sqrt((rest**2).mean(axis=0))
    if not spread.any():
        return []
    sums = pair_sums(design.active, rest, len(design.columns))
    scored = []
    for j, k in _allowed(design):
        cells = _four(counts, total, j, k)
        if cells.min() < MIN_REQUESTS / 2:
            continue
        information = 1.0 / (1.0 / cells).sum()
        score = _score(sums[j, k], spread, information)
        if score >= SUSPICIOUS:
            scored.append((score, (j, k)))
    pairs = [pair for _, pair in sorted(scored, reverse=True)[:PAIRS]]
    return [*pairs, *_triples(sample, design, narrow, pairs)] if pairs else []


def _four(counts: Floats, total: float, j: int, k: int) -> Floats:
    """How many requests run under both, either and neither of two columns."""
    both = counts[j, k]
    return np.array([both, counts[j, j] - both, counts[k, k] - both, total - counts[j, j] - counts[k, k] + both])


def _score(sums: Floats, spread: Floats, information: float) -> float:
    known = spread > 0
    return float((np.abs(sums[known]) / (spread[known] * np.sqrt(information))).max(initial=0.0))


def _triples(
    sample: Sample, design: Design, narrow: _Narrow, pairs: Sequence[tuple[int, ...]]
) -> list[tuple[int, ...]]:
    """The third levels that the pairs need; scored as if the three were independent."""
    grown = with_products(design, pairs)
    rest, counts, total = _left_over(sample, grown, narrow)
    spread = np.sqrt((rest**2).mean(axis=0))
    sums = pair_sums(grown.active, rest, len(grown.columns))
    allowed = {frozenset(pair) for pair in _allowed(design)}
    scored: dict[tuple[int, ...], float] = {}
    for at, pair in enumerate(pairs, start=len(design.columns)):
        for j in range(len(design.columns)):
            if not all(frozenset((j, k)) in allowed for k in pair) or counts[j, at] < MIN_REQUESTS / 2:
                continue
            share = np.array([counts[k, k] / total for k in (*pair, j)])
            score = _score(sums[j, at], spread, float(total * (share * (1.0 - share)).prod()))
            if score >= SUSPICIOUS:
                triple = tuple(sorted((*pair, j)))
                scored[triple] = max(scored.get(triple, 0.0), score)
    return sorted(scored, key=lambda triple: (-scored[triple], triple))[:TRIPLES]


def _left_over(sample: Sample, design: Design, narrow: _Narrow) -> tuple[Floats, Floats, float]:
    """What columns and slices leave of each request's outcomes (r, k), Σx·x of the columns, and Σ1."""
    cells = sample.cells(narrow.outcomes, narrow.caps, design)
    beta, _ = _effects(cells, narrow.looked_at)
    n, sx, sy = cells.n.sum(1), cells.sx.sum(1), cells.sy.sum(1)[:, narrow.looked_at]
    level = (sy - sx @ beta) / np.maximum(n, 1)[:, None]
    padded = np.vstack((beta, np.zeros((1, beta.shape[1]))))  # -1 picks the last row
    rest = narrow.values(sample.facts) - level[sample.slices]
    for a in range(design.active.shape[1]):
        rest -= padded[design.active[:, a]]
    if sample.weight is not None:
        rest *= sample.weight[:, None]
    return rest, cells.xx.sum(0).astype(np.float64), float(n.sum())


def _confirmed(
    sample: Sample, design: Design, narrow: _Narrow, found: Sequence[tuple[int, ...]]
) -> tuple[tuple[int, ...], ...]:
    """The candidates that show in requests that were not searched.

    Each is tested beside the single levels alone, as several would blur each other; then all that passed together, the
    weakest going until all hold: three levels that act only together make pairs of them look as if they did.
    """
    tests = len(narrow.looked_at) * len(found)
    named = {tuple(i for j in product for i in design.columns[j].identity): product for product in found}

    def p_values(products: Sequence[tuple[int, ...]]) -> dict[tuple[int, ...], float]:
        grown = with_products(design, products)
        smallest = _smallest_p(sample.cells(narrow.outcomes, narrow.caps, grown), grown, narrow.looked_at)
        seen = {named[c.identity]: smallest.get(i, 1.0) for i, c in enumerate(grown.columns) if c.identity in named}
        return {product: min(1.0, tests * p) for product, p in seen.items()}

    confirmed = [product for product in found if p_values([product])[product] <= CONFIRMED]
    while len(confirmed) > 1:
        together = p_values(confirmed)
        weakest = max(confirmed, key=lambda product: together[product])
        if together[weakest] <= CONFIRMED:
            break
        confirmed.remove(weakest)
    return tuple(confirmed)


def _smallest_p(cells: Cells, design: Design, looked_at: Sequence[int]) -> dict[int, float]:
    """The smallest two-sided p-value over the outcomes, by the number of each column that the others do not explain."""
    n, sx, xx = (sums.astype(np.float64) for sums in (cells.n, cells.sx, cells.xx))
    kept, _ = separate(design.columns, within_gram(n.sum(1), sx.sum(1), xx.sum(0)))
    sy = cells.sy[..., looked_at].astype(np.float64)
    xy = cells.xy[:, kept][..., looked_at].astype(np.float64)
    totals = cells.totals()
    fitted = fit(
        n, sx[..., kept], sy, xx[:, kept][..., kept], xy, totals.squares[looked_at], totals.inflation()[looked_at]
    )
    t = np.abs(fitted.beta / np.where(fitted.error > 0, fitted.error, np.inf)).max(axis=1)
    p = 2 * stats.t.sf(t, fitted.dof)
    return {j: float(p[at]) for at, j in enumerate(kept)}
