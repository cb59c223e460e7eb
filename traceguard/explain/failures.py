"""How the requests behind a cause failed: timeouts or errors, on which ways, and what was tried again."""

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import Literal

import numpy as np
from numpy.typing import NDArray

from traceguard import model
from traceguard.engine.ledger import Ledger
from traceguard.explain.verdict import Judged
from traceguard.traces.error_origin import Path
from traceguard.traces.link import Names

SHOWN = 5  # ways of errors in a cause


@dataclass(frozen=True, slots=True)
class Failures:
    """The fields of a cause that tell how its affected requests failed, over all its entry points.

    Each request counts as often as it stands for; `requests` of a path are recorded ones.
    """

    timeout_fraction: float | None
    error_paths: list[model.ErrorPath]
    retries_per_request: float


def failures(
    group: Sequence[tuple[Judged, Ledger]], component: int, metric: Literal["latency", "error", "calls"], names: Names,
    paths: Mapping[int, Path],
) -> Failures:  # fmt: skip
    """How the affected requests of a cause at `component` failed; errors are looked at where they are its metric.

    `group` are its levels at its entry points, each with the requests there.
    """
    ways: list[NDArray[np.uint64]] = []
    weights: list[NDArray[np.float64]] = []  # how many requests each of `ways` stands for
    timeouts = affected = retries = 0.0
    for judged, ledger in group:
        facts, stands_for = judged.where.facts, judged.where.stands_for
        under, _ = judged.effects.column.sides(judged.where.factors, judged.where.levels)
        began = under & (facts.origin == component) & (metric == "error")
        ways.append(facts.path[began])
        weights.append(stands_for[began])
        timeouts += float(stands_for[began & facts.timed_out].sum())
        affected += float(stands_for[under].sum())
        repeats = ledger.repeats()
        rows = repeats.component == component - component % 2
        retries += float(repeats.retries[rows] @ (stands_for * under)[repeats.request[rows]])
    way, weight = np.concatenate(ways), np.concatenate(weights)
    stated = any(judged.where.stated for judged, _ in group)
    return Failures(
        timeout_fraction=timeouts / float(weight.sum()) if way.size else None,
        error_paths=[
            model.ErrorPath(steps=list(_steps(names, path)), requests=recorded, adjusted=stands_for if stated else None)
            for path, recorded, stands_for in _commonest(way, weight, paths)
        ],
        retries_per_request=retries / affected if affected else 0.0,
    )


def _commonest(
    way: NDArray[np.uint64], weight: NDArray[np.float64], paths: Mapping[int, Path]
) -> list[tuple[Path, int, float]]:
    """The commonest of the ways with their recorded requests and how many they stand for, most of these first."""
    numbers, at, recorded = np.unique(way, return_inverse=True, return_counts=True)
    adjusted = np.bincount(at, weights=weight, minlength=numbers.size)
    found = [(paths[n], r, a) for n, r, a in zip(numbers.tolist(), recorded.tolist(), adjusted.tolist(), strict=True)]
    return sorted(found, key=lambda one: (-one[2], one[0]))[:SHOWN]


def _steps(names: Names, path: Path) -> Iterator[model.Step]:
    for at in path:
        service, operation, _ = names.component(2 * at)
        yield model.Step(service=service, operation=operation)
