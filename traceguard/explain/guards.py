"""Guards: what would make a comparison misleading although its numbers look sure; each a warning code and sentence.

Sample ratio: of a flag that is assigned once and for all, units at any entry point have the same shares of levels, and
those that the settings state (`expected_ratio`). Where they have not, units are missing or choose for themselves.
Post-treatment: whether a flag is evaluated at all may be a consequence of another one. Holding it constant then takes
part of that one's effect away (Rosenbaum 1984).
"""

from collections.abc import Iterator, Mapping
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray
from scipy import stats

from traceguard.explain.compared import Compared
from traceguard.explain.contrast import contrast
from traceguard.explain.design import MIN_REQUESTS
from traceguard.explain.entries import MIN_CLUSTERS, Clock
from traceguard.explain.question import Question
from traceguard.stats.multiplicity import holm
from traceguard.traces.cells import BUCKETS
from traceguard.traces.factors import ABSENT, FIRST_LEVEL, MIXED, Factor
from traceguard.traces.link import Names
from traceguard.traces.sampling import recorded_as

ALPHA = 0.005  # of any false alarm of one guard
STATED_ALPHA = 0.001  # of a false alarm where the ratio is stated: nobody looks at these twice
RAMP_ALPHA = 0.01  # below, shares of levels move with time
MOVED = 0.001  # part of the units that may change their level, for an assignment once and for all
EVALUATED = 0.95  # part of an entry point's requests that evaluate a flag, for its units to be a sample
LEAST_SKEW = 0.1  # change of a level's share, relative to it, that is worth a word
LEAST_CHANGE = 0.02  # change of the part of requests that evaluate a flag that is worth a word
MIN_EXPECTED = 5.0  # units in every cell, for a chi-square test
SHOWN = 3

_Caveats = Iterator[tuple[str, str]]
_Levels = NDArray[np.int16]


def guards(question: Question, compared: Compared, names: Names) -> _Caveats:
    """All guards, none of them where nothing is compared."""
    if compared.nothing is not None:
        return
    yield from _about_the_references(question, compared)
    yield from _about_the_ratios(question, compared, names)
    yield from _about_what_comes_after(compared, names)


def _about_the_references(question: Question, compared: Compared) -> _Caveats:
    seen = {
        (factor.kind, factor.key, factor.service, factor.levels[code])
        for f, factor in enumerate(compared.factors)
        for code in np.unique(compared.levels[:, f])
    }
    missing = [reference.name for reference in question.references if reference not in seen]
    if missing:
        none = f"No compared request ran under {', '.join(missing)}, which should be the reference"
        yield "reference_not_seen", f"{none}; the usual one is taken instead."


def _about_the_ratios(question: Question, compared: Compared, names: Names) -> _Caveats:
    requests = compared.ledger.requests
    known = compared.unit != requests.trace_hash
    told: list[str] = []
    for environment in np.unique(requests.environment):
        here = known & (requests.environment == environment)
        groups = [group for group in compared.groups if group.environment == environment]
        entries = [(_entry(names, group.entry), group.mine[here]) for group in groups]
        unit, start, levels = compared.unit[here], requests.start[here], compared.levels[here]
        flags = [(f, factor) for f, factor in enumerate(compared.factors) if factor.kind == "flag"]
        skewed: list[tuple[float, str]] = []
        for f, factor in flags:
            if stated := question.expected_ratio.get(factor.key):
                if sentence := unexpected(units_of(unit, start, levels[:, f]), factor, stated):
                    told.append(sentence)
            else:
                skewed += uneven(unit, start, levels[:, f], factor, entries)
        adjusted = holm(np.array([p for p, _ in skewed]))
        told += [sentence for (_, sentence), p in zip(skewed, adjusted, strict=True) if sentence and p <= ALPHA]
    if told:
        advice = "find out who is missing, or who chose, before you believe an effect"
        yield "sample_ratio_mismatch", f"{'; '.join(told[:SHOWN])}{_more(told)}; {advice}."


@dataclass(frozen=True, slots=True)
class Units:
    """The units that evaluated a flag: when first, its last level, and whether it ever changed."""

    unit: NDArray[np.uint64]
    first: NDArray[np.int64]
    level: _Levels
    moved: NDArray[np.bool_]


def units_of(unit: NDArray[np.uint64], start: NDArray[np.int64], levels: _Levels) -> Units:
    """The units among requests of shape r that ran under a real level."""
    real = levels >= FIRST_LEVEL
    order = np.flatnonzero(real)[np.lexsort((start[real], unit[real]))]
    found, begin = np.unique(unit[order], return_index=True)
    if not found.size:
        return Units(found, start[:0], levels[:0], real[:0])
    last = np.append(begin[1:], order.size) - 1
    ordered = levels[order]
    moved = np.minimum.reduceat(ordered, begin) != np.maximum.reduceat(ordered, begin)
    return Units(found, start[order][begin], ordered[last], moved)


def unexpected(units: Units, factor: Factor, stated: Mapping[str, float]) -> str | None:
    """What to say where the units' levels are not those of the stated ratio; None where they are."""
    names = [name for name in stated if name in factor.levels[FIRST_LEVEL:]]
    counts = np.array([np.count_nonzero(units.level == factor.levels.index(n, FIRST_LEVEL)) for n in names])
    ratio = np.array([stated[n] for n in names])
    expected = counts.sum() * ratio / ratio.sum()
    if len(names) < 2 or expected.min() < MIN_EXPECTED:
        return None
    p = float(stats.chisquare(counts, expected).pvalue)
    if p > STATED_ALPHA:
        return None
    got = ", ".join(f"{name} {count:,}" for name, count in zip(names, counts, strict=True))
    wanted = ", ".join(f"{share:,.0f}" for share in expected)
    return f"units got {factor.key} as {got} where {wanted} were expected (p = {p:.1g})"


def uneven(
    unit: NDArray[np.uint64], start: NDArray[np.int64], levels: _Levels, factor: Factor,
    entries: list[tuple[str, NDArray[np.bool_]]],
) -> list[tuple[float, str]]:  # fmt: skip
    """A test for each entry point of whether its units' levels are shared out like everybody's: p-value, sentence.

    Empty for a flag that ramps, is not assigned by unit, or is evaluated at fewer than two entry points throughout. The
    sentence is empty where the difference is too small to matter.
    """
    always = [(name, mine) for name, mine in entries if mine.any() and (levels[mine] != ABSENT).mean() >= EVALUATED]
    if len(always) < 2:
        return []
    inside = np.logical_or.reduce([mine for _, mine in always])
    units = units_of(unit[inside], start[inside], levels[inside])
    codes, level = np.unique(units.level, return_inverse=True)
    if codes.size < 2 or units.moved.mean() > MOVED:
        return []
    early = np.searchsorted(np.quantile(units.first, (0.25, 0.5, 0.75)), units.first)
    if (p := _independent(early, level)) is not None and p < RAMP_ALPHA:
        return []
    found = []
    for name, mine in always:
        there = np.isin(units.unit, unit[mine])
        p = _independent(there.astype(np.int64), level)
        if p is None:
            continue
        here, elsewhere = (np.bincount(level[side], minlength=codes.size) / side.sum() for side in (there, ~there))
        skew = np.abs(here - elsewhere) / np.minimum(elsewhere, 1.0 - elsewhere)
        worst = int(skew.argmax())
        said = f"{here[worst]:.1%} of the units at {name} got {factor.key}={factor.levels[codes[worst]]}"
        sentence = f"{said}, {elsewhere[worst]:.1%} of those that never came there (p = {p:.1g})"
        found.append((p, sentence if skew[worst] >= LEAST_SKEW else ""))
    return found


def _independent(row: NDArray[np.int64], column: NDArray[np.intp]) -> float | None:
    """Pearson's p-value that two codings of the same units have nothing to do with each other; None where too few."""
    height, width = int(row.max()) + 1, int(column.max()) + 1
    table = np.bincount(row * width + column, minlength=height * width).reshape(height, width)
    expected = np.outer(table.sum(1), table.sum(0)) / table.sum()
    if height < 2 or width < 2 or expected.min() < MIN_EXPECTED:
        return None
    return float(stats.chi2.sf(((table - expected) ** 2 / expected).sum(), (height - 1) * (width - 1)))


@dataclass(frozen=True, slots=True)
class After:
    """How the part of requests that evaluate a flag differs between a level of another factor and its reference."""

    flag: Factor
    other: Factor
    code: int
    evaluated: float
    otherwise: float
    p_value: float


def _about_what_comes_after(compared: Compared, names: Names) -> _Caveats:
    found: list[tuple[str, After]] = []
    for group in compared.groups:
        mine = group.mine
        entry = _entry(names, group.entry)
        start, stands_for = compared.ledger.requests.start[mine], recorded_as(compared.count[mine])
        tests = evaluated_after(compared.factors, compared.levels[mine], compared.unit[mine], start, stands_for)
        found += [(entry, test) for test in tests]
    adjusted = holm(np.array([after.p_value for _, after in found]))
    told = [
        f"at {entry} {after.evaluated:.0%} of requests under {_level(after.other, after.code)} evaluate"
        f" {after.flag.key}, {after.otherwise:.0%} of those under {_level(after.other, after.other.reference)}"
        for (entry, after), p in zip(found, adjusted, strict=True)
        if p <= ALPHA and abs(after.evaluated - after.otherwise) >= LEAST_CHANGE
    ]
    if told:
        why = "being evaluated is a consequence there, so both effects are biased"
        advice = "evaluate the flag at the entry point"
        listed = f"{'; '.join(told[:SHOWN])}{_more(told)}"
        yield "post_treatment", f"A{listed[1:]}: {why}; {advice}."


def evaluated_after(
    factors: tuple[Factor, ...], levels: _Levels, unit: NDArray[np.uint64], start: NDArray[np.int64],
    weight: NDArray[np.float64],
) -> list[After]:  # fmt: skip
    """A test for each flag that some of an entry point's requests evaluate, and each level that others ran under.

    Levels that came for everybody at once are left to time. A flag that is evaluated exactly under one level is none
    either: it takes nothing away from an effect that it cannot be told apart from.
    """
    stratum, cluster = Clock().slices(start).astype(np.int64), (unit % np.uint64(BUCKETS)).astype(np.int64)
    present = levels != ABSENT
    counts = present.sum(0)
    partly = [
        f for f, factor in enumerate(factors)
        if factor.kind == "flag" and min(counts[f], present.shape[0] - counts[f]) >= MIN_REQUESTS
    ]  # fmt: skip
    found = []
    for g, other in enumerate(factors) if partly else ():
        # Where requests ran under several levels, those under one differ already in how often they were asked.
        if other.kind not in {"flag", "version"} or (levels[:, g] == MIXED).mean() > MOVED:
            continue
        reference = levels[:, g] == other.reference
        for code in np.unique(levels[levels[:, g] >= FIRST_LEVEL, g]):
            affected = levels[:, g] == code
            if code == other.reference or min(affected.sum(), reference.sum()) < MIN_REQUESTS:
                continue
            either = affected | reference
            for f in partly:
                share1, share0 = present[affected, f].mean(), present[reference, f].mean()
                events = int(present[either, f].sum())
                nested = min(share1, share0) < MOVED and max(share1, share0) > 1.0 - MOVED
                rare = min(events, int(either.sum()) - events) < MIN_REQUESTS
                if f == g or nested or rare:
                    continue
                p = 1.0
                if abs(share1 - share0) >= LEAST_CHANGE / 2:
                    measured = contrast(
                        present[either, f].astype(np.float64), affected[either], stratum[either], cluster[either],
                        weight[either],
                    )  # fmt: skip
                    if measured is not None and measured.clusters >= MIN_CLUSTERS:
                        p = measured.p_value()
                found.append(After(factors[f], other, int(code), float(share1), float(share0), p))
    return found


def _entry(names: Names, entry: int) -> str:
    service, operation = names.operations[entry]
    return f"{names.services[service]} {operation}"


def _level(factor: Factor, code: int) -> str:
    text = factor.levels[code]
    return f"{factor.key}={text}" if factor.service is None else f"{factor.service} {text}"


def _more(told: list[str]) -> str:
    return f" and {len(told) - SHOWN} more" if len(told) > SHOWN else ""
