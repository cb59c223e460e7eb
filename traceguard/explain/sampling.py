"""Whether the recorded requests can speak for all: which of them state how they were sampled, and what looks biased.

A sampler that keeps errors and drops most of the rest makes every rate in the store its own. Where it states the rates
they are undone by weights; where it does not, nothing can, and only these signs give it away.
"""

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray
from scipy import stats

from traceguard.traces.facts import Requests
from traceguard.traces.sampling import Sampling, recorded_as

MIN_REQUESTS = 20  # on both sides of a comparison within an entry point
MIN_FAILING = 200  # fewer say nothing about a whole window
SURE = 1e-6  # an accusation is made for all reports at once: chance must not make one
MOMENTS = 10


@dataclass(frozen=True, slots=True)
class Sampled:
    """How the requests of an answer were sampled; `bias` is the sign that errors were kept at an unknown rate."""

    requests: int
    stated: float  # part of the requests whose rate is known
    adjusted: float  # how many requests the recorded ones stand for
    bias: str | None


def judge_sampling(facts: Requests, rows: NDArray[np.intp], sampling: Sampling) -> Sampled:
    """Judge the sampling of requests; `rows` (r) are their traces' rows in the window."""
    count, policy = sampling.count[rows], sampling.policy[rows]
    known = ~np.isnan(count)
    size = facts.dur.size
    bias = _several_policies(policy[~known]) or _errors_apart(facts, known) or _always_failing(facts, known)
    return Sampled(size, float(known.sum() / max(size, 1)), float(recorded_as(count).sum()), bias)


def _several_policies(policy: NDArray[np.int32]) -> str | None:
    found = np.unique(policy[policy >= 0]).size
    if found < 2:
        return None
    return f"A tail sampler kept requests for {found} reasons and states no rate"


def _errors_apart(facts: Requests, known: NDArray[np.bool_]) -> str | None:
    """Within an entry point requests that state a rate and requests that state none fail at quite different rates."""
    if not known.any() or known.all():
        return None
    size = int(facts.entry.max()) + 1
    total, stated, failed, both = (
        np.bincount(facts.entry, weights=marks, minlength=size).astype(np.int64)
        for marks in (np.ones(known.size), known, facts.failed, known & facts.failed)
    )
    enough = np.flatnonzero(np.minimum(stated, total - stated) >= MIN_REQUESTS)
    for kept, failures in (((total - stated), failed - both), (stated, both)):
        more = failures[enough] * (total - kept)[enough] > 2 * (failed - failures)[enough] * kept[enough]
        by_chance = stats.hypergeom.sf(failures[enough] - 1, total[enough], failed[enough], kept[enough])
        if (more & (by_chance < SURE)).any():
            return "Failed requests state their sampling rate far more or less often than others"
    return None


def _always_failing(facts: Requests, known: NDArray[np.bool_]) -> str | None:
    """More than half fail in every tenth of the window: an outage has a beginning or an end, a sampler has none."""
    unknown = np.flatnonzero(~known)
    if unknown.size < MIN_FAILING:
        return None
    in_time = unknown[np.argsort(facts.start[unknown], kind="stable")]
    if all(facts.failed[part].mean() > 1 / 2 for part in np.array_split(in_time, MOMENTS)):
        return "More than half of the requests failed at every moment of the window, and they state no sampling rate"
    return None
