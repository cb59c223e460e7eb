"""Which requests are compared with which: the periods, the entry points, and the levels that each request ran under."""

from collections.abc import Sequence
from dataclasses import dataclass, replace

import numpy as np
from numpy.typing import NDArray

from traceguard.engine.ledger import Ledger
from traceguard.engine.reference import with_references
from traceguard.explain.evidence import Evidence
from traceguard.explain.question import Question
from traceguard.traces.factors import ABSENT, FIRST_LEVEL, Factor
from traceguard.traces.facts import Requests
from traceguard.traces.link import Names
from traceguard.units import Period

MIN_ENTRY_REQUESTS = 40  # an entry point with fewer is not compared
MAX_ENTRIES = 64


@dataclass(frozen=True, slots=True)
class Group:
    """The requests of one entry point in one environment; `mine` marks them among the compared ones."""

    entry: int
    environment: int
    mine: NDArray[np.bool_]


@dataclass(frozen=True, slots=True)
class Compared:
    """The compared requests (`start` being that of the trace's root), level codes (r, factors), units (r).

    `groups` are the entry points that are looked at; `left_out` counts the others and their requests. `nothing` says
    why there is nothing to compare, as a warning's code and sentence.
    """

    factors: tuple[Factor, ...]
    ledger: Ledger
    levels: NDArray[np.int16]
    unit: NDArray[np.uint64]
    groups: tuple[Group, ...]
    left_out: tuple[int, int]
    nothing: tuple[str, str] | None
    count: NDArray[np.float64]  # r: how many requests each stands for, NaN where nothing states it

    @property
    def one_level(self) -> list[str]:
        """Flags that some requests evaluated, all of them to the same level, and others not at all."""
        return [
            factor.key
            for f, factor in enumerate(self.factors)
            if factor.kind == "flag" and np.unique(self.levels[:, f]).size > 1
            and np.unique(self.levels[self.levels[:, f] >= FIRST_LEVEL, f]).size == 1
        ]  # fmt: skip


def compare(evidence: Evidence, question: Question) -> Compared:
    """Lay out what the question asks to compare."""
    circumstances, window = evidence.read.circumstances, evidence.window
    facts = evidence.facts
    facts = replace(facts, start=window.begun[window.rows_of(facts.trace_hash)])
    ledger = replace(evidence.ledger, requests=facts)
    factors = with_references(evidence.read.factors, question.references)
    rows = circumstances.rows_of(facts.trace_hash)
    count = evidence.sampling.count[window.rows_of(facts.trace_hash)]
    levels, unit = circumstances.levels[rows], circumstances.unit[rows]
    if question.baseline is not None and question.candidate is not None:
        codes = np.full(facts.dur.size, ABSENT, dtype=np.int16)
        for code, period in ((FIRST_LEVEL, question.baseline), (FIRST_LEVEL + 1, question.candidate)):
            codes[_inside(facts.start, period)] = code
        factors.append(Factor("period", "period", None, ("", "", "baseline", "candidate"), FIRST_LEVEL))
        keep = codes != ABSENT
        ledger, levels, unit = ledger.select(keep), np.column_stack((levels, codes))[keep], unit[keep]
        count = count[keep]
    groups, left_out = _groups(ledger.requests, window.names, question.entry)
    nothing = _nothing(evidence, question, factors, levels, groups, left_out)
    return Compared(tuple(factors), ledger, levels, unit, groups, left_out, nothing, count)


def _inside(begun: NDArray[np.int64], period: Period) -> NDArray[np.bool_]:
    low = period.start_ns if period.start_ns is not None else np.iinfo(np.int64).min
    high = period.end_ns if period.end_ns is not None else np.iinfo(np.int64).max
    inside: NDArray[np.bool_] = (begun >= low) & (begun < high)
    return inside


def _groups(facts: Requests, names: Names, entry: str | None) -> tuple[tuple[Group, ...], tuple[int, int]]:
    """The entry points with enough requests, the busiest first, and how many entry points and requests are left out."""
    number = facts.entry.astype(np.int64) * max(len(names.environments), 1) + facts.environment
    found, counts = np.unique(number, return_counts=True)
    entries, environments = np.divmod(found, max(len(names.environments), 1))
    asked = [
        at for at in np.argsort(-counts, kind="stable") if entry is None or names.operations[entries[at]][1] == entry
    ]
    kept = [at for at in asked if counts[at] >= MIN_ENTRY_REQUESTS][:MAX_ENTRIES]
    groups = tuple(Group(int(entries[at]), int(environments[at]), number == found[at]) for at in kept)
    return groups, (len(asked) - len(kept), int(counts[asked].sum() - counts[kept].sum()))


_LATE = "began past the watermark, so their spans may still come (--ignore-watermark judges them)"


def _late(evidence: Evidence, period: Period) -> bool:
    """Whether requests of the period are left out because they began past the watermark."""
    return bool((_inside(evidence.window.begun, period) & ~evidence.judged).any())


def _nothing(
    evidence: Evidence, question: Question, factors: Sequence[Factor], levels: NDArray[np.int16],
    groups: Sequence[Group], left_out: tuple[int, int],
) -> tuple[str, str] | None:  # fmt: skip
    if evidence.window.trace_hash.size == 0:
        return "no_data", "No request started in the window; widen --since and --until or check what was ingested."
    if evidence.facts.dur.size == 0:
        found = ["are left out by the settings"] if evidence.left_out else []
        found += [_LATE] if _late(evidence, Period()) else []
        why = " or ".join(found) or "have no root; check how traces are propagated"
        return "no_entry_points", f"The requests of the window {why}."
    if question.baseline is not None and question.candidate is not None:
        periods = (("baseline", question.baseline), ("candidate", question.candidate))
        for code, (name, period) in enumerate(periods, FIRST_LEVEL):
            if not (levels[:, -1] == code).any():
                late = _late(evidence, period)
                none = f"No request started in the {name} period; check its times."
                return "empty_period", f"The requests of the {name} period {_LATE}." if late else none
    if question.entry is not None and not groups and left_out[0] == 0:
        return (
            "no_requests_of_entry",
            f"No request of the window entered at {question.entry}; it is no entry point here.",
        )
    if question.flag is not None:
        column = next((i for i, f in enumerate(factors) if f.kind == "flag" and f.key == question.flag), None)
        if question.flag not in evidence.read.unbounded_flags and (column is None or not (levels[:, column] > 0).any()):
            return "flag_not_evaluated", f"No compared request evaluated the flag {question.flag}."
    return None
