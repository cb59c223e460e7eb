"""What is asked of an analysis, and what its answer rests on."""

from dataclasses import dataclass, field

import numpy as np

from traceguard.engine.circumstances import Read
from traceguard.engine.local import Window
from traceguard.explain.verdict import Floor
from traceguard.traces.facts import Facts
from traceguard.units import Period


@dataclass(frozen=True, slots=True)
class Question:
    """The choices of one report: significance level, periods, and what to narrow it to."""

    alpha: float = 0.05
    baseline: Period | None = None
    candidate: Period | None = None
    flag: str | None = None
    service: str | None = None
    entry: str | None = None
    unit: str | None = None
    floor: Floor = field(default_factory=Floor)


@dataclass(frozen=True, slots=True)
class Evidence:
    """Everything an answer rests on."""

    window: Window
    read: Read
    facts: Facts
    spans: int  # distinct spans in the window
    incomplete: int  # traces with missing spans
    fragments: int  # requests left out because their upper part is missing
    negative_durations: int
    left_out: int  # requests that the settings leave out
    skewed: dict[str, float]  # services whose clock visibly differs from their callers', with the part of calls

    @property
    def environments(self) -> list[str]:
        """The environments that requests of the window ran in."""
        return [self.window.names.environments[i] for i in np.unique(self.facts.environment)]
