"""What is asked of an analysis."""

from collections.abc import Mapping
from dataclasses import dataclass, field

from traceguard.engine.reference import Reference
from traceguard.explain.verdict import Floor
from traceguard.units import Period


@dataclass(frozen=True, slots=True)
class Question:
    """The choices of one report: significance level, periods, and what to narrow it to.

    `references` are levels that others are held against because the user says so, `expected_ratio` the shares of units
    that a flag's levels should have; `live` says that the window grows and is looked at again and again.
    """

    alpha: float = 0.05
    baseline: Period | None = None
    candidate: Period | None = None
    flag: str | None = None
    service: str | None = None
    entry: str | None = None
    unit: str | None = None
    references: tuple[Reference, ...] = ()
    expected_ratio: Mapping[str, Mapping[str, float]] = field(default_factory=dict)
    live: bool = False
    floor: Floor = field(default_factory=Floor)
