"""Where code changed what it calls between two periods: callers that stop after a call, or go on where they stopped.

Within each stratum (see `traces.structure`) every time that a caller was through with a call is a trial, and that it
then stopped is an event: shares are compared, never counts, so neither traffic nor the mix of what was asked matters,
and a caller that is reached less often has not changed. The test is exact (Mantel and Haenszel), and must also hold
clustered by blocks of time; q-values are over all callers, calls and both directions (Benjamini and Hochberg).

Who is to blame when a caller stops after a call of another service: the callee, if callers in several services do, else
the caller, whose code it was that did not go on. Both are named, the likelier first.

What it cannot see: code that returns something else and calls what it always called; callers that were never there in
the baseline, or never on the same way.
"""

from collections.abc import Sequence
from dataclasses import dataclass, replace

import numpy as np
import polars as pl
from numpy.typing import NDArray
from scipy import stats

from traceguard.explain.entries import MIN_BLOCKS
from traceguard.stats.multiplicity import benjamini_hochberg
from traceguard.stats.regression import jackknife_error
from traceguard.stats.stratified import informative, more_events, risk_difference, risk_difference_error
from traceguard.traces.link import Names
from traceguard.traces.structure import BLOCKS, START, STOP, Structure

Floats = NDArray[np.float64]

_ENTRY = ["entry", "environment"]
_PLACE = [*_ENTRY, "parent", "after"]
_TABLE = ["n0", "e0", "n1", "e1"]


@dataclass(frozen=True, slots=True)
class StructureChange:
    """A change of what a caller (`parent`, an operation) does after a call (`after`, an operation; START: at first).

    `estimate`, `low`, `high`: calls a request of the entry point, one for each stop; negative where calls are lost.
    `reference` and `observed` are the shares of stops, `trials` how often the candidate's callers were there.
    `score` orders also what does not hold: the lower bound of the change of the share of stops if trials were
    independent, over the spread between the baseline's trials, as time per call is scored (`call_time_change`).
    `suspects` are components (2 * operation + locus), the likelier first. `holds`: at alpha, with enough blocks.
    """

    entry: int
    environment: int
    parent: int
    after: int
    trials: int
    reference: float
    observed: float
    estimate: float
    low: float
    high: float
    score: float
    q_value: float
    holds: bool
    suspects: tuple[int, ...] = ()

    @property
    def lost(self) -> bool:
        """Whether calls are lost, as opposed to new ones made."""
        return self.estimate < 0

    @property
    def sure(self) -> float:
        """Calls a request that are lost, or new, at the end of the interval that is nearer to none."""
        return -self.high if self.lost else self.low


def structure_changes(structure: Structure, names: Names, alpha: float) -> list[StructureChange]:
    """The changes: those that hold before the others, lost calls before new ones, then by score.

    New calls come later because their time shows in the latency of what they call; nothing else shows lost ones.
    """
    tables = _tables(structure.steps)
    if tables.is_empty():
        return []
    places = tables.partition_by(_PLACE, as_dict=True, maintain_order=True)
    blocks = structure.steps.join(tables, on=[*_PLACE, "stratum"], how="semi").partition_by(_PLACE, as_dict=True)
    requests = {
        key: _by_block(rows) for key, rows in structure.requests.partition_by(_ENTRY, as_dict=True).items()
    }  # fmt: skip
    found, p_values = [], []
    for place, table in places.items():
        at_entry = requests[place[:2]]
        change, p_more, p_fewer = _compared(place, table, blocks[place], at_entry, alpha)
        found.append((change, at_entry))
        p_values.append((p_more, p_fewer))
    q_values = benjamini_hochberg(np.array(p_values).ravel()).reshape(-1, 2)
    changes = []
    for (change, at_entry), (more, fewer) in zip(found, q_values.tolist(), strict=True):
        q = more if change.lost else fewer
        enough = min(np.count_nonzero(at_entry[:BLOCKS]), np.count_nonzero(at_entry[BLOCKS:])) >= MIN_BLOCKS
        changes.append(replace(change, q_value=q, holds=bool(q <= alpha and enough)))
    changes = _with_suspects(changes, structure.steps, names)
    return sorted(changes, key=lambda c: (not c.holds, not c.lost, -c.score, c.parent, c.after))


def _tables(steps: pl.DataFrame) -> pl.DataFrame:
    """Trials and stops of both sides by place and stratum, where they can tell something."""
    late, stop, count = pl.col("block") >= BLOCKS, pl.col("next") == STOP, pl.col("count")
    tables = (
        steps.group_by([*_PLACE, "stratum"])
        .agg(
            n0=count.filter(~late).sum(), e0=count.filter(~late & stop).sum(),
            n1=count.filter(late).sum(), e1=count.filter(late & stop).sum(),
        )
        .sort([*_PLACE, "stratum"])
    )  # fmt: skip
    return tables.filter(pl.Series(informative(*(tables[name].to_numpy() for name in _TABLE)), dtype=pl.Boolean))


def _by_block(rows: pl.DataFrame) -> Floats:
    counts = np.zeros(2 * BLOCKS)
    counts[rows["block"].to_numpy()] = rows["count"].to_numpy()
    return counts


def _compared(
    place: tuple[object, ...], table: pl.DataFrame, steps: pl.DataFrame, requests: Floats, alpha: float
) -> tuple[StructureChange, float, float]:
    """A place's change, its q-value still open, and the p-values of more and of fewer stops."""
    n0, e0, n1, e1 = (table[name].to_numpy() for name in _TABLE)
    p_more, p_fewer = more_events(n0, e0, n1, e1)
    n, stops = _grid(steps)
    calls, shares = _effects(n, stops, requests)
    dof = max(min(np.count_nonzero(requests[:BLOCKS]), np.count_nonzero(requests[BLOCKS:])) - 1, 1)
    half = float(stats.t.ppf(1 - alpha / 2, dof)) * calls.error
    t = shares.estimate / shares.error
    sure = abs(shares.estimate) - float(stats.norm.ppf(1 - alpha / 2)) * shares.independent
    score = sure / spread(float(n0.sum()), float(e0.sum()))
    entry, environment, parent, after = (int(str(part)) for part in place)
    change = StructureChange(
        entry, environment, parent, after, int(n1.sum()), float(e0.sum() / n0.sum()), float(e1.sum() / n1.sum()),
        calls.estimate, calls.estimate - half, calls.estimate + half, score, 1.0, holds=False,
    )  # fmt: skip
    return change, max(p_more, float(stats.t.sf(t, dof))), max(p_fewer, float(stats.t.cdf(t, dof)))


def spread(trials: float, events: float) -> float:
    """The standard deviation of whether a trial is an event, with half an event and half a failure added."""
    share = (events + 0.5) / (trials + 1.0)
    return float(np.sqrt(share * (1.0 - share)))


def _grid(steps: pl.DataFrame) -> tuple[Floats, Floats]:
    """Trials and stops by stratum and block."""
    stratum, block = np.unique(steps["stratum"].to_numpy(), return_inverse=True)[1], steps["block"].to_numpy()
    shape = (int(stratum.max()) + 1, 2 * BLOCKS)
    count, stopped = steps["count"].to_numpy().astype(np.float64), steps["next"].to_numpy() == STOP
    grids = []
    for values in (count, count * stopped):
        grid = np.zeros(shape)
        np.add.at(grid, (stratum, block), values)
        grids.append(grid)
    return grids[0], grids[1]


@dataclass(frozen=True, slots=True)
class _Effect:
    """An estimate, its standard error if trials were independent, and that clustered by block if it is larger."""

    estimate: float
    independent: float
    error: float


def _effects(n: Floats, stops: Floats, requests: Floats) -> tuple[_Effect, _Effect]:
    """New calls a request (negative: lost ones), and the change of the share of stops that they come from.

    Calls are the pooled difference of shares at as many trials a request as the candidate had.
    """
    used = np.flatnonzero(requests)
    # The whole first, then without each block.
    kept = np.ones((used.size + 1, 2 * BLOCKS))
    kept[np.arange(used.size) + 1, used] = 0.0
    before, after = kept[:, :BLOCKS], kept[:, BLOCKS:]
    n0, e0 = (before @ grid[:, :BLOCKS].T for grid in (n, stops))
    n1, e1 = (after @ grid[:, BLOCKS:].T for grid in (n, stops))
    share = risk_difference(n0, e0, n1, e1)
    calls = -share * n1.sum(1) / np.maximum(after @ requests[BLOCKS:], 1.0)
    independent = risk_difference_error(n0[0], e0[0], n1[0], e1[0])
    effects = []
    for values, least in ((calls, independent * n1[0].sum() / requests[BLOCKS:].sum()), (share, independent)):
        clustered = float(jackknife_error(values[0], values[1:]))
        effects.append(_Effect(float(values[0]), float(least), max(clustered, float(least))))
    return effects[0], effects[1]


def _with_suspects(changes: Sequence[StructureChange], steps: pl.DataFrame, names: Names) -> list[StructureChange]:
    """The changes with whom to blame for them."""
    service = [s for s, _ in names.operations]
    callers: dict[int, set[int]] = {}
    for c in changes:
        # That a second service's callers stop there too was to be expected, so no multiplicity: the score will do.
        if c.score > 0 and c.lost and c.after != START:
            callers.setdefault(c.after, set()).add(service[c.parent])
    made = steps.filter((pl.col("after") == START) & (pl.col("next") != STOP))
    usual = dict(
        made.group_by("parent", "next").agg(pl.col("count").sum()).sort("count", "next").select("parent", "next").rows()
    )
    # An operation after whose calls nothing ever follows, not even a stop, is a client's: its callee did not answer.
    goes_on = set(steps.filter(pl.col("after") != START)["parent"].to_list())

    def suspects(c: StructureChange) -> tuple[int, ...]:
        mine = 2 * c.parent
        if c.after == START:
            callee = usual.get(c.parent)
            if callee is None or c.parent in goes_on or service[callee] == service[c.parent]:
                return (mine,)
            return (2 * callee + 1, mine)
        if service[c.after] == service[c.parent]:
            return (mine,)
        return (2 * c.after, mine) if len(callers.get(c.after, ())) > 1 else (mine, 2 * c.after)

    return [replace(c, suspects=suspects(c)) for c in changes]
