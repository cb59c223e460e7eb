"""Back from a cause in a document to the traces on its two sides: what is drawn are the very requests compared."""

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from traceguard import model
from traceguard.explain.compared import Compared, Group
from traceguard.explain.evidence import Evidence
from traceguard.traces.sampling import recorded_as

REFERENCE, AFFECTED, NEITHER = 0, 1, -1


@dataclass(frozen=True, slots=True)
class Sides:
    """The two sides of some factors at an entry point: shape t, in the window's order of traces."""

    entry: int  # operation id
    environment: int
    side: NDArray[np.int8]  # t: REFERENCE, AFFECTED or NEITHER
    weight: NDArray[np.float64]  # t: how many requests each stands for


def sides_of(
    cause_entry: model.Entry, factors: Sequence[model.Factor], compared: Compared, evidence: Evidence,
    environments: Sequence[str | None],
) -> Sides | None:  # fmt: skip
    """The sides of `factors` at an entry point; None where the question no longer has it."""
    group = _group(cause_entry, compared, evidence, environments)
    if group is None:
        return None
    levels = compared.levels[group.mine]
    affected = np.ones(levels.shape[0], dtype=np.bool_)
    together = affected.copy()
    for wanted in factors:
        at = next(
            (i for i, f in enumerate(compared.factors)
             if (f.kind, f.key, f.service) == (wanted.kind, wanted.key, wanted.service)), None,
        )  # fmt: skip
        if at is None:
            return None
        texts = compared.factors[at].levels
        codes = [texts.index(text, 2) if text in texts[2:] else NEITHER for text in (wanted.level, wanted.reference)]
        affected &= levels[:, at] == codes[0]
        together &= np.isin(levels[:, at], codes)
    rows = evidence.window.rows_of(compared.ledger.requests.trace_hash[group.mine])
    side = np.full(evidence.window.trace_hash.size, NEITHER, dtype=np.int8)
    side[rows[together & ~affected]] = REFERENCE
    side[rows[affected]] = AFFECTED
    weight = np.ones(side.size)
    weight[rows] = recorded_as(compared.count[group.mine])
    return Sides(group.entry, group.environment, side, weight)


def _group(
    entry: model.Entry, compared: Compared, evidence: Evidence, environments: Sequence[str | None]
) -> Group | None:
    names = evidence.window.names
    for group in compared.groups:
        service, operation, _ = names.component(2 * group.entry)
        if (service, operation, environments[group.environment]) == (entry.service, entry.operation, entry.environment):
            return group
    return None
