"""The answer of `report`: what got worse, what explains it, and on which data and with which options that was found."""

from typing import Literal

from pydantic import Field

from traceguard.model.causes import Cause
from traceguard.model.document import SCHEMA_VERSION, Document, Warning
from traceguard.model.effect import Effect, Factor
from traceguard.model.entry import Entry, Locus
from traceguard.model.periods import Deploy, Mix, PeriodBounds, Structure
from traceguard.model.regression import Regression
from traceguard.model.window import ClockSkew, CriticalPaths, LeftOut, Sampling, Window

Verdict = Literal["regression", "no_regression", "inconclusive", "no_data"]
Inference = Literal["fixed_horizon", "anytime_valid"]


class JudgedEntry(Document):
    """An entry point that was judged, whether it got worse or not, and its compared requests."""

    entry: Entry
    requests: int


class CauseChange(Document):
    """A cause of this report or of the older one that it is held against; `changed` where the intervals are apart."""

    change: Literal["new", "gone", "changed", "as_before"]
    factors: list[Factor]
    service: str
    operation: str
    locus: Locus
    metric: Literal["latency", "error", "calls"]
    before: Effect | None
    after: Effect | None


class Against(Document):
    """An older report that this one is held against: its window and verdict, and how the causes differ."""

    window: Window
    verdict: Verdict
    causes: list[CauseChange]


class Asked(Document):
    """The options that a report was asked with, beside its window, periods, alpha and inference."""

    flag: str | None = None
    service: str | None = None
    entry: str | None = None
    unit: str | None = None
    env: str | None = None
    reference: list[str] = Field(default_factory=list)
    attribute: list[str] = Field(default_factory=list)
    where: list[str] = Field(default_factory=list)
    ignore_watermark: bool = False


class Report(Document):
    """The answer of `report`. `structure` and `mix` are set where two periods were compared.

    The verdict is what the data say; that a cause is accepted changes nothing about it. `judged` are all entry points
    that were judged; `against` is set where an older report was given.
    """

    schema_version: int = SCHEMA_VERSION
    traceguard_version: str
    window: Window
    baseline: PeriodBounds | None
    candidate: PeriodBounds | None
    verdict: Verdict
    regressions: list[Regression]
    causes: list[Cause]
    improvements: list[Cause]
    warnings: list[Warning]
    alpha: float = 0.05
    inference: Inference = "fixed_horizon"
    sampling: Sampling | None = None
    left_out: list[LeftOut] = Field(default_factory=list)
    clock_skew: list[ClockSkew] = Field(default_factory=list)
    critical_paths: CriticalPaths | None = None
    structure: Structure | None = None
    mix: Mix | None = None
    deploys: list[Deploy] = Field(default_factory=list)
    judged: list[JudgedEntry] = Field(default_factory=list)
    against: Against | None = None
    asked: Asked | None = None
