"""What differs between the graphs of two periods: new and vanished nodes and edges, and calls per request that changed.

Requests are the independent ones: a request that calls pricing fifty times is one piece of evidence, not fifty. An edge
that only one side has is new or vanished where its absence is no accident: by its rate on one side at least 10 requests
with it were expected on the other, and given all requests with it, the probability that none falls on that other side
(binomial, if nothing had changed) lies below 1e-3. Else it is only not seen. Calls per request and the share of failed
calls change where the difference, with variances between requests, holds at a false discovery rate of 5% over all
nodes and edges (Benjamini and Hochberg 1995). Latency is shown, not judged: that is what `report` does.
"""

import math
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import numpy as np

from traceguard import model
from traceguard.graph.build import collected, read
from traceguard.stats.multiplicity import benjamini_hochberg
from traceguard.units import Period, format_time

if TYPE_CHECKING:
    import duckdb

EXPECTED = 10.0
CHANCE = 1e-3
FALSE_DISCOVERIES = 0.05
_Z = 1.959964  # the 97.5% point of the normal distribution

_Key = tuple[str | None, str, str | None]  # source, target, kind; source and kind are None for a node


@dataclass(frozen=True, slots=True)
class Side:
    """One side of a comparison: its requests, and sums over them by edge and by node."""

    period: Period
    requests: int
    sums: Mapping[_Key, Mapping[str, Any]]


def sides(
    cursor: "duckdb.DuckDBPyConnection", baseline: Period, candidate: Period, environment: str | None = None, *,
    level: str = "service",
) -> tuple[Side, Side]:  # fmt: skip
    """Both sides of a comparison in one pass. The periods must have bounds and must not overlap."""
    first, second = sorted((baseline, candidate), key=lambda p: p.start_ns or 0)
    hull, gap = Period(first.start_ns, second.end_ns), Period(first.end_ns, second.start_ns)
    with collected(cursor, hull, environment, level=level, gap=gap):
        requests = {row["slice"]: row["requests"] for row in read(cursor, "slices")}
        sums: tuple[dict[_Key, Any], ...] = ({}, {})
        for row in read(cursor, "sides"):
            sums[row["slice"]][row["source"], row["target"], row["kind"]] = row
    found = [Side(period, requests.get(n, 0), sums[n]) for n, period in enumerate((first, second))]
    return (found[0], found[1]) if first is baseline else (found[1], found[0])


def difference(baseline: Side, candidate: Side, level: str = "service") -> model.GraphDiff:
    """Nodes and edges that differ, new ones first, then vanished, changed and not seen; within these by name.

    Mirrored sides give the mirrored document; a side against itself gives none.
    """
    keys = sorted({*baseline.sums, *candidate.sums}, key=lambda key: tuple(part or "" for part in key))
    p_values = [p for key in keys for p in _p_values(baseline, candidate, key)]
    q_values = benjamini_hochberg(np.array(p_values, dtype=np.float64)).tolist()
    nodes: list[model.NodeChange] = []
    edges: list[model.EdgeChange] = []
    for i, (source, target, kind) in enumerate(keys):
        found = _change(baseline, candidate, (source, target, kind), q_values[2 * i], q_values[2 * i + 1])
        if found is None:
            continue
        if source is None:
            nodes.append(model.NodeChange(node=target, **found))
        else:
            edges.append(model.EdgeChange(source=source, target=target, kind=kind, **found))  # type: ignore[arg-type]
    count = sum(source is None for source, _, _ in keys)
    return model.GraphDiff(
        level=level,  # type: ignore[arg-type]  # checked when the sides were collected
        baseline=_bounds(baseline), candidate=_bounds(candidate), nodes=_ordered(nodes),
        edges=_ordered(edges), unchanged_nodes=count - len(nodes), unchanged_edges=len(keys) - count - len(edges),
    )  # fmt: skip


def _change(baseline: Side, candidate: Side, key: _Key, q_calls: float, q_errors: float) -> dict[str, Any] | None:
    a, b = baseline.sums.get(key), candidate.sums.get(key)
    change: str | None = None
    if a is None and b is not None:
        change = "new" if _supported(b["requests"], candidate.requests, baseline.requests) else "not_seen"
    elif b is None and a is not None:
        change = "vanished" if _supported(a["requests"], baseline.requests, candidate.requests) else "not_seen"
    elif min(q_calls, q_errors) < FALSE_DISCOVERIES:
        change = "changed"
    if change is None:
        return None
    delta, error = _calls_delta(baseline, candidate, key)
    return {
        "change": change, "baseline": _traffic(a, baseline.requests), "candidate": _traffic(b, candidate.requests),
        "delta": delta, "low": delta - _Z * error, "high": delta + _Z * error, "q_calls": q_calls, "q_errors": q_errors,
    }  # fmt: skip


def _supported(having: int, requests: int, others: int) -> bool:
    """Whether `having` of `requests` requests show that `others` requests without any are no accident."""
    if not others:
        return False
    return having * others / requests >= EXPECTED and (requests / (requests + others)) ** having < CHANCE


def _p_values(baseline: Side, candidate: Side, key: _Key) -> tuple[float, float]:
    """Of no change in calls per request and of no change in the share of failed calls, two-sided.

    1 where a side lacks the edge or has too few requests with it for the normal distribution.
    """
    a, b = baseline.sums.get(key), candidate.sums.get(key)
    if a is None or b is None or min(a["requests"], b["requests"]) < EXPECTED:
        return 1.0, 1.0
    delta, error = _calls_delta(baseline, candidate, key)
    shares = [side["errors"] / side["calls"] for side in (a, b)]
    # Where one side never failed, its own variance would be 0; the pooled share keeps it from being so.
    pooled = (a["errors"] + b["errors"]) / (a["calls"] + b["calls"])
    spread = math.sqrt(sum(_ratio_variance(side, pooled) for side in (a, b)))
    return _two_sided(delta, error), _two_sided(shares[1] - shares[0], spread)


def _calls_delta(baseline: Side, candidate: Side, key: _Key) -> tuple[float, float]:
    """The change of calls per request and its standard error, from the variance between requests on each side."""
    means, variance = [], 0.0
    for side in (baseline, candidate):
        sums, n = side.sums.get(key), side.requests
        mean = sums["calls"] / n if sums is not None else 0.0
        means.append(mean)
        if sums is not None:
            # Of one request nothing is known about the others: its own count stands for the variance, as in Poisson's.
            variance += (sums["calls_squared"] / n - mean * mean) / (n - 1) if n > 1 else sums["calls_squared"]
    return means[1] - means[0], math.sqrt(max(variance, 0.0))


def _ratio_variance(sums: Mapping[str, Any], share: float) -> float:
    """The variance of failed calls per call by linearisation (Cochran 1977, 6.4), clustered by request."""
    squares = sums["errors_squared"] - 2 * share * sums["calls_errors"] + share * share * sums["calls_squared"]
    return max(float(squares), 0.0) / float(sums["calls"]) ** 2


def _two_sided(delta: float, error: float) -> float:
    if delta == 0.0:
        return 1.0
    # Without any variance (every request calls exactly twice, then exactly three times) the difference is certain.
    return math.erfc(abs(delta) / error / math.sqrt(2.0)) if error > 0.0 else 0.0


def _traffic(sums: Mapping[str, Any] | None, requests: int) -> model.Traffic | None:
    if sums is None:
        return None
    calls, errors = int(sums["calls"]), int(sums["errors"])
    return model.Traffic(
        requests=sums["requests"], calls=calls, errors=errors, calls_per_request=calls / requests,
        error_rate=errors / calls, p50_ms=sums["p50_ms"], p95_ms=sums["p95_ms"],
    )  # fmt: skip


def _bounds(side: Side) -> model.GraphSide:
    return model.GraphSide(
        start=format_time(side.period.start_ns), end=format_time(side.period.end_ns), requests=side.requests
    )


_ORDER = ("new", "vanished", "changed", "not_seen")


def _ordered(changes: Iterable[Any]) -> list[Any]:
    return sorted(changes, key=lambda change: _ORDER.index(change.change))
