"""How the requests behind a cause failed: timeouts or errors, on which ways, and what was tried again."""

from collections import Counter
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import Literal

import numpy as np

from traceguard import model
from traceguard.explain.verdict import Judged
from traceguard.traces.error_origin import Path
from traceguard.traces.link import Names

SHOWN = 5  # ways of errors in a cause


@dataclass(frozen=True, slots=True)
class Failures:
    """The fields of a cause that tell how its affected requests failed, over all its entry points."""

    timeout_fraction: float | None
    error_paths: list[model.ErrorPath]
    retries_per_request: float


def failures(
    group: Sequence[Judged], component: int, metric: Literal["latency", "error"], names: Names,
    paths: Mapping[int, Path],
) -> Failures:  # fmt: skip
    """How the affected requests of a cause at `component` failed; errors are looked at where they are its metric."""
    ways: Counter[int] = Counter()
    errors = timeouts = affected = retries = 0
    for judged in group:
        facts = judged.where.facts
        mine = judged.where.levels[:, judged.where.factors.index(judged.effects.column.factor)]
        under = mine == judged.effects.column.code
        began = under & (facts.origin == component) & (metric == "error")
        errors += int(np.count_nonzero(began))
        timeouts += int(np.count_nonzero(began & facts.timed_out))
        affected += int(np.count_nonzero(under))
        rows = (facts.component == component - component % 2) & np.repeat(under, np.diff(facts.first))
        retries += int(facts.retries[rows].sum())
        numbers, counts = np.unique(facts.path[began], return_counts=True)
        ways.update(dict(zip(numbers.tolist(), counts.tolist(), strict=True)))
    commonest = sorted(ways.items(), key=lambda way: (-way[1], paths[way[0]]))[:SHOWN]
    return Failures(
        timeout_fraction=timeouts / errors if errors else None,
        error_paths=[
            model.ErrorPath(steps=list(_steps(names, paths[number])), requests=count) for number, count in commonest
        ],
        retries_per_request=retries / affected if affected else 0.0,
    )


def _steps(names: Names, path: Path) -> Iterator[model.Step]:
    for at in path:
        service, operation, _ = names.component(2 * at)
        yield model.Step(service=service, operation=operation)
