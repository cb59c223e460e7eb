"""Typical requests of both sides of a cause: the evidence that a person opens first.

Typical, not extreme: of the affected requests those whose time in the blamed component lies nearest the affected
median, of the others those nearest the median of their side.
"""

import numpy as np
from numpy.typing import NDArray

from traceguard import model
from traceguard.engine.local import Window
from traceguard.explain.verdict import Judged
from traceguard.traces.facts import Facts

SHOWN = 3


def exemplars(judged: Judged, facts: Facts, component: int, window: Window) -> model.Exemplars:
    """The ids of typical traces of both sides; `facts` are those of the entry point's requests."""
    affected, reference = judged.effects.column.sides(judged.where.factors, judged.where.levels)
    time = component_time(facts, component)
    return model.Exemplars(
        affected=window.ids_of(_nearest(facts, affected, time)),
        reference=window.ids_of(_nearest(facts, reference, time)),
    )


def component_time(facts: Facts, component: int) -> NDArray[np.int64]:
    """Nanoseconds that each request spent in a component, shape r."""
    request = np.repeat(np.arange(facts.dur.size), np.diff(facts.first))
    time = np.zeros(facts.dur.size, dtype=np.int64)
    mine = facts.component == component
    np.add.at(time, request[mine], facts.time[mine])
    return time


def _nearest(facts: Facts, side: NDArray[np.bool_], time: NDArray[np.int64]) -> NDArray[np.uint64]:
    """The hashes of the traces on one side that are nearest its medians."""
    at = np.flatnonzero(side)
    if at.size == 0:
        return facts.trace_hash[at]
    distance = np.abs(time[at] - np.median(time[at])) + np.abs(facts.dur[at] - np.median(facts.dur[at]))
    best = at[np.lexsort((facts.trace_hash[at], distance))[:SHOWN]]
    return facts.trace_hash[best]
