"""What a change is made of, in parts that add up to it: mix of entry points, number of calls, time a call, origins.

A mean over all requests changes because entry points get another share of them (mix) or because they change themselves;
an entry point changes because its components are called more often (count) or take longer a call (cost; see
`count_and_cost`). Each product is split at the midpoint of both sides.
"""

from collections.abc import Sequence

import numpy as np
from numpy.typing import NDArray

from traceguard import model
from traceguard.explain.compared import Compared
from traceguard.explain.verdict import Judged
from traceguard.stats.multiplicity import benjamini_hochberg
from traceguard.traces.factors import FIRST_LEVEL
from traceguard.traces.link import Names
from traceguard.traces.sampling import recorded_as

OFFSET = 0.5  # part of the sure gains that sure losses must make up for, for time to have moved


def parts_document(judged: Judged, names: Names) -> list[model.Part]:
    """The components' parts in the change of an entry point's mean latency, the largest first."""
    estimate, by_count = judged.effects.latency.estimate, judged.effects.by_count
    parts = []
    for i in np.argsort(-np.abs(estimate), kind="stable"):
        service, operation, locus = names.component(int(judged.where.outcomes.components[i]))
        delta, count = float(estimate[i]), float(by_count[i])
        parts.append(
            model.Part(
                service=service, operation=operation, locus=locus, delta_ms=delta, count_ms=count, cost_ms=delta - count
            )
        )
    return parts


def origins_document(judged: Judged, names: Names) -> list[model.ErrorPart]:
    """The components' parts in the change of an entry point's error rate, by where errors began, the largest first."""
    estimate = judged.effects.errors.estimate
    parts = []
    for i in np.argsort(-np.abs(estimate), kind="stable"):
        if estimate[i] != 0.0:
            service, operation, locus = names.component(int(judged.where.outcomes.components[i]))
            parts.append(model.ErrorPart(service=service, operation=operation, locus=locus, delta=float(estimate[i])))
    return parts


def handled_document(judged: Judged) -> model.Handled:
    """Failures that reached no root, per request of both sides as they are."""
    where = judged.where
    affected, compared = judged.effects.column.sides(where.factors, where.levels)

    def per_request(side: NDArray[np.bool_]) -> float:
        weight = where.stands_for * side
        return float(weight @ where.facts.handled) / max(float(weight.sum()), 1e-12)

    return model.Handled(reference=per_request(compared), observed=per_request(affected))


def moved(judged: Judged, alpha: float) -> list[int]:
    """The components whose extra time others gave up: the entry point as a whole did not get slower.

    Such a gain is no regression: work moved from one component to another.
    """
    mean, parts = judged.effects.roots[0], judged.effects.latency
    if not judged.testable or mean.p_worse <= alpha:
        return []
    worse = (benjamini_hochberg(parts.p_worse) <= alpha) & (parts.estimate > 0)
    better = (benjamini_hochberg(parts.p_better) <= alpha) & (parts.estimate < 0)
    if -parts.estimate[better].sum() < OFFSET * parts.estimate[worse].sum():
        return []
    found: list[int] = judged.where.outcomes.components[worse].tolist()
    return found


def mix_document(compared: Compared, names: Names, environments: Sequence[str | None]) -> model.Mix | None:
    """How much of the change of the mean latency of all requests is another mix of entry points; between periods only.

    An entry point's share counts against the mean of all: more requests of a slow one raise it, of a fast one lower it.
    """
    period = next((f for f, factor in enumerate(compared.factors) if factor.kind == "period"), None)
    requests = compared.ledger.requests
    if period is None or requests.dur.size == 0:
        return None
    number = requests.entry.astype(np.int64) * len(environments) + requests.environment
    found, at = np.unique(number, return_inverse=True)
    weight, late = recorded_as(compared.count), compared.levels[:, period] != FIRST_LEVEL
    share, mean = np.zeros((2, found.size)), np.zeros((2, found.size))
    for side, mine in enumerate((~late, late)):
        total = np.bincount(at[mine], weights=weight[mine], minlength=found.size)
        if total.sum() == 0.0:
            return None
        spent = np.bincount(at[mine], weights=weight[mine] * requests.dur[mine], minlength=found.size)
        share[side] = total / total.sum()
        mean[side] = np.divide(spent, total * 1e6, out=np.full(found.size, np.nan), where=total > 0)
    # An entry point that one side lacks did not change; all of it is mix.
    mean = np.where(np.isnan(mean), mean[::-1], mean)
    overall = (share * mean).sum(1)
    mixed = (share[1] - share[0]) * (mean.mean(0) - overall.mean())
    within = share.mean(0) * (mean[1] - mean[0])
    entries = []
    for i in np.argsort(-np.abs(mixed) - np.abs(within), kind="stable"):
        entry, environment = divmod(int(found[i]), len(environments))
        service, operation, _ = names.component(2 * entry)
        entries.append(
            model.MixEntry(
                entry=model.Entry(service=service, operation=operation, environment=environments[environment]),
                reference_share=float(share[0, i]),
                observed_share=float(share[1, i]),
                mix_ms=float(mixed[i]),
                within_ms=float(within[i]),
            )
        )
    return model.Mix(
        reference_ms=float(overall[0]), observed_ms=float(overall[1]), delta_ms=float(overall[1] - overall[0]),
        mix_ms=float(mixed.sum()), within_ms=float(within.sum()), entries=entries,
    )  # fmt: skip
