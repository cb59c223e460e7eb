"""What a cause is narrowed down to: the one value of an attribute whose requests it is about ("only tenant t42").

The cause's effect among the requests with a value is held against its effect among all others. It is about the value
where the effect inside is larger beyond chance (Holm over all values of all attributes), most of the whole effect lies
inside, and outside there is next to none: at most `OUTSIDE` of that inside, with confidence. Of several such values the
one with the largest sure effect counts: a region that holds the tenant waters its effect down.

Other factors that vary are held constant: for the search by taking their estimated effects out of each request, which
the difference between inside and outside hardly depends on; for what is reported by estimating them anew inside and
outside.
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Literal

import numpy as np
from numpy.typing import NDArray

from traceguard import model
from traceguard.explain.compared import Compared, Group
from traceguard.explain.contrast import Contrast, adjusted_contrast, contrast, p_more
from traceguard.explain.effects import NS_PER_MS
from traceguard.explain.entries import Clock
from traceguard.explain.evidence import Evidence
from traceguard.stats.multiplicity import holm
from traceguard.traces.cells import BUCKETS
from traceguard.traces.factors import Factor
from traceguard.traces.facts import Facts
from traceguard.units import format_ms

if TYPE_CHECKING:
    from traceguard.explain.causes import Finding

NARROWED = 10  # causes that are looked at
MOST_VALUES = 200  # of an attribute, those with the most affected requests
MIN_REQUESTS = 20  # affected and reference ones, with the value and without
MIN_UNITS = 4.0  # effective number of units on each of these sides
OUTSIDE = 0.25  # part of the effect inside that may be outside
MOST = 0.5  # part of the whole effect that must be inside
CAP = 0.999  # quantile of a component's time above which a request tests no more than that

Floats = NDArray[np.float64]
_Identity = tuple[tuple[Factor, int], ...]  # of a column


def in_order(causes: Sequence[model.Cause]) -> list[model.Cause]:
    """The causes with those of attributes behind a narrowed one of the same component, which tells the same.

    A tenant for which a flag is slow is slower on average, and its region a little; the flag is what can be undone.
    """

    def place(cause: model.Cause) -> tuple[str, str, str, str]:
        return cause.service, cause.operation, cause.locus, cause.metric

    narrowed = {place(cause): cause.rank for cause in reversed(causes) if cause.narrowed_to is not None}

    def order(cause: model.Cause) -> float:
        attributes = all(factor.kind == "attribute" for factor in cause.factors)
        return max(cause.rank, narrowed.get(place(cause), 0) + 0.5) if attributes else cause.rank

    ordered = sorted(causes, key=order)
    return [cause.model_copy(update={"rank": i + 1}) for i, cause in enumerate(ordered)]


@dataclass(frozen=True, slots=True)
class _Sample:
    """The affected and the reference requests of a cause at all its entry points; shapes r."""

    value: Floats  # what got worse, positive is worse
    affected: NDArray[np.bool_]
    part: NDArray[np.int64]  # number of the entry point
    start: NDArray[np.int64]
    cluster: NDArray[np.int64]
    weight: Floats
    row: NDArray[np.int64]  # number among the compared requests
    others: NDArray[np.bool_]  # (r, k): levels of other factors that apply
    by_time: bool

    def contrast(self, at: NDArray[np.int64], value: Floats) -> Contrast | None:
        """The effect among the requests numbered `at`."""
        return contrast(value[at], self.affected[at], self._stratum(at), self.cluster[at], self.weight[at], 2 * BUCKETS)

    def adjusted(self, at: NDArray[np.int64]) -> Contrast | None:
        """The same with the other factors' effects estimated among these requests."""
        others = self.others[at]
        return adjusted_contrast(
            self.value[at], self.affected[at], others[:, others.any(axis=0)], self._stratum(at), self.cluster[at],
            self.weight[at], 2 * BUCKETS,
        )  # fmt: skip

    def _stratum(self, at: NDArray[np.int64]) -> NDArray[np.int64]:
        """Entry point and time slice of requests; the entry point alone where time is what is compared."""
        part, start = self.part[at], self.start[at]
        stratum = part.copy()
        if not self.by_time:
            before = 0
            for number in np.unique(part):
                here = part == number
                slices = Clock().slices(start[here])
                stratum[here] = before + slices
                before += int(slices.max()) + 1
        return stratum

    def supported(self, at: NDArray[np.int64]) -> bool:
        """Whether there are enough requests on both sides."""
        affected = int(np.count_nonzero(self.affected[at]))
        return min(affected, at.size - affected) >= MIN_REQUESTS


@dataclass(frozen=True, slots=True)
class _Candidate:
    key: str
    value: str
    inside: NDArray[np.int64]  # numbers of the requests that have the value
    effect: Contrast


class Narrowing:
    """Looks for the value of an attribute that a cause is about."""

    def __init__(self, compared: Compared, evidence: Evidence, alpha: float) -> None:
        self._compared, self._alpha = compared, alpha
        self._groups: dict[tuple[int, int], Group] = {(g.entry, g.environment): g for g in compared.groups}
        attributes = [a for a in evidence.read.attributes if len(a.values) > 1]
        rows = evidence.window.rows_of(compared.ledger.requests.trace_hash) if attributes else None
        self._attributes = [(a.key, a.values, a.code[rows]) for a in attributes]

    def narrowed(self, cause: model.Cause, findings: "Sequence[Finding]") -> model.Cause:
        """The cause with the value that its findings are about, if there is one."""
        if not self._attributes or cause.rank > NARROWED or not any(f.holds for f in findings):
            return cause
        if cause.metric == "calls":  # no request has a number of lost calls
            return cause
        keys = {factor.key for factor in cause.factors if factor.kind == "attribute"}
        columns = _other_columns(findings)
        found = self._search(_joined([self._part(n, f, columns) for n, f in enumerate(findings)]), cause, keys)
        if found is None:
            return cause
        inside = found.inside.estimate
        there = format_ms(inside) if found.inside.unit == "ms" else f"{inside:.2%}"
        summary = f"{cause.summary.removesuffix('.')}, only for {found.key}={found.value} ({there} there)."
        return cause.model_copy(update={"narrowed_to": found, "summary": summary})

    def _part(self, number: int, finding: "Finding", columns: Mapping[_Identity, int]) -> _Sample:
        """The requests of one finding, with what the other factors do to them taken out."""
        where, own = finding.judged.where, finding.judged.effects
        group = self._groups[where.identity]
        facts = self._compared.ledger.select(group.mine).facts()
        value = _outcome(facts, finding.component, "latency" if finding.metric == "latency" else "error")
        at = int(np.searchsorted(where.outcomes.components, finding.component))
        others = np.zeros((value.size, len(columns)), dtype=np.bool_)
        for other in (*where.within, *where.by_time):
            if (place := columns.get(other.column.identity)) is not None:
                parts = other.latency if finding.metric == "latency" else other.errors
                others[:, place], _ = other.column.sides(where.factors, where.levels)
                value[others[:, place]] -= parts.estimate[at] * (NS_PER_MS if finding.metric == "latency" else 1.0)
        affected, reference = own.column.sides(where.factors, where.levels)
        keep = affected | reference
        cluster = (self._compared.unit[group.mine] % np.uint64(BUCKETS)).astype(np.int64)
        if finding.judged.by_time:
            # Blocks of each side, so that none straddles the change.
            for side, first in ((reference, 0), (affected, BUCKETS)):
                cluster[side] = first + Clock().blocks(facts.start[side])
        sign = 1.0 if finding.estimate > 0 else -1.0
        return _Sample(
            sign * value[keep], affected[keep], np.full(int(keep.sum()), number), facts.start[keep], cluster[keep],
            where.stands_for[keep], np.flatnonzero(group.mine)[keep], others[keep],
            finding.judged.by_time,
        )  # fmt: skip

    def _search(self, sample: _Sample, cause: model.Cause, without: set[str]) -> model.NarrowedTo | None:
        capped = np.minimum(sample.value, np.quantile(sample.value, CAP)) if cause.metric == "latency" else sample.value
        candidates = [
            c for key, values, codes in self._attributes if key not in without
            for c in _candidates(sample, capped, key, values, codes[sample.row])
        ]  # fmt: skip
        everything = np.arange(sample.value.size)
        affected = sample.weight * sample.affected
        p_values, found = np.ones(len(candidates)), {}
        for i, candidate in enumerate(candidates):
            fraction = float(affected[candidate.inside].sum() / affected.sum())
            rest = np.delete(everything, candidate.inside)
            # Without most of the effect a value explains nothing, however large its own: that spares looking outside.
            if fraction * candidate.effect.estimate < MOST * abs(cause.effect.estimate) * _scale(cause) / 2:
                continue
            outside = sample.contrast(rest, capped) if sample.supported(rest) else None
            if outside is None or min(outside.clusters, candidate.effect.clusters) < MIN_UNITS:
                continue
            more = candidate.effect.less(outside)
            p_values[i] = p_more(more.estimate, more.error, more.clusters)
            found[i] = (candidate, fraction, rest)
        adjusted = holm(p_values)
        best: tuple[float, model.NarrowedTo] | None = None
        for i, (candidate, fraction, rest) in found.items():
            if adjusted[i] > self._alpha:
                continue
            inside, outside = (sample.adjusted(at) for at in (candidate.inside, rest))
            if inside is None or outside is None:
                continue
            (low, _), (_, high) = (c.interval(self._alpha) for c in (inside, outside))
            own = fraction * inside.estimate
            share = own / max(own + (1.0 - fraction) * max(outside.estimate, 0.0), 1e-12)
            if low > 0.0 and high <= OUTSIDE * inside.estimate and share >= MOST and (best is None or low > best[0]):
                effects = [_effect(c, cause, self._alpha) for c in (inside, outside)]
                best = low, model.NarrowedTo(
                    key=candidate.key, value=candidate.value, share=share, fraction=fraction, inside=effects[0],
                    outside=effects[1],
                )  # fmt: skip
        return None if best is None else best[1]


def _candidates(
    sample: _Sample, value: Floats, key: str, values: Sequence[str], codes: NDArray[np.int32]
) -> list[_Candidate]:
    """The values with enough requests, and the effect among those that have them."""
    of_affected = np.bincount(codes[sample.affected & (codes >= 0)], minlength=len(values))
    order = np.argsort(codes, kind="stable")
    found = []
    for code in np.argsort(-of_affected, kind="stable")[:MOST_VALUES]:
        inside = order[slice(*np.searchsorted(codes, (code, code + 1), sorter=order))]
        if sample.supported(inside) and (effect := sample.contrast(inside, value)) is not None:
            found.append(_Candidate(key, values[code], inside, effect))
    return found


def _outcome(facts: Facts, component: int, metric: Literal["latency", "error"]) -> Floats:
    """What each request spent in a component, in ns, or whether its error began there."""
    if metric == "error":
        failed: Floats = (facts.origin == component).astype(np.float64)
        return failed
    rows = facts.component == component
    request = np.repeat(np.arange(facts.dur.size), np.diff(facts.first))[rows]
    spent = np.bincount(request, weights=facts.time[rows].astype(np.float64), minlength=facts.dur.size)
    return spent.astype(np.float64)


def _joined(parts: Sequence[_Sample]) -> _Sample:
    columns = ("value", "affected", "part", "start", "cluster", "weight", "row", "others")
    return _Sample(**{c: np.concatenate([getattr(p, c) for p in parts]) for c in columns}, by_time=parts[0].by_time)


def _other_columns(findings: "Sequence[Finding]") -> dict[_Identity, int]:
    """Levels that are estimated beside the cause's at any of its entry points, numbered."""
    found: dict[_Identity, int] = {}
    for finding in findings:
        own = finding.judged.effects
        known = {column.identity for column in (own.column, *own.inseparable)}
        for other in (*finding.judged.where.within, *finding.judged.where.by_time):
            if other.column.identity not in known:
                found.setdefault(other.column.identity, len(found))
    return found


def _scale(cause: model.Cause) -> float:
    """What one of the cause's unit is in the outcome's."""
    return NS_PER_MS if cause.effect.unit == "ms" else 1.0


def _effect(measured: Contrast, cause: model.Cause, alpha: float) -> model.Effect:
    """A contrast as the interface writes it, with the sign and in the unit of the cause."""
    sign = 1.0 if cause.effect.estimate > 0 else -1.0
    low, high = sorted(sign * bound / _scale(cause) for bound in measured.interval(alpha))
    estimate = sign * measured.estimate / _scale(cause)
    return model.Effect(estimate=estimate, low=low, high=high, unit=cause.effect.unit)
