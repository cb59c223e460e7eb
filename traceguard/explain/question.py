"""What is asked of an analysis."""

from dataclasses import dataclass, field

from traceguard.engine.reference import Reference
from traceguard.explain.verdict import Floor
from traceguard.units import Period


@dataclass(frozen=True, slots=True)
class Question:
    """The choices of one report: significance level, periods, and what to narrow it to.

    `ignore_watermark` says that requests past the watermark are judged; `references` are levels that others are held
    against because the user says so.
    """

    alpha: float = 0.05
    baseline: Period | None = None
    candidate: Period | None = None
    flag: str | None = None
    service: str | None = None
    entry: str | None = None
    unit: str | None = None
    ignore_watermark: bool = False
    references: tuple[Reference, ...] = ()
    floor: Floor = field(default_factory=Floor)
